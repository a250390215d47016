"""KnownTokens: verified tokens count until they expire, and no longer than that."""

import pytest

from tusd_py.web.known_tokens import KnownTokens

LINE = "Bearer head.claims.signature"


class Watch:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    """The time."""
    return Watch()


def test_a_verified_token_is_known(watch: Watch) -> None:
    """Its owner is; no other token has one, however alike."""
    known = KnownTokens(clock=watch)
    known.note(LINE, "42", until=1010)

    assert known.owner(LINE) == "42"
    for other in (LINE[:-1], f"{LINE}x", LINE.lower(), f"{LINE} ", ""):
        assert known.owner(other) is None


def test_a_token_is_unknown_when_it_expired(watch: Watch) -> None:
    """It is known to its last moment, forgotten after that, and stays so if the clock is put
    back."""
    known = KnownTokens(clock=watch)
    known.note(LINE, "42", until=1010)
    watch.now = 1009.999
    before = known.owner(LINE)
    watch.now = 1010.0
    after = known.owner(LINE)
    watch.now = 1005.0

    assert (before, after) == ("42", None)
    assert known.owner(LINE) is None
    assert len(known) == 0


def test_a_clock_that_was_wrong_is_not_trusted(watch: Watch) -> None:
    """A token that was verified in the future may not be valid yet."""
    known = KnownTokens(clock=watch)
    known.note(LINE, "42", until=1010)
    watch.now = 999.0

    assert known.owner(LINE) is None


def test_there_are_never_too_many(watch: Watch) -> None:
    """The one that came first makes room; a token that comes again takes no more."""
    known = KnownTokens(3, clock=watch)
    for number in (0, 1, 2, 2, 3):
        known.note(f"Bearer {number}", str(number), until=1010)

    assert len(known) == 3
    assert [known.owner(f"Bearer {number}") for number in range(4)] == [None, "1", "2", "3"]


def test_no_token_is_kept(watch: Watch) -> None:
    """Who reads the memory of the process finds digests."""
    known = KnownTokens(clock=watch)
    known.note(LINE, "42", until=1010)

    assert LINE not in repr(vars(known))
    assert "42" in repr(vars(known))
