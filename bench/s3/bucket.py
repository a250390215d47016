"""What lies in the store: read back and cleaned up between the timed parts."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from bench.s3.weed import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, Weed

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

BLOCK = 2**20
PARALLEL = 8


class Bucket:
    """The bucket of the benchmark, for code that is not asynchronous."""

    def __init__(self, store: Weed, runner: asyncio.Runner, client: "S3Client") -> None:
        self._store = store
        self._runner = runner
        self._client = client

    def list_keys(self) -> list[str]:
        """The keys of all objects."""
        return self._runner.run(self._keys())

    def multiparts(self) -> int:
        """How many multipart uploads are in progress."""
        listed = self._runner.run(self._client.list_multipart_uploads(Bucket=BUCKET))
        return len(listed.get("Uploads", []))

    def verify(self, digests: Iterable[tuple[str, str]]) -> None:
        """RuntimeError unless each key has an object with this SHA-256."""
        self._runner.run(self._verify(list(digests)))

    def clear(self) -> None:
        """Delete every object, end every multipart upload, and give the space back."""
        self._runner.run(self._empty())
        self._store.reclaim()
        self._runner.run(self._touch())

    async def _keys(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [each["Key"] async for page in pages for each in page.get("Contents", [])]

    async def _verify(self, digests: list[tuple[str, str]]) -> None:
        waiting = iter(digests)

        async def compare() -> None:
            for key, wanted in waiting:
                if (got := await self._sha256(key)) != wanted:
                    raise RuntimeError(f"{key}: SHA-256 is {got}, should be {wanted}")

        await asyncio.gather(*(compare() for _ in range(PARALLEL)))

    async def _sha256(self, key: str) -> str:
        digest = hashlib.sha256()
        answer = await self._client.get_object(Bucket=BUCKET, Key=key)
        async with answer["Body"] as body:
            while block := await body.read(BLOCK):
                digest.update(block)
        return digest.hexdigest()

    async def _empty(self) -> None:
        keys = await self._keys()
        for at in range(0, len(keys), 1000):
            await self._client.delete_objects(
                Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys[at : at + 1000]]}
            )
        listed = await self._client.list_multipart_uploads(Bucket=BUCKET)
        for each in listed.get("Uploads", []):
            await self._client.abort_multipart_upload(
                Bucket=BUCKET, Key=each["Key"], UploadId=each["UploadId"]
            )

    async def _touch(self) -> None:
        """Store something, so that no upload has to wait for the first volume."""
        await self._client.put_object(Bucket=BUCKET, Key="touch", Body=b"touch")
        await self._client.delete_object(Bucket=BUCKET, Key="touch")


@contextmanager
def bucket(store: Weed) -> Iterator[Bucket]:
    """The bucket, made new, with a client of the benchmark's own."""
    with asyncio.Runner() as runner:
        opening = _client(store.endpoint)
        client = runner.run(opening.__aenter__())
        try:
            runner.run(client.create_bucket(Bucket=BUCKET))
            yield Bucket(store, runner, client)
        finally:
            runner.run(opening.__aexit__(None, None, None))


@asynccontextmanager
async def _client(endpoint: str) -> AsyncIterator["S3Client"]:
    async with get_session().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=AioConfig(signature_version="s3v4", s3={"addressing_style": "path"}),
    ) as client:
        yield client
