"""Every sink keeps every promise of `EventSink`."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.contracts.sink import PROMISES, Promise
from tests.fakes import MemorySink
from tests.uploads import UPLOAD, completed
from tusd_py.errors import StorageError, Trouble
from tusd_py.events import Completed
from tusd_py.interfaces import EventSink
from tusd_py.metrics import Metrics
from tusd_py.notify import FanOut, LogSink
from tusd_py.notify.file import NAME
from tusd_py.notify.notifier import Manner, Notifier
from tusd_py.notify.outbox import Outbox
from tusd_py.setting_types import Notification
from tusd_py.upload import Upload

MakeSink = Callable[[Path], AbstractAsyncContextManager[EventSink]]

each_promise = pytest.mark.parametrize("promise", PROMISES, ids=lambda each: each.__name__)

MANNER = Manner(kinds=frozenset(Notification), wait=0, progress_interval=0.001)


async def located(upload: Upload) -> str:
    """Where a file is."""
    return f"/{upload.place}"


@asynccontextmanager
async def notifier(folder: Path) -> AsyncIterator[EventSink]:
    """A notifier whose events somebody else delivers."""
    async with Outbox.open(folder / NAME, receiver="r", now=time.time) as outbox:
        sink = Notifier(outbox, None, manner=MANNER, locate=located, now=lambda: datetime.now(UTC))
        try:
            yield sink
        finally:
            await sink.close()


@asynccontextmanager
async def log(_folder: Path) -> AsyncIterator[EventSink]:
    """The log."""
    yield LogSink()


@asynccontextmanager
async def fan_out(folder: Path) -> AsyncIterator[EventSink]:
    """Several, one after the other."""
    async with notifier(folder) as one:
        yield FanOut([one, LogSink(), MemorySink()])


@asynccontextmanager
async def fake(_folder: Path) -> AsyncIterator[EventSink]:
    """The fake of the tests."""
    yield MemorySink()


@asynccontextmanager
async def metrics(_folder: Path) -> AsyncIterator[EventSink]:
    """The counters."""
    yield Metrics()


@pytest.mark.parametrize("make", [notifier, log, fan_out, fake, metrics], ids=lambda f: f.__name__)
@each_promise
async def test_sink(make: MakeSink, promise: Promise, tmp_path: Path) -> None:
    """A sink keeps a promise."""
    async with make(tmp_path) as sink:
        await promise(sink)


async def test_a_note_that_was_not_taken_is_told(tmp_path: Path) -> None:
    """What must not be lost and was not written raises, here and behind a fan-out; what comes
    later in the fan-out does not hear of it."""
    (tmp_path / NAME).mkdir()
    later = MemorySink()
    with pytest.raises(StorageError, match="cannot be opened"):
        async with notifier(tmp_path):
            pass
    refusing = MemorySink()
    with refusing.refusing(Completed), pytest.raises(Trouble):
        await FanOut([refusing, later]).emit(Completed(completed(UPLOAD)))

    assert later.events == []
