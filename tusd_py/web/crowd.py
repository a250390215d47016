"""All connections of a server: how many there may be, who makes room, and when they are at rest."""

import asyncio
from typing import Protocol


class Member(Protocol):
    """A connection, as the crowd sees it."""

    def drop(self) -> None:
        """Close at once; another one needs the room."""


class Crowd:
    """At most `capacity` connections, each idle or busy with a request.

    An idle one makes room for a newcomer, the one that has been idle the longest first.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._idle: dict[Member, None] = {}  # in the order in which they became idle
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
        """A request came: the connection is busy until it was answered."""
        if member in self._idle:
            del self._idle[member]
            self._busy.add(member)

    def rest(self, member: Member) -> None:
        """All requests that came over a connection were answered."""
        if member in self._busy:
            self._end(member)
            self._idle[member] = None

    async def settled(self) -> None:
        """Return once all requests that run now have ended; later ones are not waited for."""
        self._awaited = set(self._busy)
        if not self._awaited:
            return
        self._rest.clear()
        await self._rest.wait()

    def _end(self, member: Member) -> None:
        self._busy.discard(member)
        self._awaited.discard(member)
        if not self._awaited:
            self._rest.set()
