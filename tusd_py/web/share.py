"""How many requests one user may have at work at once, and how often, so that others find room."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tusd_py.errors import TooManyAtOnce
from tusd_py.web.pace import Pace

ALWAYS_WELCOME = frozenset({"HEAD", "DELETE", "OPTIONS"})
"""What a client needs to recover is never refused, and ends soon."""


class AtWork(Protocol):
    """How many requests of each user are at work."""

    def begin(self, owner: str, most: int) -> int | None:
        """Count one more, and return the number to `end` it with; None when `most` are at work."""

    def end(self, owner: str, number: int) -> None:
        """A request of `owner` is no longer at work."""


class OwnAtWork:
    """`AtWork` of this process alone."""

    def __init__(self) -> None:
        self._at_work: Counter[str] = Counter()

    def begin(self, owner: str, most: int) -> int | None:
        """See `AtWork.begin`."""
        if self._at_work[owner] >= most:
            return None
        self._at_work[owner] += 1
        return 0

    def end(self, owner: str, number: int) -> None:
        """See `AtWork.end`."""
        self._at_work[owner] -= 1
        if not self._at_work[owner]:
            del self._at_work[owner]


class Share:
    """Each user's share of the requests at work: `most` of them, at this `pace`."""

    def __init__(self, most: int, pace: Pace | None = None, at_work: AtWork | None = None) -> None:
        self._most = most
        self._pace = pace or Pace()
        self._at_work = at_work or OwnAtWork()

    @contextmanager
    def taken(self, owner: str, method: str) -> Iterator[None]:
        """Count a request of `owner` while it is at work. Raises `TooManyAtOnce`, and
        for any method `RateLimited`."""
        self._pace.require(owner)
        if method in ALWAYS_WELCOME:
            yield
            return
        number = self._at_work.begin(owner, self._most)
        if number is None:
            raise TooManyAtOnce(self._most)
        try:
            yield
        finally:
            self._at_work.end(owner, number)
