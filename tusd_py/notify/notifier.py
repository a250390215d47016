"""The notifier: puts what the main service shall hear into the outbox, and tells whether it did."""

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from tusd_py.errors import UploadError
from tusd_py.events import Event, Expired, Notice, Received, Recorded, Swept, Terminated
from tusd_py.notify.courier import Courier
from tusd_py.notify.message import KINDS, Message, message, message_id
from tusd_py.notify.outbox import Outbox
from tusd_py.notify.rows import Taken
from tusd_py.setting_types import Notification
from tusd_py.upload import Upload

LATE = 10_000
"""Events of what has happened already that wait at most for an outbox which takes them again."""

AGAIN, AGAIN_MOST = 1.0, 60.0
"""Seconds between two tries to put such an event into the outbox: at first, at most."""

REMEMBERED = 10_000
"""Uploads of which it is known when their last progress was told."""

POLLS = (0.05, 0.4)
"""Seconds between two looks at an event that somebody else may deliver: at first, at most."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """Which events are told; seconds that `notice` waits, and between two events of progress."""

    kinds: frozenset[Notification]
    wait: float
    progress_interval: float


class Notifier:
    """See `EventSink`: keeps what the main service shall hear. `courier` brings it there, None
    where other processes do. `locate` gives the path or URL of a finished file, `now` the time."""

    def __init__(
        self,
        outbox: Outbox,
        courier: Courier | None,
        *,
        manner: Manner,
        locate: Callable[[Upload], Awaitable[str]],
        now: Callable[[], datetime],
    ) -> None:
        self._outbox = outbox
        self._courier = courier
        self._manner = manner
        self._locate = locate
        self._now = now
        self._held: OrderedDict[str, tuple[Taken, float]] = OrderedDict()
        self._progress: OrderedDict[str, float] = OrderedDict()
        self._progressing: set[asyncio.Task[None]] = set()
        self._late: set[asyncio.Task[None]] = set()
        self._is_closing = asyncio.Event()

    async def emit(self, event: Event) -> None:
        """See `EventSink.emit`: what is to be told is on the medium when this returns. Progress is
        kept if that is possible, and nobody waits for it. The end of an upload has happened, so it
        is refused to nobody: where there is no room for it, it waits in memory until there is.

        A completed upload is told of once its record says so, or its process is dead.
        """
        if isinstance(event, Swept):
            return
        if isinstance(event, Recorded):
            self._release(event.upload)
            return
        kind = KINDS[type(event)]
        if kind not in self._manner.kinds or event.upload.is_partial:
            return
        if isinstance(event, Received):
            self._note_progress(event.upload)
            return
        self._progress.pop(event.upload.key, None)
        if isinstance(event, Terminated | Expired):
            await self._keep_soon(kind, event.upload)
        else:
            await self._keep(kind, event.upload)

    async def notice(self, upload: Upload) -> Notice:
        """Whether the main service heard that an upload is complete, after a while in which it may.

        What cannot be delivered in that time is not waited for.
        """
        if Notification.COMPLETED not in self._manner.kinds:
            return Notice.NONE
        own_id = message_id(upload, Notification.COMPLETED)
        end = time.monotonic() + self._manner.wait
        pause, most = POLLS
        while True:
            try:
                found = await self._outbox.standing(own_id)
            except UploadError:
                return Notice.QUEUED
            if found is None:
                return Notice.NONE
            if found.state == "delivered":
                return Notice.DELIVERED
            left = end - time.monotonic()
            is_late = not found.is_held and found.not_before > self._now().timestamp() + left
            if found.state == "dead" or left <= 0 or is_late:
                return Notice.QUEUED
            await self._arrival(own_id, min(pause, left))
            pause = min(2 * pause, most)

    async def close(self) -> None:
        """Let what nobody waited for end. What the outbox does not take now is lost, and logged."""
        self._is_closing.set()
        await asyncio.gather(*self._progressing, *self._late, return_exceptions=True)

    async def _keep(self, kind: Notification, upload: Upload) -> None:
        is_complete = kind is Notification.COMPLETED
        location = await self._locate(upload) if is_complete else None
        await self._add(message(kind, upload, at=self._now(), location=location), upload)

    async def _keep_soon(self, kind: Notification, upload: Upload) -> None:
        told = message(kind, upload, at=self._now(), location=None)
        try:
            await self._add(told, upload)
        except UploadError as error:
            fields = {"upload": upload.id, "owner": upload.owner, "why": str(error)}
            if len(self._late) >= LATE:
                logger.error("notification_lost", extra={"type": f"upload.{kind.value}", **fields})
                return
            logger.error("outbox_failed", extra=fields)
            task = asyncio.create_task(self._add_later(told, upload))
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    async def _add_later(self, told: Message, upload: Upload) -> None:
        pause = AGAIN
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._is_closing.wait()
            pause = min(2 * pause, AGAIN_MOST)
            try:
                await self._add(told, upload)
            except UploadError as error:
                if self._is_closing.is_set():
                    fields = {"upload": upload.id, "owner": upload.owner, "why": str(error)}
                    kind = f"upload.{told.kind.value}"
                    logger.error("notification_lost", extra={"type": kind, **fields})
                    return
            else:
                return

    async def _add(self, told: Message, upload: Upload) -> None:
        since = time.monotonic()
        holds = self._courier is not None and self._courier.has_room
        taken = await self._outbox.add(told, holds=holds)
        if taken is None or self._courier is None:
            return
        if told.kind is not Notification.COMPLETED:
            self._courier.hand_over(taken, since)
            return
        self._held[upload.key] = taken, since
        while len(self._held) > REMEMBERED:  # those whose record could not be written
            self._held.popitem(last=False)

    def _release(self, upload: Upload) -> None:
        held = self._held.pop(upload.key, None)
        if held is not None and self._courier is not None:
            self._courier.hand_over(*held)

    def _note_progress(self, upload: Upload) -> None:
        """Once in the interval; the last bytes are no progress but the completion."""
        now = time.monotonic()
        last = self._progress.get(upload.key)
        if last is not None and now - last < self._manner.progress_interval:
            return
        if upload.is_full:
            return
        self._progress[upload.key] = now
        self._progress.move_to_end(upload.key)
        if len(self._progress) > REMEMBERED:
            self._progress.popitem(last=False)
        if len(self._progressing) < REMEMBERED:
            task = asyncio.create_task(self._keep_if_possible(upload))
            self._progressing.add(task)
            task.add_done_callback(self._progressing.discard)

    async def _keep_if_possible(self, upload: Upload) -> None:
        with contextlib.suppress(UploadError):
            await self._keep(Notification.PROGRESS, upload)

    async def _arrival(self, own_id: str, seconds: float) -> None:
        if self._courier is None:
            await asyncio.sleep(seconds)
        else:
            await self._courier.arrival(own_id, seconds)
