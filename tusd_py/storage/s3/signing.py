"""SigV4 for payloads whose digest is known: it was computed in a thread, not on the event loop.

The digest is part of the signature, so the store refuses bytes that changed on their way. botocore
would read the payload and hash it between two steps of the event loop.
"""

from botocore.auth import AUTH_TYPE_MAPS, S3SigV4Auth
from botocore.awsrequest import AWSRequest

from tusd_py.storage.s3.buffer import Sending

NAME = "s3v4-digested"


class DigestedS3SigV4Auth(S3SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """Signs requests whose body is a `Sending`; all others as its parent does."""

    def payload(self, request: AWSRequest) -> str:
        """The SHA-256 of the body in hexadecimal digits."""
        body = request.body
        if isinstance(body, Sending) and body.sha256 is not None:
            return body.sha256
        digest: str = super().payload(request)
        return digest


def choose(**_kwargs: object) -> str:
    """Botocore's hook `choose-signer`, for the calls that have a `Sending`."""
    return NAME


AUTH_TYPE_MAPS[NAME] = DigestedS3SigV4Auth
