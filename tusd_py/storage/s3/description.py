"""What a finished object says of itself: media type, file name, owner's metadata, whose it is.

User metadata has at most 2 KB and is ASCII
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html).
"""

import binascii
import re
from base64 import b64decode

from tusd_py.representation import disposition, media_type
from tusd_py.storage.s3.bucket import Described
from tusd_py.upload import Upload

UPLOAD_ID = "upload-id"
"""Whose file an object is: uploads of the same place replace each other's."""

MAX_METADATA = 2048

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
_VALUE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


def described(upload: Upload) -> Described:
    """The description of the finished file of an upload."""
    return Described(
        content_type=media_type(upload.content_type),
        disposition=disposition(upload.filename),
        metadata=_metadata(upload),
    )


def _metadata(upload: Upload) -> dict[str, str]:
    """The upload's id, and the client's metadata if all that can be told in ASCII fits."""
    own = {UPLOAD_ID: upload.id}
    both = _readable(upload.metadata or "") | own
    size = sum(len(name) + len(value) for name, value in both.items())
    return both if size <= MAX_METADATA else own


def _readable(header: str) -> dict[str, str]:
    """The pairs of Upload-Metadata whose name and value a header field can hold."""
    pairs = {}
    for pair in header.split(","):
        name, _, encoded = pair.strip().partition(" ")
        try:
            value = b64decode(encoded, validate=True).decode("ascii")
        except (binascii.Error, ValueError):
            continue
        if _NAME.fullmatch(name.lower()) and _VALUE.fullmatch(value):
            pairs[name.lower()] = value
    return pairs
