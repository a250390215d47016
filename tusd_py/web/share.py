"""How many requests one user may have at work at once, and how often, so that others find room."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tusd_py.errors import TooManyAtOnce
from tusd_py.web.pace import Pace

ALWAYS_WELCOME = frozenset({"HEAD", "DELETE", "OPTIONS"})
"""What a client needs to recover is never refused, and ends soon."""


class Share:
    """Each user's share of the requests at work: `most` of them, at this `pace`."""

    def __init__(self, most: int, pace: Pace | None = None) -> None:
        self._most = most
        self._pace = pace or Pace()
        self._at_work: Counter[str] = Counter()

    @contextmanager
    def taken(self, owner: str, method: str) -> Iterator[None]:
        """Count a request of `owner` while it is at work. Raises `TooManyAtOnce`, and
        for any method `RateLimited`."""
        self._pace.require(owner)
        if method in ALWAYS_WELCOME:
            yield
            return
        if self._at_work[owner] >= self._most:
            raise TooManyAtOnce(self._most)
        self._at_work[owner] += 1
        try:
            yield
        finally:
            self._at_work[owner] -= 1
            if not self._at_work[owner]:
                del self._at_work[owner]
