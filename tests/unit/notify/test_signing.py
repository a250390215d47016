"""Signer: what it signs, other people's software verifies."""

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tusd_py.notify.signing import Signer
from tusd_py.setting_types import webhook_secrets

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + "QUJD" * 11
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
BODY = b'{"test": 2432232314}'


def test_the_published_example() -> None:
    """The signature is the one that Standard Webhooks publishes for its example."""
    at = datetime.fromtimestamp(1614265330, UTC)

    assert Signer(webhook_secrets(SECRET)).headers(ID, at, BODY) == {
        "webhook-id": ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_nothing_is_signed_without_a_secret() -> None:
    """A signer without a secret cannot be made: it would send empty signatures."""
    with pytest.raises(ValueError, match="secret"):
        Signer(())


@pytest.mark.parametrize("known", [SECRET, OTHER], ids=["new", "old"])
def test_while_a_secret_is_replaced_both_verify(known: str) -> None:
    """With two secrets a receiver needs to know one of them, whichever it is."""
    signer = Signer(webhook_secrets(f"{SECRET}, {OTHER}"))
    headers = signer.headers(ID, datetime.now(UTC), BODY)

    assert Webhook(known).verify(BODY, headers) == {"test": 2432232314}
    assert headers["webhook-signature"].count("v1,") == 2


def test_what_was_changed_does_not_verify() -> None:
    """Body, id and time are part of what is signed."""
    headers = Signer(webhook_secrets(SECRET)).headers(ID, datetime.now(UTC), BODY)
    later = str(int(headers["webhook-timestamp"]) + 1)
    changed = [
        (BODY + b" ", headers),
        (BODY, {**headers, "webhook-id": "other"}),
        (BODY, {**headers, "webhook-timestamp": later}),
    ]

    assert Webhook(SECRET).verify(BODY, headers)
    for body, sent in changed:
        with pytest.raises(WebhookVerificationError, match="No matching signature"):
            Webhook(SECRET).verify(body, sent)
