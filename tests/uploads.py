"""Uploads for tests: one to change with `replace`, and fresh ones."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from xxhash import xxh3_128

from tusd_py.upload import Chunk, Completion, Upload, patched

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
LIFE = timedelta(hours=24)

BOOT = "6f1c1f4e-8e0f-4a0d-9d5b-0123456789ab"
"""A life of the machine."""

UPLOAD = Upload(
    id="6b3ff4b0-2f6a-4d3e-9d3c-0a1b2c3d4e5f",
    owner="42",
    filename="audio.mp3",
    declared_file_id="123",
    length=10,
    created_at=NOW,
    expires_at=NOW + LIFE,
)
"""An upload of ten bytes that has none yet."""


def fresh(upload: Upload = UPLOAD) -> Upload:
    """The same upload under an id of its own."""
    return replace(upload, id=str(uuid.uuid4()))


def completed(upload: Upload) -> Upload:
    """The upload as its record says it once it is a file."""
    return replace(upload, completion=Completion(at=NOW))


def grown(upload: Upload, size: int) -> Upload:
    """The upload with `size` more bytes, which fill it."""
    return replace(patched(upload, size, now=NOW, expires_after=LIFE), length=upload.offset + size)


def chunk(data: bytes) -> Chunk:
    """What is noted of a REST chunk with these bytes."""
    return Chunk(size=len(data), digest=xxh3_128(data).digest())
