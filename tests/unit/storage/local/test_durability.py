"""LocalStorage: what is on the medium when, what a power failure leaves, what bad media cost."""

import asyncio
import errno
import os
import time
import uuid
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.faulty_os import FaultyOs, faulty_os
from tests.uploads import BOOT, LIFE, NOW, UPLOAD, chunk, completed, fresh
from tusd_py.block import MemoryBlock
from tusd_py.errors import StorageError, UploadNotFound
from tusd_py.storage.local import records, writer
from tusd_py.storage.local.storage import LocalStorage
from tusd_py.upload import Completion, Partial, Upload, patched, with_chunk

FOLDER = Path("uploads/42")
NEXT_BOOT = "0e2a3b4c-0000-4000-8000-ba9876543210"
"""The life of the machine after a power failure."""

SMALL = 8
"""In these tests so many bytes are put on the medium before their completion."""


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    """A disk that notes what it is told, and refuses when it shall."""
    return faulty_os(monkeypatch)


@pytest.fixture
async def storage(faulty: FaultyOs, tmp_path: Path) -> LocalStorage:
    """A storage that knows its user already."""
    return await opened(tmp_path, faulty)


@pytest.fixture
async def strict(faulty: FaultyOs, tmp_path: Path) -> LocalStorage:
    """The same with DURABILITY=strict."""
    return await opened(tmp_path, faulty, is_strict=True)


@pytest.fixture
def syncs_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long upload is one of a few bytes."""
    monkeypatch.setattr(writer, "SYNC_BYTES", SMALL)
    monkeypatch.setattr(writer, "SYNC_SECONDS", 0.0)


async def opened(root: Path, faulty: FaultyOs, *, is_strict: bool = False) -> LocalStorage:
    """A storage on a folder that has uploads of the user."""
    storage = LocalStorage(root, boot=BOOT, is_strict=is_strict)
    await storage.check()
    await storage.create(fresh())
    faulty.calls.clear()
    return storage


def after_power_failure(root: Path) -> LocalStorage:
    """The storage as the next start of the machine finds it: here nothing was lost in fact."""
    return LocalStorage(root, boot=NEXT_BOOT)


async def begun(storage: LocalStorage, *pieces: bytes, length: int | None = 100) -> Upload:
    """An upload that got these pieces, each in a request of its own."""
    upload = await storage.create(fresh(replace(UPLOAD, length=length)))
    for piece in pieces:
        upload = await append(storage, upload, piece)
    return upload


async def settled() -> None:
    """Return once no task but this one is at work."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=5)


def grown(upload: Upload, size: int) -> Upload:
    """The upload with so many more bytes; its length stays."""
    return patched(upload, size, now=NOW, expires_after=LIFE)


async def append(storage: LocalStorage, upload: Upload, data: bytes) -> Upload:
    """The upload with more bytes."""
    async with storage.writer(upload, atomic=False) as writer:
        await writer.write(MemoryBlock(data))
        return await writer.commit(grown(upload, len(data)))


async def stage(storage: LocalStorage, upload: Upload, index: int, data: bytes) -> None:
    """Let a chunk wait."""
    async with storage.stage(upload, index) as writer:
        await writer.write(MemoryBlock(data))
        await writer.commit(chunk(data))


async def finish(storage: LocalStorage, upload: Upload) -> Upload:
    """Bytes, then the flag."""
    await storage.assemble(upload)
    return await storage.save(completed(upload))


def temporary_files(root: Path) -> list[Path]:
    """What waits for its name."""
    return list((root / FOLDER).glob("*.tmp"))


async def content(storage: LocalStorage, upload: Upload) -> bytes:
    """The bytes of a finished file."""
    async with storage.open(upload) as opened:
        return b"".join([block async for block in opened.read(0, opened.size)])


# --- what is on the medium when


async def test_a_completion_is_on_the_medium(storage: LocalStorage, faulty: FaultyOs) -> None:
    """Data before its new name, then the folder, then the record and its folder."""
    upload = await begun(storage, b"hello", length=5)
    faulty.calls.clear()
    await finish(storage, upload)
    data, moved, *folders = faulty.calls

    assert data == f"fsync {upload.id}.data"
    assert moved == "rename audio.mp3"
    assert "fsync 123" in folders
    temporary, *last = folders[-3:]
    assert temporary.startswith(f"fsync {upload.id}.info.")
    assert last == [f"rename {upload.id}.info", "fsync 42"]


async def test_a_record_that_is_ready_needs_its_name_only(
    storage: LocalStorage, faulty: FaultyOs, tmp_path: Path
) -> None:
    """Who tells what will be saved waits for the medium three times, not four: the record comes
    onto it with the name of the file, and nobody sees it before."""
    upload = await begun(storage, b"hello", length=5)
    done = completed(upload)
    faulty.calls.clear()
    await storage.assemble(upload, done)
    before = faulty.calls.copy()
    seen = await storage.load("42", upload.id)
    faulty.calls.clear()
    saved = await storage.save(done)

    assert sum(call.startswith(f"fsync {upload.id}.info.") for call in before) == 1
    assert seen.completion is None
    assert faulty.calls == [f"rename {upload.id}.info", "fsync 42"]
    assert await after_power_failure(tmp_path).load("42", upload.id) == saved
    assert temporary_files(tmp_path) == []


async def test_another_record_than_that_which_is_ready(
    storage: LocalStorage, faulty: FaultyOs, tmp_path: Path
) -> None:
    """What is saved counts, and what was made ready in vain goes."""
    upload = await begun(storage, b"hello", length=5)
    later = NOW + timedelta(hours=1)
    await storage.assemble(upload, completed(upload))
    await storage.assemble(upload, completed(upload))
    twice = temporary_files(tmp_path)
    faulty.calls.clear()
    saved = await storage.save(replace(upload, completion=Completion(at=later)))

    assert len(twice) == 1
    assert faulty.calls[0].startswith(f"fsync {upload.id}.info.")
    assert saved.completion == Completion(at=later)
    assert await storage.load("42", upload.id) == saved
    assert temporary_files(tmp_path) == []


async def test_a_record_that_was_ready_may_be_gone(storage: LocalStorage, tmp_path: Path) -> None:
    """The sweeper takes what waits for an hour for a dead one's; then it is written again."""
    upload = await begun(storage, b"hello", length=5)
    await storage.assemble(upload, completed(upload))
    for path in (tmp_path / FOLDER).glob("*.tmp"):
        path.unlink()

    assert await storage.save(completed(upload)) == await storage.load("42", upload.id)


async def test_records_that_wait_for_ever_do_not_fill_the_disk(
    storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those made ready, but never saved, the oldest go; long ones are not made ready."""
    monkeypatch.setattr(records, "MOST", 2)
    uploads = []
    for number in range(5):
        each = fresh(replace(UPLOAD, id=str(uuid.UUID(int=number)), length=0))
        uploads.append(await storage.create(each))
    for upload in uploads * 2:
        await storage.assemble(upload, completed(upload))
    few = temporary_files(tmp_path)
    monkeypatch.setattr(records, "LARGEST", 10)
    await storage.assemble(uploads[0], completed(uploads[0]))

    assert len(few) == 2
    assert temporary_files(tmp_path) == few


@pytest.mark.parametrize("what", ["record", "claim"])
async def test_a_folder_that_cannot_be_opened_is_not_on_the_medium(
    storage: LocalStorage, faulty: FaultyOs, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """With too many open files there is no completion, and an earlier file stays."""
    earlier = await finish(storage, await begun(storage, b"first", length=5))
    upload = await begun(storage, b"later", length=5)
    if what == "record":
        await storage.assemble(upload)
    take = faulty.open

    def refuse(path: os.PathLike[str], flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECTORY:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return take(path, flags, mode)

    monkeypatch.setattr(faulty, "open", refuse)
    with pytest.raises(StorageError):
        if what == "record":
            await storage.save(completed(upload))
        else:
            await storage.assemble(upload)
    monkeypatch.setattr(faulty, "open", take)

    assert (await storage.load("42", upload.id)).completion is None
    assert what == "record" or await content(storage, earlier) == b"first"


async def test_a_record_that_cannot_be_made_ready_is_no_file(
    storage: LocalStorage, faulty: FaultyOs, tmp_path: Path
) -> None:
    """While the medium refuses it nothing is complete; afterwards it is finished as ever."""
    upload = await begun(storage, b"hello", length=5)
    faulty.refuses = lambda name: ".info." in name
    with pytest.raises(StorageError):
        await storage.assemble(upload, completed(upload))
    left = await storage.load("42", upload.id)
    faulty.refuses = lambda _name: False
    await storage.assemble(left, completed(left))
    done = await storage.save(completed(left))

    assert left.completion is None
    assert left.offset == 5
    assert await content(storage, done) == b"hello"
    assert temporary_files(tmp_path) == []


async def test_an_intermediate_offset_costs_no_sync(
    storage: LocalStorage, faulty: FaultyOs
) -> None:
    """By default an answered offset survives the process, not the power."""
    await begun(storage, b"hello")

    assert [call for call in faulty.calls if call.startswith("fsync")] == []


async def test_a_new_user_is_on_the_medium(storage: LocalStorage, faulty: FaultyOs) -> None:
    """The folder of a user is not lost with all that is in it."""
    await storage.create(fresh(replace(UPLOAD, owner="43")))

    assert "fsync uploads" in faulty.calls


async def test_strict_puts_every_offset_on_the_medium(
    strict: LocalStorage, faulty: FaultyOs
) -> None:
    """DURABILITY=strict: the data, then the record, then its folder, for each answer."""
    upload = await begun(strict)
    created = faulty.calls.copy()
    faulty.calls.clear()
    await append(strict, upload, b"hello")
    data, temporary, renamed, folder = faulty.calls

    assert created == [f"rename {upload.id}.info", f"fsync {upload.id}.info", "fsync 42"]
    assert data == f"fsync {upload.id}.data"
    assert temporary.startswith(f"fsync {upload.id}.info.")
    assert (renamed, folder) == (f"rename {upload.id}.info", "fsync 42")


async def test_strict_puts_many_offsets_on_the_medium_at_once(
    strict: LocalStorage, faulty: FaultyOs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DURABILITY=strict: what is small is begun together before one of them is waited for, also of
    one user: a file system writes then for all of them at once."""
    begun_together: list[set[int]] = [set()]
    take = faulty.fsync

    def begin(fd: int, *_: int) -> None:
        begun_together[-1].add(fd)

    def sync(fd: int) -> None:
        if begun_together[-1]:
            begun_together.append(set())
        time.sleep(0.001)  # so that waiting together is worth it
        take(fd)

    ids = [str(uuid.UUID(int=n)) for n in range(12)]
    monkeypatch.setattr(faulty, "fsync", sync)
    uploads = [await strict.create(fresh(replace(UPLOAD, id=each, length=100))) for each in ids]
    monkeypatch.setattr(faulty, "posix_fadvise", begin)
    faulty.calls.clear()
    done = await asyncio.gather(*[append(strict, upload, b"hello") for upload in uploads])

    assert [upload.offset for upload in done] == [5] * 12
    assert {f"fsync {upload.id}.data" for upload in uploads} <= set(faulty.calls)
    assert max(map(len, begun_together)) >= 6
    assert faulty.calls.count("fsync 42") <= 6


async def test_strict_puts_waiting_chunks_on_the_medium(
    strict: LocalStorage, faulty: FaultyOs
) -> None:
    """DURABILITY=strict: a chunk before its turn, its name and its folder."""
    upload = await begun(strict)
    faulty.calls.clear()
    await stage(strict, upload, 3, b"later")
    data, *names = faulty.calls

    assert data.startswith("fsync 3.")
    assert names == ["rename 3", f"fsync {upload.id}.chunks", "fsync 42"]


async def test_a_long_upload_is_put_on_the_medium_on_its_way(
    storage: LocalStorage, faulty: FaultyOs, syncs_early: None
) -> None:
    """By default, too, one commit in many waits for the medium: that after many bytes."""
    upload = await begun(storage, b"0123456789")
    few = [call for call in faulty.calls if call.startswith("fsync")]
    await append(storage, upload, b" world")

    assert few == []
    assert [call for call in faulty.calls if call.startswith("fsync")] == [
        f"fsync {upload.id}.data"
    ]


async def test_a_long_append_does_not_wait_for_the_medium(
    storage: LocalStorage, tmp_path: Path, syncs_early: None
) -> None:
    """While it runs the medium takes what came before; a later checkpoint knows."""
    upload = await begun(storage)
    async with storage.writer(upload, atomic=False) as writer:
        await writer.write(MemoryBlock(b"0123456789"))
        first = await writer.checkpoint(lambda size: grown(upload, size))
        await writer.write(MemoryBlock(b"more"))
        await writer.commit(grown(first, 4))
    left = await after_power_failure(tmp_path).load("42", upload.id)

    assert first.offset == 10
    assert left.offset >= 10


async def test_a_fast_append_does_not_sync_on_its_way(
    storage: LocalStorage, faulty: FaultyOs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it has taken a while the medium is not asked, however much comes: nobody waits then."""
    monkeypatch.setattr(writer, "SYNC_BYTES", SMALL)
    upload = await begun(storage)
    async with storage.writer(upload, atomic=False) as running:
        await running.write(MemoryBlock(b"0123456789"))
        first = await running.checkpoint(lambda size: grown(upload, size))
        await running.write(MemoryBlock(b"0123456789"))
        await running.commit(grown(first, 10))

    assert [call for call in faulty.calls if call.startswith("fsync")] == []


async def test_strict_records_of_a_running_append_say_what_was_synced(
    strict: LocalStorage, tmp_path: Path
) -> None:
    """DURABILITY=strict: after a kill in the middle of an append its last record is answered, so a
    power failure after that answer must not take it back."""
    upload = await begun(strict)
    async with strict.writer(upload, atomic=False) as writer:
        for _ in range(3):
            await writer.write(MemoryBlock(b"0123456789"))
            upload = await writer.checkpoint(partial(grown, upload))
            await settled()
        killed = await LocalStorage(tmp_path, boot=BOOT).load("42", upload.id)
        failed = await after_power_failure(tmp_path).load("42", upload.id)

    assert killed.offset == failed.offset == upload.offset
    assert 10 <= upload.offset < 30


# --- after a power failure


async def test_a_power_failure_leaves_what_was_synced(
    storage: LocalStorage, tmp_path: Path, syncs_early: None
) -> None:
    """Only bytes that were on the medium are reported; the rest may be anything."""
    upload = await begun(storage, b"0123456789", b"more", b"lost")
    later = after_power_failure(tmp_path)
    left = await later.load("42", upload.id)
    done = await finish(later, await append(later, replace(left, length=18), b"anew"))

    assert (upload.offset, left.offset) == (18, 14)
    assert await content(later, done) == b"0123456789moreanew"


async def test_a_power_failure_leaves_nothing_that_was_not_synced(
    storage: LocalStorage, tmp_path: Path
) -> None:
    """An upload of which nothing was put on the medium begins anew, under its address."""
    upload = await begun(storage, b"hello")
    left = await after_power_failure(tmp_path).load("42", upload.id)

    assert (left.offset, left.chunks, left.length) == (0, (), 100)


async def test_a_killed_process_costs_nothing(storage: LocalStorage, tmp_path: Path) -> None:
    """While the machine runs on, all that was acknowledged is there."""
    upload = await begun(storage, b"hello")

    assert (await LocalStorage(tmp_path, boot=BOOT).load("42", upload.id)).offset == 5


async def test_strict_loses_nothing_to_a_power_failure(
    strict: LocalStorage, tmp_path: Path
) -> None:
    """DURABILITY=strict: every acknowledged byte and every chunk that waits is there."""
    upload = await begun(strict, b"hello", length=None)
    await stage(strict, upload, 3, b"later")
    later = after_power_failure(tmp_path)

    assert (await later.load("42", upload.id)).offset == 5
    assert await later.staged(upload) == {3: 5}


async def test_only_whole_rest_chunks_are_left(
    storage: LocalStorage, tmp_path: Path, syncs_early: None
) -> None:
    """A REST chunk of which the medium took a part only has to come again."""
    upload = await begun(storage, length=None)
    for data in (b"0123456789", b"more", b"lost"):
        async with storage.writer(upload, atomic=True) as writer:
            await writer.write(MemoryBlock(data))
            more = with_chunk(upload, chunk(data), now=NOW, expires_after=LIFE)
            upload = await writer.commit(more)
    left = await after_power_failure(tmp_path).load("42", upload.id)

    assert (left.offset, left.chunks) == (14, (chunk(b"0123456789"), chunk(b"more")))


async def test_waiting_chunks_do_not_outlive_the_power(
    storage: LocalStorage, tmp_path: Path
) -> None:
    """Their bytes may be others now, so they have to come again."""
    upload = await begun(storage, length=None)
    await stage(storage, upload, 1, b"later")
    later = after_power_failure(tmp_path)
    missing = await later.staged(upload)
    await stage(later, upload, 1, b"again")

    assert missing == {}
    assert await later.staged(upload) == {1: 5}


async def test_a_finished_file_outlives_the_power(storage: LocalStorage, tmp_path: Path) -> None:
    """What was answered as complete is there, a part of a concatenation too."""
    done = await finish(storage, await begun(storage, b"hello", length=5))
    part = await storage.create(fresh(replace(UPLOAD, length=4, concat=Partial())))
    part = await finish(storage, await append(storage, part, b"part"))
    later = after_power_failure(tmp_path)

    assert (await later.load("42", part.id)).offset == 4
    assert await content(later, await later.load("42", done.id)) == b"hello"


async def test_a_file_without_its_flag_outlives_the_power(
    storage: LocalStorage, tmp_path: Path
) -> None:
    """The power failed between the move and the flag: the upload is full, and is finished."""
    upload = await begun(storage, b"hello", length=5)
    await storage.assemble(upload)
    later = after_power_failure(tmp_path)
    left = await later.load("42", upload.id)
    done = await finish(later, left)

    assert left.is_full
    assert await content(later, done) == b"hello"


async def test_durability_can_be_changed(strict: LocalStorage, tmp_path: Path) -> None:
    """Chunks that one setting kept are found by the other, and replaced."""
    upload = await begun(strict, length=None)
    await stage(strict, upload, 0, b"strict")
    relaxed = LocalStorage(tmp_path, boot=BOOT)
    found = await relaxed.staged(upload)
    await stage(relaxed, upload, 0, b"relaxed")
    async with relaxed.writer(upload, atomic=True) as writer:
        absorbed = await writer.absorb(0)
    await relaxed.unstage(upload, 0)

    assert found == {0: 6}
    assert absorbed == chunk(b"relaxed")
    assert await relaxed.staged(upload) == {}


# --- a medium that refuses


async def test_a_file_that_cannot_be_synced_is_not_finished(
    storage: LocalStorage, faulty: FaultyOs, tmp_path: Path, syncs_early: None
) -> None:
    """The upload goes back to what the medium took, since a second try would succeed falsely."""
    upload = await begun(storage, b"0123456789", b"more", length=18)
    upload = await append(storage, upload, b"lost")
    faulty.refuses = lambda name: name.endswith(".data")
    with pytest.raises(StorageError):
        await storage.assemble(upload)
    faulty.refuses = lambda _name: False
    left = await storage.load("42", upload.id)
    done = await finish(storage, await append(storage, left, b"anew"))

    assert left.offset == 14
    assert await content(storage, done) == b"0123456789moreanew"


async def test_a_part_that_cannot_be_synced_is_not_finished(
    storage: LocalStorage, faulty: FaultyOs
) -> None:
    """So does a part of a concatenation."""
    part = await storage.create(fresh(replace(UPLOAD, length=4, concat=Partial())))
    part = await append(storage, part, b"part")
    faulty.refuses = lambda name: name.endswith(".data")
    with pytest.raises(StorageError):
        await storage.assemble(part)

    assert (await storage.load("42", part.id)).offset == 0


async def test_strict_acknowledges_nothing_that_cannot_be_synced(
    strict: LocalStorage, faulty: FaultyOs
) -> None:
    """The offset is that of the last answer; the bytes behind it are gone."""
    upload = await begun(strict, b"hello")
    faulty.refuses = lambda name: name.endswith(".data")
    with pytest.raises(StorageError):
        await append(strict, upload, b" world")
    faulty.refuses = lambda _name: False
    left = await strict.load("42", upload.id)

    assert left.offset == 5
    assert (await append(strict, left, b"!")).offset == 6


@pytest.mark.parametrize("refused", ["record", "folder"])
async def test_strict_acknowledges_nothing_whose_record_cannot_be_synced(
    strict: LocalStorage, faulty: FaultyOs, refused: str
) -> None:
    """A record, or its name, that the medium does not take moves no offset."""
    upload = await begun(strict, b"hello")
    faulty.refuses = lambda name: name == "42" if refused == "folder" else ".info." in name
    with pytest.raises(StorageError):
        await append(strict, upload, b" world")
    faulty.refuses = lambda _name: False

    assert (await append(strict, upload, b"!")).offset == 6
    assert (await strict.load("42", upload.id)).offset == 6


async def test_strict_keeps_no_chunk_that_cannot_be_synced(
    strict: LocalStorage, faulty: FaultyOs
) -> None:
    """A chunk before its turn does not wait if the medium did not take it."""
    upload = await begun(strict)
    faulty.refuses = lambda name: name.startswith("3.")
    with pytest.raises(StorageError):
        await stage(strict, upload, 3, b"later")

    assert await strict.staged(upload) == {}


@pytest.mark.parametrize("refused", ["record", "folder"])
async def test_a_completion_that_cannot_be_synced_is_none(
    storage: LocalStorage, faulty: FaultyOs, refused: str
) -> None:
    """The upload stays full and unfinished, until a completion is on the medium."""
    upload = await begun(storage, b"hello", length=5)
    await storage.assemble(upload)
    faulty.refuses = lambda name: name == "42" if refused == "folder" else ".info." in name
    with pytest.raises(StorageError):
        await storage.save(completed(upload))
    faulty.refuses = lambda _name: False
    left = await storage.load("42", upload.id)
    done = await finish(storage, left)

    assert (left.is_full, left.completion) == (True, None)
    assert await content(storage, done) == b"hello"


async def test_a_folder_that_could_not_be_synced_is_synced_later(
    storage: LocalStorage, faulty: FaultyOs
) -> None:
    """The file has moved already: the second try puts its name on the medium before it is done."""
    upload = await begun(storage, b"hello", length=5)
    faulty.refuses = lambda name: name == "123"
    with pytest.raises(StorageError):
        await storage.assemble(upload)
    faulty.refuses = lambda _name: False
    faulty.calls.clear()
    await storage.assemble(await storage.load("42", upload.id))

    assert {"fsync 123", "fsync 42", "fsync final"} <= set(faulty.calls)


@pytest.mark.parametrize("refused", ["claim", "folder"])
async def test_a_claim_that_cannot_be_synced_leaves_the_earlier_file(
    storage: LocalStorage, faulty: FaultyOs, refused: str
) -> None:
    """A file is replaced by one that is on the medium, or not at all."""
    earlier = await finish(storage, await begun(storage, b"earlier", length=7))
    upload = await begun(storage, b"later", length=5)
    faulty.refuses = lambda name: name == "42" if refused == "folder" else ".place." in name
    with pytest.raises(StorageError):
        await storage.assemble(upload)
    faulty.refuses = lambda _name: False

    assert await content(storage, earlier) == b"earlier"
    with pytest.raises(UploadNotFound):
        await content(storage, completed(upload))


async def test_a_background_sync_that_fails_is_not_forgotten(
    storage: LocalStorage, faulty: FaultyOs, syncs_early: None
) -> None:
    """A long append whose bytes the medium refuses ends, and goes back to what it took."""
    upload = await begun(storage)
    faulty.refuses = lambda name: name.endswith(".data")
    with pytest.raises(StorageError):
        async with storage.writer(upload, atomic=False) as writer:
            await writer.write(MemoryBlock(b"0123456789"))
            await writer.checkpoint(lambda size: grown(upload, size))
    faulty.refuses = lambda _name: False
    left = await storage.load("42", upload.id)

    assert left.offset == 0
    assert (await append(storage, left, b"anew")).offset == 4
