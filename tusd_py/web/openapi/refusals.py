"""What may go wrong with each request of the REST face, and how the document says so.

Statuses, words, headers and bodies come from the table and the functions that make the answers, so
that they cannot differ. The messages are examples.
"""

import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus

from tusd_py import errors
from tusd_py.errors import UploadError
from tusd_py.web.errors import (
    REASON,
    ExpectationFailed,
    InternalError,
    MethodNotAllowed,
    headers_of,
    status_of,
)
from tusd_py.web.openapi.schemas import HEADERS, Json, plain_text, ref
from tusd_py.web.rest import refusal_fields

TROUBLE = errors.from_os(OSError(errno.EIO, os.strerror(errno.EIO)))
"""What the storage says when it fails."""

_ANYWHERE: tuple[UploadError, ...] = (
    errors.Unauthorized("Send one header: Authorization: Bearer <token>."),
    errors.RateLimited(retry_after=7),
    TROUBLE,
    InternalError(),
)
_WELCOME_AT_TIMES = (errors.TooManyAtOnce(512),)
_OF_BODIES: tuple[UploadError, ...] = (
    errors.BodyMalformed(),
    errors.BodyStalled(),
    errors.BodyTooSlow(),
    errors.BodyInterrupted(),
    errors.BodyStopped(),
)
_OF_JSON: tuple[UploadError, ...] = (
    errors.BadRequest("The body is not valid JSON."),
    errors.UnsupportedMediaType("Send JSON with Content-Type: application/json."),
    *_OF_BODIES,
)
_OF_UPLOADS: tuple[UploadError, ...] = (
    errors.UploadNotFound(),
    errors.UploadGone("The upload was terminated; create a new one."),
    errors.UploadLocked(),
    errors.NoSpace(),
)

_OF_HOOKS: tuple[UploadError, ...] = (errors.Rejected(), errors.HookFailed())

REFUSALS: Mapping[str, Sequence[UploadError]] = {
    "initUpload": (
        *_OF_HOOKS,
        *_ANYWHERE,
        *_WELCOME_AT_TIMES,
        *_OF_JSON,
        errors.QuotaExceeded(50 << 30),
        errors.TooManyUploads(1000),
        errors.NoSpace(),
        errors.DiskTooFull(),
    ),
    "sendChunk": (
        errors.UploadStopped(),
        *_ANYWHERE,
        *_WELCOME_AT_TIMES,
        errors.BadRequest("chunk_index: send a whole number from 0, in digits."),
        errors.UnsupportedMediaType("Send a form: Content-Type: multipart/form-data; boundary=..."),
        *_OF_BODIES,
        *_OF_UPLOADS,
        errors.Forbidden("A concatenated upload takes no chunks."),
        errors.ChunkConflict("Other bytes are already part of the file as chunk 0."),
        errors.TooLarge("Only 0 more bytes fit into this upload; send no more."),
        errors.UploadTooLarge("The server takes at most 5368709120 bytes; send a smaller file."),
        errors.TooManyChunks("An upload has at most 10000 chunks; send larger ones."),
        errors.QuotaExceeded(50 << 30),
    ),
    "completeUpload": (
        *_OF_HOOKS,
        *_ANYWHERE,
        *_WELCOME_AT_TIMES,
        *_OF_JSON,
        *_OF_UPLOADS,
        errors.Forbidden("A concatenated upload takes no chunks."),
        errors.MissingChunks([1], 1),
        errors.ChunkCountMismatch("Chunk 1 was sent; total_chunks must be above 1."),
        errors.DigestMismatch(),
        errors.IdMismatch("main_service_file_id is not the one this upload began with."),
        errors.UploadUnfinished("Only 7 of 10 bytes were sent."),
        errors.TooLarge("The chunks are larger than the file may be; delete the upload."),
        errors.TooManyChunks("An upload has at most 10000 chunks; send larger ones."),
        errors.QuotaExceeded(50 << 30),
    ),
    "deleteUpload": (*_ANYWHERE, *_OF_HOOKS, *_OF_JSON, *_OF_UPLOADS),
    "listFiles": (*_ANYWHERE, *_WELCOME_AT_TIMES),
}
"""The refusals of each request. Those of any address and of a connection are added to them."""

_OF_CONNECTIONS: Mapping[int, str] = {
    400: "As plain text: the request is not valid HTTP, or a line of its head is too long.",
    408: "The head of the request did not end within HEADER_TIMEOUT; the connection closes.",
    500: "As plain text: the server failed before it knew what was asked.",
    503: "As plain text: there is no room for another connection.",
}
"""What is answered before any face is reached, in plain text."""


def refusals(name: str, allowed: tuple[str, ...]) -> Json:
    """All answers to a request that are no success, by status; `allowed` are the methods of its
    address."""
    return responses((*REFUSALS[name], MethodNotAllowed(allowed)), connections=True)


def responses(kinds: Iterable[UploadError], *, connections: bool = False) -> Json:
    """The answers to some errors as JSON, by status; those of a connection too if wanted."""
    by_status: dict[int, list[UploadError]] = {}
    for each in kinds:
        by_status.setdefault(status_of(each), []).append(each)
    described = {status: _response(some) for status, some in by_status.items()}
    if connections:
        for status, why in _OF_CONNECTIONS.items():
            _add_plain(described.setdefault(status, {"description": ""}), why)
        expectation = ExpectationFailed()
        _add_plain(
            described.setdefault(status_of(expectation), {"description": ""}), _said(expectation)
        )
    return {str(status): described[status] for status in sorted(described)}


def plain_responses(kinds: Iterable[UploadError]) -> Json:
    """The answers to some errors as one line of text, by status."""
    return {
        str(status_of(each)): {
            "description": _said(each),
            **_headers([each]),
            "content": plain_text(f"{each}\n"),
        }
        for each in kinds
    }


def phrase(status: int) -> str:
    """The reason phrase that the server sends with a status."""
    return REASON.get(status) or HTTPStatus(status).phrase


def _response(some: Sequence[UploadError]) -> Json:
    """One answer: what it means, its headers, its schema, an example of every kind."""
    said = dict.fromkeys(f"`{each.code}`: {_said(each)}" for each in some)
    return {
        "description": "\n".join(f"- {line}" for line in said)
        if len(said) > 1
        else next(iter(said)),
        **_headers(some),
        "content": {
            "application/json": {
                "schema": _schema(some),
                "examples": {
                    type(each).__name__: {"summary": _said(each), "value": refusal_fields(each)}
                    for each in some
                },
            }
        },
    }


def _schema(some: Sequence[UploadError]) -> Json:
    ordinary = [each for each in some if not isinstance(each, errors.MissingChunks)]
    codes = list(dict.fromkeys(each.code for each in ordinary))
    schema: Json = {
        "allOf": [
            ref("schemas", "Error"),
            {"type": "object", "properties": {"code": {"type": "string", "enum": codes}}},
        ]
    }
    if len(ordinary) < len(some):
        return {"oneOf": [ref("schemas", "MissingChunks"), schema]}
    return schema


def _headers(some: Sequence[UploadError]) -> Json:
    """The headers of an answer; one that every kind has is required."""
    sets = [headers_of(each).keys() for each in some]
    names = sorted(set[str]().union(*sets))
    if not names:
        return {}
    return {
        "headers": {
            name: {**HEADERS[name], "required": all(name in each for each in sets)}
            for name in names
        }
    }


def _add_plain(response: Json, why: str) -> None:
    content = response.setdefault("content", {})
    assert isinstance(content, dict)
    content |= plain_text()
    response["description"] = "\n".join(filter(None, [str(response["description"]), why]))


def _said(error: UploadError) -> str:
    """What an error means, as its class says."""
    return " ".join((type(error).__doc__ or error.code).partition("\n\n")[0].split())
