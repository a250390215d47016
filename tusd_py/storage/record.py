"""Upload <-> JSON, versioned: the record, which is the truth about an upload."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from tusd_py.checksum import SHA256_SIZE
from tusd_py.errors import StorageError
from tusd_py.names import is_segment, safe_filename
from tusd_py.upload import (
    Chunk,
    Claim,
    Completion,
    End,
    Ending,
    Final,
    Partial,
    Upload,
    is_upload_id,
)

VERSION = 2
"""The newest version that is read."""

PLAIN = 1
"""The version of a record without digests of whole files. Servers that know no others go on with
it; what they would not check, and forget when they write, they must leave alone."""

_SIZES = 10**19
"""Every size is less: requests have 19 digits for it."""

_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What no header field can hold (RFC 9110, 5.5), so that no client sent it."""


_JSON = json.JSONEncoder(separators=(",", ":"))


class TornRecord(ValueError):
    """Not a record: empty, cut, or somebody else's file."""


def encode(upload: Upload, **backing: Mapping[str, object]) -> bytes:
    """The record of an upload, with what a storage notes beside it under a name of its own."""
    fields: dict[str, object] = {
        "version": _version(upload),
        "id": upload.id,
        "owner": upload.owner,
        "filename": upload.filename,
        "file_id": upload.declared_file_id,
        "content_type": upload.content_type,
        "metadata": upload.metadata,
        "length": upload.length,
        "offset": upload.offset,
        "chunks": [_encode_chunk(chunk) for chunk in upload.chunks],
        "created_at": upload.created_at.isoformat(),
        "expires_at": upload.expires_at.isoformat(),
    }
    match upload.concat:
        case Partial():
            fields["concat"] = "partial"
        case Final():
            fields["concat"] = {
                "partials": list(upload.concat.partials),
                "header": upload.concat.header,
            }
        case None:
            pass
    if upload.claim is not None:
        fields["claim"] = _encode_claim(upload.claim)
    if upload.losses:
        fields["losses"] = upload.losses
    if upload.completion is not None:
        fields["completion"] = _encode_completion(upload.completion)
    if upload.ending is not None:
        fields["ending"] = {"at": upload.ending.at.isoformat(), "why": upload.ending.why.value}
    return _JSON.encode(fields | backing).encode()


def decode(data: bytes, backing: Callable[[Mapping[str, object]], object] | None = None) -> Upload:
    """The upload of a record. `backing` reads from its fields what a storage noted beside it.

    Raises `TornRecord` when it is none, `StorageError` when a newer server wrote it.
    """
    try:
        fields = json.loads(data)
        version = fields["version"]
        if isinstance(version, int) and version > VERSION:
            raise StorageError("A newer version of this server wrote the record of this upload.")
        upload = Upload(
            id=_text(fields["id"]),
            owner=_text(fields["owner"]),
            filename=_text(fields["filename"]),
            declared_file_id=_text_or_none(fields["file_id"]),
            content_type=_text_or_none(fields["content_type"]),
            metadata=_text_or_none(fields["metadata"]),
            concat=_decode_concat(fields.get("concat")),
            length=None if fields["length"] is None else _size(fields["length"]),
            offset=_size(fields["offset"]),
            chunks=tuple(_decode_chunk(chunk) for chunk in fields["chunks"]),
            created_at=_moment(fields["created_at"]),
            expires_at=_moment(fields["expires_at"]),
            claim=_decode_claim(fields.get("claim")),
            losses=_size(fields.get("losses", 0)),
            completion=_decode_completion(fields.get("completion")),
            ending=_decode_ending(fields.get("ending")),
            backing=None if backing is None else backing(fields),
        )
        _require_sense(upload)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise TornRecord(str(error)) from error
    return upload


def _version(upload: Upload) -> int:
    is_known = upload.completion is not None and upload.completion.sha256 is not None
    return VERSION if upload.claim is not None or is_known else PLAIN


def _encode_claim(claim: Claim) -> dict[str, object]:
    fields: dict[str, object] = {"sha256": claim.sha256.hex()}
    if claim.found is not None:
        fields["found"] = claim.found.hex()
    return fields


def _encode_completion(completion: Completion) -> dict[str, object]:
    fields: dict[str, object] = {"at": completion.at.isoformat()}
    if completion.sha256 is not None:
        fields["sha256"] = completion.sha256.hex()
    return fields


def _encode_chunk(chunk: Chunk) -> list[object]:
    if chunk.digest is None:
        return [chunk.size]
    return [chunk.size, base64.b64encode(chunk.digest).decode()]


def _decode_chunk(fields: list[object]) -> Chunk:
    size, *rest = fields
    digest = base64.b64decode(_text(rest[0]), validate=True) if rest else None
    return Chunk(size=_size(size), digest=digest)


def _decode_concat(fields: object) -> Partial | Final | None:
    match fields:
        case None:
            return None
        case "partial":
            return Partial()
        case {"partials": list(partials), "header": str(header)}:
            return Final(partials=tuple(_text(partial) for partial in partials), header=header)
    raise ValueError("concat")


def _decode_completion(fields: object) -> Completion | None:
    match fields:
        case None:
            return None
        case {"at": str(at), **rest}:
            return Completion(at=_moment(at), sha256=_sha256_or_none(rest.get("sha256")))
    raise ValueError("completion")


def _decode_claim(fields: object) -> Claim | None:
    match fields:
        case None:
            return None
        case {"sha256": str(claimed), **rest}:
            return Claim(sha256=_sha256(claimed), found=_sha256_or_none(rest.get("found")))
    raise ValueError("claim")


def _decode_ending(fields: object) -> Ending | None:
    match fields:
        case None:
            return None
        case {"at": str(at), "why": str(why)}:
            return Ending(at=_moment(at), why=End(why))
    raise ValueError("ending")


def _require_sense(upload: Upload) -> None:
    """What holds for every upload, whoever wrote the record."""
    if not (is_upload_id(upload.id) and is_segment(upload.owner) and is_segment(upload.file_id)):
        raise ValueError("names")
    if not upload.filename or upload.filename != safe_filename(upload.filename):
        raise ValueError("filename")
    if upload.length is not None and upload.offset > upload.length:
        raise ValueError("length")
    final = upload.concat.header if isinstance(upload.concat, Final) else ""
    if _CONTROLS.search(f"{upload.metadata or ''}{final}"):
        raise ValueError("not a header")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _sha256(value: object) -> bytes:
    digest = bytes.fromhex(_text(value))
    if len(digest) != SHA256_SIZE:
        raise ValueError("not a SHA-256")
    return digest


def _sha256_or_none(value: object) -> bytes | None:
    return None if value is None else _sha256(value)


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _SIZES:
        raise TypeError("not a size")
    return value


def _moment(value: object) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    if not 1970 <= moment.year < 9000:
        raise ValueError("not a time of ours: one cannot reckon with it")
    return moment.astimezone(UTC)
