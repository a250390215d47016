"""How often one user may ask, so that the others are served."""

import math
import time
from collections.abc import Callable
from typing import Protocol

from tusd_py.errors import RateLimited
from tusd_py.setting_types import Rate

MANY = 1000
"""Users who asked lately, before those who may ask freely again are looked for and forgotten."""


class Debts(Protocol):
    """Of each user, when all that was asked for will have leaked away."""

    def change(self, owner: str, now: float, change: Callable[[float], float]) -> None:
        """Replace the time known of `owner`, 0.0 if none is, by what `change` makes of it. What it
        raises leaves everything as it was."""


class OwnDebts:
    """`Debts` of this process alone. Who has none is forgotten."""

    def __init__(self) -> None:
        self._empty_at: dict[str, float] = {}
        self._many = MANY

    @property
    def known(self) -> frozenset[str]:
        """The users who may not ask for all of the rate at once now, and maybe some more."""
        return frozenset(self._empty_at)

    def change(self, owner: str, now: float, change: Callable[[float], float]) -> None:
        """See `Debts.change`."""
        self._empty_at[owner] = change(self._empty_at.get(owner, 0.0))
        if len(self._empty_at) > self._many:
            self._empty_at = {user: at for user, at in self._empty_at.items() if at > now}
            self._many = max(MANY, 2 * len(self._empty_at))


class Pace:
    """`rate.count` requests of each user in `rate.seconds`: at once, or spread; without a rate any.

    A bucket with a leak: of each user it is known when all that was asked for will have leaked away
    (the generic cell rate algorithm, ITU-T I.371, annex A). That takes one number for a user, and
    no thread. `clock` gives seconds, and does not jump with the time of the day.
    """

    def __init__(
        self,
        rate: Rate | None = None,
        debts: Debts | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._debts = debts or OwnDebts()
        self._clock = clock

    def require(self, owner: str) -> None:
        """Count a request. Raises `RateLimited`, which counts for nothing."""
        if self._rate is None:
            return
        rate, now = self._rate, self._clock()

        def with_one_more(empty_at: float) -> float:
            after = max(now, empty_at) + rate.seconds / rate.count
            wait = after - now - rate.seconds
            if wait > 1e-6:  # what adding fractions may be wrong by
                raise RateLimited(math.ceil(wait))
            return after

        self._debts.change(owner, now, with_one_more)
