"""Back-off: later and later, never at the same time, and not for ever."""

import pytest

from tusd_py.notify.backoff import MOST, next_try, pause

DAY = 86400.0


def test_pauses_double_up_to_an_hour() -> None:
    """The longest pause after each failure is twice the one before, an hour at most."""
    longest = [pause(tries, draw=lambda: 1.0) for tries in range(1, 40)]

    assert longest[:12] == [float(2**n) for n in range(12)]
    assert set(longest[12:]) == {3600.0}


def test_pauses_are_spread() -> None:
    """Any moment up to the longest is as likely: full jitter."""
    parts = iter([0.0, 0.25, 0.5])

    assert [pause(11, draw=parts.__next__) for _ in range(3)] == [0, 256, 512]
    assert len({pause(10) for _ in range(20)}) > 10


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [(None, 0.0), (7.0, 7.0), (10.0**9, MOST)], ids=str
)
def test_a_receiver_may_ask_for_more(retry_after: float | None, seconds: float) -> None:
    """Retry-After is the least pause, an hour at most."""
    assert pause(1, retry_after, draw=lambda: 0.0) == seconds


def test_the_last_try_is_when_time_is_over() -> None:
    """Nothing is put off beyond the end, and nothing is tried after it."""
    assert next_try(first_try=0, now=10, pause=5, give_up_after=DAY) == 15
    assert next_try(first_try=0, now=DAY - 10, pause=3600, give_up_after=DAY) == DAY
    assert next_try(first_try=0, now=DAY, pause=1, give_up_after=DAY) is None


def test_a_day_is_some_tries() -> None:
    """A receiver that is away for a day is asked about thirty to a hundred times."""
    now, tries = 0.0, 0
    while (
        due := next_try(first_try=0, now=now, pause=pause(tries + 1), give_up_after=DAY)
    ) is not None:
        now, tries = due, tries + 1

    assert 20 < tries < 200
