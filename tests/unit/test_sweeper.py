"""The sweeper: one pass over all uploads."""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.core import LIFE, NEW, Core
from tests.fakes import Fault
from tusd_py.errors import StorageError, UploadNotFound
from tusd_py.events import Swept
from tusd_py.sweeper import sweep, sweep_forever


async def test_a_living_upload_is_left_alone() -> None:
    """One moment before its end an upload is not touched."""
    core = Core()
    upload = await core.append(await core.created(10), 0, b"hello")
    core.clock.forward(LIFE - timedelta(microseconds=1))
    report = await sweep(core.service)

    assert report == Swept()
    assert await core.now(upload) == upload


async def test_an_expired_upload_is_ended() -> None:
    """Its bytes go, its record remembers it for a while, and that is told."""
    core = Core()
    upload = await core.append(await core.created(10), 0, b"hello")
    core.clock.forward(LIFE)
    report = await sweep(core.service)

    assert report == Swept(expired=1)
    assert core.sink.kinds()[-1] == "Expired"
    assert (await core.now(upload)).ending is not None
    with pytest.raises(UploadNotFound):
        await core.content(upload)


async def test_waiting_chunks_expire_with_their_upload() -> None:
    """Nothing of an abandoned upload stays."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 3, b"x")
    core.clock.forward(LIFE)
    await sweep(core.service)

    assert await core.storage.staged(upload) == {}


async def test_bytes_prolong_a_life() -> None:
    """The expiry slides with every append."""
    core = Core()
    upload = await core.created(10)
    core.clock.forward(LIFE / 2)
    await core.append(upload, 0, b"hello")
    core.clock.forward(LIFE / 2)

    assert await sweep(core.service) == Swept()


async def test_a_finished_file_is_never_swept() -> None:
    """A cleaner does not delete finished files."""
    core = Core()
    upload = await core.finished(b"hello")
    core.clock.forward(LIFE * 1000)
    report = await sweep(core.service)

    assert report == Swept()
    assert core.storage.file(upload.place) == b"hello"


async def test_a_finished_partial_upload_expires() -> None:
    """A partial upload expires whether it was used or not."""
    core = Core()
    await core.partial(b"hello")
    core.clock.forward(LIFE)

    assert await sweep(core.service) == Swept(expired=1)


async def test_what_a_crash_left_full_is_finished() -> None:
    """An upload that is full and no file becomes one, also when its time is over."""
    core = Core()
    upload = await core.created(5)
    with core.storage.failing(Fault.MOVE), pytest.raises(StorageError):
        await core.append(upload, 0, b"hello")
    core.clock.forward(LIFE * 2)
    report = await sweep(core.service)

    assert report == Swept(finished=1)
    assert (await core.now(upload)).is_file
    assert core.storage.file(upload.place) == b"hello"


async def test_what_cannot_be_finished_is_tried_again() -> None:
    """As long as it lives, an upload that is full is kept for a better time."""
    core = Core()
    upload = await core.created(5)
    with core.storage.failing(Fault.MOVE):
        with pytest.raises(StorageError):
            await core.append(upload, 0, b"hello")
        failed = await sweep(core.service)
    finished = await sweep(core.service)

    assert (failed, finished) == (Swept(failed=1), Swept(finished=1))


async def test_what_can_never_be_finished_expires() -> None:
    """In the end it goes, as every unfinished upload does."""
    core = Core()
    upload = await core.created(5)
    with core.storage.failing(Fault.MOVE):
        with pytest.raises(StorageError):
            await core.append(upload, 0, b"hello")
        core.clock.forward(LIFE)
        report = await sweep(core.service)

    assert report == Swept(expired=1)


async def test_a_tombstone_is_remembered_for_a_life() -> None:
    """410 is answered as long as an unfinished upload would have lived."""
    core = Core()
    upload = await core.created(10)
    core.clock.forward(LIFE)
    await sweep(core.service)
    core.clock.forward(LIFE - timedelta(microseconds=1))
    report = await sweep(core.service)

    assert report == Swept()
    assert (await core.now(upload)).ending is not None


async def test_a_tombstone_is_forgotten() -> None:
    """Then its record goes, too."""
    core = Core()
    upload = await core.created(10)
    core.clock.forward(LIFE)
    await sweep(core.service)
    core.clock.forward(LIFE)
    report = await sweep(core.service)

    assert report == Swept(forgotten=1)
    with pytest.raises(UploadNotFound):
        await core.now(upload)


async def test_a_forgotten_predecessor_leaves_the_file() -> None:
    """Forgetting an upload that was replaced does not touch its successor's file."""
    core = Core()
    await core.finished(b"earlier")
    later = await core.finished(b"later")
    core.clock.forward(LIFE * 2)
    report = await sweep(core.service)

    assert report == Swept(forgotten=1)
    assert core.storage.file(later.place) == b"later"


async def test_an_upload_somebody_works_on_is_skipped() -> None:
    """The sweeper neither waits for a lock nor asks for it."""
    core = Core()
    expired = await core.created(10)
    full = await core.created(5, replace(NEW, filename="full"))
    with core.storage.failing(Fault.MOVE), pytest.raises(StorageError):
        await core.append(full, 0, b"hello")
    core.clock.forward(LIFE)
    asked: list[str] = []
    async with (
        core.locker.lock(expired.key, wanted=lambda: asked.append("expired")),
        core.locker.lock(full.key, wanted=lambda: asked.append("full")),
    ):
        report = await sweep(core.service)

    assert report == Swept()
    assert asked == []


async def test_one_that_fails_does_not_hold_up_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What fails is logged, counted and tried again the next time."""
    core = Core()
    await core.created(10)
    await core.created(10)
    core.clock.forward(LIFE)
    with core.storage.failing(Fault.RECORD):
        failed = await sweep(core.service)
    again = await sweep(core.service)

    assert [record.getMessage() for record in caplog.records] == ["sweep_failed"] * 2
    assert failed == Swept(failed=2)
    assert again == Swept(expired=2)


async def logged(caplog: pytest.LogCaptureFixture, event: str) -> None:
    """Return once the sweeper has logged an event."""
    async with asyncio.timeout(5):
        while event not in caplog.messages:  # noqa: ASYNC110 - a log tells nobody
            await asyncio.sleep(0.001)


async def told(core: Core, event: Swept) -> None:
    """Return once the sweeper has told what it did."""
    async with asyncio.timeout(5):
        while event not in core.sink.events:  # noqa: ASYNC110 - a list tells nobody
            await asyncio.sleep(0.001)


async def test_it_sweeps_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    """A pass now and one every interval; one that fails is logged, what one did is told."""
    caplog.set_level(logging.INFO)
    core = Core()
    upload = await core.created(10)
    core.clock.forward(LIFE)
    sweeping = asyncio.create_task(sweep_forever(core.service, interval=0.005))
    try:
        with core.storage.failing(Fault.UNREACHABLE):
            await logged(caplog, "sweep_failed")
        await told(core, Swept(expired=1))
        await asyncio.wait([sweeping], timeout=0.05)
    finally:
        sweeping.cancel()
        await asyncio.wait([sweeping])

    assert set(caplog.messages) == {"sweep_failed"}
    assert core.sink.events.count(Swept(expired=1)) == 1
    assert (await core.now(upload)).ending is not None


async def test_it_rests_between_two_passes() -> None:
    """What happens after a pass waits for the next one."""
    core = Core()
    sweeping = asyncio.create_task(sweep_forever(core.service, interval=60.0))
    try:
        await asyncio.wait([sweeping], timeout=0.02)
        upload = await core.created(10)
        core.clock.forward(LIFE)
        await asyncio.wait([sweeping], timeout=0.05)
    finally:
        sweeping.cancel()
        await asyncio.wait([sweeping])

    assert (await core.now(upload)).ending is None
