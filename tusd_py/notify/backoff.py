"""When a notification that failed is tried again, and when no more."""

import random
from collections.abc import Callable

FIRST = 1.0
"""Seconds that the first pause takes at most; each is at most twice the one before."""

MOST = 3600.0
"""Longest pause in seconds, also if the receiver asks for a longer one."""


def pause(
    tries: int, retry_after: float | None = None, draw: Callable[[], float] = random.random
) -> float:
    """Seconds until the next try, after so many that failed: any time up to the bound, so that what
    failed together does not come back together; not before `retry_after`."""
    bound = min(MOST, FIRST * 2.0 ** min(tries - 1, 12))
    return max(draw() * bound, min(retry_after or 0.0, MOST))


def next_try(*, first_try: float, now: float, pause: float, give_up_after: float) -> float | None:
    """When to try again (seconds since 1970), the last time when it is time to give up; None after
    that."""
    last = first_try + give_up_after
    return None if now >= last else min(now + pause, last)
