"""Pace: how often one user may ask."""

from dataclasses import dataclass

import pytest

from tusd_py.errors import RateLimited
from tusd_py.setting_types import Rate
from tusd_py.web.pace import MANY, OwnDebts, Pace


@dataclass
class Watch:
    """The time, which only passes when a test says so."""

    time: float = 1e6

    def __call__(self) -> float:
        return self.time


def asks(pace: Pace, owner: str = "42") -> int | None:
    """None when a request is let through, else after how many seconds to ask again."""
    try:
        pace.require(owner)
    except RateLimited as error:
        return error.retry_after
    return None


@pytest.mark.parametrize("rate", [Rate(count=3, seconds=1), Rate(count=100, seconds=60)])
def test_so_many_at_once(rate: Rate) -> None:
    """All requests of a rate may come at once, one more may not."""
    pace = Pace(rate, clock=Watch())
    answers = [asks(pace) for _ in range(rate.count + 1)]

    assert answers == [None] * rate.count + [1]


def test_the_wait_is_true() -> None:
    """A request is let through after the seconds that were told, and not a second before."""
    watch = Watch()
    pace = Pace(Rate(count=2, seconds=60), clock=watch)
    assert [asks(pace) for _ in range(3)] == [None, None, 30]

    watch.time += 29
    assert asks(pace) == 1
    watch.time += 1
    assert [asks(pace), asks(pace)] == [None, 30]


def test_over_a_long_time_the_rate_is_kept() -> None:
    """Whoever asks all the time is let through as often as the rate says."""
    watch = Watch()
    pace = Pace(Rate(count=10, seconds=1), clock=watch)
    through = 0
    for _ in range(10_000):
        watch.time += 0.01
        through += asks(pace) is None

    assert through == 10 + 1000 - 1


def test_whoever_keeps_the_rate_is_never_refused() -> None:
    """Requests spread as the rate says are let through, however many."""
    watch = Watch()
    pace = Pace(Rate(count=3, seconds=1), clock=watch)
    answers = set()
    for _ in range(1000):
        answers |= {asks(pace), asks(pace), asks(pace)}
        watch.time += 1

    assert answers == {None}


def test_refused_requests_count_for_nothing() -> None:
    """Asking too often does not make the wait longer."""
    watch = Watch()
    pace = Pace(Rate(count=1, seconds=10), clock=watch)
    assert asks(pace) is None
    assert {asks(pace) for _ in range(100)} == {10}

    watch.time += 10
    assert asks(pace) is None


def test_users_do_not_disturb_each_other() -> None:
    """Each user has the whole rate."""
    pace = Pace(Rate(count=1, seconds=60), clock=Watch())
    assert [asks(pace, "42"), asks(pace, "42")] == [None, 60]

    assert asks(pace, "43") is None


def test_without_a_rate_nobody_is_refused() -> None:
    """RATE_LIMIT=none."""
    pace = Pace(None)

    assert {asks(pace) for _ in range(1000)} == {None}


def test_users_who_may_ask_freely_are_forgotten() -> None:
    """Memory follows the users of the last seconds, not all there ever were; nobody who has to wait
    is forgotten."""
    watch, debts = Watch(), OwnDebts()
    pace = Pace(Rate(count=1, seconds=60), debts, clock=watch)
    assert asks(pace, "early") is None
    watch.time += 30
    assert asks(pace, "waits") is None
    watch.time += 31
    for number in range(MANY):
        pace.require(str(number))

    known = debts.known
    assert "early" not in known
    assert "waits" in known
    assert len(known) == MANY + 1
    assert asks(pace, "waits") == 29
