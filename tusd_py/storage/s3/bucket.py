"""The calls to the object store: one client for the life of the server, one method a call.

Calls are made again, with growing pauses and jitter, by the client itself. All raise `StorageError`
(its kinds: failures.py), `NoSpace`, and `UploadNotFound` when the store says that there is no such
key.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, InvalidRegionError

from tusd_py import __version__
from tusd_py.errors import StorageError, UploadNotFound
from tusd_py.storage.s3 import signing
from tusd_py.storage.s3.buffer import Sending
from tusd_py.storage.s3.failures import AnswerBroken, NothingThere, complete, told, translated
from tusd_py.storage.s3.patience import patient
from tusd_py.storage.s3.settings import S3Settings
from tusd_py.storage.s3.watched import watch_calls
from tusd_py.watching import StoreWatch

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef

ATTEMPTS = 5
"""So often a call is made before it is given up."""

CONNECT_SECONDS = 5
ANSWER_SECONDS = 60
CONNECTIONS = 0
"""No limit here: a slow download holds a connection, and must not keep the others waiting. What is
sent at a time is limited by flow.py."""

READ_SIZE = 256 << 10
READ_TRIES = 4
"""So often an answer may break off before it has given another byte."""


SMALL = 256 << 10
"""Up to so many bytes go without asking first whether the store wants them (100-continue)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What an object says of itself when it is served."""

    content_type: str
    disposition: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the store tells of an object."""

    size: int
    etag: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One line of a list."""

    key: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A multipart upload in progress."""

    key: str
    multipart: str
    begun: datetime


@asynccontextmanager
async def open_bucket(
    settings: S3Settings, watches: Sequence[StoreWatch] = ()
) -> AsyncIterator[Bucket]:
    """A client for the bucket of the settings. Nothing is asked of it yet; `watches` hear of every
    call."""
    host = urlsplit(settings.endpoint_url).hostname or ""
    is_amazon = host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
    config = AioConfig(
        signature_version="s3v4",
        s3={"addressing_style": "auto" if is_amazon else "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ANSWER_SECONDS,
        max_pool_connections=CONNECTIONS,
        user_agent=f"tusd_py/{__version__}",
        http_session_cls=patient(ANSWER_SECONDS),
    )
    try:
        opening = get_session().create_client(
            "s3",
            endpoint_url=settings.endpoint_url,
            region_name=settings.region,
            aws_access_key_id=settings.access_key,
            aws_secret_access_key=settings.secret_key,
            config=config,
        )
        client: S3Client = await opening.__aenter__()
    except InvalidRegionError as error:
        raise StorageError("S3_REGION_NAME: it cannot be the name of a region.") from error
    except (BotoCoreError, ValueError) as error:
        raise StorageError(f"The S3 settings cannot be used: {error}") from error
    for call in ("PutObject", "UploadPart"):
        client.meta.events.register(f"choose-signer.s3.{call}", signing.choose)
    watch_calls(client, watches)
    try:
        yield Bucket(client, settings.bucket)
    finally:
        await opening.__aexit__(None, None, None)


class Bucket:
    """One bucket. Keys are as in keys.py, sizes in bytes."""

    def __init__(self, client: S3Client, name: str) -> None:
        self._client = client
        self._lists = client.get_paginator("list_objects_v2")
        self._unfinished = client.get_paginator("list_multipart_uploads")
        self._parts = client.get_paginator("list_parts")
        self.name = name

    async def put_small(
        self, key: str, data: bytes, *, match: str | None = None, is_new: bool = False
    ) -> str:
        """Store a small object and return its ETag.

        With `match` only in place of the object with that ETag, with `is_new` only where there is
        none: else `Changed`.
        """
        condition: dict[str, str] = {}
        if match is not None:
            condition["IfMatch"] = match
        if is_new:
            condition["IfNoneMatch"] = "*"
        with translated():
            stored = await self._client.put_object(
                Bucket=self.name,
                Key=key,
                Body=data,
                ContentType="application/json",
                **condition,  # type: ignore[arg-type]  # a TypedDict cannot be unpacked by halves
            )
            return told(stored.get("ETag"))

    async def put(self, key: str, body: Sending, described: Described) -> None:
        """Store an object."""
        payload = await _payload(body)
        with translated():
            await self._client.put_object(
                Bucket=self.name,
                Key=key,
                Body=payload,
                ContentLength=len(body),
                ContentType=described.content_type,
                ContentDisposition=described.disposition,
                Metadata=described.metadata,
            )

    async def get_small(self, key: str) -> tuple[bytes, str]:
        """A whole small object, and its ETag."""
        for _ in range(READ_TRIES - 1):
            with contextlib.suppress(AnswerBroken):
                return await self._get_small(key)
        return await self._get_small(key)

    async def get(
        self, key: str, start: int, stop: int, *, match: str | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes from `start` up to, not including, `stop`, in blocks. Goes on where an answer
        breaks off.

        With `match` those of the object with that ETag only: else `Changed`.
        """
        tries = READ_TRIES
        while start < stop:
            try:
                async for block in self._get(key, start, stop, match):
                    start += len(block)
                    tries = READ_TRIES
                    yield block
            except AnswerBroken:
                tries -= 1
                if not tries:
                    raise

    async def find(self, key: str) -> Found | None:
        """What an object is; None when there is none.

        Asks for its first byte: the answer to a HEAD does not tell what it is that is absent.
        """
        try:
            with translated():
                answer = await self._client.get_object(Bucket=self.name, Key=key, Range="bytes=0-0")
                size = answer.get("ContentRange", "").rpartition("/")[2]
                if size.isdigit():
                    with contextlib.suppress(AnswerBroken), translated():
                        await answer["Body"].read()
                    return _found(int(size), answer)
                answer["Body"].close()
        except UploadNotFound:
            return None
        except NothingThere:
            pass
        with translated():  # it is empty
            head = await self._client.head_object(Bucket=self.name, Key=key)
            return _found(head["ContentLength"], head)

    async def copy(self, source: str, key: str, described: Described) -> None:
        """Copy an object inside of the store."""
        with translated():
            await self._client.copy_object(
                Bucket=self.name,
                Key=key,
                CopySource={"Bucket": self.name, "Key": source},
                MetadataDirective="REPLACE",
                ContentType=described.content_type,
                ContentDisposition=described.disposition,
                Metadata=described.metadata,
            )

    async def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        with translated():
            await self._client.delete_object(Bucket=self.name, Key=key)

    async def list(self, prefix: str) -> AsyncIterator[Listed]:
        """All objects whose key begins so, in the order of their keys."""
        with translated():
            async for page in self._lists.paginate(Bucket=self.name, Prefix=prefix):
                for each in page.get("Contents", []):
                    with complete():
                        found = Listed(
                            key=each["Key"],
                            size=each["Size"],
                            etag=each["ETag"],
                            modified=each["LastModified"],
                        )
                    yield found

    async def require_listable(self) -> None:
        """Return if the bucket is there and may be listed."""
        with translated():
            await self._client.list_objects_v2(Bucket=self.name, MaxKeys=1)

    async def begin(self, key: str, described: Described) -> str:
        """Begin a multipart upload and return its id."""
        with translated():
            begun = await self._client.create_multipart_upload(
                Bucket=self.name,
                Key=key,
                ContentType=described.content_type,
                ContentDisposition=described.disposition,
                Metadata=described.metadata,
            )
            return told(begun.get("UploadId"))

    async def put_part(self, key: str, multipart: str, number: int, body: Sending) -> str:
        """Store a part and return its ETag. Raises `PartsLost` when the upload is not there."""
        payload = await _payload(body)
        with translated():
            stored = await self._client.upload_part(
                Bucket=self.name,
                Key=key,
                UploadId=multipart,
                PartNumber=number,
                Body=payload,
                ContentLength=len(body),
            )
            return told(stored.get("ETag"))

    async def copy_part(
        self, key: str, multipart: str, number: int, source: str, start: int, stop: int
    ) -> str:
        """Make a range of an object a part, inside of the store, and return its ETag."""
        with translated():
            copied = await self._client.upload_part_copy(
                Bucket=self.name,
                Key=key,
                UploadId=multipart,
                PartNumber=number,
                CopySource={"Bucket": self.name, "Key": source},
                CopySourceRange=f"bytes={start}-{stop - 1}",
            )
            return told(copied.get("CopyPartResult", {}).get("ETag"))

    async def parts(self, key: str, multipart: str) -> dict[int, set[str]]:
        """Number -> ETags of the parts that are stored; some stores keep several of a number.

        Raises `PartsLost` when the upload is not there.
        """
        found: dict[int, set[str]] = {}
        with translated():
            pages = self._parts.paginate(Bucket=self.name, Key=key, UploadId=multipart)
            async for page in pages:
                for part in page.get("Parts", []):
                    with complete():
                        found.setdefault(part["PartNumber"], set()).add(part["ETag"])
        return found

    async def complete(self, key: str, multipart: str, etags: Sequence[str]) -> None:
        """Make an object of the parts. Raises `PartsLost` when one is not as its ETag says."""
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        with translated():
            await self._client.complete_multipart_upload(
                Bucket=self.name,
                Key=key,
                UploadId=multipart,
                MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]  # as it is written
            )

    async def abort(self, key: str, multipart: str) -> None:
        """Give a multipart upload up. Raises `PartsLost` when it is not there."""
        with translated():
            await self._client.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=multipart)

    async def unfinished(self) -> AsyncIterator[Unfinished]:
        """All multipart uploads in progress in the bucket."""
        with translated():
            async for page in self._unfinished.paginate(Bucket=self.name):
                for each in page.get("Uploads", []):
                    with complete():
                        found = Unfinished(
                            key=each["Key"], multipart=each["UploadId"], begun=each["Initiated"]
                        )
                    yield found

    async def presigned(
        self, key: str, life: timedelta, *, content_type: str, disposition: str
    ) -> str:
        """A URL under which anybody can read an object for a while."""
        with translated():
            return await self._client.generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": self.name,
                    "Key": key,
                    "ResponseContentType": content_type,
                    "ResponseContentDisposition": disposition,
                },
                ExpiresIn=int(life.total_seconds()),
            )

    async def _get_small(self, key: str) -> tuple[bytes, str]:
        with translated():
            answer = await self._client.get_object(Bucket=self.name, Key=key)
            async with answer["Body"] as stream:
                return await stream.read(), told(answer.get("ETag"))

    async def _get(
        self, key: str, start: int, stop: int, match: str | None
    ) -> AsyncIterator[bytes]:
        """One answer with these bytes, or as many of them as it has."""
        condition = {} if match is None else {"IfMatch": match}
        with translated():
            answer = await self._client.get_object(
                Bucket=self.name,
                Key=key,
                Range=f"bytes={start}-{stop - 1}",
                **condition,  # type: ignore[arg-type]  # a TypedDict cannot be unpacked by halves
            )
            async with answer["Body"] as stream:
                async for block in stream.iter_chunks(READ_SIZE):
                    start += len(block)
                    yield block
        if start != stop:
            raise AnswerBroken("fewer bytes than asked for")


def _found(size: int, answer: GetObjectOutputTypeDef | HeadObjectOutputTypeDef) -> Found:
    return Found(size=size, etag=told(answer.get("ETag")), metadata=answer.get("Metadata", {}))


async def _payload(body: Sending) -> Sending | bytes:
    """What is given to the client: the bytes where they are few, else what will yield them."""
    if len(body) <= SMALL:
        return await body.read()
    await body.seal()
    return body
