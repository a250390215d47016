"""A server on a bucket of a real store, the proxy between them, and a user."""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.conformance.rest.client import RestClient
from tests.store_calls import Call, Kind
from tests.store_proxy import StoreProxy
from tests.weed import Bucket

MIB = 1 << 20
PART = 5 * MIB
"""The part size of the servers here: the least that stores take."""

TRANSFERS = (Kind.PUT, Kind.PART)
"""The calls that carry bytes to the store."""


def content_of(size: int) -> bytes:
    """`size` bytes that show it when one is lost, doubled or moved."""
    return random.Random(size).randbytes(size)


def is_record(key: str) -> bool:
    """Whether a record has this key."""
    return key.endswith(".info")


def is_tail(key: str) -> bool:
    """Whether a piece of a tail has this key."""
    return key.startswith(".tusd_py/") and ".tail." in key


def is_file(key: str) -> bool:
    """Whether a finished file has this key."""
    return key.startswith("42/")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """User 42 at a server that stores in `bucket`, through `proxy`."""

    client: RestClient
    proxy: StoreProxy
    bucket: Bucket

    async def created(self, size: int | None) -> str:
        """The id of a new tus upload; None defers the length."""
        fields = {"Upload-Defer-Length": "1"} if size is None else {"Upload-Length": str(size)}
        return await self.client.create(fields)

    async def sent(self, upload_id: str, offset: int, *pieces: bytes) -> None:
        """PATCH after PATCH, all of which must succeed."""
        for piece in pieces:
            answer = await self.client.patch(upload_id, offset, piece)
            assert answer.status == 204, answer
            offset += len(piece)

    async def gone_on(self, upload_id: str, content: bytes) -> int:
        """Do what clients do after trouble: ask for the offset, and send the rest. The offset."""
        offset = await self.client.offset(upload_id)
        if offset < len(content):
            await self.sent(upload_id, offset, content[offset:])
        return offset

    async def record(self, upload_id: str) -> dict[str, object]:
        """The record of an upload."""
        data = await self.bucket.read(record_of(upload_id))
        assert data is not None
        record: dict[str, object] = json.loads(data)
        return record

    async def is_stored(self, key: str, content: bytes) -> bool:
        """Whether an object has these bytes."""
        return is_same(await self.bucket.read(key), content)

    async def assert_only(self, *keys: str) -> None:
        """The bucket holds just these objects, and no multipart upload is in progress."""
        assert sorted(await self.bucket.keys()) == sorted(keys)
        assert await self.bucket.unfinished() == []


def is_same(found: bytes | None, content: bytes) -> bool:
    """Whether bytes are the right ones; pytest would take minutes to tell where they differ."""
    digests = [hashlib.sha256(each).digest() for each in (found or b"", content)]
    return found is not None and digests[0] == digests[1]


def file_of(upload_id: str) -> str:
    """The key of the finished file of a tus upload without metadata."""
    return f"42/{upload_id}/{upload_id}"


def record_of(upload_id: str) -> str:
    """The key of the record of an upload."""
    return f".tusd_py/42/{upload_id}.info"


def partial_of(upload_id: str) -> str:
    """The key of the bytes of a finished partial upload."""
    return f".tusd_py/42/{upload_id}.partial"


def transferred(calls: Sequence[Call]) -> int:
    """Bytes that went to the store in some calls, records not counted."""
    return sum(call.size for call in calls if not is_record(call.key))


def busiest(calls: Sequence[Call]) -> int:
    """How many of some calls were under way at the same time, at most."""
    assert all(call.ended is not None for call in calls)
    moments = sorted(
        [(call.began, 1) for call in calls] + [(call.ended or 0, -1) for call in calls]
    )
    count = most = 0
    for _, change in moments:
        count += change
        most = max(most, count)
    return most
