"""How many connections fit into the files that a process may have open."""

import asyncio
import re
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.conformance.tus.client import connected
from tests.servers import Address, free_port, settings
from tests.stores import Folder

FIT = """
import logging, resource, sys
from tusd_py.descriptors import connections_that_fit
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
logging.basicConfig(format="%(message)s")
print(connections_that_fit(wanted), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "fitting", "warnings"),
    [(64, 964, 300, 300, 0), (64, 964, 301, 300, 1), (964, 964, 4096, 300, 1), (60, 60, 9, 1, 1)],
)
async def test_what_fits(soft: int, hard: int, wanted: int, fitting: int, warnings: int) -> None:
    """The soft limit becomes the hard one; what does not fit is lowered, with one warning."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FIT, str(soft), str(hard), str(wanted)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()

    assert out.decode().split() == [str(fitting), str(hard), str(hard)]
    assert err.decode() == "few_descriptors\n" * warnings


async def test_a_server_with_few_descriptors_serves(tmp_path: Path) -> None:
    """It says how many connections it takes, and more of them do not take it down."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", 'ulimit -n 124; exec "$0" -m tusd_py', sys.executable),
        env={"PATH": "/usr/bin:/bin", **settings(tmp_path, PORT=str(port))},
        cwd=Path(__file__).parents[2],
        stderr=asyncio.subprocess.PIPE,
    )
    address = Address(host="127.0.0.1", port=port, root=tmp_path, store=Folder(root=tmp_path))
    try:
        assert process.stderr is not None
        async with asyncio.timeout(30), AsyncExitStack() as stack:
            said = (await process.stderr.readuntil(b"listening")).decode()
            for _ in range(100):
                await stack.enter_async_context(connected(address))
            last = await stack.enter_async_context(connected(address))
            await last.send(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n")
            answer = await last.head()
    finally:
        process.terminate()
        await process.communicate()

    assert re.findall(r"warning\s+few_descriptors.* max_connections=20\b", said, re.I)
    assert answer.status == 200
    assert process.returncode == 0
