"""The shapes of what is sent and answered, as JSON Schema (2020-12)."""

from typing import TypeAlias

from tusd_py.checksum import SHA256_PATTERN
from tusd_py.web.form import MAX_PARTS

Json: TypeAlias = dict[str, object]

EXAMPLE_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
EXAMPLE_ID = "8f14e45f-ceea-467f-a9c7-3b1d2f6a0c55"

COMPLETED = (
    "File upload completed and main service notified.",
    "File upload completed, notification queued.",
    "File upload completed.",
)
"""The messages of `complete`: the main service was told; it will be; there is nobody to tell."""

_MOST = 10**19 - 1

_UPLOAD_ID: Json = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "description": "The id from `POST /upload/init`, or the last segment of a tus upload's URL.",
    "examples": [EXAMPLE_ID],
}
_FILE_ID: Json = {
    "type": "integer",
    "minimum": 0,
    "maximum": _MOST,
    "description": (
        "The number of the file in the main service, and the name of the folder it ends in."
    ),
    "examples": [123],
}
_SHA256: Json = {"type": "string", "pattern": "^[0-9a-f]{64}$", "examples": [EXAMPLE_SHA256]}

SCHEMAS: Json = {
    "NewUpload": {
        "type": "object",
        "description": "Other fields are ignored.",
        "required": ["main_service_file_id", "original_file_name"],
        "properties": {
            "main_service_file_id": _FILE_ID,
            "original_file_name": {
                "type": "string",
                "minLength": 1,
                "description": (
                    "The name of the file. It stays as it is where that is harmless; separators "
                    "and control characters become `_`, and a name over 255 bytes of UTF-8 is "
                    "shortened before its extension."
                ),
                "examples": ["audio.mp3"],
            },
            "sha256": {
                "type": ["string", "null"],
                "pattern": SHA256_PATTERN,
                "description": (
                    "The SHA-256 of the whole file, in hexadecimal or Base64. `complete` checks it."
                ),
                "examples": [EXAMPLE_SHA256],
            },
        },
    },
    "Chunk": {
        "type": "object",
        "description": (
            "The fields may come in any order; `chunk` last saves the server a copy. "
            "Other fields are ignored."
        ),
        "maxProperties": MAX_PARTS,
        "required": ["upload_session_id", "chunk_index", "chunk"],
        "properties": {
            "upload_session_id": _UPLOAD_ID,
            "chunk_index": {
                "type": "integer",
                "minimum": 0,
                "maximum": _MOST,
                "description": "The place of the chunk, counted from 0, in 1 to 19 digits.",
                "examples": [0],
            },
            "chunk": {
                "type": "string",
                "format": "binary",
                "contentMediaType": "application/octet-stream",
                "description": "The bytes of the chunk, as a file; may be empty.",
            },
        },
    },
    "Completion": {
        "type": "object",
        "description": "Other fields are ignored.",
        "required": ["upload_session_id", "total_chunks", "main_service_file_id"],
        "properties": {
            "upload_session_id": _UPLOAD_ID,
            "total_chunks": {
                "type": "integer",
                "minimum": 1,
                "maximum": _MOST,
                "description": "How many chunks the file has; an empty file is one empty chunk.",
                "examples": [10],
            },
            "main_service_file_id": {
                **_FILE_ID,
                "description": "The same number as in `POST /upload/init`.",
            },
        },
    },
    "Which": {
        "type": "object",
        "description": "Other fields are ignored.",
        "required": ["upload_session_id"],
        "properties": {"upload_session_id": _UPLOAD_ID},
    },
    "Done": {
        "type": "object",
        "required": ["status", "message"],
        "properties": {
            "status": {"type": "string", "const": "success"},
            "message": {"type": "string", "description": "For people."},
        },
    },
    "Opened": {
        "allOf": [{"$ref": "#/components/schemas/Done"}],
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {
                "type": "object",
                "required": ["upload_session_id"],
                "properties": {"upload_session_id": _UPLOAD_ID},
            }
        },
    },
    "Completed": {
        "allOf": [{"$ref": "#/components/schemas/Done"}],
        "type": "object",
        "required": ["data"],
        "properties": {
            "message": {
                "type": "string",
                "enum": list(COMPLETED),
                "description": (
                    "Whether the main service was told of the file, will be told, or nobody is "
                    "to be told. The file is finished in each case."
                ),
            },
            "data": {
                "type": "object",
                "required": ["file_path_on_upload_service"],
                "properties": {
                    "file_path_on_upload_service": {
                        "type": "string",
                        "description": "The path of the file; with S3 its URL.",
                        "examples": ["/data/final/42/123/audio.mp3"],
                    },
                    "sha256": {
                        **_SHA256,
                        "description": "The SHA-256 of the file, where it is known.",
                    },
                },
            },
        },
    },
    "Files": {
        "type": "object",
        "required": ["status", "files", "uploads"],
        "properties": {
            "status": {"type": "string", "const": "success"},
            "files": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The paths of the files, or their URLs with S3, oldest first.",
            },
            "uploads": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/File"},
                "description": "The same files in the same order, described.",
            },
        },
    },
    "File": {
        "type": "object",
        "description": "A finished file. There may be more fields than are named here.",
        "required": [
            "upload_session_id",
            "file_name",
            "size",
            "content_type",
            "path",
            "completed_at",
            "sha256",
        ],
        "properties": {
            "upload_session_id": _UPLOAD_ID,
            "file_name": {"type": "string", "minLength": 1},
            "size": {"type": "integer", "minimum": 0, "description": "Bytes."},
            "content_type": {
                "type": ["string", "null"],
                "description": "What a tus client said in the metadata `filetype`.",
            },
            "path": {"type": "string", "description": "The path of the file; with S3 its URL."},
            "completed_at": {"type": "string", "format": "date-time"},
            "sha256": {
                **_SHA256,
                "type": ["string", "null"],
                "description": "The SHA-256 of the file; null where it is not known.",
            },
        },
    },
    "Error": {
        "type": "object",
        "required": ["status", "code", "message"],
        "properties": {
            "status": {"type": "string", "const": "error"},
            "code": {
                "type": "string",
                "pattern": "^[a-z_]+$",
                "description": "A word for programs; it stays the same between versions.",
            },
            "message": {
                "type": "string",
                "minLength": 1,
                "description": "One sentence for people that says what to do.",
            },
        },
    },
    "MissingChunks": {
        "allOf": [{"$ref": "#/components/schemas/Error"}],
        "type": "object",
        "required": ["missing", "missing_count"],
        "properties": {
            "code": {"type": "string", "const": "missing_chunks"},
            "missing": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0},
                "minItems": 1,
                "maxItems": 100,
                "description": "The first chunks that are missing.",
            },
            "missing_count": {
                "type": "integer",
                "minimum": 1,
                "description": "How many are missing in all.",
            },
        },
    },
}

HEADERS: dict[str, Json] = {
    "Allow": {
        "description": "The methods that this address knows.",
        "schema": {"type": "string", "examples": ["POST, OPTIONS"]},
    },
    "Retry-After": {
        "description": "In how many seconds to send the same request again.",
        "schema": {"type": "integer", "minimum": 0, "examples": [1]},
    },
    "WWW-Authenticate": {
        "description": "How to say who you are.",
        "schema": {"type": "string", "const": "Bearer"},
    },
}
"""Headers that answers carry."""


def ref(kind: str, name: str) -> Json:
    """Points at a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def plain_text(example: str | None = None) -> Json:
    """Content that is plain text."""
    media: Json = {"schema": {"type": "string"}}
    if example is not None:
        media["example"] = example
    return {"text/plain": media}
