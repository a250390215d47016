"""The courier: brings what waits in the outbox to the main service, again and again until it is
taken or it is too late."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tusd_py.errors import UploadError
from tusd_py.notify import backoff
from tusd_py.notify.outbox import Outbox
from tusd_py.notify.rows import Taken
from tusd_py.notify.webhook import AT_ONCE, Outcome, Webhook
from tusd_py.setting_types import Notification

LOOKS_EVERY = 1.0
"""Seconds between two looks for what is due, also what other processes left."""

COUNTS_EVERY = 5.0
"""Seconds between two looks at how much waits."""

PRUNES_EVERY = 60.0
"""Seconds between two passes that forget what was delivered long ago."""

COMPLAINS_EVERY = 60.0
"""Seconds between two lines of the log about an outbox that does not work."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Trip:
    """One event on its way, since when it is held (monotonic seconds), and the task."""

    taken: Taken
    since: float
    task: asyncio.Task[None] | None = field(default=None)


class Courier:
    """`give_up_after` seconds since its first try an event is dead. `told` hears how many events
    wait, the age of the oldest in seconds, and the number of dead letters."""

    def __init__(
        self,
        outbox: Outbox,
        webhook: Webhook,
        *,
        give_up_after: float,
        now: Callable[[], float],
        told: Callable[[int, float, int], None] | None,
    ) -> None:
        self._outbox = outbox
        self._webhook = webhook
        self._give_up_after = give_up_after
        self._now = now
        self._told = told
        self._handed: list[_Trip] = []
        self._trips: dict[int, _Trip] = {}
        self._waiting: dict[str, asyncio.Event] = {}
        self._wake = asyncio.Event()
        self._looks = True
        self._is_leaving = False
        self._complained = float("-inf")

    @property
    def has_room(self) -> bool:
        """Whether one more event can be brought at once."""
        return len(self._trips) + len(self._handed) < AT_ONCE and not self._is_leaving

    @asynccontextmanager
    async def working(self, grace: float) -> AsyncIterator[None]:
        """Work meanwhile. In the end what is on its way has `grace` seconds to arrive."""
        work = asyncio.create_task(self._work())
        try:
            yield
        finally:
            self._is_leaving = True
            if tasks := [trip.task for trip in self._trips.values() if trip.task is not None]:
                _, late = await asyncio.wait(tasks, timeout=grace)
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            with contextlib.suppress(UploadError):  # it is held for some seconds only, anyway
                await self._outbox.give_back()

    def hand_over(self, taken: Taken, since: float) -> None:
        """Bring an event that is held since then (monotonic seconds)."""
        if self._is_fresh(since) and not self._is_leaving:
            self._handed.append(_Trip(taken, since))
            self._wake.set()

    async def arrival(self, message_id: str, seconds: float) -> None:
        """Return when an event arrived, or so many seconds are over: somebody else may bring it."""
        event = self._waiting.setdefault(message_id, asyncio.Event())
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting.pop(message_id, None)

    async def _work(self) -> None:
        looked = counted = pruned = renewed = float("-inf")
        while True:
            now = time.monotonic()
            self._set_out()
            try:
                if now - renewed >= LOOKS_EVERY:
                    renewed = now
                    await self._renew(now)
                if (self._looks or now - looked >= LOOKS_EVERY) and self.has_room:
                    looked, self._looks = now, False
                    await self._take()
                if now - counted >= COUNTS_EVERY and self._told is not None:
                    counted = now
                    depth = await self._outbox.depth()
                    self._told(depth.pending, depth.oldest, depth.dead)
                if now - pruned >= PRUNES_EVERY and not self._is_leaving:
                    pruned = now
                    await self._outbox.prune()
            except UploadError as error:
                self._complain(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOKS_EVERY):
                    await self._wake.wait()
            self._wake.clear()

    async def _take(self) -> None:
        since = time.monotonic()
        room = AT_ONCE - len(self._trips) - len(self._handed)
        taken = await self._outbox.take(room)
        self._looks = len(taken) == room  # there may be more
        self._handed += [_Trip(each, since) for each in taken]
        self._set_out()

    def _set_out(self) -> None:
        """Let the events that were handed over have a task, in the name of no request. One whose
        time is over is left to whoever takes it next."""
        waiting, self._handed = self._handed, []
        for trip in waiting:
            if not self._is_fresh(trip.since) or trip.taken.seq in self._trips:
                continue
            if len(self._trips) >= AT_ONCE or self._is_leaving:
                self._handed.append(trip)
                continue
            self._trips[trip.taken.seq] = trip
            trip.task = asyncio.create_task(self._bring(trip.taken))

    async def _renew(self, now: float) -> None:
        old = [seq for seq, trip in self._trips.items() if now - trip.since >= LOOKS_EVERY / 2]
        if old:
            await self._outbox.renew(old)

    async def _bring(self, taken: Taken) -> None:
        try:
            outcome = await self._webhook.post(taken.id, taken.body)
            while True:
                try:
                    await self._note(taken, outcome)
                except UploadError as error:  # as on a full disk: it arrived, so do not forget that
                    self._complain(error)
                    await asyncio.sleep(LOOKS_EVERY)
                else:
                    break
        finally:
            del self._trips[taken.seq]
            self._looks = True
            self._wake.set()
            if (event := self._waiting.get(taken.id)) is not None:
                event.set()

    async def _note(self, taken: Taken, outcome: Outcome) -> None:
        """Note what came of a try, and say so."""
        fields: dict[str, object] = {
            "message_id": taken.id,
            "type": f"upload.{taken.kind.value}",
            "upload": taken.upload_id,
            "owner": taken.owner,
            "tries": taken.tries + 1,
        }
        if outcome.why is None:
            await self._outbox.delivered(taken)
            logger.info("notification_delivered", extra=fields)
            return
        fields["why"] = outcome.why
        if outcome.leave_alone is not None:
            await self._outbox.put_off(outcome.leave_alone, why=outcome.why)
        now = self._now()
        pause = backoff.pause(taken.tries + 1, outcome.retry_after)
        due = backoff.next_try(
            first_try=taken.first_try or now,
            now=now,
            pause=pause,
            give_up_after=self._give_up_after,
        )
        if outcome.is_gone or due is None or taken.kind is Notification.PROGRESS:
            await self._outbox.died(taken, why=outcome.why)
            if taken.kind is not Notification.PROGRESS:
                logger.error("notification_dead", extra=fields)
                return
        else:
            await self._outbox.failed(taken, due=due, why=outcome.why)
            if pause < LOOKS_EVERY:
                asyncio.get_running_loop().call_later(pause, self._look)
        logger.warning("notification_failed", extra={**fields, "seconds": round(pause, 1)})

    def _look(self) -> None:
        self._looks = True
        self._wake.set()

    def _is_fresh(self, since: float) -> bool:
        """Whether what is held since then is held for a while yet."""
        return time.monotonic() - since < self._outbox.held_for / 2

    def _complain(self, error: UploadError) -> None:
        """Now and then, as long as it does not work."""
        now = time.monotonic()
        if now - self._complained >= COMPLAINS_EVERY:
            self._complained = now
            logger.error("outbox_failed", extra={"why": str(error)})
