"""What the main service is told of an event: a message with an id, and a body of JSON."""

import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from tusd_py.events import Completed, Created, Event, Expired, Received, Terminated
from tusd_py.setting_types import Notification
from tusd_py.upload import Upload

KINDS: dict[type[Event], Notification] = {
    Created: Notification.CREATED,
    Received: Notification.PROGRESS,
    Completed: Notification.COMPLETED,
    Terminated: Notification.TERMINATED,
    Expired: Notification.EXPIRED,
}
"""The events that can be told."""

_ENDS = (Notification.COMPLETED, Notification.TERMINATED, Notification.EXPIRED)

_NAMESPACE = uuid.UUID("5b9c1f0e-3d0a-4a53-9a7e-6f2d1c8b7a40")

_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One event as it is sent; every try sends the same bytes. `at` is when it happened. It is not
    told any more after those whose ids are in `before`."""

    id: str
    kind: Notification
    upload_id: str
    owner: str
    body: bytes
    at: datetime
    before: tuple[str, ...] = ()


def message_id(upload: Upload, kind: Notification, *, received: int = 0) -> str:
    """The same for the same event of an upload, also when a crash makes it happen again. An upload
    is another one if it has the id of an earlier one, of another user or deleted since: a hook may
    choose ids.

    Of progress there are many: each has the id of its number of bytes.
    """
    name = f"{upload.owner}/{upload.id}/{_time(upload.created_at)}/{kind.value}"
    if kind is Notification.PROGRESS:
        name += f"/{received}"
    return str(uuid.uuid5(_NAMESPACE, name))


def message(kind: Notification, upload: Upload, *, at: datetime, location: str | None) -> Message:
    """Tell what happened to `upload` at `at`; `location` of its file, if it has one."""
    own_id = message_id(upload, kind, received=upload.offset)
    ends = _ENDS if kind is Notification.PROGRESS else ()
    completion = upload.completion
    sha256 = None if completion is None else completion.sha256
    told = {
        "type": f"upload.{kind.value}",
        "id": own_id,
        "timestamp": _time(at),
        "data": {
            "upload_id": upload.id,
            "user_id": upload.owner,
            "main_service_file_id": _file_id(upload.declared_file_id),
            "file_name": upload.filename,
            "size": upload.length,
            "received": upload.offset,
            "sha256": None if sha256 is None else sha256.hex(),
            "content_type": upload.content_type,
            "path": None if location is None else lasting(location),
            "created_at": _time(upload.created_at),
            "completed_at": None if completion is None else _time(completion.at),
        },
    }
    body = json.dumps(told, ensure_ascii=True, separators=(",", ":")).encode()
    return Message(
        id=own_id,
        kind=kind,
        upload_id=upload.id,
        owner=upload.owner,
        body=body,
        at=at,
        before=tuple(message_id(upload, end) for end in ends),
    )


def lasting(location: str) -> str:
    """A URL without the signature that lets anybody read it for a while: an event may be delivered
    when that is over, and no secret belongs into the outbox. A path stays as it is."""
    return location if location.startswith("/") else location.partition("?")[0]


def _file_id(declared: str | None) -> int | str | None:
    """The main service's id as it gave it: a number is a number again."""
    if declared is not None and _NUMBER.fullmatch(declared):
        return int(declared)
    return declared


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
