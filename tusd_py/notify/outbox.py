"""The outbox: events that wait for the main service, in a file that a node's processes share."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

from tusd_py.notify import rows
from tusd_py.notify.message import Message
from tusd_py.notify.rows import Depth, Standing, Taken
from tusd_py.notify.thread import Scribe

HELD_FOR = 3.0
"""Seconds for which an event is held, and held again before they are over. Those of a process that
died are taken by another one then."""

KEPT = timedelta(days=7)
"""So long it is remembered that an event was delivered."""

KEPT_MOST = 100_000
"""So many are."""

AT_ONCE = 1000
"""So many are forgotten in one transaction."""


class Outbox:
    """Holds events in the name of this process. `now` gives seconds since 1970; `receiver` stands
    for the address that gets the events. Raises `StorageError` and `NoSpace`."""

    def __init__(
        self, scribe: Scribe, *, receiver: str, now: Callable[[], float], held_for: float
    ) -> None:
        self._scribe = scribe
        self._receiver = receiver
        self._now = now
        self._held_for = held_for
        self._holder = uuid4().hex

    @staticmethod
    @asynccontextmanager
    async def open(
        path: Path, *, receiver: str, now: Callable[[], float], held_for: float = HELD_FOR
    ) -> AsyncIterator["Outbox"]:
        """The outbox in the file at `path`. What is held at the end is given back."""
        scribe = Scribe(path)
        try:
            await scribe.start()
            yield Outbox(scribe, receiver=receiver, now=now, held_for=held_for)
        finally:
            await scribe.close()

    @property
    def held_for(self) -> float:
        """Seconds for which an event is held."""
        return self._held_for

    async def add(self, message: Message, *, holds: bool) -> Taken | None:
        """Keep an event; it is on the medium then. Returns it if it is held by who called: with
        `holds`, and if nothing is in its way."""
        now = self._now()
        return await self._scribe.write(
            partial(
                rows.add,
                message=message,
                now=now,
                holder=self._holder if holds else None,
                held_until=now + self._held_for,
                receiver=self._receiver,
            )
        )

    async def take(self, most: int) -> list[Taken]:
        """Hold what is due, to deliver it."""
        now = self._now()
        if not await self._scribe.read(partial(rows.is_due, now=now, receiver=self._receiver)):
            return []
        return await self._scribe.write(
            partial(
                rows.take,
                now=now,
                holder=self._holder,
                held_until=now + self._held_for,
                most=most,
                receiver=self._receiver,
            )
        )

    async def renew(self, seqs: Sequence[int]) -> None:
        """Hold for longer what is still held."""
        until = self._now() + self._held_for
        await self._scribe.write(partial(rows.renew, seqs=seqs, holder=self._holder, until=until))

    async def give_back(self) -> None:
        """Hold nothing any more."""
        await self._scribe.write(partial(rows.give_back, holder=self._holder))

    async def delivered(self, taken: Taken) -> None:
        """The receiver has it."""
        await self._scribe.write(
            partial(rows.delivered, taken=taken, now=self._now(), receiver=self._receiver)
        )

    async def failed(self, taken: Taken, *, due: float, why: str) -> None:
        """Try again at `due` (seconds since 1970)."""
        await self._scribe.write(
            partial(
                rows.failed, taken=taken, now=self._now(), due=due, holder=self._holder, why=why
            )
        )

    async def died(self, taken: Taken, *, why: str) -> None:
        """Do not try it again."""
        await self._scribe.write(
            partial(rows.died, taken=taken, now=self._now(), holder=self._holder, why=why)
        )

    async def put_off(self, seconds: float, *, why: str) -> None:
        """Try nothing for a while."""
        until = self._now() + seconds
        await self._scribe.write(
            partial(rows.put_off, receiver=self._receiver, until=until, why=why)
        )

    async def standing(self, message_id: str) -> Standing | None:
        """Where an event stands; None when nothing is known of it (any more)."""
        return await self._scribe.read(
            partial(rows.standing, message_id=message_id, now=self._now(), receiver=self._receiver)
        )

    async def depth(self) -> Depth:
        """How much waits."""
        return await self._scribe.read(partial(rows.depth, now=self._now()))

    async def prune(self) -> None:
        """Forget what was delivered long ago, some at a time."""
        before = self._now() - KEPT.total_seconds()
        await self._scribe.write(
            partial(rows.prune, before=before, most=KEPT_MOST, at_once=AT_ONCE)
        )
