"""The exception tree."""

import pytest

from tusd_py import errors
from tusd_py.errors import UploadError

SAMPLES: dict[type[UploadError], UploadError] = {
    each: each()
    for each in (
        errors.UploadNotFound,
        errors.DigestMismatch,
        errors.BodyInterrupted,
        errors.BodyMalformed,
        errors.BodyStalled,
        errors.BodyTooSlow,
        errors.BodyStopped,
        errors.UploadLocked,
        errors.NoSpace,
        errors.DiskTooFull,
        errors.Rejected,
        errors.UploadStopped,
        errors.HookFailed,
    )
} | {
    errors.QuotaExceeded: errors.QuotaExceeded(10),
    errors.MetadataTooLarge: errors.MetadataTooLarge(10),
    errors.TooManyRequests: errors.TooManyRequests("Not now.", 7),
    errors.TooManyAtOnce: errors.TooManyAtOnce(3),
    errors.TooManyUploads: errors.TooManyUploads(3),
    errors.RateLimited: errors.RateLimited(7),
    errors.OffsetMismatch: errors.OffsetMismatch(7),
    errors.MissingChunks: errors.MissingChunks([1, 2], 2),
}


def drawn() -> dict[str, str]:
    """Every name of the tree in the docstring -> the name it hangs from."""
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines()[2:]:
        name = line.lstrip("│├└─ ").split(" ")[0]
        depth = (len(line) - len(line.lstrip("│├└─ "))) // 4
        if not name:
            continue
        above[depth:] = [name]
        parents[name] = above[depth - 1] if depth else "Exception"
    return parents


def test_the_tree_is_drawn_as_it_is() -> None:
    """The docstring names every class, and where it hangs."""
    real = {
        each.__name__: each.__bases__[0].__name__
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, UploadError)
    }

    assert drawn() == real


@pytest.mark.parametrize("error", SAMPLES.values(), ids=lambda each: type(each).__name__)
def test_every_message_is_one_line_for_the_client(error: UploadError) -> None:
    """`str(error)` is one line that tells what to do."""
    assert str(error).endswith(".")
    assert "\n" not in str(error)


def test_an_error_carries_what_a_client_needs() -> None:
    """The offset that would fit; which chunks are missing, and how many."""
    assert errors.OffsetMismatch(7).expected == 7
    assert errors.MissingChunks([1, 2], 200).missing == [1, 2]
    assert errors.MissingChunks([1, 2], 200).count == 200
