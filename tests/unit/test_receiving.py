"""From a body into a writer: when it commits, and what counts when a body breaks off."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.fakes import Fault, MemoryBody, MemoryStorage
from tests.uploads import LIFE, NOW, UPLOAD, chunk, fresh
from tusd_py import receiving
from tusd_py.block import MemoryBlock
from tusd_py.checksum import Checksum, Digest
from tusd_py.errors import (
    BodyError,
    BodyInterrupted,
    BodyStalled,
    BodyStopped,
    ChecksumMismatch,
    NoSpace,
    TooLarge,
)
from tusd_py.interfaces import Block, Body, Hasher, Writer
from tusd_py.receiving import CHECK_SECONDS, receive_append, receive_chunk, same_as
from tusd_py.upload import Chunk, Upload, patched

DEFERRED = replace(UPLOAD, length=None)
MIB = 1 << 20
CRC_OF_HELLO = bytes.fromhex("3610a686")


class Ticks:
    """A clock for `receiving`: what `time.monotonic` says."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


class SlowBody:
    """See `Body`: some seconds pass before each block; None is a pause."""

    size = None

    def __init__(self, ticks: Ticks, *blocks: tuple[float, bytes | None]) -> None:
        self._ticks = ticks
        self._blocks = list(blocks)
        self.pauses: list[float | None] = []

    async def read(self, pause: float | None = None) -> bytes | None:
        """See `Body.read`."""
        self.pauses.append(pause)
        seconds, block = self._blocks.pop(0) if self._blocks else (0.0, b"")
        self._ticks.now += seconds
        return block

    async def arrive(
        self, pause: float | None = None, *, hashers: Sequence[Hasher] = ()
    ) -> Block | None:
        """See `Body.arrive`."""
        data = await self.read(pause)
        return None if data is None else MemoryBlock(data, hashers)

    def stop(self) -> None:
        """See `Body.stop`."""


class InParts:
    """See `Writer`: at a checkpoint only whole parts of four bytes count, as in an object store."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._upload = DEFERRED
        self._rest = b""

    async def write(self, block: Block) -> int:
        """See `Writer.write`."""
        data = block.take()
        self._rest += data
        return len(data)

    async def absorb(self, source: Upload | int) -> Chunk:
        """See `Writer.absorb`."""
        return await self._writer.absorb(source)

    async def commit(self, upload: Upload) -> Upload:
        """See `Writer.commit`."""
        await self._writer.write(MemoryBlock(self._rest))
        self._upload, self._rest = await self._writer.commit(upload), b""
        return self._upload

    async def checkpoint(self, grown: Callable[[int], Upload]) -> Upload:
        """See `Writer.checkpoint`."""
        size = len(self._rest) // 4 * 4
        if size:
            later = self._rest[size:]
            self._rest = self._rest[:size]
            await self.commit(grown(size))
            self._rest = later
        return self._upload


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    """The time as `receiving` sees it."""
    ticks = Ticks()
    monkeypatch.setattr(receiving, "time", ticks)
    return ticks


@pytest.fixture
async def storage() -> MemoryStorage:
    """A storage that knows `DEFERRED`."""
    storage = MemoryStorage()
    await storage.create(DEFERRED)
    return storage


def grown(upload: Upload, size: int) -> Upload:
    """The upload with more bytes."""
    return patched(upload, size, now=NOW, expires_after=LIFE)


async def receive(
    storage: MemoryStorage,
    body: Body,
    *,
    space: int | None = None,
    crc: bytes | None = None,
    in_parts: bool = False,
) -> Upload:
    """Append a body to `DEFERRED`."""
    checksum = None if crc is None else Checksum(algorithm="crc32", digest=crc)
    async with storage.writer(DEFERRED, atomic=crc is not None) as writer:
        return await receive_append(
            body,
            InParts(writer) if in_parts else writer,
            DEFERRED,
            space=space,
            digest=None if checksum is None else Digest(checksum),
            grown=grown,
        )


async def content(storage: MemoryStorage) -> bytes:
    """The committed bytes of `DEFERRED`."""
    upload = await storage.load(DEFERRED.owner, DEFERRED.id)
    async with storage.open(upload) as opened:
        return b"".join([block async for block in opened.read(0, opened.size)])


def pieces(*stored: bytes) -> list[Chunk]:
    """What is noted of bytes that came in pieces."""
    return [chunk(data) for data in stored]


def offsets(storage: MemoryStorage) -> list[int]:
    """The offset of every commit."""
    return [record.offset for record in storage.records[1:]]


async def test_a_whole_body_is_one_commit(storage: MemoryStorage) -> None:
    """A short body is committed once, at its end."""
    upload = await receive(storage, MemoryBody(b"hel", b"lo"))

    assert upload.offset == 5
    assert offsets(storage) == [5]
    assert await content(storage) == b"hello"


async def test_an_empty_body_is_committed(storage: MemoryStorage) -> None:
    """No bytes are a commit too: a deferred length may come with them."""
    upload = await receive(storage, MemoryBody())

    assert upload.offset == 0
    assert offsets(storage) == [0]


async def test_the_record_follows_every_second(storage: MemoryStorage, ticks: Ticks) -> None:
    """The record follows at most one second behind."""
    body = SlowBody(ticks, (0.6, b"a"), (0.6, b"b"), (0.6, b"c"), (0.6, b"d"), (0.1, b"e"))
    await receive(storage, body)

    assert offsets(storage) == [2, 4, 5]


async def test_the_record_follows_in_a_pause(storage: MemoryStorage, ticks: Ticks) -> None:
    """Bytes are committed after a second although none follow them."""
    body = SlowBody(ticks, (0.1, b"a"), (1.0, None), (30.0, b"b"))
    await receive(storage, body)

    assert offsets(storage) == [1, 2, 2]
    assert body.pauses[:3] == [None, CHECK_SECONDS, None]


async def test_the_record_follows_every_32_mib(storage: MemoryStorage, ticks: Ticks) -> None:
    """The record follows at most 32 MiB behind, however fast they come."""
    await receive(storage, MemoryBody(*[bytes(8 * MIB)] * 9))

    assert offsets(storage) == [32 * MIB, 64 * MIB, 72 * MIB]


async def test_the_record_follows_before_it_is_too_late(
    storage: MemoryStorage, ticks: Ticks
) -> None:
    """Where another block would make it more than 32 MiB it follows before that."""
    await receive(storage, MemoryBody(*[bytes(12 * MIB)] * 5))

    assert offsets(storage) == [24 * MIB, 48 * MIB, 60 * MIB]


async def test_the_record_follows_as_far_as_it_can(storage: MemoryStorage, ticks: Ticks) -> None:
    """A writer may let less count than was written; at the end all counts."""
    body = SlowBody(ticks, (2.0, b"abc"), (2.0, b"def"), (2.0, b"g"), (2.0, b"hijk"), (0.1, b"l"))
    upload = await receive(storage, body, in_parts=True)

    assert offsets(storage) == [4, 8, 12]
    assert upload.offset == 12
    assert await content(storage) == b"abcdefghijkl"


async def test_what_came_counts_beyond_the_record(storage: MemoryStorage, ticks: Ticks) -> None:
    """When a body does not fit any more, what came before counts, not only up to the record."""
    body = SlowBody(ticks, (2.0, b"abc"), (2.0, b"def"), (2.0, b"g"), (2.0, b"hij"))
    with pytest.raises(TooLarge):
        await receive(storage, body, in_parts=True, space=9)

    assert offsets(storage) == [4, 7]
    assert await content(storage) == b"abcdefg"


async def test_space_is_what_was_written_not_what_is_recorded(
    storage: MemoryStorage, ticks: Ticks
) -> None:
    """Exactly the space fits, however far behind the record is."""
    body = SlowBody(ticks, (2.0, b"abc"), (2.0, b"def"), (2.0, b"g"))
    upload = await receive(storage, body, in_parts=True, space=7)

    assert upload.offset == 7


@pytest.mark.parametrize("error", [BodyInterrupted(), BodyStalled(), BodyStopped()])
async def test_what_came_counts(storage: MemoryStorage, error: BodyError) -> None:
    """When a body breaks off, what came of it is committed and the error goes on."""
    with pytest.raises(type(error)):
        await receive(storage, MemoryBody.broken(b"hel", b"lo", error=error))

    assert await content(storage) == b"hello"
    assert offsets(storage) == [5]


async def test_a_body_that_breaks_off_at_once_changes_nothing(storage: MemoryStorage) -> None:
    """Without bytes there is nothing to commit."""
    with pytest.raises(BodyInterrupted):
        await receive(storage, MemoryBody.broken(error=BodyInterrupted()))

    assert offsets(storage) == []


async def test_a_stopped_body_counts_up_to_there(storage: MemoryStorage) -> None:
    """At a hand-over the bytes that were read are committed."""
    body = MemoryBody(b"hello", is_open=True)

    async def hand_over() -> None:
        await body.drained()
        body.stop()

    stopping = asyncio.create_task(hand_over())
    with pytest.raises(BodyStopped):
        await receive(storage, body)
    await stopping

    assert await content(storage) == b"hello"


async def test_surplus_bytes_are_not_stored(storage: MemoryStorage) -> None:
    """What fits counts; the block that goes beyond does not."""
    with pytest.raises(TooLarge):
        await receive(storage, MemoryBody(b"hello", b"world"), space=9)

    assert await content(storage) == b"hello"


async def test_space_is_counted_over_commits(storage: MemoryStorage, ticks: Ticks) -> None:
    """What was committed on the way takes its share of the space."""
    body = SlowBody(ticks, (2.0, b"hello"), (2.0, b"world"), (2.0, b"!"))
    with pytest.raises(TooLarge):
        await receive(storage, body, space=10)

    assert await content(storage) == b"helloworld"


async def test_exactly_the_space_fits(storage: MemoryStorage) -> None:
    """Exactly the space is no error."""
    upload = await receive(storage, MemoryBody(b"hello", b"world"), space=10)

    assert upload.offset == 10


async def test_the_claimed_bytes_are_committed(storage: MemoryStorage) -> None:
    """With the right digest all bytes count, in one commit."""
    upload = await receive(storage, MemoryBody(b"hel", b"lo"), crc=CRC_OF_HELLO)

    assert upload.offset == 5
    assert offsets(storage) == [5]


async def test_other_bytes_are_discarded(storage: MemoryStorage) -> None:
    """With the wrong digest none counts."""
    with pytest.raises(ChecksumMismatch):
        await receive(storage, MemoryBody(b"jel", b"lo"), crc=CRC_OF_HELLO)

    assert offsets(storage) == []


@pytest.mark.parametrize("error", [BodyInterrupted(), BodyStalled(), BodyStopped()])
async def test_half_of_the_claimed_bytes_are_discarded(
    storage: MemoryStorage, error: BodyError
) -> None:
    """With a digest a body that breaks off does not count: it cannot be verified."""
    with pytest.raises(type(error)):
        await receive(storage, MemoryBody.broken(b"hel", error=error), crc=CRC_OF_HELLO)

    assert offsets(storage) == []


async def test_nothing_is_committed_before_its_digest_is_known(
    storage: MemoryStorage, ticks: Ticks
) -> None:
    """With a digest neither time nor size makes a commit before the end."""
    body = SlowBody(ticks, (5.0, b"hel"), (5.0, None), (5.0, b"lo"), (5.0, b"!"))
    with pytest.raises(ChecksumMismatch):
        await receive(storage, body, crc=CRC_OF_HELLO)

    assert offsets(storage) == []


async def test_surplus_bytes_void_a_checksum(storage: MemoryStorage) -> None:
    """With a digest a body that does not fit does not count at all."""
    with pytest.raises(TooLarge):
        await receive(storage, MemoryBody(b"hel", b"lo"), space=4, crc=CRC_OF_HELLO)

    assert offsets(storage) == []


async def test_a_full_storage_leaves_the_last_commit(storage: MemoryStorage) -> None:
    """When the storage fails, the upload is as it was."""
    with storage.failing(Fault.WRITE), pytest.raises(NoSpace):
        await receive(storage, MemoryBody(b"hello"))

    assert offsets(storage) == []


# --- chunks


async def receive_one(storage: MemoryStorage, body: Body, space: int | None) -> object:
    """Stage a chunk without committing it; what it was."""
    async with storage.stage(fresh(), 0) as writer:
        return await receive_chunk(body, writer, fresh(), space=space)


async def test_a_chunk_is_described(storage: MemoryStorage) -> None:
    """A chunk is its size and its digest, in whatever blocks it comes."""
    assert await receive_one(storage, MemoryBody(b"hel", b"lo"), 5) == chunk(b"hello")


async def test_an_empty_chunk_is_described(storage: MemoryStorage) -> None:
    """Empty chunks are allowed."""
    assert await receive_one(storage, MemoryBody(), 0) == chunk(b"")


async def test_a_chunk_that_says_it_is_too_large_is_not_read(storage: MemoryStorage) -> None:
    """A declared size that does not fit is refused before the first byte."""
    body = MemoryBody.sized(b"hello")
    with pytest.raises(TooLarge):
        await receive_one(storage, body, 4)

    assert await body.read() == b"hello"


async def test_a_chunk_that_turns_out_too_large_is_refused(storage: MemoryStorage) -> None:
    """A chunk of unknown size is measured while it is read."""
    with pytest.raises(TooLarge):
        await receive_one(storage, MemoryBody(b"hel", b"lo"), 4)


@pytest.mark.parametrize(
    "stored",
    [[b"hello"], [b"hel", b"lo"], [b"h", b"ello"], [b"hell", b"o"], [b"h", b"e", b"l", b"l", b"o"]],
    ids=len,
)
@pytest.mark.parametrize(
    ("sent", "is_same"),
    [
        ([b"hello"], True),
        ([b"hel", b"lo"], True),
        ([b"h", b"e", b"l", b"l", b"o"], True),
        ([b"hell"], False),
        ([b"hel"], False),
        ([b"h"], False),
        ([b"hello", b"!"], False),
        ([b"hello!"], False),
        ([b"jello"], False),
        ([b"hellO"], False),
        ([b"heLlo"], False),
        ([], False),
    ],
)
async def test_the_same_bytes_are_recognized(
    sent: list[bytes], is_same: bool, stored: list[bytes]
) -> None:
    """A repeated chunk is the same when every byte is, in whatever pieces it was noted."""
    assert await same_as(MemoryBody(*sent), pieces(*stored)) is is_same


async def test_nothing_is_the_same_as_nothing() -> None:
    """An empty chunk is the same as an empty one only."""
    assert await same_as(MemoryBody(), pieces(b""))
    assert not await same_as(MemoryBody(b"x"), pieces(b""))


@pytest.mark.parametrize("stored", [[b"hello"], [b"he", b"llo"]], ids=len)
async def test_a_longer_body_is_not_read_to_its_end(stored: list[bytes]) -> None:
    """A body is read only as far as it can be the same."""
    body = MemoryBody(b"hello", b"!", b"more")
    await same_as(body, pieces(*stored))

    assert await body.read() == b"more"


async def test_another_piece_is_noticed_at_its_end() -> None:
    """A body is not read on after a piece that is not the same."""
    body = MemoryBody(b"jel", b"lo", b" world", b"!")
    await same_as(body, pieces(b"hel", b"lo world!"))

    assert await body.read() == b" world"
