"""The delimiter behind a part of a form: found wherever it is cut."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusd_py.web.delimiter import Delimiter, Finder

LINE = Delimiter("line")
BEFORE = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"\r\n--", b"\r\n--lin", b"x", b"-line"]), max_size=8
).map(b"".join)


def found(pieces: list[bytes]) -> tuple[Finder, bytes]:
    """A finder that saw these, and the digest of what it showed."""
    digest = hashlib.sha256()
    finder = Finder(LINE, (digest,))
    for piece in pieces:
        finder.update(memoryview(piece))
    return finder, digest.digest()


@given(before=BEFORE, behind=BEFORE, cuts=st.sets(st.integers(0, 80), max_size=6))
def test_a_part_ends_before_its_delimiter(before: bytes, behind: bytes, cuts: set[int]) -> None:
    """In however many pieces it comes; what looks like it is the part's."""
    data = before + b"\r\n--line" + behind
    at = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    finder, digest = found([data[one:other] for one, other in pairwise(at)])

    end = data.index(b"\r\n--line")
    assert finder.is_found
    assert (finder.size, finder.rest) == (end, data[end:])
    assert digest == hashlib.sha256(data[:end]).digest()


@given(data=BEFORE, cuts=st.sets(st.integers(0, 80), max_size=6))
def test_what_may_begin_it_waits(data: bytes, cuts: set[int]) -> None:
    """While it did not come, all bytes are the part's but the last ones that may begin it."""
    at = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    finder, digest = found([data[one:other] for one, other in pairwise(at)])

    begun = [text for size in range(1, len(LINE)) if data.endswith(text := b"\r\n--line"[:size])]
    waits = max(begun, key=len, default=b"")
    assert b"\r\n--line" in data or not finder.is_found
    if not finder.is_found:
        assert (finder.size, finder.rest) == (len(data) - len(waits), waits)
        assert digest == hashlib.sha256(data[: finder.size]).digest()


@pytest.mark.parametrize(
    ("data", "size", "begin"),
    [
        (b"abc\r\n--line", 11, 3),
        (b"abc\r\n--line", 10, 3),
        (b"abc\r\n--line", 3, 3),
        (b"abc\r\n-x", 7, 7),
        (b"\r\r", 2, 1),
        (b"", 0, 0),
    ],
)
def test_among_the_first_bytes(data: bytes, size: int, begin: int) -> None:
    """What stands behind them in memory is of no meaning."""
    assert LINE.begins_in(data, size) == begin
