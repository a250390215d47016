"""How often one user may ask, so that the others are served."""

import math
import time
from collections.abc import Callable

from tusd_py.errors import RateLimited
from tusd_py.setting_types import Rate

MANY = 1000
"""Users who asked lately, before those who may ask freely again are looked for and forgotten."""


class Pace:
    """`rate.count` requests of each user in `rate.seconds`: at once, or spread; without a rate any.

    A bucket with a leak: of each user it is known when all that was asked for will have leaked away
    (the generic cell rate algorithm, ITU-T I.371, annex A). That takes one number for a user, and
    no thread. `clock` gives seconds, and does not jump with the time of the day.
    """

    def __init__(
        self, rate: Rate | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._empty_at: dict[str, float] = {}
        self._many = MANY

    @property
    def known(self) -> frozenset[str]:
        """The users who may not ask for all of the rate at once now, and maybe some more."""
        return frozenset(self._empty_at)

    def require(self, owner: str) -> None:
        """Count a request. Raises `RateLimited`, which counts for nothing."""
        if self._rate is None:
            return
        now = self._clock()
        empty_at = max(now, self._empty_at.get(owner, now)) + self._rate.seconds / self._rate.count
        wait = empty_at - now - self._rate.seconds
        if wait > 1e-6:  # what adding fractions may be wrong by
            raise RateLimited(math.ceil(wait))
        self._empty_at[owner] = empty_at
        if len(self._empty_at) > self._many:
            self._empty_at = {user: at for user, at in self._empty_at.items() if at > now}
            self._many = max(MANY, 2 * len(self._empty_at))
