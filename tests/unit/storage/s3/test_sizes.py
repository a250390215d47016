"""The arithmetic of multipart uploads: ten thousand equal parts hold five TiB."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tusd_py.errors import TooLarge
from tusd_py.storage.s3.sizes import (
    COPY_PART,
    MAX_OBJECT,
    MAX_PARTS,
    MAX_PUT,
    MIB,
    MIN_PART,
    is_worth_adopting,
    part_size_for,
    require_storable,
)

USUAL = 8 * MIB

lengths = st.integers(0, MAX_OBJECT)
part_sizes = st.integers(MIN_PART, MAX_PUT)


def parts_of(length: int, part_size: int) -> int:
    """So many parts hold `length` bytes."""
    return -(-length // part_size)


def test_the_limits_of_s3() -> None:
    """5 MiB to 5 GiB a part, 10,000 of them, 5 TiB an object (Amazon S3, multipart limits)."""
    assert (MIN_PART, MAX_PUT) == (5 * 2**20, 5 * 2**30)
    assert (MAX_PARTS, MAX_OBJECT) == (10_000, 5 * 2**40)
    assert MIN_PART <= COPY_PART <= MAX_PUT


@given(lengths, part_sizes)
def test_every_length_has_enough_parts(length: int, usual: int) -> None:
    """Any length that an object can have fits, in parts that the store takes."""
    part_size = part_size_for(length, usual, MAX_PARTS)

    assert parts_of(length, part_size) <= MAX_PARTS
    assert max(MIN_PART, usual) <= part_size <= MAX_PUT


@given(lengths, part_sizes, st.integers(2000, MAX_PARTS))
def test_parts_are_no_larger_than_need_be(length: int, usual: int, max_parts: int) -> None:
    """Parts have the usual size while that does, and then only as many MiB more as are needed."""
    part_size = part_size_for(length, usual, max_parts)

    assert parts_of(length, part_size) <= max_parts
    if parts_of(length, usual) <= max_parts:
        assert part_size == usual
    else:
        assert part_size % MIB == 0
        assert parts_of(length, max(usual, part_size - MIB)) > max_parts


@pytest.mark.parametrize(
    ("length", "part_size"),
    [
        (None, USUAL),
        (0, USUAL),
        (1, USUAL),
        (USUAL * MAX_PARTS, USUAL),
        (USUAL * MAX_PARTS + 1, USUAL + MIB),
        (1 << 40, 105 * MIB),
        (MAX_OBJECT, 525 * MIB),
    ],
)
def test_the_size_of_parts(length: int | None, part_size: int) -> None:
    """The usual size up to 78 GiB or while the length is not known; 525 MiB for 5 TiB."""
    assert part_size_for(length, USUAL, MAX_PARTS) == part_size


@given(st.integers(0, 2 * MAX_PUT + 1), st.none() | lengths, part_sizes)
@example(MAX_PUT + 1, None, MAX_PUT)
def test_an_adopted_size_is_one_for_parts(size: int, length: int | None, usual: int) -> None:
    """What a client sends first becomes the size of all parts only if the store takes such parts
    and so many of them as the length needs."""
    if is_worth_adopting(size, length, usual, MAX_PARTS):
        assert MIN_PART <= size <= MAX_PUT
        assert length is None or parts_of(length, size) <= MAX_PARTS


@given(part_sizes, lengths, st.integers(1, MAX_PARTS))
def test_no_more_parts_than_there_are_numbers(size: int, length: int, max_parts: int) -> None:
    """A size is adopted for a known length only if the numbers of parts suffice."""
    is_adopted = is_worth_adopting(size, length, size, max_parts)

    assert is_adopted == (parts_of(length, size) <= max_parts)


@pytest.mark.parametrize(
    ("size", "is_adopted"),
    [
        (0, False),
        (4 * MIB, False),
        (MIN_PART - 1, False),
        (MIN_PART, True),
        (6 * MIB, True),
        (USUAL, True),
        (10_000_000, True),
        (2 * USUAL, True),
        (2 * USUAL + 1, False),
    ],
)
def test_what_is_adopted(size: int, is_adopted: bool) -> None:
    """Pieces of a common size are, from the store's least up to twice the usual."""
    assert is_worth_adopting(size, None, USUAL, MAX_PARTS) is is_adopted
    assert is_worth_adopting(size, 1 << 30, USUAL, MAX_PARTS) is is_adopted


def test_small_pieces_are_not_adopted_for_large_parts() -> None:
    """Whoever sets a large part size does not get ten times as many calls."""
    assert not is_worth_adopting(MIN_PART, None, 100 * MIB, MAX_PARTS)
    assert is_worth_adopting(50 * MIB, None, 100 * MIB, MAX_PARTS)


@pytest.mark.parametrize("length", [None, 0, MAX_OBJECT])
def test_what_can_be_stored(length: int | None) -> None:
    """Up to 5 TiB, and what is not known yet."""
    require_storable(length)


def test_what_cannot_be_stored() -> None:
    """One byte more is refused in words for the client."""
    with pytest.raises(TooLarge, match=str(MAX_OBJECT)):
        require_storable(MAX_OBJECT + 1)
