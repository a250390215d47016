"""Finisher: how uploads end, as a finished file or gone."""

import asyncio
from dataclasses import replace

import pytest

from tests.core import LIFE, NEW, USER, Core
from tests.fakes import Fault
from tusd_py.errors import StorageError, UploadGone, UploadNotFound
from tusd_py.events import Completed
from tusd_py.upload import End


async def test_a_failed_finish_is_made_up_for_by_the_next_request() -> None:
    """After a failed finish the upload is full and unfinished, and HEAD finishes it."""
    core = Core()
    upload = await core.created(5)
    with core.storage.failing(Fault.MOVE), pytest.raises(StorageError):
        await core.append(upload, 0, b"hello")
    between = await core.now(upload)
    found = await core.service.find(USER, upload.id)

    assert between.is_full
    assert between.completion is None
    assert found.is_file
    assert core.storage.file(upload.place) == b"hello"


async def test_a_file_that_was_not_announced_is_not_complete() -> None:
    """Bytes, then event, then flag: without the event no flag, and both come later."""
    core = Core()
    upload = await core.created(5)
    with core.sink.refusing(Completed), pytest.raises(StorageError):
        await core.append(upload, 0, b"hello")
    between = await core.now(upload)
    await core.service.find(USER, upload.id)

    assert between.completion is None
    assert core.sink.kinds()[-1] == "Completed"
    assert (await core.now(upload)).is_file


async def test_a_file_replaces_the_earlier_one_of_its_name() -> None:
    """The earlier upload is gone once the later one is a file at its place."""
    core = Core()
    earlier = await core.finished(b"earlier")
    later = await core.finished(b"later")

    assert core.storage.file(later.place) == b"later"
    assert await core.service.files(USER) == [later]
    with pytest.raises(UploadGone, match="replaced"):
        await core.service.find(USER, earlier.id)


async def test_a_failed_replacement_leaves_the_earlier_file() -> None:
    """Failure leaves what is stored as it was: the earlier file can still be had."""
    core = Core()
    earlier = await core.finished(b"earlier")
    later = await core.created(5)
    with core.storage.failing(Fault.MOVE), pytest.raises(StorageError):
        await core.append(later, 0, b"later")

    assert await core.service.files(USER) == [earlier]
    async with core.service.open(USER, earlier.id) as (_, content):
        assert [block async for block in content.read(0, content.size)] == [b"earlier"]


async def test_two_that_finish_at_one_place_are_one_file() -> None:
    """Of two uploads with the same user/file_id/filename one is the file, whole."""
    core = Core()
    uploads = await asyncio.gather(core.finished(b"one"), core.finished(b"two!"))
    files = await core.service.files(USER)

    assert len(files) == 1
    assert files[0].id in {upload.id for upload in uploads}
    assert core.storage.file(files[0].place) == await core.content(files[0])


async def test_a_partial_upload_is_no_file() -> None:
    """A finished partial upload is not announced, listed or put among the files."""
    core = Core()
    partial = await core.partial(b"hello")

    assert partial.completion is not None
    assert core.storage.file(partial.place) is None
    assert await core.service.files(USER) == []
    assert "Completed" not in core.sink.kinds()


async def test_finishing_twice_is_finishing_once() -> None:
    """A finished upload is not made again."""
    core = Core()
    upload = await core.finished(b"hello")
    again = await core.service.finisher.finish(upload)

    assert again == upload
    assert core.sink.kinds().count("Completed") == 1


async def test_a_file_waits_for_the_lock_of_its_place() -> None:
    """Two that finish at one place do so one after the other."""
    core = Core()
    upload = await core.created(5)
    async with core.locker.lock(upload.place, wanted=lambda: None):
        finishing = asyncio.create_task(core.append(upload, 0, b"hello"))
        await asyncio.wait([finishing], timeout=0.05)
        before = core.storage.file(upload.place)
    await finishing

    assert before is None
    assert core.storage.file(upload.place) == b"hello"


async def test_what_is_not_full_is_not_resumed() -> None:
    """`resume_finish` does nothing to an upload that lacks bytes, ended, or is a file already."""
    core = Core()
    short = await core.append(await core.created(10), 0, b"hello")
    file = await core.finished(b"hello", replace(NEW, filename="other"))
    gone = await core.created(10)
    await core.service.terminate(USER, gone.id)
    before = list(core.storage.records)
    resumed = [await core.service.finisher.resume_finish(each) for each in (short, file, gone)]

    assert resumed == [False, False, False]
    assert core.storage.records == before


async def test_an_upload_that_lives_on_meanwhile_is_spared() -> None:
    """What counts is the record under the lock, not the one that was listed."""
    core = Core()
    listed = await core.created(10)
    core.clock.forward(LIFE)
    prolonged = replace(listed, expires_at=core.clock() + LIFE)
    await core.storage.save(prolonged)

    assert not await core.service.finisher.expire(listed)
    assert await core.now(listed) == prolonged


async def test_bytes_go_after_the_record_says_so() -> None:
    """When the record cannot be replaced, no byte of an unfinished upload is lost."""
    core = Core()
    upload = await core.append(await core.created(10), 0, b"hello")
    with core.storage.failing(Fault.RECORD), pytest.raises(StorageError):
        await core.service.finisher.remove(upload, End.EXPIRED)

    assert await core.now(upload) == upload
    assert await core.content(upload) == b"hello"


async def test_a_removal_that_failed_can_be_repeated() -> None:
    """A file that went although its record could not say so can be removed again."""
    core = Core()
    upload = await core.finished(b"hello")
    with core.storage.failing(Fault.RECORD), pytest.raises(StorageError):
        await core.service.terminate(USER, upload.id)
    await core.service.terminate(USER, upload.id)

    with pytest.raises(UploadNotFound):
        await core.content(upload)
    assert await core.service.files(USER) == []
