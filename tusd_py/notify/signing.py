"""Signs what is sent to the main service, as Standard Webhooks 1.0.0 says."""

import base64
import hmac
from datetime import datetime


class Signer:
    """`secrets` are the keys; with several, while one replaces another, each makes a signature and
    the receiver needs to know one of them. Raises `ValueError` when there is none: what nobody
    signed has no signature, not an empty one."""

    def __init__(self, secrets: tuple[bytes, ...]) -> None:
        if not secrets:
            raise ValueError("Give a secret to sign with.")
        self._secrets = secrets

    def headers(self, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
        """The headers of one try at `at`: the id stays the same over all tries, the time does not.

        What is signed is `id.timestamp.body` (Standard Webhooks, Signature scheme).
        """
        timestamp = str(int(at.timestamp()))
        content = f"{message_id}.{timestamp}.".encode() + body
        digests = (hmac.digest(secret, content, "sha256") for secret in self._secrets)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join(
                f"v1,{base64.b64encode(digest).decode()}" for digest in digests
            ),
        }
