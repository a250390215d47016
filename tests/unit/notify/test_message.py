"""Messages: what is told of an upload, and what never."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.uploads import NOW, UPLOAD, fresh
from tusd_py.notify.message import lasting, message, message_id
from tusd_py.setting_types import Notification
from tusd_py.upload import Completion, Upload

DONE = replace(
    UPLOAD,
    offset=10,
    content_type="audio/mpeg",
    metadata="filename YXVkaW8ubXAz,token c2VjcmV0",
    completion=Completion(at=NOW + timedelta(seconds=3), sha256=bytes(range(32))),
)


def told(upload: Upload, kind: Notification = Notification.COMPLETED) -> dict[str, object]:
    """What the body says of an upload."""
    body = message(kind, upload, at=NOW, location="/data/final/42/123/audio.mp3").body
    data = json.loads(body)["data"]
    assert isinstance(data, dict)
    return data


def test_a_completed_upload() -> None:
    """The body names the event and all of the file, and nothing else."""
    said = message(Notification.COMPLETED, DONE, at=NOW, location="/data/final/42/123/audio.mp3")

    assert json.loads(said.body) == {
        "type": "upload.completed",
        "id": said.id,
        "timestamp": "2026-01-01T12:00:00.000000Z",
        "data": {
            "upload_id": DONE.id,
            "user_id": "42",
            "main_service_file_id": 123,
            "file_name": "audio.mp3",
            "size": 10,
            "received": 10,
            "sha256": bytes(range(32)).hex(),
            "content_type": "audio/mpeg",
            "path": "/data/final/42/123/audio.mp3",
            "created_at": "2026-01-01T12:00:00.000000Z",
            "completed_at": "2026-01-01T12:00:03.000000Z",
        },
    }


def test_what_is_not_known_is_null() -> None:
    """An upload that has just begun has the same fields."""
    upload = replace(UPLOAD, length=None, declared_file_id=None)
    said = json.loads(message(Notification.CREATED, upload, at=NOW, location=None).body)["data"]

    unknown = {name for name, value in said.items() if value is None}
    assert said.keys() == told(DONE).keys()
    assert unknown == {
        *("main_service_file_id", "size", "sha256", "content_type", "path", "completed_at"),
    }


def test_metadata_stays_here() -> None:
    """What a client sent as metadata is for nobody else."""
    body = message(Notification.COMPLETED, DONE, at=NOW, location="/x").body

    assert b"c2VjcmV0" not in body
    assert b"metadata" not in body


@pytest.mark.parametrize(
    ("declared", "shown"),
    [
        ("0", 0),
        ("9999999999999999999", 9999999999999999999),
        ("007", "007"),
        ("-1", "-1"),
        ("1.5", "1.5"),
        ("\u0661", "\u0661"),
        ("report", "report"),
        ("1" * 20, "1" * 20),
    ],
    ids=["zero", "largest", "zeros", "negative", "fraction", "arabic", "word", "too-long"],
)
def test_the_id_comes_back_as_it_was_given(declared: str, shown: object) -> None:
    """A number that the main service gave is a number again, anything else a text."""
    assert told(replace(DONE, declared_file_id=declared))["main_service_file_id"] == shown


@pytest.mark.parametrize("name", ['"\\\x7f', "\u202e\U0001f600", "a\udcffb"[:1] + "\x85"])
def test_any_name_is_valid_json(name: str) -> None:
    """A name is whole after it was read again."""
    assert told(replace(DONE, filename=name))["file_name"] == name


def test_ids_are_the_same_again() -> None:
    """The same event of an upload has the same id whenever it is told; all others have another."""
    other = fresh(DONE)
    ids = [message_id(each, kind) for each in (DONE, other) for kind in Notification]
    progress = [message_id(DONE, Notification.PROGRESS, received=n) for n in (1, 2)]

    assert message(Notification.COMPLETED, DONE, at=NOW, location="/x").id == ids[2]
    assert (
        message(Notification.COMPLETED, DONE, at=NOW + timedelta(days=1), location="/y").id
        == ids[2]
    )
    assert len({*ids, *progress}) == 12


def test_a_signature_is_no_part_of_an_event() -> None:
    """A presigned URL loses what lets anybody read it; a path may have a question mark."""
    signed = "https://s3.example/b/42/123/a%3Fb.mp3?X-Amz-Signature=abc&X-Amz-Expires=9"

    assert lasting(signed) == "https://s3.example/b/42/123/a%3Fb.mp3"
    assert lasting("/data/final/42/123/why?.txt") == "/data/final/42/123/why?.txt"
