"""REST chunks before their turn: an object each, with the digest in its metadata."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tusd_py.errors import StorageError, TooLarge, UploadNotFound
from tusd_py.interfaces import Block, ChunkWriter
from tusd_py.storage.s3 import keys
from tusd_py.storage.s3.bucket import Bucket, Described
from tusd_py.storage.s3.buffer import Buffer, Sending
from tusd_py.storage.s3.flow import Flow
from tusd_py.storage.s3.objects import PIECE
from tusd_py.storage.s3.sizes import MAX_PUT
from tusd_py.upload import Chunk, Upload

_DIGEST = "digest"


@asynccontextmanager
async def open_chunk_writer(
    bucket: Bucket, flow: Flow, upload: Upload, index: int
) -> AsyncIterator[ChunkWriter]:
    """Collect a chunk, which is stored when it is whole."""
    buffer = flow.buffer()
    try:
        yield _S3ChunkWriter(bucket, flow, buffer, keys.chunk(upload, index))
    finally:
        buffer.close()


async def staged_chunk(bucket: Bucket, upload: Upload, index: int) -> Chunk:
    """What waits under an index. Raises `UploadNotFound` when nothing does."""
    found = await bucket.find(keys.chunk(upload, index))
    if found is None:
        raise UploadNotFound
    try:
        digest = bytes.fromhex(found.metadata[_DIGEST])
    except (LookupError, ValueError) as error:
        raise StorageError("A chunk that waits has lost its digest; send it again.") from error
    return Chunk(size=found.size, digest=digest)


async def staged_chunks(bucket: Bucket, upload: Upload) -> dict[int, int]:
    """The chunks that wait: index -> size in bytes."""
    prefix = keys.chunks(upload)
    found = {}
    async for each in bucket.list(prefix):
        index = each.key.removeprefix(prefix)
        if index.isascii() and index.isdigit():
            found[int(index)] = each.size
    return found


class _S3ChunkWriter:
    """See `ChunkWriter`."""

    def __init__(self, bucket: Bucket, flow: Flow, buffer: Buffer, key: str) -> None:
        self._bucket = bucket
        self._flow = flow
        self._buffer = buffer
        self._key = key

    async def write(self, block: Block) -> int:
        data = await self._buffer.taken(block)
        if self._buffer.size + len(data) > MAX_PUT:
            raise TooLarge(
                f"A chunk before its turn has at most {MAX_PUT} bytes; send smaller ones."
            )
        await self._buffer.write(data)
        return len(data)

    async def commit(self, chunk: Chunk) -> None:
        if chunk.digest is None:
            raise StorageError("A chunk that waits needs its digest.")
        described = Described(
            content_type=PIECE.content_type,
            disposition=PIECE.disposition,
            metadata={_DIGEST: chunk.digest.hex()},
        )
        async with self._flow.places:
            await self._bucket.put(self._key, Sending([self._buffer]), described)
