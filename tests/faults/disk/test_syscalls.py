"""What a real server process tells the kernel, and what it tells its clients: in which order."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient
from tests.conformance.tus.client import Tus, content_of, metadata
from tests.conftest import MakeProcess
from tests.faults.disk.scene import sha256, upload_id_of
from tests.strace import answers, failing, recording

CONTENT = content_of(30_000)
NAME = "file.bin"

NEW = ("rename uploads/42/ID.info", "fsync uploads/42/ID.info", "fsync uploads/42")
RECORD = ("fsync uploads/42/ID.info.*.tmp", "rename uploads/42/ID.info", "fsync uploads/42")
BYTES = ("fsync uploads/42/ID.data", *RECORD)
CHUNK = ("fsync uploads/42/ID.chunks/1.*.tmp", "rename uploads/42/ID.chunks/1")
CHUNK_NAME = ("fsync uploads/42/ID.chunks", "fsync uploads/42")


def file(file_id: int) -> tuple[str, ...]:
    """What makes a file durable."""
    named = (f"rename final/42/{file_id}/{NAME}", f"fsync final/42/{file_id}", "fsync final/42")
    return ("fsync uploads/42/ID.data", *named, *RECORD)


def have_order(done: tuple[str, ...], deeds: tuple[str, ...]) -> bool:
    """Whether `deeds` were done one after the other, whatever else was done."""
    rest = iter(done)
    return all(deed in rest for deed in deeds)


@dataclass(frozen=True, kw_only=True)
class Session:
    """What user 42 does, one request after the other."""

    tus: Tus
    rest: RestClient

    async def play(self) -> None:
        """Upload a file over tus, one in chunks, and one as a concatenation."""
        tus, rest = self.tus, self.rest
        url = await tus.create(len(CONTENT), metadata(filename=NAME, main_service_file_id="7"))
        await tus.patch(url, 0, CONTENT[:10_000])
        await tus.patch(url, 10_000, CONTENT[10_000:])
        upload_id = await rest.init(8, NAME)
        await rest.chunk(upload_id, 1, CONTENT[10_000:])
        await rest.chunk(upload_id, 0, CONTENT[:10_000])
        await rest.complete(upload_id, 2, 8)
        partial = await tus.upload(CONTENT, {"Upload-Concat": "partial"})
        named = metadata(filename=NAME, main_service_file_id="9")
        await tus.post({"Upload-Concat": f"final;{partial}", **named})


FINISHED = {2: file(7), 6: file(8), 8: BYTES, 9: file(9)}
"""What must be done before the answer of that number: it tells of a completion."""

ACKNOWLEDGED = {0: NEW, 1: BYTES, 3: NEW, 4: CHUNK + CHUNK_NAME, 5: BYTES, 7: NEW}
"""The same for all other answers."""


@pytest.mark.parametrize(
    ("durability", "due"),
    [("default", FINISHED), ("strict", FINISHED | ACKNOWLEDGED)],
    ids=["default", "strict"],
)
async def test_the_medium_comes_before_the_answer(
    make_process: MakeProcess,
    http: aiohttp.ClientSession,
    tmp_path: Path,
    durability: str,
    due: Mapping[int, tuple[str, ...]],
) -> None:
    """Before a completion is answered the bytes, the name of the file and the record are on the
    medium, in this order; with DURABILITY=strict all that is acknowledged is before each answer."""
    process = await make_process(under=recording(tmp_path / "trace"), DURABILITY=durability)
    address = process.address
    session = Session(
        tus=Tus(http=http, address=address), rest=RestClient(http=http, server=address)
    )
    await session.play()
    await process.end()
    told = await answers(tmp_path / "trace")
    late = {n: told[n].done for n, deeds in due.items() if not have_order(told[n].done, deeds)}

    assert [each.status for each in told] == [201, 204, 204, 200, 200, 200, 200, 201, 204, 201]
    assert late == {}


@pytest.mark.parametrize(
    ("call", "error", "status"),
    [
        ("fsync", "EIO", 503),
        ("pwrite64", "ENOSPC", 507),
        ("rename", "EROFS", 503),
    ],
)
async def test_a_broken_disk_under_a_real_server(
    make_process: MakeProcess, http: aiohttp.ClientSession, call: str, error: str, status: int
) -> None:
    """A server whose disk does not do its work lives on, says so, and claims nothing; one with a
    good disk goes on with what is left."""
    healthy = await make_process()
    tus = Tus(http=http, address=healthy.address)
    precious = await tus.of("7").upload(CONTENT)
    url = await tus.create(len(CONTENT), metadata(filename=NAME))
    await tus.patch(url, 0, CONTENT[:10_000])
    await healthy.end()
    broken = await make_process(under=failing(call, error))
    there = Tus(http=http, address=broken.address)
    moved = f"{broken.address.files}{upload_id_of(url)}"
    refused = [await there.patch(moved, 10_000, CONTENT[10_000:]) for _ in range(2)]
    head = await there.head(moved)
    other = await there.of("7").download(f"{broken.address.files}{upload_id_of(precious)}")
    left = await broken.end()
    await healthy.start()
    offset = await tus.offset(url)
    again = await tus.patch(url, offset, CONTENT[offset:])

    assert refused[0].status == status
    assert 204 not in {answer.status for answer in refused}
    assert head.headers.get("Upload-Offset") != str(len(CONTENT))
    assert (other, left) == (CONTENT, 0)
    assert again.status == 204
    assert await tus.address.sha256("42", upload_id_of(url), NAME) == sha256(CONTENT)
