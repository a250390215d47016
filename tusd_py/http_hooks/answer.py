"""What a hook answers: JSON as tusd v2 reads it (pkg/hooks, HookResponse), and nothing else."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from tusd_py.verdict import Reply


class BadAnswer(ValueError):
    """That is no answer of a hook; `str(error)` says why, in words for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """All that a hook may say; each hook may say some of it."""

    reply: Reply | None = None
    rejects_upload: bool = False
    rejects_termination: bool = False
    stops: bool = False
    upload_id: str | None = None
    metadata: Mapping[str, str] | None = None
    path: str | None = None


def answer(data: bytes) -> Answer:
    """Read an answer. Raises `BadAnswer`.

    As in Go, names may be in capital or small letters, null is absence, and what is not known is
    left out.
    """
    try:
        value = json.loads(data.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise BadAnswer("the answer is not JSON") from None
    fields = _fields(value, "the answer")
    if fields is None:
        raise BadAnswer("the answer is null")
    changes = _fields(fields.get("changefileinfo"), "ChangeFileInfo") or {}
    storage = _texts(changes.get("storage"), "Storage") or {}
    return Answer(
        reply=_reply(_fields(fields.get("httpresponse"), "HTTPResponse")),
        rejects_upload=_flag(fields.get("rejectupload"), "RejectUpload"),
        rejects_termination=_flag(fields.get("rejecttermination"), "RejectTermination"),
        stops=_flag(fields.get("stopupload"), "StopUpload"),
        upload_id=_text(changes.get("id"), "ID") or None,
        metadata=_texts(changes.get("metadata"), "MetaData"),
        path=storage.get("Path") or None,
    )


def _reply(fields: Mapping[str, object] | None) -> Reply | None:
    if not fields:
        return None
    status = fields.get("statuscode") or None
    if status is not None and (isinstance(status, bool) or not isinstance(status, int)):
        raise BadAnswer("StatusCode is no whole number")
    headers = _texts(fields.get("header"), "Header") or {}
    body = _text(fields.get("body"), "Body") or None
    try:
        return Reply(status=status, headers=headers, body=body)
    except ValueError as error:
        raise BadAnswer(f"HTTPResponse: {error}") from error


def _fields(value: object, name: str) -> Mapping[str, object] | None:
    """An object by its names in small letters."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadAnswer(f"{name} is no object")
    return {key.lower(): each for key, each in value.items()}


def _texts(value: object, name: str) -> dict[str, str] | None:
    """An object of texts; names as they are."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadAnswer(f"{name} is no object")
    return {_text(key, name) or "": _text(each, name) or "" for key, each in value.items()}


def _text(value: object, name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadAnswer(f"{name} is no text, or has something else in it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadAnswer(f"{name} has half a character in it") from None
    return value


def _flag(value: object, name: str) -> bool:
    if value is not None and not isinstance(value, bool):
        raise BadAnswer(f"{name} is neither true nor false")
    return value is True


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
