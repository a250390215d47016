"""A server that has the same process id in every life, as in a container that is started again."""

import asyncio
import hashlib
import os
import random
import time
from pathlib import Path

import aiohttp

from tests.conformance.tus.client import Tus, begun_patch
from tests.faults.kill.conftest import Mortal
from tests.faults.kill.server import MortalServer
from tests.servers import taken

CONTENT = random.Random(3).randbytes(3_000_000)
SENT = 1_000_000

NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
"""A command that runs another as process 1 of a namespace of its own."""

OWN_USERS = ("--user", "--map-root-user")
"""What somebody who is not root needs for that."""


def pid_inside(server: MortalServer) -> int:
    """The process id of a server as it sees it itself."""
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("NSpid:"))
    return int(line.split()[-1])


async def test_same_pid_in_the_next_life(
    http: aiohttp.ClientSession, mortal: Mortal, tmp_path: Path
) -> None:
    """A server that is process 1 dies in the middle of a PATCH and starts again as process 1:
    nothing is locked, and the upload goes on at once."""
    launcher = (*NAMESPACE, *(() if os.geteuid() == 0 else OWN_USERS))
    server = mortal(MortalServer(root=tmp_path / "data", launcher=launcher))
    await server.start()
    pids = [pid_inside(server)]
    tus = Tus(http=http, address=server.address)
    url = await tus.create(len(CONTENT))
    async with begun_patch(tus, url, 0, len(CONTENT)) as connection:
        await connection.send(CONTENT[:SENT])
        await taken(connection.writer)
        await until_recorded(server.root, SENT)
        await server.kill()
    await server.start()
    pids.append(pid_inside(server))
    began = time.monotonic()
    head = await tus.head(url)
    patch = await tus.patch(url, SENT, CONTENT[SENT:])
    took = time.monotonic() - began
    content = await tus.download(url)

    assert pids == [1, 1]
    assert (head.status, head.headers.get("Upload-Offset")) == (200, str(SENT))
    assert patch.status == 204
    assert took < 3
    assert hashlib.sha256(content).hexdigest() == hashlib.sha256(CONTENT).hexdigest()


async def until_recorded(root: Path, offset: int) -> None:
    """Return when a record says that so many bytes are there."""
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(_is_recorded, root, offset):  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(0.02)


def _is_recorded(root: Path, offset: int) -> bool:
    text = f'"offset":{offset},'.encode()
    return any(text in path.read_bytes() for path in (root / "uploads").rglob("*.info"))
