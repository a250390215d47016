"""The header fields of tus 1.0.0, text to values and back. `BadRequest` names the field."""

import base64
import binascii
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from multidict import CIMultiDictProxy

from tusd_py.checksum import Checksum
from tusd_py.errors import BadRequest, MetadataTooLarge, UnsupportedMediaType
from tusd_py.metadata import KEY
from tusd_py.upload import Final, Partial, upload_id_of

VERSION = "1.0.0"
MEDIA_TYPE = "application/offset+octet-stream"
EXTENSIONS = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "expiration",
    "checksum",
    "termination",
    "concatenation",
)

_NUMBER = re.compile(r"[0-9]{1,19}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
Headers = CIMultiDictProxy[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Upload-Metadata: the header as received, and its decoded values."""

    header: str
    values: Mapping[str, bytes]

    def text(self, *names: str) -> str | None:
        """The first of these values that is there and not empty, read as UTF-8."""
        for name in names:
            if value := self.values.get(name):
                return value.decode("utf-8", "replace")
        return None


def single(headers: Headers, name: str) -> str | None:
    """The value of a field that may come once; None when it does not come."""
    lines = headers.getall(name, [])
    if len(lines) > 1:
        raise BadRequest(f"{name}: send this header once.")
    return lines[0].strip(" \t") if lines else None


def number(headers: Headers, name: str) -> int | None:
    """A non-negative integer of at most 19 ASCII digits; `007` is 7."""
    value = single(headers, name)
    if value is None:
        return None
    if _NUMBER.fullmatch(value) is None:
        raise BadRequest(f"{name}: send a non-negative integer.")
    return int(value)


def offset(headers: Headers) -> int:
    """Upload-Offset, which a PATCH must have."""
    value = number(headers, "Upload-Offset")
    if value is None:
        raise BadRequest("Upload-Offset is missing: send the offset the bytes are for.")
    return value


def length(headers: Headers) -> int | None:
    """Upload-Length of a creation; None when it is deferred."""
    value = number(headers, "Upload-Length")
    deferred = single(headers, "Upload-Defer-Length")
    if deferred is not None and deferred != "1":
        raise BadRequest("Upload-Defer-Length: the only value is 1.")
    if (value is None) == (deferred is None):
        raise BadRequest("Send either Upload-Length or Upload-Defer-Length: 1.")
    return value


def metadata(headers: Headers, most: int | None = None) -> Metadata | None:
    """Upload-Metadata: comma separated `key` or `key base64`, keys unique and ASCII.

    Raises `MetadataTooLarge` when it has more than `most` bytes; None is any.
    """
    lines = headers.getall("Upload-Metadata", [])
    size = sum(len(line.encode("utf-8", "surrogateescape")) for line in lines)
    if most is not None and size > most:
        raise MetadataTooLarge(most)
    if len(lines) > 1:
        raise BadRequest("Upload-Metadata: send this header once.")
    return parsed_metadata(lines[0]) if lines and lines[0] else None


def metadata_header(values: Mapping[str, str]) -> str:
    """The Upload-Metadata that says this."""
    pairs = {
        key: base64.b64encode(value.encode("utf-8", "replace")) for key, value in values.items()
    }
    return ",".join(f"{key} {value.decode()}".rstrip(" ") for key, value in pairs.items())


def parsed_metadata(line: str) -> Metadata:
    """The metadata of a header that is not empty. Raises `BadRequest`."""
    values: dict[str, bytes] = {}
    for pair in line.split(","):
        key, _, encoded = pair.strip(" ").partition(" ")
        if KEY.fullmatch(key) is None:
            raise BadRequest("Upload-Metadata: every key is ASCII without spaces or commas.")
        if key in values:
            raise BadRequest("Upload-Metadata: every key may come once.")
        values[key] = _decoded(encoded, "Upload-Metadata")
    return Metadata(header=line, values=values)


def checksum(headers: Headers) -> Checksum | None:
    """Upload-Checksum: the name of an algorithm, a space, the digest in Base64."""
    if "upload-checksum" in ",".join(headers.getall("Trailer", [])).lower():
        raise BadRequest("Upload-Checksum: send it as a header; trailers are not read.")
    value = single(headers, "Upload-Checksum")
    if value is None:
        return None
    algorithm, space, encoded = value.partition(" ")
    if not space or not encoded:
        raise BadRequest("Upload-Checksum: send an algorithm, a space and the digest in Base64.")
    return Checksum(algorithm=algorithm, digest=_decoded(encoded, "Upload-Checksum"))


def concat(headers: Headers, bases: Collection[str]) -> Partial | Final | None:
    """Upload-Concat: `partial`, or `final;` and the URLs of partial uploads.

    Such a URL is one of `bases` and an id, or an id alone, relative to the creation URL.
    """
    value = single(headers, "Upload-Concat")
    if value is None:
        return None
    if value == "partial":
        return Partial()
    if not value.startswith("final;"):
        raise BadRequest("Upload-Concat: send partial, or final; and the URLs of the parts.")
    urls = value.removeprefix("final;").split()
    if not value.isascii() or not value.isprintable():  # it is kept, and sent back by HEAD
        raise BadRequest("Upload-Concat: the URLs are ASCII, with one space between them.")
    if not urls:
        raise BadRequest("Upload-Concat: name the URLs of the partial uploads.")
    return Final(partials=tuple(_upload_id(url, bases) for url in urls), header=value)


def require_media_type(headers: Headers) -> None:
    """The body of a PATCH is application/offset+octet-stream."""
    if not is_append_body(headers):
        raise UnsupportedMediaType(f"Send the bytes with Content-Type: {MEDIA_TYPE}.")


def is_append_body(headers: Headers) -> bool:
    """Whether the body holds bytes for the upload."""
    value = single(headers, "Content-Type") or ""
    return value.partition(";")[0].strip().lower() == MEDIA_TYPE


def http_date(moment: datetime) -> str:
    """An IMF-fixdate (RFC 9110, 5.6.7)."""
    return format_datetime(moment.replace(microsecond=0), usegmt=True)


def _decoded(encoded: str, field: str) -> bytes:
    if _BASE64.fullmatch(encoded) is None:
        raise BadRequest(f"{field}: the value is not Base64.")
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise BadRequest(f"{field}: the value is not Base64.") from None


def _upload_id(url: str, bases: Collection[str]) -> str:
    for base in bases:
        if url.startswith(base):
            return upload_id_of(url.removeprefix(base))
    if "/" in url:
        raise BadRequest("Upload-Concat: these are not addresses of uploads here.")
    return upload_id_of(url)
