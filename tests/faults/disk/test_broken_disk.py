"""A disk on which single calls fail with EIO: no success is told that is none, and every upload
comes to its end once the disk works again."""

import errno
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.breaking_os import BreakingOs, breaking_os
from tests.conformance.rest.client import RestClient
from tests.conformance.tus.client import Answer, Tus, content_of, metadata
from tests.conftest import MakeServer
from tests.faults.disk.scene import litter, sha256, sweep_later, upload_id_of
from tests.faults.disk.stubborn import Stubborn
from tests.small_disk import SmallDisk

CONTENT = content_of(30_000)
PIECES = [CONTENT[:10_000], CONTENT[10_000:20_000], CONTENT[20_000:]]
NAME = "file.bin"

every_durability = pytest.mark.parametrize("durability", ["default", "strict"])


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> BreakingOs:
    """The disk."""
    return breaking_os(monkeypatch)


@pytest.fixture
async def stubborn(
    breaking: BreakingOs,
    disk: SmallDisk,
    make_server: MakeServer,
    http: aiohttp.ClientSession,
    durability: str,
) -> Stubborn:
    """User 42 at a server on that disk."""
    server = await make_server(disk.root / "data", DURABILITY=durability, MIN_FREE_DISK="0")
    return Stubborn(tus=Tus(http=http, address=server), rest=RestClient(http=http, server=server))


Upload = Callable[[Stubborn], Awaitable[str | None]]
"""Uploads CONTENT, and returns the SHA-256 of what came of it."""


async def by_tus(stubborn: Stubborn) -> Upload:
    """Over tus, in three requests."""

    async def upload(stubborn: Stubborn) -> str | None:
        url = await stubborn.upload(CONTENT, metadata(filename=NAME))
        return await stubborn.tus.address.sha256("42", upload_id_of(url), NAME)

    return upload


async def by_chunks(stubborn: Stubborn) -> Upload:
    """In REST chunks; from the second time on the file replaces the earlier one."""

    async def upload(stubborn: Stubborn) -> str | None:
        done = await stubborn.chunked(PIECES, NAME)
        assert done.status == 200
        return await stubborn.tus.address.sha256("42", 1, NAME)

    return upload


async def by_concatenation(stubborn: Stubborn) -> Upload:
    """As a concatenation of two partial uploads."""
    partial = {"Upload-Concat": "partial"}
    urls = [await stubborn.tus.upload(each, partial) for each in (CONTENT[:9], CONTENT[9:])]

    async def upload(stubborn: Stubborn) -> str | None:
        url = await stubborn.concatenated(urls, NAME)
        return await stubborn.tus.address.sha256("42", upload_id_of(url), NAME)

    return upload


@every_durability
@pytest.mark.parametrize("kind", [by_tus, by_chunks, by_concatenation])
async def test_every_call_fails_once(
    stubborn: Stubborn,
    breaking: BreakingOs,
    durability: str,
    kind: Callable[[Stubborn], Awaitable[Upload]],
) -> None:
    """Whichever call fails in the course of an upload, the client is told the truth, and comes to
    the end by trying again. What was acknowledged before is kept, but for bytes that the medium
    refused before they had to be on it."""
    upload = await kind(stubborn)
    results, losses = [], set()
    for number in itertools.count(1):
        stubborn.lost.clear()
        with breaking.breaking(number=number) as breakage:
            results.append(await upload(stubborn))
        if stubborn.lost:
            losses.update(breakage.failed)
        if not breakage.failed:
            break

    assert len(results) > 20
    assert set(results) == {sha256(CONTENT)}
    assert len(stubborn.refusals) > len(results) / 2
    assert losses <= ({"fsync"} if durability == "default" else set())


@every_durability
async def test_every_call_of_a_deletion_fails_once(
    stubborn: Stubborn, breaking: BreakingOs, disk: SmallDisk
) -> None:
    """Whichever call fails in the course of a deletion, it is done by asking again; no byte is left
    when the upload is forgotten."""
    gone = []
    for number in itertools.count(1):
        url = await stubborn.tus.create(len(CONTENT))
        await stubborn.tus.patch(url, 0, CONTENT[:10_000])
        with breaking.breaking(number=number) as breakage:
            await stubborn.deleted(url)
        gone.append((await stubborn.tus.head(url)).status)
        if not breakage.failed:
            break
    await sweep_later(disk.root / "data", UPLOAD_EXPIRES_AFTER="0.000001")

    assert len(gone) > 4
    assert set(gone) == {410}
    assert litter(disk.root / "data") == []


# --- what the medium does not take


def is_whole(head: Answer) -> bool:
    """Whether HEAD says that all bytes are there."""
    return head.headers.get("Upload-Offset") == str(len(CONTENT))


def is_data(call: str, path: Path) -> bool:
    """The bytes of an upload are to be put on the medium."""
    return call == "fsync" and path.suffix == ".data"


def is_record(call: str, path: Path) -> bool:
    """Its record is."""
    return call == "fsync" and ".info." in path.name


def is_folder(call: str, path: Path) -> bool:
    """The name of its file is."""
    return call == "fsync" and "final" in path.parts


@every_durability
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["eio", "enospc"])
@pytest.mark.parametrize("refused", [is_data, is_record, is_folder])
async def test_no_completion_that_is_not_on_the_medium(
    stubborn: Stubborn,
    breaking: BreakingOs,
    refused: Callable[[str, Path], bool],
    error: int,
) -> None:
    """While the medium refuses the bytes, the record or the name no completion is told, on any
    face; afterwards the upload goes on from what HEAD tells."""
    tus, rest = stubborn.tus, stubborn.rest
    precious = await tus.of("7").upload(b"precious")
    url = await tus.create(len(CONTENT), metadata(filename=NAME))
    upload_id = await rest.init(1, NAME)
    await rest.chunk(upload_id, 0, CONTENT)
    with breaking.breaking(refused, error=error) as breakage:
        last = [await tus.patch(url, 0, CONTENT), await tus.patch(url, 0, CONTENT)]
        completed = [await rest.complete(upload_id, 1, 1) for _ in range(2)]
        heads = [await tus.head(url) for _ in range(2)]
        listed = await tus.listed()
        others = await tus.of("7").download(precious)
    offset = await tus.offset(url)
    again = await tus.patch(url, offset, CONTENT[offset:])
    chunk = await rest.chunk(upload_id, 0, CONTENT)
    done = await rest.complete(upload_id, 1, 1)
    results = [await tus.address.sha256("42", each, NAME) for each in (upload_id_of(url), 1)]

    assert breakage.failed
    assert last[0].status == completed[0].status == (503 if error == errno.EIO else 507)
    assert {last[1].status, completed[1].status} <= {409, 503, 507}
    assert not any(is_whole(head) for head in heads)
    assert {head.status for head in heads} <= {200, 423}
    assert listed == []
    assert others == b"precious"
    assert (again.status, chunk.status, done.status) == (204, 200, 200)
    assert results == [sha256(CONTENT)] * 2
