"""Ledger: what users do at all workers of a server is counted together."""

import hashlib
import itertools
import subprocess
import sys

import pytest

from tusd_py.web.ledger import BUCKETS, PLACES, UNCOUNTED, Ledger, SharedDebts

SCRIPT = """
import os
from tusd_py.errors import RateLimited
from tusd_py.setting_types import Rate
from tusd_py.web.ledger import Ledger
from tusd_py.web.pace import Pace

def begin(work):
    reading, writing = os.pipe()
    if not os.fork():
        os.write(writing, str(work()).encode())
        os._exit(0)
    os.close(writing)
    return reading

def result(reading):
    return int(os.read(reading, 20))

def asks(pace, times):
    through = 0
    for _ in range(times):
        try:
            pace.require("42")
            through += 1
        except RateLimited:
            pass
    return through

ledger = Ledger(2)
"""


def printed(script: str) -> str:
    """What a script that forks prints: in a process of its own, which has one thread."""
    command = [sys.executable, "-c", SCRIPT + script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def crowded(count: int) -> list[str]:
    """So many users of one bucket."""
    found: dict[int, list[str]] = {}
    for number in itertools.count():
        digest = hashlib.blake2b(str(number).encode(), digest_size=16).digest()
        users = found.setdefault(int.from_bytes(digest[:8], "big") % BUCKETS, [])
        users.append(str(number))
        if len(users) == count:
            return users
    raise AssertionError


def asked(debts: SharedDebts, user: str) -> float:
    """What is known of a user."""
    known: list[float] = []

    def note(until: float) -> float:
        known.append(until)
        return until

    debts.change(user, 0.0, note)
    return known[0]


def owe(debts: SharedDebts, user: str, until: float) -> None:
    """A user's debt ends then."""
    debts.change(user, 0.0, lambda _: until)


def test_the_rate_holds_for_all_processes() -> None:
    """What one let through another does not."""
    through = printed("""
pace = Pace(Rate(count=5, seconds=3600), ledger.debts)
print(*(result(begin(lambda: asks(pace, 3))) for _ in range(3)))
""")

    assert through == "3 2 0"


def test_processes_that_count_at_the_same_time_count_right() -> None:
    """Nothing is counted over by another one, so no request too many is let through."""
    through = printed("""
pace = Pace(Rate(count=20_000, seconds=3_600_000), ledger.debts)
print(sum(map(result, [begin(lambda: asks(pace, 20_000)) for _ in range(2)])))
""")

    assert through == "20000"


def test_what_another_process_has_at_work_counts() -> None:
    """One more than there may be is refused, wherever the others are at work."""
    begun = printed("""
first, second = ledger.at_work(0), ledger.at_work(1)
result(begin(lambda: sum(second.begin("42", 3) is not None for _ in range(2))))
print(*(first.begin("42", 3) is not None for _ in range(2)))
""")

    assert begun == "True False"


def test_a_place_is_given_back() -> None:
    """Nobody else's."""
    ledger = Ledger(2)
    first, second = ledger.at_work(0), ledger.at_work(1)
    numbers = [first.begin("42", 2), second.begin("42", 2)]
    assert numbers[0] is not None

    assert [first.begin("42", 2), first.begin("43", 2) is None] == [None, False]
    first.end("42", numbers[0])
    assert [second.begin("42", 2) is None, second.begin("42", 2) is None] == [False, True]


def test_a_dead_worker_has_nothing_at_work() -> None:
    """Its places are free; those of the others are not."""
    ledger = Ledger(2)
    first, second = ledger.at_work(0), ledger.at_work(1)
    assert [each.begin("42", 2) is None for each in (first, second, first)] == [False, False, True]
    ledger.forget(0)

    assert [second.begin("42", 2) is None, second.begin("42", 2) is None] == [False, True]


def test_places_are_used_again() -> None:
    """A user with nothing at work takes no place from others; without a place nobody is refused."""
    at_work = Ledger(1).at_work(0)
    users = crowded(PLACES + 2)
    numbers = [at_work.begin(user, 1) for user in users]
    assert numbers[0] is not None

    assert numbers[PLACES:] == [UNCOUNTED] * 2
    assert len(set(numbers[:PLACES])) == PLACES
    at_work.end(users[-1], UNCOUNTED)
    at_work.end(users[0], numbers[0])
    assert at_work.begin(users[-1], 1) == numbers[0]
    assert at_work.begin(users[1], 1) is None


def test_the_debt_that_ends_first_is_forgiven_when_there_is_no_room() -> None:
    """Of all others nobody is forgiven."""
    debts = Ledger(1).debts
    users = crowded(PLACES + 1)
    for number, user in enumerate(users):
        owe(debts, user, 100.0 + number)
    known = [asked(debts, user) for user in users[1:]]

    assert known == [100.0 + number for number in range(1, PLACES + 1)]
    assert asked(debts, users[0]) == 0.0


def test_a_refusal_changes_nothing() -> None:
    """What `change` raises leaves the debt as it was."""
    debts = Ledger(1).debts
    owe(debts, "42", 7.0)
    with pytest.raises(ZeroDivisionError):
        debts.change("42", 0.0, lambda until: until / 0)

    assert asked(debts, "42") == 7.0
