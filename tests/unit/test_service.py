"""UploadService: every verb, and what is true after each failure."""

import asyncio
import contextlib
import uuid
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.core import LIFE, NEW, USER, Core
from tests.fakes import Fault, MemoryBody
from tusd_py.checksum import Checksum
from tusd_py.errors import (
    BadRequest,
    BodyError,
    BodyInterrupted,
    BodyMalformed,
    BodyStalled,
    BodyStopped,
    ChecksumMismatch,
    Forbidden,
    NoSpace,
    OffsetMismatch,
    StorageError,
    TooLarge,
    Trouble,
    UploadGone,
    UploadLocked,
    UploadNotFound,
    UploadUnfinished,
)
from tusd_py.events import Completed, Created
from tusd_py.sweeper import sweep
from tusd_py.upload import Append, Final, NewUpload, Partial, Upload

ELSEWHERE = NewUpload(owner=USER, filename="other.mp3", declared_file_id="5")


def crc(data: bytes) -> Checksum:
    """The checksum of these bytes."""
    return Checksum(algorithm="crc32", digest=zlib.crc32(data).to_bytes(4, "big"))


def final(*partials: Upload) -> Final:
    """The concatenation of some uploads."""
    return Final(partials=tuple(each.id for each in partials), header="final;as received")


async def all_ids(core: Core) -> set[str]:
    """Ids of all uploads there are."""
    owners = {record.owner for record in core.storage.records}
    return {upload.id for owner in owners async for upload in core.storage.uploads(owner)}


# --- create


async def test_create_keeps_an_upload() -> None:
    """A created upload can be found, has no bytes, and expires."""
    core = Core()
    upload = await core.created(10)

    assert await core.service.find(USER, upload.id) == upload
    assert upload.offset == 0
    assert upload.expires_at == core.clock() + LIFE
    assert core.sink.kinds() == ["Created"]


async def test_create_with_bytes() -> None:
    """The first bytes may come along."""
    core = Core()
    upload = await core.service.create(replace(NEW, length=10), MemoryBody.sized(b"hello"))

    assert upload.offset == 5
    assert await core.content(upload) == b"hello"


async def test_create_with_all_bytes_finishes() -> None:
    """With all bytes the upload is a file at once."""
    core = Core()
    upload = await core.finished(b"hello")

    assert upload.is_file
    assert core.storage.file("42/123/audio.mp3") == b"hello"
    assert core.sink.kinds() == ["Created", "Received", "Completed"]


async def test_an_empty_file_is_finished_at_once() -> None:
    """An upload of length 0 needs no bytes."""
    core = Core()
    upload = await core.created(0)

    assert upload.is_file
    assert core.storage.file(upload.place) == b""


async def test_create_refuses_a_length_over_the_limit() -> None:
    """Nothing is created beyond the limit; exactly the limit works."""
    core = Core(max_size=10)
    exact = await core.created(10)

    with pytest.raises(TooLarge):
        await core.created(11)
    assert await all_ids(core) == {exact.id}


async def test_create_refuses_a_body_over_the_length() -> None:
    """A body that is known to be too long creates nothing."""
    core = Core()
    with pytest.raises(TooLarge):
        await core.service.create(replace(NEW, length=4), MemoryBody.sized(b"hello"))

    assert await all_ids(core) == set()


async def test_create_refuses_a_body_over_the_limit() -> None:
    """A deferred length does not get around the limit."""
    core = Core(max_size=4)
    with pytest.raises(TooLarge):
        await core.service.create(NEW, MemoryBody.sized(b"hello"))

    assert await all_ids(core) == set()


async def test_create_with_a_wrong_checksum_creates_nothing() -> None:
    """When the checksum is wrong there is no upload."""
    core = Core()
    with pytest.raises(ChecksumMismatch):
        await core.service.create(replace(NEW, length=5), MemoryBody(b"jello"), crc(b"hello"))

    assert await all_ids(core) == set()
    assert core.sink.kinds() == ["Created", "Terminated"]


@pytest.mark.parametrize("length", [10, None], ids=["told", "deferred"])
@pytest.mark.parametrize("error", [BodyInterrupted, BodyMalformed, BodyStalled, BodyStopped])
async def test_a_creation_whose_body_breaks_off_leaves_nothing(
    length: int | None, error: Callable[[], BodyError]
) -> None:
    """Nobody learned of the upload: it is gone with its bytes, who heard of it hears of its end,
    and its owner has all room again."""
    core = Core(max_open=1, quota=10)
    body = MemoryBody.broken(b"hel", error=error())
    with pytest.raises(BodyError):
        await core.service.create(replace(NEW, length=length), body)

    assert await all_ids(core) == set()
    assert core.sink.kinds() == ["Created", "Received", "Terminated"]
    await core.created(10)


@pytest.mark.parametrize(("max_size", "quota"), [(10, None), (None, 10)], ids=["size", "quota"])
async def test_a_creation_that_meets_a_limit_in_mid_body_leaves_nothing(
    max_size: int | None, quota: int | None
) -> None:
    """The same when the body turns out to be too long."""
    core = Core(max_open=1, max_size=max_size, quota=quota)
    with pytest.raises(TooLarge):
        await core.service.create(NEW, MemoryBody(b"x" * 9, b"!!"))

    assert await all_ids(core) == set()
    assert core.sink.kinds() == ["Created", "Received", "Terminated"]
    await core.created(10)


async def test_draining_ends_a_creation_with_bytes() -> None:
    """At shutdown a creation whose bytes are still to come ends, and leaves nothing."""
    core = Core()
    body = MemoryBody(b"hel", is_open=True)
    running = asyncio.create_task(core.service.create(replace(NEW, length=5), body))
    await body.drained()
    core.service.drain()

    with pytest.raises(BodyStopped):
        await running
    assert await all_ids(core) == set()


async def test_draining_comes_before_a_creation() -> None:
    """A body that the server will not read any more creates nothing."""
    core = Core(quota=10)
    running = asyncio.create_task(core.service.create(NEW, MemoryBody(b"hello")))
    await asyncio.sleep(0)
    core.service.drain()

    with pytest.raises(BodyStopped):
        await running
    assert core.storage.records == []
    assert core.sink.kinds() == []


@pytest.mark.parametrize("ending", ["broken", "surplus"])
async def test_a_creation_that_brought_all_bytes_finishes(ending: str) -> None:
    """What goes wrong after the last byte does not take the file back."""
    core = Core()
    body = MemoryBody(b"hello", b"!")
    if ending == "broken":
        body = MemoryBody.broken(b"hello", error=BodyInterrupted())
    with pytest.raises((BodyInterrupted, TooLarge)):
        await core.service.create(replace(NEW, length=5), body)
    [upload] = await core.service.files(USER)

    assert core.storage.file(upload.place) == b"hello"
    assert core.sink.kinds() == ["Created", "Received", "Completed"]


@pytest.mark.parametrize(
    ("body", "checksum"),
    [(MemoryBody.broken(error=BodyInterrupted()), None), (MemoryBody.sized(), crc(b"hello"))],
    ids=["broken", "wrong checksum"],
)
async def test_an_empty_upload_needs_a_whole_body_too(
    body: MemoryBody, checksum: Checksum | None
) -> None:
    """Of no bytes none came: that alone makes no file."""
    core = Core()
    with pytest.raises((BodyInterrupted, ChecksumMismatch)):
        await core.service.create(replace(NEW, length=0), body, checksum)

    assert await all_ids(core) == set()


async def test_a_broken_creation_that_cannot_be_forgotten_is_left_to_the_sweeper() -> None:
    """The client is told what went wrong first; the upload goes when it expires."""
    core = Core()
    body = MemoryBody(is_open=True)
    running = asyncio.create_task(core.service.create(replace(NEW, length=5), body))
    await body.drained()
    with core.storage.failing(Fault.UNREACHABLE):
        body.break_off(BodyInterrupted())
        with pytest.raises(BodyInterrupted):
            await running
    left = await all_ids(core)
    core.clock.forward(LIFE)
    await sweep(core.service)

    assert len(left) == 1
    assert core.sink.kinds()[:2] == ["Created", "Expired"]


async def test_a_creation_that_is_cancelled_calls_nobody() -> None:
    """A process that leaves by force waits for no storage; the sweeper takes what is left."""
    core = Core()
    body = MemoryBody(b"hel", is_open=True)
    running = asyncio.create_task(core.service.create(replace(NEW, length=5), body))
    await body.drained()
    running.cancel()
    await asyncio.wait([running])

    assert running.cancelled()
    assert len(await all_ids(core)) == 1
    assert core.sink.kinds() == ["Created"]


async def test_a_creation_that_cannot_be_announced_leaves_nothing() -> None:
    """An upload of which nobody may hear is none."""
    core = Core()
    with core.sink.refusing(Created), pytest.raises(StorageError):
        await core.created(10)

    assert await all_ids(core) == set()


async def test_create_fails_when_the_storage_does() -> None:
    """An upload that could not be kept is not announced."""
    core = Core()
    with core.storage.failing(Fault.RECORD), pytest.raises(StorageError):
        await core.created(10)

    assert core.sink.kinds() == []


# --- append


async def test_append_moves_the_offset() -> None:
    """Bytes are appended, and life is prolonged."""
    core = Core()
    upload = await core.created(10)
    core.clock.forward(timedelta(hours=1))
    upload = await core.append(upload, 0, b"hel", b"lo")

    assert upload.offset == 5
    assert upload.expires_at == core.clock() + LIFE
    assert await core.content(upload) == b"hello"


async def test_the_last_append_finishes() -> None:
    """Bytes, then event, then flag."""
    core = Core()
    upload = await core.created(10)
    await core.append(upload, 0, b"hello")
    upload = await core.append(upload, 5, b"world")

    assert upload.completion is not None
    assert core.storage.file("42/123/audio.mp3") == b"helloworld"
    assert core.sink.kinds() == ["Created", "Received", "Received", "Completed"]


async def test_append_at_another_offset_changes_nothing() -> None:
    """The offset that fits is told."""
    core = Core()
    upload = await core.append(await core.created(10), 0, b"hello")
    with pytest.raises(OffsetMismatch) as caught:
        await core.append(upload, 4, b"oworld")

    assert caught.value.expected == 5
    assert await core.content(upload) == b"hello"


async def test_a_broken_append_keeps_what_came() -> None:
    """What came of a body counts even if it breaks off."""
    core = Core()
    upload = await core.created(10)
    body = MemoryBody.broken(b"hel", error=BodyInterrupted())
    with pytest.raises(BodyInterrupted):
        await core.service.append(USER, upload.id, Append(offset=0, size=10), body)

    assert (await core.now(upload)).offset == 3


async def test_a_broken_append_that_brought_all_bytes_finishes() -> None:
    """Once HEAD says offset == length the final file exists, also when the connection broke."""
    core = Core()
    upload = await core.created(5)
    body = MemoryBody.broken(b"hello", error=BodyInterrupted())
    with pytest.raises(BodyInterrupted):
        await core.service.append(USER, upload.id, Append(offset=0, size=None), body)

    assert (await core.now(upload)).is_file


async def test_surplus_bytes_do_not_hinder_the_file() -> None:
    """Bytes beyond the length are refused, those before it are the file."""
    core = Core()
    upload = await core.created(5)
    body = MemoryBody(b"hello", b"world")
    with pytest.raises(TooLarge):
        await core.service.append(USER, upload.id, Append(offset=0, size=None), body)

    assert core.storage.file(upload.place) == b"hello"


async def test_a_wrong_checksum_changes_nothing() -> None:
    """Bytes with the wrong checksum are discarded; the same append with the right ones works."""
    core = Core()
    upload = await core.created(5)
    append = Append(offset=0, size=5, checksum=crc(b"hello"))
    with pytest.raises(ChecksumMismatch):
        await core.service.append(USER, upload.id, append, MemoryBody(b"jello"))
    before = await core.now(upload)
    await core.service.append(USER, upload.id, append, MemoryBody(b"hello"))

    assert before == upload
    assert core.storage.file(upload.place) == b"hello"


async def test_a_deferred_length_may_come_with_no_bytes() -> None:
    """The length alone can complete an upload."""
    core = Core()
    upload = await core.append(await core.created(None), 0, b"hello")
    upload = await core.append(upload, 5, length=5)

    assert upload.is_file


async def test_a_deferred_upload_is_held_to_the_limit() -> None:
    """The stream is cut at the limit although no length is known."""
    core = Core(max_size=8)
    upload = await core.created(None)
    body = MemoryBody(b"hello", b"world")
    with pytest.raises(TooLarge):
        await core.service.append(USER, upload.id, Append(offset=0, size=None), body)

    assert (await core.now(upload)).offset == 5


async def test_an_empty_append_to_a_file_is_a_success() -> None:
    """A client that lost the last answer may ask again with nothing left to send."""
    core = Core()
    upload = await core.finished(b"hello")

    assert await core.append(upload, 5) == upload


@pytest.mark.parametrize("size", [3, None])
async def test_a_file_takes_no_more_bytes(size: int | None) -> None:
    """A complete upload refuses bytes, whether their number was told or not."""
    core = Core()
    upload = await core.finished(b"hello")
    with pytest.raises(TooLarge):
        await core.service.append(
            USER, upload.id, Append(offset=5, size=size), MemoryBody(b"!!!", size=size)
        )

    assert core.storage.file(upload.place) == b"hello"


async def test_a_full_storage_leaves_the_offset() -> None:
    """Failure leaves the record as it was; later the same append works."""
    core = Core()
    upload = await core.created(5)
    with core.storage.failing(Fault.WRITE), pytest.raises(NoSpace):
        await core.append(upload, 0, b"hello")

    assert await core.now(upload) == upload
    assert (await core.append(upload, 0, b"hello")).is_file


# --- hand-over and shutdown


async def test_a_newcomer_ends_a_running_append() -> None:
    """HEAD makes a stalled append commit what it has and leave; the offset can be used at once."""
    core = Core()
    upload = await core.created(10)
    body = MemoryBody(b"hel", is_open=True)
    append = Append(offset=0, size=10)
    running = asyncio.create_task(core.service.append(USER, upload.id, append, body))
    await body.drained()
    found = await core.service.find(USER, upload.id)

    assert found.offset == 3
    with pytest.raises(BodyStopped):
        await running


async def test_one_append_takes_over_from_another() -> None:
    """The bytes of the holder count before those of the newcomer are looked at."""
    core = Core()
    upload = await core.created(10)
    body = MemoryBody(b"hel", is_open=True)
    append = Append(offset=0, size=10)
    running = asyncio.create_task(core.service.append(USER, upload.id, append, body))
    await body.drained()
    with pytest.raises(OffsetMismatch) as caught:
        await core.append(upload, 0, b"helloworld")

    assert caught.value.expected == 3
    with pytest.raises(BodyStopped):
        await running


async def test_two_appends_at_one_offset_have_one_effect() -> None:
    """Content is never interleaved: one of them appends, the other is refused or stopped."""
    core = Core()
    upload = await core.created(5)
    results = await asyncio.gather(
        core.append(upload, 0, b"aa", b"aaa"),
        core.append(upload, 0, b"bb", b"bbb"),
        return_exceptions=True,
    )

    assert sum(isinstance(result, Upload) for result in results) == 1
    assert core.storage.file(upload.place) in {b"aaaaa", b"bbbbb"}


async def test_a_holder_that_does_not_let_go_is_told_of() -> None:
    """`UploadLocked` when the present holder is deaf."""
    core = Core()
    upload = await core.created(10)
    async with core.locker.lock(upload.key, wanted=lambda: None):
        with pytest.raises(UploadLocked):
            await core.service.find(USER, upload.id)


async def test_a_file_is_found_without_its_lock() -> None:
    """Nobody waits for a finished upload."""
    core = Core()
    upload = await core.finished(b"hello")
    async with core.locker.lock(upload.key, wanted=lambda: None):
        assert await core.service.find(USER, upload.id) == upload


async def test_draining_ends_running_appends() -> None:
    """At shutdown every running append commits what it has and ends."""
    core = Core()
    upload = await core.created(10)
    body = MemoryBody(b"hel", is_open=True)
    append = Append(offset=0, size=10)
    running = asyncio.create_task(core.service.append(USER, upload.id, append, body))
    await body.drained()
    core.service.drain()

    with pytest.raises(BodyStopped):
        await running
    assert (await core.now(upload)).offset == 3


async def test_draining_begins_no_append() -> None:
    """A server that is about to leave reads no further body."""
    core = Core()
    upload = await core.created(10)
    core.service.drain()

    with pytest.raises(BodyStopped):
        await core.append(upload, 0, b"hello")
    assert await core.now(upload) == upload


async def test_draining_creates_nothing() -> None:
    """A server that is about to leave takes no new upload."""
    core = Core()
    core.service.drain()

    with pytest.raises(Trouble):
        await core.created(10)
    assert [upload async for upload in core.storage.unsettled()] == []


# --- ownership


@pytest.mark.parametrize(
    "verb",
    [
        lambda service, upload_id: service.find("43", upload_id),
        lambda service, upload_id: service.terminate("43", upload_id),
        lambda service, upload_id: service.append(
            "43", upload_id, Append(offset=0, size=1), MemoryBody(b"x")
        ),
    ],
    ids=["find", "terminate", "append"],
)
async def test_anothers_upload_is_not_found(
    verb: Callable[[object, str], Awaitable[object]],
) -> None:
    """Another owner's upload is `UploadNotFound` for every verb, and nothing happens to it."""
    core = Core()
    upload = await core.created(10)
    with pytest.raises(UploadNotFound):
        await verb(core.service, upload.id)

    assert await core.now(upload) == upload


async def test_anothers_file_cannot_be_opened() -> None:
    """Nor is it listed."""
    core = Core()
    upload = await core.finished(b"hello")
    with pytest.raises(UploadNotFound):
        async with core.service.open("43", upload.id):
            pass

    assert await core.service.files("43") == []


@pytest.mark.parametrize(
    "upload_id", ["", "../x", "x" * 5000, "1b4dc0e0-e6f3-11f1-bf1f-02fc00000001"]
)
async def test_what_is_no_id_never_reaches_the_storage(upload_id: str) -> None:
    """Only ids that this server could have made are looked for."""
    with pytest.raises(UploadNotFound):
        await Core().service.find(USER, upload_id)


# --- concatenate


async def test_concatenation_is_in_the_order_of_the_list() -> None:
    """The content is that of the partial uploads in order, one of them twice if so named."""
    core = Core()
    first, second = await core.partial(b"ab"), await core.partial(b"cd")
    whole = await core.service.concatenate(NEW, final(second, first, second))

    assert whole.length == whole.offset == 6
    assert core.storage.file("42/123/audio.mp3") == b"cdabcd"
    assert await core.now(first) == first


async def test_a_concatenated_upload_takes_no_bytes() -> None:
    """PATCH on a final upload is Forbidden; neither it nor its parts are modified."""
    core = Core()
    whole = await core.service.concatenate(NEW, final(await core.partial(b"ab")))
    with pytest.raises(Forbidden):
        await core.append(whole, 2, b"!")

    assert core.storage.file(whole.place) == b"ab"


async def test_concatenation_needs_finished_parts() -> None:
    """An unfinished, unknown, foreign or ordinary upload cannot be concatenated."""
    core = Core()
    ordinary = await core.finished(b"x", ELSEWHERE)
    unfinished = await core.created(5, replace(NEW, concat=Partial()))
    foreign = await core.partial(b"x", replace(NEW, owner="43"))
    known = await all_ids(core)
    for wrong in (ordinary, unfinished, foreign, replace(ordinary, id=str(uuid.uuid4()))):
        with pytest.raises(BadRequest):
            await core.service.concatenate(NEW, final(wrong))

    assert await all_ids(core) == known


async def test_concatenation_is_held_to_the_limit() -> None:
    """The sum of the parts counts."""
    core = Core(max_size=4)
    part = await core.partial(b"abc")
    with pytest.raises(TooLarge):
        await core.service.concatenate(NEW, final(part, part))

    assert await all_ids(core) == {part.id}


async def test_an_expired_part_is_gone() -> None:
    """A partial upload whose time is over cannot be used any more."""
    core = Core()
    part = await core.partial(b"abc")
    core.clock.forward(LIFE)

    with pytest.raises(UploadGone):
        await core.service.concatenate(NEW, final(part))


@pytest.mark.parametrize("fault", [Fault.WRITE, Fault.MOVE])
async def test_a_failed_concatenation_leaves_no_upload(fault: Fault) -> None:
    """After a failure there is no new upload; the partial ones are as they were."""
    core = Core()
    part = await core.partial(b"abc")
    with core.storage.failing(fault), pytest.raises((StorageError, NoSpace)):
        await core.service.concatenate(NEW, final(part))

    assert await all_ids(core) == {part.id}
    assert await core.content(part) == b"abc"
    assert core.sink.kinds()[-2:] == ["Created", "Terminated"]


async def test_a_failed_concatenation_leaves_no_file_that_nobody_owns() -> None:
    """Whatever lies among the finished files belongs to an upload that is or becomes a file."""
    core = Core()
    part = await core.partial(b"abc")
    with core.sink.refusing(Completed), pytest.raises(StorageError):
        await core.service.concatenate(NEW, final(part))
    await sweep(core.service)
    owned = {upload.place for upload in await core.service.files(USER)}

    assert core.storage.file("42/123/audio.mp3") is None or "42/123/audio.mp3" in owned


async def test_a_failed_concatenation_leaves_an_earlier_file() -> None:
    """The file of that name can still be had, one version or the other."""
    core = Core()
    await core.finished(b"earlier")
    part = await core.partial(b"abc")
    with core.sink.refusing(Completed), pytest.raises(StorageError):
        await core.service.concatenate(NEW, final(part))
    await sweep(core.service)
    [listed] = await core.service.files(USER)

    assert await core.content(listed) == core.storage.file("42/123/audio.mp3")


# --- terminate


async def test_terminate_removes_bytes_and_remembers() -> None:
    """A terminated upload is gone while its record remembers it."""
    core = Core()
    upload = await core.append(await core.created(10), 0, b"hello")
    await core.service.terminate(USER, upload.id)

    with pytest.raises(UploadGone, match="terminated"):
        await core.service.find(USER, upload.id)
    with pytest.raises(UploadNotFound):
        await core.content(upload)
    assert core.sink.kinds()[-1] == "Terminated"


async def test_terminate_removes_the_file() -> None:
    """A finished upload goes with its file."""
    core = Core()
    upload = await core.finished(b"hello")
    await core.service.terminate(USER, upload.id)

    assert core.storage.file(upload.place) is None
    assert await core.service.files(USER) == []


async def test_terminate_ends_a_running_append() -> None:
    """A running append is ended first, and leaves nothing behind."""
    core = Core()
    upload = await core.created(10)
    body = MemoryBody(b"hel", is_open=True)
    append = Append(offset=0, size=10)
    running = asyncio.create_task(core.service.append(USER, upload.id, append, body))
    await body.drained()
    await core.service.terminate(USER, upload.id)

    with pytest.raises(BodyStopped):
        await running
    with pytest.raises(UploadNotFound):
        await core.content(upload)


async def test_terminate_removes_a_file_whose_record_does_not_know_it_yet() -> None:
    """An upload whose finish failed after the file was made does not leave the file behind."""
    core = Core()
    upload = await core.created(5)
    with core.sink.refusing(Completed), pytest.raises(StorageError):
        await core.append(upload, 0, b"hello")
    await core.service.terminate(USER, upload.id)

    assert core.storage.file(upload.place) is None


async def test_terminating_what_is_no_file_yet_leaves_an_earlier_file() -> None:
    """Who removes an upload whose file could not be made keeps the file of that name."""
    core = Core()
    earlier = await core.finished(b"earlier")
    later = await core.created(5)
    with core.storage.failing(Fault.MOVE), pytest.raises(StorageError):
        await core.append(later, 0, b"later")
    await core.service.terminate(USER, later.id)

    assert await core.service.files(USER) == [earlier]
    assert core.storage.file(earlier.place) == b"earlier"


async def test_terminating_the_earlier_leaves_the_later_file() -> None:
    """An upload that was replaced cannot take its successor with it."""
    core = Core()
    earlier = await core.finished(b"earlier")
    later = await core.finished(b"later")
    with pytest.raises(UploadGone):
        await core.service.terminate(USER, earlier.id)

    assert core.storage.file(later.place) == b"later"


async def test_terminate_twice() -> None:
    """The second time it is gone already."""
    core = Core()
    upload = await core.created(10)
    await core.service.terminate(USER, upload.id)

    with pytest.raises(UploadGone):
        await core.service.terminate(USER, upload.id)


# --- files and bytes


async def test_files_are_listed_oldest_first() -> None:
    """Finished files of this user only."""
    core = Core()
    first = await core.finished(b"1")
    core.clock.forward(timedelta(seconds=1))
    second = await core.finished(b"2", ELSEWHERE)
    await core.finished(b"3", replace(NEW, owner="43"))
    await core.created(5)

    assert await core.service.files(USER) == [first, second]


async def test_an_unfinished_upload_cannot_be_opened() -> None:
    """Content must not leak before it is complete."""
    core = Core()
    upload = await core.append(await core.created(10), 0, b"hello")

    with pytest.raises(UploadUnfinished):
        async with core.service.open(USER, upload.id):
            pass


async def test_a_file_is_read_while_its_lock_is_held() -> None:
    """Reading never locks."""
    core = Core()
    upload = await core.finished(b"hello")
    async with (
        core.locker.lock(upload.key, wanted=lambda: None),
        core.service.open(USER, upload.id) as (opened, content),
    ):
        data = [block async for block in content.read(1, 4)]

    assert opened == upload
    assert data == [b"ell"]


async def test_an_expired_upload_is_gone() -> None:
    """From the moment of its expiry on, swept or not."""
    core = Core()
    upload = await core.created(10)
    core.clock.forward(LIFE)

    with pytest.raises(UploadGone, match="expired"):
        await core.append(upload, 0, b"hello")


# --- whose file lies at a place


async def test_an_earlier_upload_never_removes_a_later_file() -> None:
    """Not even when its own file was taken away from the place before the later one came."""
    core = Core()
    earlier = await core.finished(b"earlier")
    core.storage.take_away(earlier.place)
    later = await core.finished(b"later")
    with contextlib.suppress(UploadGone, UploadNotFound):
        await core.service.terminate(USER, earlier.id)

    assert await core.content(later) == b"later"


async def test_to_terminate_a_full_upload_replaces_nothing() -> None:
    """A full upload that never became a file goes; the file at its place stays."""
    core = Core()
    earlier = await core.finished(b"earlier")
    upload = await core.created(5)
    with core.storage.failing(Fault.MOVE), pytest.raises(StorageError):
        await core.append(upload, 0, b"hello")
    await core.service.terminate(USER, upload.id)

    assert await core.content(earlier) == b"earlier"
    assert [each.id for each in await core.service.files(USER)] == [earlier.id]


async def test_nobody_disturbs_the_upload_of_another() -> None:
    """A request for an id that is another's lets a running append run."""
    core = Core()
    upload = await core.created(5)
    body = MemoryBody(is_open=True)
    append = Append(offset=0, size=5)
    running = asyncio.create_task(core.service.append(USER, upload.id, append, body))
    await body.drained()
    for request in (
        core.service.terminate("43", upload.id),
        core.service.append("43", upload.id, append, MemoryBody(b"wrong")),
        core.service.find("43", upload.id),
    ):
        with pytest.raises(UploadNotFound):
            await request
    body.send(b"hello")
    body.finish()

    assert (await running).is_file


async def test_an_earlier_upload_ends_only_after_its_file_was_replaced() -> None:
    """A crash before the new file is there finds the earlier one with its record."""
    core = Core()
    earlier = await core.finished(b"earlier")
    upload = await core.created(5)
    with core.storage.failing(Fault.MOVE), pytest.raises(StorageError):
        await core.append(upload, 0, b"hello")

    assert all(each.ending is None for each in core.storage.records if each.id == earlier.id)
