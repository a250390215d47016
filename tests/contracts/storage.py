"""What `Storage`, `Writer`, `ChunkWriter` and `Content` promise, as functions."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import pytest

from tests.fakes import Fault, MemoryBody
from tests.outlets import connected, taken
from tests.uploads import NOW, UPLOAD, chunk, completed, fresh, grown
from tusd_py.block import MemoryBlock
from tusd_py.errors import NoSpace, StorageError, UploadGone, UploadNotFound
from tusd_py.events import Cleaned
from tusd_py.interfaces import Storage
from tusd_py.receiving import same_as
from tusd_py.upload import Claim, End, Ending, Partial, Upload


@dataclass(frozen=True, kw_only=True)
class StorageUnderTest:
    """A storage, a way to let it fail, and one that sees the same data after a restart."""

    storage: Storage
    failing: Callable[[Fault], AbstractContextManager[None]]
    restarted: Callable[[], Storage]

    async def kept(self, data: bytes, upload: Upload = UPLOAD) -> Upload:
        """A new upload that has these bytes."""
        upload = await self.storage.create(fresh(upload))
        async with self.storage.writer(upload, atomic=False) as writer:
            await writer.write(MemoryBlock(data))
            return await writer.commit(grown(upload, len(data)))

    async def finished(self, data: bytes, upload: Upload = UPLOAD) -> Upload:
        """A new upload that became a file."""
        full = await self.kept(data, upload)
        await self.storage.assemble(full)
        return await self.storage.save(completed(full))

    async def part(self, data: bytes) -> Upload:
        """A new partial upload that is whole."""
        return await self.finished(data, replace(UPLOAD, concat=Partial()))

    async def stage(self, upload: Upload, index: int, data: bytes) -> None:
        """Let a chunk wait."""
        async with self.storage.stage(upload, index) as writer:
            await writer.write(MemoryBlock(data))
            await writer.commit(chunk(data))

    async def content(self, upload: Upload) -> bytes:
        """All committed bytes; a file is made of them first if there is none."""
        if upload.completion is None:
            full = replace(upload, length=upload.offset)
            await self.storage.assemble(full)
            upload = completed(full)
        async with self.storage.open(upload) as content:
            return b"".join([block async for block in content.read(0, content.size)])

    async def ids(self, owner: str = UPLOAD.owner) -> set[str]:
        """Ids of the uploads of an owner."""
        return {upload.id async for upload in self.storage.uploads(owner)}

    async def unsettled(self) -> set[str]:
        """Ids of all uploads but finished files."""
        return {upload.id async for upload in self.storage.unsettled()}


Promise = Callable[[StorageUnderTest], Awaitable[None]]
PROMISES: list[Promise] = []


def promise(function: Promise) -> Promise:
    """Make a function part of the contract."""
    PROMISES.append(function)
    return function


# --- records


@promise
async def check_returns_when_the_storage_can_be_written_to(subject: StorageUnderTest) -> None:
    """`check` returns if the storage can be written to, also for the second time."""
    await subject.storage.check()

    await subject.storage.check()


@promise
async def a_created_upload_is_loaded_as_it_was(subject: StorageUnderTest) -> None:
    """`load` returns what `create` kept, also after a restart."""
    upload = await subject.storage.create(fresh())

    assert await subject.storage.load(upload.owner, upload.id) == upload
    assert await subject.restarted().load(upload.owner, upload.id) == upload


@promise
async def an_unknown_upload_is_not_found(subject: StorageUnderTest) -> None:
    """`load` raises `UploadNotFound` when there is none of that id."""
    with pytest.raises(UploadNotFound):
        await subject.storage.load("42", UPLOAD.id)


@promise
async def an_upload_of_another_owner_is_not_found(subject: StorageUnderTest) -> None:
    """`load` raises `UploadNotFound` when the upload is another owner's."""
    upload = fresh()
    await subject.storage.create(upload)

    with pytest.raises(UploadNotFound):
        await subject.storage.load("43", upload.id)


@promise
async def save_replaces_the_record(subject: StorageUnderTest) -> None:
    """`save` replaces the record; the bytes stay as they are."""
    upload = await subject.kept(b"hello")
    changed = await subject.storage.save(replace(upload, filename="other.mp3"))

    assert await subject.storage.load(upload.owner, upload.id) == changed
    assert await subject.content(changed) == b"hello"


@promise
async def uploads_are_listed_by_owner(subject: StorageUnderTest) -> None:
    """`uploads` gives all uploads of an owner, finished or not."""
    mine, other = fresh(), fresh(replace(UPLOAD, owner="43"))
    await subject.storage.create(mine)
    await subject.storage.create(other)
    done = await subject.finished(b"done")

    assert await subject.ids("42") == {mine.id, done.id}
    assert await subject.ids("43") == {other.id}
    assert await subject.ids("44") == set()


@promise
async def unsettled_are_all_but_finished_files(subject: StorageUnderTest) -> None:
    """`unsettled` gives all uploads but finished files, of all owners, each time anew."""
    mine, other = fresh(), fresh(replace(UPLOAD, owner="43"))
    await subject.storage.create(mine)
    await subject.storage.create(other)
    part = await subject.part(b"part")
    done = await subject.finished(b"done")
    first, second = await subject.unsettled(), await subject.unsettled()
    ended = await subject.storage.save(replace(done, ending=Ending(why=End.REPLACED, at=NOW)))

    assert first == second == {mine.id, other.id, part.id}
    assert await subject.unsettled() == first | {ended.id}


@promise
async def failure_is_not_absence(subject: StorageUnderTest) -> None:
    """A storage that cannot be reached is `StorageError` for every call; nothing is lost by it."""
    upload = await subject.kept(b"hello")
    with subject.failing(Fault.UNREACHABLE):
        for call in (
            subject.storage.check(),
            subject.storage.load(upload.owner, upload.id),
            subject.storage.create(fresh()),
            subject.storage.save(upload),
            subject.storage.staged(upload),
            subject.storage.assemble(upload),
            subject.kept(b"more"),
        ):
            with pytest.raises(StorageError):
                await call

    assert await subject.storage.load(upload.owner, upload.id) == upload
    assert await subject.content(upload) == b"hello"


@promise
async def a_list_is_whole_or_fails(subject: StorageUnderTest) -> None:
    """A storage that cannot be reached is no storage without uploads."""
    await subject.kept(b"hello")
    for uploads in (subject.ids, subject.unsettled):
        with subject.failing(Fault.UNREACHABLE), pytest.raises(StorageError):
            await uploads()


# --- usage


@promise
async def open_uploads_take_what_was_said_or_came(subject: StorageUnderTest) -> None:
    """`usage` counts the length of an open upload, or what came of one whose length is not known,
    chunks before their turn too."""
    told = await subject.storage.create(fresh())
    deferred = await subject.storage.create(fresh(replace(UPLOAD, length=None)))
    async with subject.storage.writer(deferred, atomic=True) as writer:
        await writer.write(MemoryBlock(b"hello"))
        first = replace(deferred, offset=5, chunks=(chunk(b"hello"),))
        await writer.commit(first)
    for index in (0, 2, 3):  # the first is a part of the upload already
        await subject.stage(first, index, b"abc")
    await subject.stage(told, 1, b"a part of the length")

    usage = await subject.storage.usage("42")

    assert {upload_id: held.total for upload_id, held in usage.open.items()} == {
        told.id: 10,
        deferred.id: 11,
    }
    assert dict(usage.open[deferred.id].waiting) == {2: 3, 3: 3}
    assert usage.finished == {}


@promise
async def finished_files_take_their_size(subject: StorageUnderTest) -> None:
    """`usage` counts a finished file by its size; a part that is whole is open still."""
    done = await subject.finished(b"done")
    part = await subject.part(b"part!")

    for storage in (subject.storage, subject.storage, subject.restarted()):
        usage = await storage.usage("42")

        assert usage.finished == {done.id: 4}
        assert {upload_id: held.total for upload_id, held in usage.open.items()} == {part.id: 5}
        assert usage.size == 9


@promise
async def what_is_gone_takes_nothing(subject: StorageUnderTest) -> None:
    """`usage` does not count an upload that ended, though its record remembers it, one that was
    forgotten, nor another owner's; it sees each change at once."""
    done, other = await subject.finished(b"done"), fresh(replace(UPLOAD, owner="43"))
    await subject.storage.create(other)
    ended = await subject.storage.create(fresh())
    forgotten = await subject.storage.create(fresh())
    before = await subject.storage.usage("42")
    for upload in (done, ended):
        await subject.storage.save(replace(upload, ending=Ending(why=End.TERMINATED, at=NOW)))
    await subject.storage.forget(forgotten)

    after = [await subject.storage.usage(owner) for owner in ("42", "42", "43", "44")]

    assert before.size == 24
    assert [usage.size for usage in after] == [0, 0, 10, 0]
    assert [len(usage.open) for usage in after] == [0, 0, 1, 0]


@promise
async def usage_is_not_known_while_nothing_can_be_reached(subject: StorageUnderTest) -> None:
    """`usage` raises `StorageError`, and never tells of less than there is."""
    await subject.storage.create(fresh())
    with subject.failing(Fault.UNREACHABLE), pytest.raises(StorageError):
        await subject.storage.usage("42")

    usage = await subject.storage.usage("42")

    assert usage.size == 10


# --- appending


@promise
async def committed_bytes_can_be_read(subject: StorageUnderTest) -> None:
    """What was committed is there, also after a restart."""
    upload = await subject.kept(b"hello")

    assert await subject.content(upload) == b"hello"
    assert await subject.restarted().load(upload.owner, upload.id) == upload


@promise
async def a_writer_goes_on_at_the_offset(subject: StorageUnderTest) -> None:
    """The next writer appends to what was committed."""
    upload = await subject.kept(b"hello")
    async with subject.storage.writer(upload, atomic=True) as writer:
        await writer.write(MemoryBlock(b" wor"))
        await writer.write(MemoryBlock(b"ld"))
        upload = await writer.commit(grown(upload, 6))

    assert await subject.content(upload) == b"hello world"


@promise
async def what_is_not_committed_is_discarded(subject: StorageUnderTest) -> None:
    """Nothing counts before `commit`: afterwards the upload is as it was."""
    upload = await subject.kept(b"hello")
    async with subject.storage.writer(upload, atomic=True) as writer:
        await writer.write(MemoryBlock(b"garbage"))

    assert await subject.storage.load(upload.owner, upload.id) == upload
    assert await subject.content(upload) == b"hello"


@promise
async def only_the_last_commit_counts(subject: StorageUnderTest) -> None:
    """A writer may commit often; what came after the last commit is discarded, errors or not."""
    upload = await subject.kept(b"")
    with pytest.raises(LookupError):
        async with subject.storage.writer(upload, atomic=False) as writer:
            await writer.write(MemoryBlock(b"one"))
            upload = await writer.commit(grown(upload, 3))
            await writer.write(MemoryBlock(b"two"))
            upload = await writer.commit(grown(upload, 3))
            await writer.write(MemoryBlock(b"three"))
            raise LookupError

    assert await subject.storage.load(upload.owner, upload.id) == upload
    assert await subject.content(upload) == b"onetwo"


@promise
async def discarded_bytes_do_not_come_back(subject: StorageUnderTest) -> None:
    """Bytes beyond the offset do not exist: a shorter append after them is all there is."""
    upload = await subject.kept(b"hello")
    async with subject.storage.writer(upload, atomic=True) as writer:
        await writer.write(MemoryBlock(b"a long wrong tail"))
    async with subject.storage.writer(upload, atomic=True) as writer:
        await writer.write(MemoryBlock(b"!"))
        upload = await writer.commit(grown(upload, 1))
    await subject.storage.assemble(upload)

    assert await subject.content(completed(upload)) == b"hello!"


@promise
async def commit_refuses_an_offset_that_was_not_written(subject: StorageUnderTest) -> None:
    """The offset of a commit is what was written; else the last commit stays the truth."""
    upload = await subject.kept(b"hello")
    async with subject.storage.writer(upload, atomic=True) as writer:
        await writer.write(MemoryBlock(b"x"))

        with pytest.raises(StorageError):
            await writer.commit(grown(upload, 2))

    assert await subject.storage.load(upload.owner, upload.id) == upload
    assert await subject.content(upload) == b"hello"


@promise
async def a_cancelled_writer_leaves_the_last_commit(subject: StorageUnderTest) -> None:
    """When the task of a writer is cancelled, the last commit is the truth."""
    upload = await subject.kept(b"hello")

    async def write() -> None:
        async with subject.storage.writer(upload, atomic=False) as writer:
            while True:
                await writer.write(MemoryBlock(b"x" * 1000))

    task = asyncio.create_task(write())
    await asyncio.wait([task], timeout=0.02)
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert await subject.storage.load(upload.owner, upload.id) == upload
    assert await subject.content(upload) == b"hello"


@promise
async def a_failed_write_leaves_the_last_commit(subject: StorageUnderTest) -> None:
    """`write`, or `commit` behind it, raises `NoSpace`; the upload is then as it was at the last
    commit."""
    upload = await subject.kept(b"hello")
    with subject.failing(Fault.WRITE), pytest.raises(NoSpace):
        async with subject.storage.writer(upload, atomic=False) as writer:
            await writer.write(MemoryBlock(b" world"))
            await writer.commit(grown(upload, 6))

    assert await subject.storage.load(upload.owner, upload.id) == upload
    assert await subject.content(upload) == b"hello"


@promise
async def after_a_failed_write_an_append_works(subject: StorageUnderTest) -> None:
    """Once the trouble is over the same append works."""
    upload = await subject.kept(b"hello")
    with subject.failing(Fault.WRITE), pytest.raises(NoSpace):
        async with subject.storage.writer(upload, atomic=False) as writer:
            await writer.write(MemoryBlock(b" world"))
            await writer.commit(grown(upload, 6))
    async with subject.storage.writer(upload, atomic=False) as writer:
        await writer.write(MemoryBlock(b" world"))
        upload = await writer.commit(grown(upload, 6))

    assert await subject.content(upload) == b"hello world"


@promise
async def a_failed_commit_leaves_the_last_commit(subject: StorageUnderTest) -> None:
    """After a failed `commit` the last commit is the truth."""
    upload = await subject.kept(b"hello")
    with subject.failing(Fault.RECORD), pytest.raises(StorageError):
        async with subject.storage.writer(upload, atomic=False) as writer:
            await writer.write(MemoryBlock(b" world"))
            await writer.commit(grown(upload, 6))

    assert await subject.storage.load(upload.owner, upload.id) == upload
    assert await subject.content(upload) == b"hello"


@promise
async def a_failed_create_leaves_nothing(subject: StorageUnderTest) -> None:
    """An upload that could not be kept does not exist."""
    upload = fresh()
    with subject.failing(Fault.RECORD), pytest.raises(StorageError):
        await subject.storage.create(upload)

    with pytest.raises(UploadNotFound):
        await subject.storage.load(upload.owner, upload.id)
    assert await subject.ids() == set()


@promise
async def a_failed_save_leaves_the_record(subject: StorageUnderTest) -> None:
    """What was stored before a failure is still stored."""
    upload = await subject.kept(b"hello")
    with subject.failing(Fault.RECORD), pytest.raises(StorageError):
        await subject.storage.save(replace(upload, filename="other.mp3"))

    assert await subject.storage.load(upload.owner, upload.id) == upload


# --- absorbing


@promise
async def a_whole_upload_is_absorbed(subject: StorageUnderTest) -> None:
    """`absorb` appends all bytes of a full upload; it stays, and may be absorbed again."""
    part, whole = await subject.part(b"ab"), await subject.kept(b"")
    async with subject.storage.writer(whole, atomic=True) as writer:
        sizes = [(await writer.absorb(part)).size for _ in range(2)]
        whole = await writer.commit(grown(whole, 4))

    assert sizes == [2, 2]
    assert await subject.content(part) == b"ab"
    assert await subject.content(whole) == b"abab"


@promise
async def an_empty_upload_is_absorbed(subject: StorageUnderTest) -> None:
    """An upload of no bytes, to which nobody ever wrote, can be absorbed."""
    part, whole = await subject.part(b""), await subject.kept(b"ab")
    async with subject.storage.writer(whole, atomic=True) as writer:
        absorbed = await writer.absorb(part)
        whole = await writer.commit(whole)

    assert absorbed.size == 0
    assert await subject.content(whole) == b"ab"


@promise
async def a_waiting_chunk_is_absorbed(subject: StorageUnderTest) -> None:
    """`absorb` appends the chunk that waits under an index and tells what it was; it stays."""
    upload = await subject.kept(b"ab")
    await subject.stage(upload, 1, b"cd")
    async with subject.storage.writer(upload, atomic=True) as writer:
        absorbed = await writer.absorb(1)
        upload = await writer.commit(grown(upload, 2))

    assert absorbed == chunk(b"cd")
    assert await subject.storage.staged(upload) == {1: 2}
    assert await subject.content(upload) == b"abcd"


@promise
async def a_large_waiting_chunk_is_absorbed(subject: StorageUnderTest) -> None:
    """Size is no matter: 17 MiB are appended as they were sent."""
    data = bytes(range(256)) * 4096 * 17
    upload = await subject.kept(b"")
    await subject.stage(upload, 0, data)
    async with subject.storage.writer(upload, atomic=True) as writer:
        absorbed = await writer.absorb(0)
        upload = await writer.commit(grown(upload, len(data)))

    assert absorbed == chunk(data)
    assert await subject.content(upload) == data


@promise
async def a_source_that_is_gone_cannot_be_absorbed(subject: StorageUnderTest) -> None:
    """`absorb` raises `UploadNotFound` when the source is not there (any more)."""
    part, whole = await subject.part(b"ab"), await subject.kept(b"cd")
    await subject.storage.delete(part)
    for source in (part, 7):
        async with subject.storage.writer(whole, atomic=True) as writer:
            with pytest.raises(UploadNotFound):
                await writer.absorb(source)

    assert await subject.content(whole) == b"cd"


@promise
async def a_failed_absorb_leaves_both(subject: StorageUnderTest) -> None:
    """`absorb` fails as `write`: the upload is as it was, and the source stays."""
    upload = await subject.kept(b"ab")
    await subject.stage(upload, 1, b"cd")
    with subject.failing(Fault.WRITE), pytest.raises(NoSpace):
        async with subject.storage.writer(upload, atomic=True) as writer:
            await writer.absorb(1)

    assert await subject.storage.staged(upload) == {1: 2}
    assert await subject.content(upload) == b"ab"


# --- chunks before their turn


@promise
async def a_chunk_waits(subject: StorageUnderTest) -> None:
    """`staged` names the chunks that wait, with their sizes, also after a restart."""
    upload = await subject.kept(b"ab")
    await subject.stage(upload, 3, b"xyz")
    await subject.stage(upload, 0, b"")

    assert await subject.storage.staged(upload) == {3: 3, 0: 0}
    assert await subject.restarted().staged(upload) == {3: 3, 0: 0}


@promise
async def no_chunk_waits_at_first(subject: StorageUnderTest) -> None:
    """`staged` is empty when no chunk ever waited."""
    upload = await subject.kept(b"")

    assert await subject.storage.staged(upload) == {}


@promise
async def a_later_chunk_of_an_index_replaces_the_earlier(subject: StorageUnderTest) -> None:
    """A whole chunk takes the place of an earlier one of that index."""
    upload = await subject.kept(b"")
    await subject.stage(upload, 0, b"old")
    await subject.stage(upload, 0, b"newer")
    async with subject.storage.writer(upload, atomic=True) as writer:
        absorbed = await writer.absorb(0)

    assert absorbed == chunk(b"newer")


@promise
async def a_chunk_that_breaks_off_is_not_kept(subject: StorageUnderTest) -> None:
    """Nothing counts before `commit`, and an earlier version of the chunk stays."""
    upload = await subject.kept(b"")
    await subject.stage(upload, 0, b"old")
    for index in (0, 1):
        with pytest.raises(LookupError):
            async with subject.storage.stage(upload, index) as writer:
                await writer.write(MemoryBlock(b"newer"))
                raise LookupError

    assert await subject.storage.staged(upload) == {0: 3}


@promise
async def a_chunk_that_does_not_fit_is_not_kept(subject: StorageUnderTest) -> None:
    """After `NoSpace` an earlier version of the chunk stays."""
    upload = await subject.kept(b"")
    await subject.stage(upload, 0, b"old")
    with subject.failing(Fault.WRITE), pytest.raises(NoSpace):
        await subject.stage(upload, 0, b"newer")

    assert await subject.storage.staged(upload) == {0: 3}


@promise
async def a_chunk_that_cannot_be_kept_is_not_kept(subject: StorageUnderTest) -> None:
    """After a failed `commit` an earlier version of the chunk stays."""
    upload = await subject.kept(b"")
    await subject.stage(upload, 0, b"old")
    with subject.failing(Fault.MOVE), pytest.raises(StorageError):
        await subject.stage(upload, 0, b"newer")

    assert await subject.storage.staged(upload) == {0: 3}


@promise
async def a_chunk_is_staged_beside_an_append(subject: StorageUnderTest) -> None:
    """`stage` needs no lock: a writer at work neither sees nor loses anything."""
    upload = await subject.kept(b"ab")
    async with subject.storage.writer(upload, atomic=True) as writer:
        await writer.write(MemoryBlock(b"cd"))
        await subject.stage(upload, 5, b"xyz")
        upload = await writer.commit(grown(upload, 2))

    assert await subject.storage.staged(upload) == {5: 3}
    assert await subject.content(upload) == b"abcd"


@promise
async def two_may_stage_the_same_index(subject: StorageUnderTest) -> None:
    """Twins do not disturb each other: who commits last is kept, whole."""
    upload = await subject.kept(b"")
    async with (
        subject.storage.stage(upload, 0) as first,
        subject.storage.stage(upload, 0) as second,
    ):
        await first.write(MemoryBlock(b"first"))
        await second.write(MemoryBlock(b"the second"))
        await first.commit(chunk(b"first"))
        await second.commit(chunk(b"the second"))
    async with subject.storage.writer(upload, atomic=True) as writer:
        absorbed = await writer.absorb(0)

    assert absorbed == chunk(b"the second")


@promise
async def a_chunk_can_be_unstaged(subject: StorageUnderTest) -> None:
    """`unstage` forgets a chunk that waited, if it did."""
    upload = await subject.kept(b"")
    await subject.stage(upload, 0, b"x")
    await subject.stage(upload, 1, b"y")
    await subject.storage.unstage(upload, 0)
    await subject.storage.unstage(upload, 0)

    assert await subject.storage.staged(upload) == {1: 1}


# --- finished files


@promise
async def a_finished_file_can_be_read(subject: StorageUnderTest) -> None:
    """`assemble` makes the finished file of a full upload."""
    done = await subject.finished(b"hello")

    assert await subject.content(done) == b"hello"


@promise
async def a_finished_file_has_a_location(subject: StorageUnderTest) -> None:
    """`location` is where the file is, the same at all times, and no other's."""
    done = await subject.finished(b"hello")
    other = await subject.finished(b"other", replace(UPLOAD, filename="other.mp3"))
    location = await subject.storage.location(done)

    assert location.endswith("42/123/audio.mp3")
    assert await subject.restarted().location(done) == location
    assert await subject.storage.location(other) != location


@promise
async def the_storage_knows_whether_a_file_is_there(subject: StorageUnderTest) -> None:
    """`has_file` tells whether the finished file lies where it was put."""
    done = await subject.finished(b"hello")
    other = await subject.finished(b"other", replace(UPLOAD, filename="other.mp3"))
    await subject.storage.delete(other)

    assert await subject.storage.has_file(done)
    assert not await subject.storage.has_file(other)


@promise
async def an_empty_file_can_be_assembled(subject: StorageUnderTest) -> None:
    """An upload of no bytes, to which nobody ever wrote, becomes an empty file."""
    upload = await subject.storage.create(fresh(replace(UPLOAD, length=0)))
    await subject.storage.assemble(upload)

    assert await subject.content(completed(upload)) == b""


@promise
async def nothing_waits_after_assembling(subject: StorageUnderTest) -> None:
    """After completion nothing temporary is left."""
    upload = await subject.kept(b"hello")
    await subject.stage(upload, 0, b"hello")
    await subject.storage.assemble(upload)

    assert await subject.storage.staged(upload) == {}


@promise
async def nobody_sees_what_will_be_saved(subject: StorageUnderTest) -> None:
    """`assemble` may be told what comes next; only `save` makes it true, or something else."""
    upload = await subject.kept(b"hello")
    await subject.storage.assemble(upload, completed(upload))
    seen = await subject.restarted().load(upload.owner, upload.id)
    await subject.storage.save(replace(completed(upload), filename="other.mp3"))
    saved = await subject.restarted().load(upload.owner, upload.id)

    assert seen.completion is None
    assert saved.filename == "other.mp3"


@promise
async def assembling_twice_is_assembling_once(subject: StorageUnderTest) -> None:
    """`assemble` may be called again after a crash."""
    upload = await subject.kept(b"hello")
    await subject.storage.assemble(upload)
    await subject.restarted().assemble(upload)

    assert await subject.content(completed(upload)) == b"hello"


@promise
async def a_failed_assembly_loses_nothing(subject: StorageUnderTest) -> None:
    """After a failure the bytes and an earlier file are there, and it may be called again."""
    earlier = await subject.finished(b"earlier")
    upload = await subject.kept(b"hello")
    with subject.failing(Fault.MOVE), pytest.raises(StorageError):
        await subject.storage.assemble(upload)

    assert await subject.content(earlier) == b"earlier"
    await subject.storage.assemble(upload)
    assert await subject.content(completed(upload)) == b"hello"


@promise
async def a_failed_completion_record_can_be_made_up_for(subject: StorageUnderTest) -> None:
    """When the record cannot say that the file is there, the whole may be done again."""
    upload = await subject.kept(b"hello")
    await subject.storage.assemble(upload)
    with subject.failing(Fault.RECORD), pytest.raises(StorageError):
        await subject.storage.save(completed(upload))

    assert await subject.storage.load(upload.owner, upload.id) == upload
    await subject.storage.assemble(upload)
    assert await subject.content(completed(upload)) == b"hello"


@promise
async def a_file_replaces_the_earlier_one(subject: StorageUnderTest) -> None:
    """Finishing the same user/file_id/filename again replaces the file."""
    await subject.finished(b"earlier")
    later = await subject.finished(b"later")

    assert await subject.content(later) == b"later"


@promise
async def who_was_replaced_has_no_file(subject: StorageUnderTest) -> None:
    """The file at a place is that of the last upload only: no other is read or removed for it."""
    earlier = await subject.finished(b"earlier")
    later = await subject.finished(b"later")
    await subject.storage.delete(earlier)

    with pytest.raises(UploadNotFound):
        await subject.content(earlier)
    assert not await subject.storage.has_file(earlier)
    assert await subject.content(later) == b"later"


@promise
async def others_at_a_place_are_known(subject: StorageUnderTest) -> None:
    """`assemble` names whose file it replaced; not those at other places, nor itself."""
    earlier = await subject.finished(b"earlier")
    await subject.finished(b"elsewhere", replace(UPLOAD, filename="other.mp3"))
    await subject.finished(b"another's", replace(UPLOAD, owner="43"))
    upload = await subject.kept(b"later")

    assert await subject.storage.assemble(upload) == [earlier]


@promise
async def nobody_lies_at_a_new_place(subject: StorageUnderTest) -> None:
    """The first file of its name replaces none, nor does one that comes again after a crash."""
    upload = await subject.kept(b"first")

    assert await subject.storage.assemble(upload) == []
    assert await subject.restarted().assemble(upload) == []


@promise
async def who_was_replaced_makes_no_file(subject: StorageUnderTest) -> None:
    """An upload that crashed before its completion, and whose record says by now that another one
    replaced it, leaves that one's file alone."""
    crashed = await subject.kept(b"crashed")
    await subject.storage.assemble(crashed)
    later = await subject.finished(b"later")
    ending = Ending(why=End.REPLACED, at=NOW)
    ended = await subject.storage.save(replace(crashed, ending=ending))
    with pytest.raises(UploadGone):
        await subject.storage.assemble(replace(ended, ending=None))

    assert await subject.content(later) == b"later"


@promise
async def an_unfinished_upload_has_no_file_at_its_place(subject: StorageUnderTest) -> None:
    """Whoever has not finished yet does not lie there; nor who was replaced already."""
    await subject.kept(b"unfinished")
    replaced = await subject.finished(b"replaced")
    ending = Ending(why=End.REPLACED, at=NOW)
    await subject.storage.save(replace(replaced, ending=ending))
    there = await subject.finished(b"there")
    later = await subject.kept(b"later")

    assert await subject.storage.assemble(later) == [there]


@promise
async def who_crashed_after_assembling_is_at_the_place(subject: StorageUnderTest) -> None:
    """A crash between the file and the record of its completion does not hide its owner."""
    crashed = await subject.kept(b"crashed")
    await subject.storage.assemble(crashed)
    upload = await subject.kept(b"later")

    assert await subject.restarted().assemble(upload) == [crashed]


@promise
async def the_name_of_a_file_may_be_any_harmless_one(subject: StorageUnderTest) -> None:
    """What was accepted can be stored, read, listed and deleted under its own name."""
    names = [
        "ü 文件 🎧.mp3",
        "%20?#&=.x",
        "\"quoted\" 'name'",
        "é" * 127,
        ".hidden",
        "con",
        "a.info",
    ]
    for name in names:
        done = await subject.finished(name.encode(), replace(UPLOAD, filename=name))

        assert await subject.content(done) == name.encode()
        assert await subject.storage.load(done.owner, done.id) == done
        await subject.storage.forget(done)
    assert await subject.ids() == set()


# --- reading


@promise
async def any_range_can_be_read(subject: StorageUnderTest) -> None:
    """`read` gives the bytes from `start` up to, not including, `stop`."""
    done = await subject.finished(b"0123456789")
    async with subject.storage.open(done) as content:
        ranges = [
            b"".join([block async for block in content.read(start, stop)])
            for start, stop in [(0, 10), (3, 7), (9, 10), (5, 5)]
        ]

    assert ranges == [b"0123456789", b"3456", b"9", b""]
    assert content.size == 10


@promise
async def an_upload_without_bytes_cannot_be_opened(subject: StorageUnderTest) -> None:
    """`open` raises `UploadNotFound` when the bytes are not there (any more)."""
    done = await subject.finished(b"hello")
    await subject.storage.delete(done)

    with pytest.raises(UploadNotFound):
        async with subject.storage.open(done):
            pass


@promise
async def open_content_is_its_own_to_the_end(subject: StorageUnderTest) -> None:
    """Who reads a file that is replaced or deleted reads on, or is told; never other bytes."""
    for end in (subject.finished(b"LATER!!"), subject.finished(b"later, and longer")):
        earlier = await subject.finished(b"earlier")
        async with subject.storage.open(earlier) as content:
            await end
            try:
                data = b"".join([block async for block in content.read(0, content.size)])
            except StorageError:
                data = b"earlier"

        assert data == b"earlier"


@promise
async def open_content_of_what_is_deleted(subject: StorageUnderTest) -> None:
    """Who reads a file that is deleted reads on, or is told; it is never cut short."""
    done = await subject.finished(b"hello")
    async with subject.storage.open(done) as content:
        await subject.storage.forget(done)
        try:
            data = b"".join([block async for block in content.read(0, content.size)])
        except StorageError:
            data = b"hello"

    assert data == b"hello"


@promise
async def sent_bytes_are_those_that_are_read(subject: StorageUnderTest) -> None:
    """`send` puts exactly the asked bytes into a socket, however little it holds."""
    data = random.Random(7).randbytes(300_000)
    done = await subject.finished(data)
    spans = [(0, 300_000), (1, 2), (99_999, 299_999), (5, 5)]
    got = []
    async with subject.storage.open(done) as content:
        for start, stop in spans:
            with connected() as (outlet, client):
                taking = asyncio.create_task(taken(client, stop - start))
                await content.send(outlet, start, stop)
                got.append(await taking)
                with pytest.raises(BlockingIOError):
                    client.recv(1)

    assert got == [data[start:stop] for start, stop in spans]


@promise
async def a_client_that_is_gone_is_told(subject: StorageUnderTest) -> None:
    """`send` raises `ConnectionError` when the socket takes no more: the storage is well."""
    done = await subject.finished(bytes(300_000))
    with connected() as (outlet, client):
        client.close()
        async with subject.storage.open(done) as content:
            with pytest.raises(ConnectionError):
                await content.send(outlet, 0, 300_000)


@promise
async def a_client_that_takes_nothing_ends_sending(subject: StorageUnderTest) -> None:
    """What `writable` raises ends `send`."""
    done = await subject.finished(bytes(300_000))
    with connected(TimeoutError("deaf")) as (outlet, client):
        async with subject.storage.open(done) as content:
            with pytest.raises(TimeoutError, match="deaf"):
                await content.send(outlet, 0, 300_000)

        assert 0 < len(client.recv(300_000)) < 300_000


@promise
async def digests_tell_patched_bytes(subject: StorageUnderTest) -> None:
    """`digests` gives the pieces of committed bytes with their digests, finished or not."""
    upload = await subject.kept(b"hello")
    async with subject.storage.writer(upload, atomic=False) as writer:
        await writer.write(MemoryBlock(b" world"))
        upload = await writer.commit(grown(upload, 6))
    before = await subject.storage.digests(upload, 0, 11)
    await subject.storage.assemble(upload)
    done = await subject.storage.save(completed(upload))
    after = await subject.storage.digests(done, 0, 11)

    for pieces in (before, after):
        assert pieces is not None
        assert await same_as(MemoryBody(b"hello world"), pieces)
        assert not await same_as(MemoryBody(b"hello World"), pieces)
        assert not await same_as(MemoryBody(b"hello worl"), pieces)
        assert not await same_as(MemoryBody(b"hello world!"), pieces)


# --- removing


@promise
async def delete_removes_the_bytes_and_keeps_the_record(subject: StorageUnderTest) -> None:
    """`delete` removes bytes and staged chunks, keeps the record, and may be called again."""
    upload = await subject.kept(b"hello")
    await subject.stage(upload, 4, b"x")
    await subject.storage.delete(upload)
    await subject.storage.delete(upload)

    assert (await subject.storage.load(upload.owner, upload.id)).id == upload.id
    assert await subject.storage.staged(upload) == {}
    with pytest.raises(StorageError):
        await subject.content(upload)


@promise
async def delete_removes_the_finished_file(subject: StorageUnderTest) -> None:
    """`delete` of a finished upload removes its file and no other."""
    other = await subject.finished(b"other", replace(UPLOAD, filename="other.mp3"))
    done = await subject.finished(b"hello")
    await subject.storage.delete(done)

    with pytest.raises(UploadNotFound):
        await subject.content(done)
    assert await subject.content(other) == b"other"


@promise
async def delete_removes_a_file_of_which_the_record_knows_nothing(
    subject: StorageUnderTest,
) -> None:
    """A crash between the file and the record of its completion leaves nothing behind."""
    upload = await subject.kept(b"hello")
    await subject.storage.assemble(upload)
    await subject.restarted().delete(upload)

    assert not await subject.storage.has_file(completed(upload))
    with pytest.raises(UploadNotFound):
        await subject.content(completed(upload))


@promise
async def delete_of_what_is_no_file_yet_leaves_that_of_another(subject: StorageUnderTest) -> None:
    """Removing a full upload that never became a file leaves the file of that name."""
    earlier = await subject.finished(b"earlier")
    upload = await subject.kept(b"later")
    await subject.storage.delete(upload)

    assert await subject.content(earlier) == b"earlier"


@promise
async def forget_removes_the_record_too(subject: StorageUnderTest) -> None:
    """After `forget` the upload was never there; it may be called again."""
    upload = await subject.kept(b"hello")
    await subject.storage.forget(upload)
    await subject.storage.forget(upload)

    with pytest.raises(UploadNotFound):
        await subject.storage.load(upload.owner, upload.id)
    assert await subject.ids() == set()


@promise
async def a_replaced_upload_takes_nothing_with_it(subject: StorageUnderTest) -> None:
    """Forgetting an upload that was replaced leaves the file of its successor."""
    earlier = await subject.finished(b"earlier")
    ending = Ending(why=End.REPLACED, at=NOW)
    ended = await subject.storage.save(replace(earlier, ending=ending))
    later = await subject.finished(b"later")
    await subject.storage.forget(ended)

    assert await subject.content(later) == b"later"


@promise
async def an_owner_can_come_back(subject: StorageUnderTest) -> None:
    """Nothing that `forget` tidied away is missing for the next upload of the same owner."""
    await subject.storage.forget(await subject.finished(b"first"))
    second = await subject.finished(b"second")

    assert await subject.content(second) == b"second"


@promise
async def clean_disturbs_nobody(subject: StorageUnderTest) -> None:
    """`clean` removes what dead processes left; those at work are not among them."""
    upload = await subject.kept(b"ab")
    async with (
        subject.storage.writer(upload, atomic=True) as writer,
        subject.storage.stage(upload, 1) as staging,
    ):
        await writer.write(MemoryBlock(b"cd"))
        await staging.write(MemoryBlock(b"ef"))
        removed = await subject.storage.clean()
        await staging.commit(chunk(b"ef"))
        upload = await writer.commit(grown(upload, 2))

    assert removed == Cleaned()
    assert await subject.storage.staged(upload) == {1: 2}
    assert await subject.content(upload) == b"abcd"


# --- reading again what was committed


CLAIM = Claim(sha256=b"\x2a" * 32)


@dataclass
class _Seen:
    """See `Hasher`: keeps what it sees."""

    data: bytes = b""

    def update(self, data: bytes | memoryview, /) -> None:
        self.data += bytes(data)


@promise
async def what_was_committed_is_shown(subject: StorageUnderTest) -> None:
    """`show` lets a hasher see the bytes of an upload that claims a digest, from any offset on,
    before there is a file, and after a restart; nothing of what was not committed."""
    upload = await subject.kept(b"hello world", replace(UPLOAD, claim=CLAIM))
    async with subject.storage.writer(replace(upload, length=None), atomic=True) as writer:
        await writer.write(MemoryBlock(b"garbage"))
    for storage in (subject.storage, subject.restarted()):
        for start in (0, 4, 11):
            seen = _Seen()
            is_shown = await storage.show(upload, seen, start)

            assert (is_shown, seen.data) == (True, b"hello world"[start:])


@promise
async def all_pieces_are_shown(subject: StorageUnderTest) -> None:
    """`show` begins in the middle of any piece of an upload that came in several."""
    upload = await subject.storage.create(fresh(replace(UPLOAD, claim=CLAIM)))
    for data in (b"abc", b"de", b"", b"fghij"):
        async with subject.storage.writer(upload, atomic=False) as writer:
            await writer.write(MemoryBlock(data))
            upload = await writer.commit(replace(grown(upload, len(data)), length=10))
    for start in (0, 2, 3, 4, 5, 9, 10):
        seen = _Seen()
        await subject.storage.show(upload, seen, start)

        assert seen.data == b"abcdefghij"[start:]


@promise
async def an_empty_upload_has_nothing_to_show(subject: StorageUnderTest) -> None:
    """`show` of an upload without bytes sees none, with a claim or without."""
    for claim in (None, CLAIM):
        upload = replace(UPLOAD, claim=claim, length=0)
        upload, seen = await subject.storage.create(fresh(upload)), _Seen()

        assert await subject.storage.show(upload, seen, 0)
        assert seen.data == b""


@promise
async def what_claims_nothing_is_shown_in_time(subject: StorageUnderTest) -> None:
    """`show` of an upload without a claim shows all its bytes or none, and tells which; once they
    are assembled all, also when a crash came before the record said so."""
    data = random.Random(1).randbytes(11 << 20)
    upload, before, after = await subject.kept(data), _Seen(), _Seen()
    is_shown = await subject.storage.show(upload, before, 0)
    await subject.storage.assemble(upload)

    assert before.data == (data if is_shown else b"")
    assert await subject.restarted().show(upload, after, 3)
    assert after.data == data[3:]


@promise
async def a_large_claim_is_shown_beside_the_earlier_file(subject: StorageUnderTest) -> None:
    """`show` leaves what lies at the place of an upload that claims a digest as it is; after it, or
    after a restart behind it, the upload is assembled as ever."""
    data = random.Random(2).randbytes(11 << 20)
    earlier = await subject.finished(b"earlier")
    upload, seen = await subject.kept(data, replace(UPLOAD, claim=CLAIM)), _Seen()
    for _ in range(2):
        seen = _Seen()
        await subject.storage.show(upload, seen, 7)
    between = await subject.content(earlier)
    again = subject.restarted()
    others = await again.assemble(await again.load(upload.owner, upload.id))
    shown_after = _Seen()
    await again.show(upload, shown_after, 0)

    assert seen.data == data[7:]
    assert between == b"earlier"
    assert [other.id for other in others] == [earlier.id]
    assert shown_after.data == data
    assert await subject.content(completed(upload)) == data
    assert not await subject.storage.has_file(earlier)


@promise
async def what_was_shown_can_be_deleted(subject: StorageUnderTest) -> None:
    """An upload whose bytes were shown goes without leaving its bytes, nor taking those of the file
    at its place."""
    earlier = await subject.finished(b"earlier")
    upload = await subject.kept(bytes(11 << 20), replace(UPLOAD, claim=CLAIM))
    await subject.storage.show(upload, _Seen(), 0)
    await subject.storage.forget(upload)

    assert await subject.content(earlier) == b"earlier"
    with pytest.raises(UploadNotFound):
        await subject.storage.load(upload.owner, upload.id)


@promise
async def what_cannot_be_reached_is_not_shown(subject: StorageUnderTest) -> None:
    """A storage that cannot be reached is `StorageError`, no shorter file."""
    upload, seen = await subject.kept(b"hello", replace(UPLOAD, claim=CLAIM)), _Seen()
    with subject.failing(Fault.UNREACHABLE), pytest.raises(StorageError):
        await subject.storage.show(upload, seen, 0)
    await subject.storage.show(upload, seen, 0)

    assert seen.data == b"hello"
