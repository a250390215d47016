"""S3Writer: equal parts, a tail behind them, and never a byte that is not stored."""

import asyncio
import functools
import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import Fault
from tests.faulty_os import faulty_os
from tests.uploads import LIFE, NOW, UPLOAD, completed, fresh
from tusd_py.block import MemoryBlock
from tusd_py.errors import StorageError, TooLarge
from tusd_py.interfaces import Writer
from tusd_py.storage.s3 import writer as s3_writer
from tusd_py.storage.s3.bucket import Bucket, open_bucket
from tusd_py.storage.s3.buffer import Room
from tusd_py.storage.s3.flow import Flow
from tusd_py.storage.s3.note import Note, note_of
from tusd_py.storage.s3.objects import Objects
from tusd_py.storage.s3.records import Records
from tusd_py.storage.s3.settings import S3Settings
from tusd_py.storage.s3.sizes import MIB, MIN_PART
from tusd_py.storage.s3.storage import S3Storage
from tusd_py.storage.s3.writer import open_writer
from tusd_py.storage.thread import Threads
from tusd_py.upload import Upload, patched

BLOCK = 256 << 10
DATA = random.Random(0).randbytes(24 * MIB)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every append is so slow that each checkpoint stores what there is."""
    monkeypatch.setattr(s3_writer, "TAIL_SECONDS", 0.0)


def grown(upload: Upload, size: int) -> Upload:
    """The upload with more bytes."""
    return patched(upload, size, now=NOW, expires_after=LIFE)


def note(upload: Upload) -> Note:
    """What its record says of its bytes, which are just as many as its offset."""
    assert note_of(upload).size == upload.offset
    return note_of(upload)


async def created(storage: S3Storage, length: int | None = len(DATA)) -> Upload:
    """A new upload."""
    return await storage.create(fresh(replace(UPLOAD, length=length)))


async def write(writer: Writer, start: int, stop: int) -> None:
    """Some bytes of `DATA`, in blocks."""
    for position in range(start, stop, BLOCK):
        await writer.write(MemoryBlock(DATA[position : min(position + BLOCK, stop)]))


async def append(storage: S3Storage, upload: Upload, size: int) -> Upload:
    """The upload with the next bytes of `DATA`."""
    async with storage.writer(upload, atomic=False) as writer:
        await write(writer, upload.offset, upload.offset + size)
        return await writer.commit(grown(upload, size))


async def checked(writer: Writer, upload: Upload, offset: int) -> Upload:
    """The upload after as many checkpoints as it takes until all that was written counts."""
    async with asyncio.timeout(20):
        while upload.offset < offset:
            upload = await writer.checkpoint(functools.partial(grown, upload))
            await asyncio.sleep(0)
    return upload


async def content(storage: S3Storage, upload: Upload) -> bytes:
    """The file that an upload becomes."""
    full = await storage.save(replace(upload, length=upload.offset))
    await storage.assemble(full)
    async with storage.open(completed(full)) as opened:
        return b"".join([block async for block in opened.read(0, opened.size)])


async def left(bucket: Bucket) -> list[str]:
    """What is in the bucket: the ends of the keys."""
    return [each.key.rpartition("/")[2].partition(".")[2] async for each in bucket.list("")]


# --- parts


async def test_all_parts_are_equal_but_for_the_last(storage: S3Storage) -> None:
    """One PATCH of everything: whole parts, and what is left as the last one."""
    upload = await append(storage, await created(storage), len(DATA))

    assert note(upload).part_size == MIN_PART
    assert len(note(upload).parts) == 5
    assert note(upload).last == len(DATA) - 4 * MIN_PART
    assert note(upload).tail == ()
    assert await content(storage, upload) == DATA


async def test_a_small_upload_is_no_multipart(storage: S3Storage, bucket: Bucket) -> None:
    """An upload smaller than a part is one piece, until it is the file."""
    upload = await append(storage, await created(storage, 1000), 1000)

    assert note(upload).multipart is None
    assert [piece.size for piece in note(upload).tail] == [1000]
    assert await content(storage, upload) == DATA[:1000]
    assert sorted(await left(bucket)) == ["info", "mp3"]


@pytest.mark.parametrize("size", [MIN_PART, 6 * MIB, 9 * MIB], ids=str)
async def test_pieces_of_the_client_become_parts(
    size: int, storage: S3Storage, bucket: Bucket
) -> None:
    """When a client sends pieces of a good size none is stored twice."""
    upload = await created(storage)
    sizes = []
    while upload.offset < len(DATA):
        upload = await append(storage, upload, min(size, len(DATA) - upload.offset))
        sizes.append((len(note(upload).parts), note(upload).tail))

    assert note(upload).part_size == size
    assert sizes == [(count, ()) for count in range(1, len(sizes) + 1)]
    assert not [name for name in await left(bucket) if "tail" in name]
    assert await content(storage, upload) == DATA


async def test_other_pieces_do_not_become_parts(storage: S3Storage, bucket: Bucket) -> None:
    """Small pieces wait behind the parts until one is whole, and go when they are part of it."""
    upload = await created(storage)
    while upload.offset < len(DATA):
        upload = await append(storage, upload, min(3 * MIB, len(DATA) - upload.offset))
        pieces = [name for name in await left(bucket) if "tail" in name]

        assert len(pieces) == len(note(upload).tail)
        assert sum(piece.size for piece in note(upload).tail) < MIN_PART

    assert note(upload).part_size == MIN_PART
    assert await content(storage, upload) == DATA


async def test_many_pieces_become_one(
    storage: S3Storage, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small the PATCHes are, a tail has a limited number of pieces."""
    monkeypatch.setattr(s3_writer, "MAX_PIECES", 3)
    upload = await created(storage)
    counts = []
    for _ in range(9):
        upload = await append(storage, upload, 1000)
        counts.append(len(note(upload).tail))

    assert max(counts) == 3
    assert len([name for name in await left(bucket) if "tail" in name]) == counts[-1]
    assert await content(storage, upload) == DATA[:9000]


# --- the numbers of parts


async def test_a_long_upload_has_larger_parts(few_parts: S3Storage) -> None:
    """The length tells how large parts have to be."""
    upload = await append(few_parts, await created(few_parts), len(DATA))

    assert note(upload).part_size == 8 * MIB
    assert len(note(upload).parts) == 3
    assert await content(few_parts, upload) == DATA


async def test_when_the_numbers_are_used_up(few_parts: S3Storage) -> None:
    """An upload of unknown length is refused then, and what was sent before counts."""
    upload = await created(few_parts, None)
    async with few_parts.writer(upload, atomic=False) as writer:
        await write(writer, 0, 3 * MIN_PART)
        with pytest.raises(TooLarge):
            await writer.write(MemoryBlock(b"!"))
        upload = await writer.commit(grown(upload, 3 * MIN_PART))

    assert note(upload).size == 3 * MIN_PART
    with pytest.raises(TooLarge):
        await append(few_parts, upload, 1)
    assert await content(few_parts, upload) == DATA[: 3 * MIN_PART]


async def test_a_length_that_comes_too_late(few_parts: S3Storage) -> None:
    """A length that the parts there are cannot hold is refused before a byte is taken."""
    upload = await append(few_parts, await created(few_parts, None), 2 * MIN_PART + 1)
    late = await few_parts.save(replace(upload, length=len(DATA)))
    with pytest.raises(TooLarge):
        await append(few_parts, late, 1)

    assert (await few_parts.load(late.owner, late.id)).offset == upload.offset


async def test_a_full_upload_takes_no_more(storage: S3Storage) -> None:
    """Behind a last part, which may be smaller, nothing can come."""
    upload = await append(storage, await created(storage), len(DATA))

    with pytest.raises(StorageError):
        await append(storage, upload, 1)


# --- what counts


async def test_bytes_that_were_not_written_cannot_be_committed(storage: S3Storage) -> None:
    """An offset is never a claim."""
    upload = await created(storage)
    for size in (9, 11):
        async with storage.writer(upload, atomic=False) as writer:
            await writer.write(MemoryBlock(DATA[:10]))
            with pytest.raises(StorageError):
                await writer.commit(grown(upload, size))

    assert (await storage.load(upload.owner, upload.id)).offset == 0


async def test_a_checkpoint_counts_whole_parts(storage: S3Storage) -> None:
    """While an append runs the record follows with parts; what is no part yet waits."""
    upload = await created(storage)
    async with storage.writer(upload, atomic=False) as writer:
        await write(writer, 0, 11 * MIB)
        for count in (1, 2):
            upload = await checked(writer, upload, count * MIN_PART)
            assert upload.offset % MIN_PART == 0
            assert (await storage.load(upload.owner, upload.id)).offset == upload.offset
        await write(writer, 11 * MIB, 12 * MIB)
        upload = await writer.commit(grown(upload, 12 * MIB - upload.offset))

    assert await content(storage, upload) == DATA[: 12 * MIB]


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("size", [1, MIB, MIN_PART, 7 * MIB, 9 * MIB], ids=str)
async def test_a_slow_append_is_not_lost(size: int, storage: S3Storage) -> None:
    """What a slow client sent counts now and then, also before it is a part; the next server goes
    on from there."""
    upload = await created(storage)
    async with storage.writer(upload, atomic=False) as writer:
        await write(writer, 0, size)
        upload = await checked(writer, upload, size)
        await write(writer, size, size + MIB)
    upload = await storage.load(upload.owner, upload.id)

    assert note(upload).size == size
    for more in (3 * MIB, len(DATA) - size - 3 * MIB):
        upload = await append(storage, upload, more)
        assert note(await storage.load(upload.owner, upload.id)) == note(upload)
    assert await content(storage, upload) == DATA


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("size", [MIB, 7 * MIB], ids=str)
async def test_a_slow_append_goes_on(size: int, storage: S3Storage) -> None:
    """The same server goes on after what it stored in between."""
    upload = await created(storage)
    async with storage.writer(upload, atomic=False) as writer:
        for start in range(0, len(DATA), size):
            stop = min(start + size, len(DATA))
            await write(writer, start, stop)
            upload = await writer.checkpoint(functools.partial(grown, upload))
        upload = await writer.commit(grown(upload, len(DATA) - upload.offset))

    assert await content(storage, upload) == DATA


async def test_a_silent_client_leaves_the_memory_to_others(
    storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nothing came for a while, what waits to become a part goes to a file."""
    monkeypatch.setattr("tusd_py.storage.s3.writer.SILENT_SECONDS", 0.0)
    upload = await created(storage)
    async with storage.writer(upload, atomic=False) as writer:
        await write(writer, 0, MIB)
        held = storage._room.free
        await writer.checkpoint(functools.partial(grown, upload))
        left = storage._room.free
        await write(writer, MIB, 7 * MIB)
        upload = await writer.commit(grown(upload, 7 * MIB))

    assert (held, left) == (2 * MIN_PART - MIB, 2 * MIN_PART)
    assert await content(storage, upload) == DATA[: 7 * MIB]


async def test_a_silent_client_is_not_ended_by_a_full_disk(
    storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no room for what it sent but in memory, it stays there."""
    monkeypatch.setattr("tusd_py.storage.s3.writer.SILENT_SECONDS", 0.0)
    faulty = faulty_os(monkeypatch)
    upload = await created(storage)
    async with storage.writer(upload, atomic=False) as writer:
        await write(writer, 0, MIB)
        with faulty.failing(Fault.WRITE):
            await writer.checkpoint(functools.partial(grown, upload))
        held = storage._room.free
        upload = await writer.commit(grown(upload, MIB))

    assert held == 2 * MIN_PART - MIB
    assert await content(storage, upload) == DATA[:MIB]


async def test_what_is_not_committed_leaves_nothing(storage: S3Storage, bucket: Bucket) -> None:
    """An append that fails gives up the multipart upload that it began."""
    upload = await created(storage)
    async with storage.writer(upload, atomic=True) as writer:
        await write(writer, 0, 12 * MIB)

    assert (await storage.load(upload.owner, upload.id)).offset == 0
    assert await left(bucket) == ["info"]
    assert [each async for each in bucket.unfinished()] == []


async def test_no_file_is_left_in_the_folder(storage: S3Storage, tmp_path: Path) -> None:
    """Parts beyond the memory went to the disk and left nothing there."""
    uploads = [await created(storage) for _ in range(3)]
    for upload in uploads:
        async with storage.writer(upload, atomic=True) as writer:
            await write(writer, 0, 9 * MIB)

    assert list((tmp_path / "spill").iterdir()) == []


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("is_deferred", [False, True], ids=["known", "deferred"])
async def test_any_history_gives_the_file(
    seed: int, is_deferred: bool, storage: S3Storage, bucket: Bucket
) -> None:
    """PATCHes of any sizes, checkpoints and deaths at any time: the offset is never beyond what
    was sent, never goes back, and at the end every byte is there once."""
    chance = random.Random(seed)
    upload = await created(storage, None if is_deferred else len(DATA))
    while upload.offset < len(DATA):
        before = upload.offset
        size = min(chance.choice([1, 1000, MIB, 3 * MIB, 6 * MIB, 9 * MIB]), len(DATA) - before)
        step = chance.choice(["append", "append", "checkpoint", "death"])
        if step == "append":
            upload = await append(storage, upload, size)
        elif step == "checkpoint":
            async with storage.writer(upload, atomic=False) as writer:
                await write(writer, before, before + size)
                for _ in range(chance.randrange(4)):
                    upload = await writer.checkpoint(functools.partial(grown, upload))
                    await asyncio.sleep(chance.choice([0, 0.02]))
        else:
            async with storage.writer(upload, atomic=False) as writer:
                await write(writer, before, before + size)
        upload = await storage.load(upload.owner, upload.id)

        assert before <= upload.offset <= before + size
        assert note(upload).last is None or upload.is_full

    assert await content(storage, upload) == DATA
    assert sorted(await left(bucket)) == ["info", "mp3"]
    assert [each async for each in bucket.unfinished()] == []


async def test_a_close_that_is_cancelled_gives_back_its_memory(settings: S3Settings) -> None:
    """However often an append is cancelled, what it had in memory is free for the next."""
    is_sent, never = asyncio.Event(), asyncio.Event()

    async def hang(*_args: object) -> str:
        is_sent.set()
        try:
            await never.wait()
        finally:
            await asyncio.Event().wait()  # until it is cancelled again
        return ""

    async with open_bucket(settings) as bucket:
        room = Room(16 * MIB, settings.spill, Threads())
        flow = Flow(room)
        records = Records(bucket)
        objects = Objects(bucket, records, flow, settings)
        upload = await records.store(fresh(replace(UPLOAD, length=None)))

        async def run() -> None:
            async with open_writer(objects, flow, upload) as writer:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(bucket, "put_part", hang)
                    await write(writer, 0, 11 * MIB)
                    await never.wait()

        task = asyncio.create_task(run())
        async with asyncio.timeout(20):
            await is_sent.wait()
        for _ in range(3):
            task.cancel()
            await asyncio.wait([task], timeout=0.05)
        await asyncio.wait([task], timeout=20)

        assert task.cancelled()
        assert room.free == 16 * MIB
