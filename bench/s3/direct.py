"""Files put straight into a store with aiobotocore: what an upload through a server competes with.

Runs as a process of its own: `direct.py ENDPOINT REGION BUCKET`, credentials in the environment.
It reads one JSON object a line, `{"way": ..., "config": ..., "key": ..., "path": ...}`, puts the
file there and answers with the seconds it took and the CPU seconds it used.
"""

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, BinaryIO

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

PART_SIZE = 8 << 20
CONCURRENCY = 4

CONFIGS = {
    name: AioConfig(
        signature_version="s3v4",
        s3={"addressing_style": "path", "payload_signing_enabled": is_signed},
        request_checksum_calculation="when_required",
    )
    for name, is_signed in (("signed", True), ("unsigned", False))
}
"""With a SHA-256 of the bytes, as our server sends them; and unchecked, which is the least work."""

Put = Callable[["S3Client", str, str, BinaryIO], Awaitable[None]]


async def put_object(client: "S3Client", bucket: str, key: str, file: BinaryIO) -> None:
    """One PutObject with the open file as its body."""
    await client.put_object(Bucket=bucket, Key=key, Body=file)


async def multipart(client: "S3Client", bucket: str, key: str, file: BinaryIO) -> None:
    """A multipart upload, `CONCURRENCY` parts of `PART_SIZE` bytes at a time."""
    created = await client.create_multipart_upload(Bucket=bucket, Key=key)
    fd = file.fileno()
    size = os.fstat(fd).st_size
    numbers = iter(range(1, -(-size // PART_SIZE) + 1))
    etags: dict[int, str] = {}

    async def send_parts() -> None:
        for number in numbers:
            at = (number - 1) * PART_SIZE
            part = await asyncio.to_thread(os.pread, fd, min(PART_SIZE, size - at), at)
            stored = await client.upload_part(
                Bucket=bucket, Key=key, UploadId=created["UploadId"], PartNumber=number, Body=part
            )
            etags[number] = stored["ETag"]

    await asyncio.gather(*(send_parts() for _ in range(CONCURRENCY)))
    await client.complete_multipart_upload(
        Bucket=bucket,
        Key=key,
        UploadId=created["UploadId"],
        MultipartUpload={
            "Parts": [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
        },
    )


WAYS: dict[str, Put] = {"put_object": put_object, "multipart": multipart}


async def serve(endpoint: str, region: str, bucket: str) -> None:
    """Do what the lines of standard input say."""
    async with AsyncExitStack() as stack:
        clients: dict[str, S3Client] = {}
        for name, config in CONFIGS.items():
            opening = get_session().create_client(
                "s3", endpoint_url=endpoint, region_name=region, config=config
            )
            clients[name] = await stack.enter_async_context(opening)
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            with open(order["path"], "rb") as file:  # noqa: ASYNC230  # nothing else runs
                cpu, begun = _cpu(), time.perf_counter()
                await WAYS[order["way"]](clients[order["config"]], bucket, order["key"], file)
                seconds = time.perf_counter() - begun
            print(json.dumps({"seconds": seconds, "cpu": _cpu() - cpu}), flush=True)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:4]))
