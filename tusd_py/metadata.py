"""The metadata of a client (tus 1.0.0, Upload-Metadata): text and values, and what they say."""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from tusd_py.names import safe_filename
from tusd_py.upload import NewUpload, Upload

KEY = re.compile(r"[\x21-\x2b\x2d-\x7e]+")
"""What a key is made of: ASCII without spaces and commas."""

Text = Callable[..., str | None]
"""`text(*names)` is the first of these values that is there and not empty."""


def described(new: NewUpload, header: str | None, text: Text) -> NewUpload:
    """A new upload whose metadata are these. Raises `BadRequest`."""
    name = text("filename", "name")
    return replace(
        new,
        filename=None if name is None else safe_filename(name),
        declared_file_id=text("main_service_file_id"),
        content_type=text("filetype"),
        metadata=header,
    )


def encoded(values: Mapping[str, str]) -> str | None:
    """The header that says this; None for nothing. Raises `ValueError` for a key that is none."""
    pairs = []
    for key, value in values.items():
        if KEY.fullmatch(key) is None:
            raise ValueError("a key of the metadata is not ASCII without spaces and commas")
        pairs.append(f"{key} {base64.b64encode(value.encode()).decode()}".rstrip())
    return ",".join(pairs) or None


def values_of(upload: Upload) -> dict[str, str]:
    """What the client said of an upload. Of one that began over REST, what it said there."""
    if upload.metadata is None:
        said = {
            "filename": None if upload.filename == upload.id else upload.filename,
            "filetype": upload.content_type,
            "main_service_file_id": upload.declared_file_id,
        }
        return {key: value for key, value in said.items() if value is not None}
    pairs = (pair.strip(" ").partition(" ") for pair in upload.metadata.split(","))
    return {key: base64.b64decode(value).decode("utf-8", "replace") for key, _, value in pairs}
