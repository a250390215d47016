"""Share: one user's requests do not take the place of another's."""

from contextlib import ExitStack

import pytest

from tusd_py.errors import TooManyAtOnce
from tusd_py.web.share import ALWAYS_WELCOME, Share


def test_one_more_than_the_share_is_refused() -> None:
    """The limit itself works; the next one is told how many there may be, and when to try again."""
    share = Share(2)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(share.taken("42", "PATCH"))

        with pytest.raises(TooManyAtOnce, match="2 requests") as refusal, share.taken("42", "POST"):
            pass
    assert (refusal.value.limit, refusal.value.retry_after) == ("max_requests_per_user", 1)


def test_others_have_shares_of_their_own() -> None:
    """One user's share is nothing to another user."""
    share = Share(1)
    with (
        share.taken("42", "PATCH"),
        share.taken("43", "PATCH"),
        pytest.raises(TooManyAtOnce),
        share.taken("43", "PATCH"),
    ):
        pass


def test_a_request_that_ended_gives_its_place_back() -> None:
    """Also one that failed."""
    share = Share(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), share.taken("42", "PATCH"):
            raise ZeroDivisionError

    with share.taken("42", "PATCH"):
        pass


@pytest.mark.parametrize("method", sorted(ALWAYS_WELCOME))
def test_what_a_client_needs_to_recover_is_welcome(method: str) -> None:
    """HEAD, DELETE and OPTIONS are neither refused nor counted."""
    share = Share(1)
    with (
        share.taken("42", method),
        share.taken("42", "PATCH"),
        share.taken("42", method),
        pytest.raises(TooManyAtOnce),
        share.taken("42", "PATCH"),
    ):
        pass
