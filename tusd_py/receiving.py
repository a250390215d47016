"""From a body into a writer: how long, how much, and what counts when it ends early."""

import time
from collections.abc import AsyncIterator, Callable

from xxhash import xxh3_128

from tusd_py.checksum import Digest
from tusd_py.errors import BodyError, TooLarge
from tusd_py.interfaces import Body, ChunkWriter, Writer
from tusd_py.upload import Chunk, Upload

COMMIT_SECONDS = 1.0
COMMIT_BYTES = 32 << 20
"""How far the record may follow behind while an append runs (architecture, decision 2)."""


async def receive_append(
    body: Body,
    writer: Writer,
    upload: Upload,
    *,
    space: int | None,
    digest: Digest | None,
    grown: Callable[[Upload, int], Upload],
) -> Upload:
    """Append a body to `upload` and return the upload as committed.

    At most `space` bytes belong to it. `grown(upload, n)` is the upload with n more bytes. With a
    digest all bytes count or none. Without, what came counts even when the body breaks off: then
    it is committed and the `BodyError` goes on. Raises `TooLarge`, `ChecksumMismatch` too.
    """
    pending = 0
    committed_at = time.monotonic()
    try:
        while (block := await body.read(COMMIT_SECONDS if pending else None)) != b"":
            if block is not None:
                _require_space(len(block), None if space is None else space - pending)
                if digest is not None:
                    digest.update(block)
                await writer.write(block)
                pending += len(block)
            if digest is None and _is_due(pending, committed_at):
                upload = await writer.commit(grown(upload, pending))
                space = None if space is None else space - pending
                pending, committed_at = 0, time.monotonic()
    except (BodyError, TooLarge):
        if digest is None and pending:
            await writer.commit(grown(upload, pending))
        raise
    if digest is not None:
        digest.verify()
    return await writer.commit(grown(upload, pending))


async def receive_chunk(body: Body, writer: Writer | ChunkWriter, *, space: int | None) -> Chunk:
    """Write a whole body and return what it was. Commits nothing.

    Raises `TooLarge` when more than `space` bytes come, and `BodyError`.
    """
    if body.size is not None:
        _require_space(body.size, space)
    size = 0
    digest = xxh3_128()
    while block := await body.read():
        size += len(block)
        _require_space(size, space)
        digest.update(block)
        await writer.write(block)
    return Chunk(size=size, digest=digest.digest())


async def same_as(body: Body, chunk: Chunk) -> bool:
    """Read a body as far as it can be the same; whether it has the bytes of `chunk`."""
    size = 0
    digest = xxh3_128()
    while block := await body.read():
        size += len(block)
        if size > chunk.size:
            return False
        digest.update(block)
    return size == chunk.size and digest.digest() == chunk.digest


async def digest_of(blocks: AsyncIterator[bytes]) -> bytes:
    """The digest of stored bytes, as chunks have it."""
    digest = xxh3_128()
    async for block in blocks:
        digest.update(block)
    return digest.digest()


def _is_due(pending: int, committed_at: float) -> bool:
    return pending >= COMMIT_BYTES or (
        pending > 0 and time.monotonic() - committed_at >= COMMIT_SECONDS
    )


def _require_space(size: int, space: int | None) -> None:
    if space is not None and size > space:
        raise TooLarge(f"Only {space} more bytes fit into this upload; send no more.")
