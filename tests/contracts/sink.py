"""What every `EventSink` promises, as functions that take one."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from tests.uploads import UPLOAD, completed, fresh
from tusd_py.events import (
    Completed,
    Created,
    Event,
    Expired,
    Received,
    Recorded,
    Swept,
    Terminated,
)
from tusd_py.interfaces import EventSink
from tusd_py.upload import Partial, Upload

Promise = Callable[[EventSink], Awaitable[None]]


def life_of(upload: Upload) -> list[Event]:
    """All that can happen to an upload, in order."""
    full = replace(upload, offset=10)
    return [
        Created(upload),
        Received(replace(upload, offset=4), 4),
        Received(full, 6),
        Completed(completed(full)),
        Recorded(completed(full)),
        Terminated(completed(full)),
    ]


async def takes_every_event(sink: EventSink) -> None:
    """Note is taken of all that can happen, also to an upload that is only a part."""
    partial = replace(fresh(), concat=Partial())
    for event in [*life_of(UPLOAD), *life_of(partial), Expired(fresh()), Swept(), Swept(expired=1)]:
        await sink.emit(event)


async def takes_an_event_again(sink: EventSink) -> None:
    """After a crash the same thing may happen again; that is no error."""
    for _ in range(2):
        for event in life_of(UPLOAD):
            await sink.emit(event)


async def takes_the_end_without_the_beginning(sink: EventSink) -> None:
    """Who was not there at the beginning hears of the end all the same."""
    await sink.emit(Recorded(completed(fresh())))
    await sink.emit(Completed(completed(fresh())))
    await sink.emit(Terminated(fresh()))


async def takes_many_at_once(sink: EventSink) -> None:
    """Uploads live side by side."""

    async def live(upload: Upload) -> None:
        for event in life_of(upload):
            await sink.emit(event)

    async with asyncio.timeout(20):
        await asyncio.gather(*(live(fresh()) for _ in range(20)))


PROMISES: list[Promise] = [
    takes_every_event,
    takes_an_event_again,
    takes_the_end_without_the_beginning,
    takes_many_at_once,
]
