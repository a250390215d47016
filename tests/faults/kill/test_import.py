"""`tusd-py import-tusd` is killed: nothing is lost or there twice, and the next run goes on."""

import random
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.commands import program
from tests.servers import Address
from tests.tusd_folder import TusdFolder, fates, import_tusd
from tusd_py.tusd.store import new_id

CONTENT = random.Random(3).randbytes(9 << 20)


@pytest.mark.parametrize(
    ("call", "path", "then"),
    [
        ("copy_file_range", "data/uploads/42/{uuid}.data", "finished"),
        ("fsync", "data/uploads/42/{uuid}.data", "finished"),
        ("rename", "data/uploads/42/{uuid}.data", "finished"),
        ("unlink", "tusd/{id}", "known"),
        ("unlink", "tusd/{id}.info", "known"),
    ],
    ids=[
        "first bytes",
        "before the medium",
        "between record and file",
        "before it moves",
        "moving",
    ],
)
async def test_a_killed_import_goes_on(
    server: Address, tmp_path: Path, call: str, path: str, then: str
) -> None:
    """Wherever it was killed, tusd or we have the bytes, and after the next run we do, once."""
    (tmp_path / "tusd").mkdir()
    tusd = TusdFolder(root=tmp_path / "tusd")
    tusd_id = tusd.upload(CONTENT, metadata={"user": "42"})
    at = str(tmp_path / path.format(id=tusd_id, uuid=new_id(tusd_id)))
    strace = (program("strace", "strace"), "-f", "-qqq", "-o", "/dev/null", "-P", at)
    killing = (*strace, "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL")
    arguments = ("--user-from", "user", "--move")

    first = await import_tusd(tusd.root, server, *arguments, under=killing)
    there = (tusd.root / tusd_id).exists()
    here = list((await server.finished()).values())
    second = await import_tusd(tusd.root, server, *arguments)
    async with (
        aiohttp.ClientSession(headers=server.auth()) as http,
        http.get(f"{server.files}{tusd_id}") as response,
    ):
        content = await response.read()

    assert first.code in {-signal.SIGKILL, 128 + signal.SIGKILL}, first.stderr
    assert there or here == [len(CONTENT)]
    assert set(fates(second).values()) == {then}, second.stdout
    assert list((await server.finished()).values()) == [len(CONTENT)]
    assert content == CONTENT
    assert tusd.contents() == {}
