"""Upload <-> JSON, versioned: the record, which is the truth about an upload."""

import base64
import json
from datetime import datetime

from tusd_py.errors import StorageError
from tusd_py.upload import Chunk, Completion, End, Ending, Final, Partial, Upload

VERSION = 1


class TornRecord(ValueError):
    """Not a record: empty, cut, or somebody else's file."""


def encode(upload: Upload) -> bytes:
    """The record of an upload."""
    fields: dict[str, object] = {
        "version": VERSION,
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
    if upload.completion is not None:
        fields["completion"] = {
            "at": upload.completion.at.isoformat(),
            "location": upload.completion.location,
        }
    if upload.ending is not None:
        fields["ending"] = {"at": upload.ending.at.isoformat(), "why": upload.ending.why.value}
    return json.dumps(fields, separators=(",", ":")).encode()


def decode(data: bytes) -> Upload:
    """The upload of a record.

    Raises `TornRecord` when it is none, `StorageError` when a newer server wrote it.
    """
    try:
        fields = json.loads(data)
        version = fields["version"]
        if isinstance(version, int) and version > VERSION:
            raise StorageError("A newer version of this server wrote the record of this upload.")
        return Upload(
            id=fields["id"],
            owner=fields["owner"],
            filename=fields["filename"],
            declared_file_id=fields["file_id"],
            content_type=fields["content_type"],
            metadata=fields["metadata"],
            concat=_decode_concat(fields.get("concat")),
            length=fields["length"],
            offset=fields["offset"],
            chunks=tuple(_decode_chunk(chunk) for chunk in fields["chunks"]),
            created_at=datetime.fromisoformat(fields["created_at"]),
            expires_at=datetime.fromisoformat(fields["expires_at"]),
            completion=_decode_completion(fields.get("completion")),
            ending=_decode_ending(fields.get("ending")),
        )
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise TornRecord(str(error)) from error


def _encode_chunk(chunk: Chunk) -> list[object]:
    if chunk.digest is None:
        return [chunk.size]
    return [chunk.size, base64.b64encode(chunk.digest).decode()]


def _decode_chunk(fields: list[object]) -> Chunk:
    size, *rest = fields
    digest = base64.b64decode(str(rest[0])) if rest else None
    return Chunk(size=_integer(size), digest=digest)


def _decode_concat(fields: object) -> Partial | Final | None:
    match fields:
        case None:
            return None
        case "partial":
            return Partial()
        case {"partials": list(partials), "header": str(header)}:
            return Final(partials=tuple(str(partial) for partial in partials), header=header)
    raise ValueError("concat")


def _decode_completion(fields: object) -> Completion | None:
    match fields:
        case None:
            return None
        case {"at": str(at), "location": (str() | None) as location}:
            return Completion(at=datetime.fromisoformat(at), location=location)
    raise ValueError("completion")


def _decode_ending(fields: object) -> Ending | None:
    match fields:
        case None:
            return None
        case {"at": str(at), "why": str(why)}:
            return Ending(at=datetime.fromisoformat(at), why=End(why))
    raise ValueError("ending")


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("not an integer")
    return value
