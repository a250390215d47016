"""The arithmetic of multipart uploads: every part is equally large, but for the last.

Limits: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html. That all parts are equal
is what Cloudflare's R2 demands.
"""

from tusd_py.errors import TooLarge

MIB = 1 << 20
MIN_PART = 5 * MIB
MAX_PARTS = 10_000
MAX_OBJECT = 5 << 40
MAX_PUT = 5 << 30
"""The most that one PutObject or one copied part takes."""

COPY_PART = 32 * MIB
"""Size of the parts of a concatenation: copying one costs a call, and no bytes of ours."""


def require_storable(length: int | None) -> None:
    """Raise `TooLarge` when no object can have `length` bytes."""
    if length is not None and length > MAX_OBJECT:
        raise TooLarge(f"The object store takes at most {MAX_OBJECT} bytes; send a smaller file.")


def part_size_for(length: int | None, usual: int, max_parts: int) -> int:
    """The usual part size, or as many MiB more as `length` bytes need."""
    if length is None or length <= usual * max_parts:
        return usual
    return -(-length // (max_parts * MIB)) * MIB


def is_worth_adopting(size: int, length: int | None, usual: int, max_parts: int) -> bool:
    """Whether parts may as well be as large as the first piece a client sent.

    Its next pieces likely have the same size, and then none has to be sent to the store twice.
    """
    if not max(MIN_PART, usual // 2) <= size <= min(2 * usual, MAX_PUT):
        return False
    return length is None or length <= size * max_parts
