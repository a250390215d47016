"""All connections of a server: how many there may be, who makes room, and when they are at rest."""

import asyncio
from typing import Protocol


class Member(Protocol):
    """A connection, as the crowd sees it."""

    def drop(self) -> None:
        """Close at once; another one needs the room."""


class Crowd:
    """At most `capacity` connections, each idle, busy with a request, or waiting for its client to
    take an answer.

    An idle or waiting one makes room for a newcomer, the one that has been so the longest first.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._idle: dict[Member, None] = {}  # and waiting, in the order in which they became so
        self._waiting: set[Member] = set()
        self._busy: set[Member] = set()
        self._awaited: set[Member] = set()
        self._rest = asyncio.Event()
        self.is_leaving = False
        """Whether every answer is the last one on its connection."""

    def __len__(self) -> int:
        return len(self._idle) + len(self._busy)

    @property
    def is_full(self) -> bool:
        """Whether a newcomer finds no room unless somebody leaves."""
        return len(self) >= self._capacity

    def enter(self, newcomer: Member) -> bool:
        """Take a connection in, idle; False when all others are busy and there is no room."""
        if self.is_full:
            if not self._idle:
                return False
            oldest = next(iter(self._idle))
            self.leave(oldest)
            oldest.drop()
        self._idle[newcomer] = None
        return True

    def leave(self, member: Member) -> None:
        """A connection is closed, or as good as that."""
        self._idle.pop(member, None)
        self._end(member)

    def begin(self, member: Member) -> None:
        """A request came: the connection is busy until it was answered. One that waits goes on
        waiting: the client has to take what it asked for before."""
        if member in self._idle and member not in self._waiting:
            del self._idle[member]
            self._busy.add(member)

    def wait(self, member: Member) -> None:
        """An answer is there for the client to take."""
        if member in self._busy:
            self._busy.discard(member)
            self._waiting.add(member)
            self._idle[member] = None

    def go_on(self, member: Member) -> None:
        """The answer was taken, and another request that came meanwhile is answered now."""
        if member in self._waiting:
            self._waiting.discard(member)
            del self._idle[member]
            self._busy.add(member)

    def rest(self, member: Member) -> None:
        """All requests that came over a connection were answered, and the answers taken."""
        if member in self._busy or member in self._waiting:
            self._end(member)
            self._idle.pop(member, None)
            self._idle[member] = None

    async def settled(self) -> None:
        """Return once all requests that run now have ended and their answers were taken; later ones
        are not waited for."""
        self._awaited = self._busy | self._waiting
        if not self._awaited:
            return
        self._rest.clear()
        await self._rest.wait()

    def _end(self, member: Member) -> None:
        self._busy.discard(member)
        self._waiting.discard(member)
        self._awaited.discard(member)
        if not self._awaited:
            self._rest.set()
