"""From a body into a writer: how long, how much, and what counts when it ends early."""

import functools
import time
from collections.abc import Awaitable, Callable, Sequence

from xxhash import xxh3_128

from tusd_py.checksum import Digest
from tusd_py.digests import RunningDigest
from tusd_py.errors import BodyError, TooLarge
from tusd_py.interfaces import Body, ChunkWriter, Writer
from tusd_py.upload import Chunk, Upload, require_room

CHECK_SECONDS = 0.8
CHECK_BYTES = 32 << 20
"""How often the record follows while an append runs (architecture, decision 2): with the time that
it takes, at most a second behind; and before a block as large as the largest so far would make it
more bytes."""


async def receive_append(
    body: Body,
    writer: Writer,
    upload: Upload,
    *,
    space: int | None,
    digest: Digest | None,
    grown: Callable[[Upload, int], Upload],
    running: RunningDigest | None = None,
    stored: Callable[[Upload], Awaitable[None]] | None = None,
    count: Callable[[int], None] | None = None,
) -> Upload:
    """Append a body to `upload` and return the upload as committed.

    At most `space` bytes belong to it. `grown(upload, n)` is the upload with n more bytes. With a
    digest all bytes count or none. Without, what came counts even when the body breaks off: then
    it is committed and the `BodyError` goes on. Raises `TooLarge`, `ChecksumMismatch` too.
    `running` sees all bytes, and is told what was committed in the end; `stored` is told what the
    record says each time it followed, but for the end of a whole body; `count` how far the bytes
    are that came.
    """
    hashers = tuple(each for each in (digest, running) if each is not None)
    start = upload.offset
    position = checked = start
    checked_at = time.monotonic()
    largest = 0
    try:
        while True:
            pause = CHECK_SECONDS if position > checked else None
            block = await body.arrive(pause, hashers=hashers)
            if block is not None:
                if not block.most:
                    break
                require_room(
                    upload, block.most, None if space is None else space + start - position
                )
                size = await writer.write(block)
                position += size
                largest = max(largest, size)
                if count is not None:
                    count(position)
            if digest is None and _is_due(position - checked, largest, checked_at):
                checked, checked_at = position, time.monotonic()
                upload = await writer.checkpoint(functools.partial(grown, upload))
                if stored is not None:
                    await stored(upload)
    except (BodyError, TooLarge):
        if digest is None and position > upload.offset:
            upload = await writer.commit(grown(upload, position - upload.offset))
            if running is not None:
                running.keep(upload)
            if stored is not None:
                await stored(upload)
        raise
    if digest is not None:
        digest.verify()
    upload = await writer.commit(grown(upload, position - upload.offset))
    if running is not None:
        running.keep(upload)
    return upload


async def receive_chunk(
    body: Body,
    writer: Writer | ChunkWriter,
    upload: Upload,
    *,
    space: int | None,
    running: RunningDigest | None = None,
    count: Callable[[int], None] | None = None,
) -> Chunk:
    """Write a whole body, a chunk of `upload`, and return what it was. Commits nothing. `running`
    sees all bytes; `count` is told how far the upload is with those that came.

    Raises `TooLarge` when more than `space` bytes come, and `BodyError`.
    """
    require_room(upload, body.size or 0, space)
    size = 0
    digest = xxh3_128()
    hashers = (digest,) if running is None else (digest, running)
    while (block := await body.arrive(hashers=hashers)) is not None and block.most:
        size += await writer.write(block)
        require_room(upload, size, space)
        if count is not None:
            count(upload.offset + size)
    return Chunk(size=size, digest=digest.digest())


async def same_as(body: Body, pieces: Sequence[Chunk]) -> bool:
    """Read a body as far as it can be the same; whether it has the bytes of these pieces, one or
    more of them, one after the other."""
    rest = list(pieces)
    size, digest = 0, xxh3_128()
    while block := await body.read():
        while len(block) > (room := rest[0].size - size):
            digest.update(block[:room])
            if len(rest) == 1 or digest.digest() != rest[0].digest:
                return False
            del rest[0]
            block = block[room:]
            size, digest = 0, xxh3_128()
        digest.update(block)
        size += len(block)
    return len(rest) == 1 and size == rest[0].size and digest.digest() == rest[0].digest


def _is_due(size: int, largest: int, checked_at: float) -> bool:
    if not size:
        return False
    return size + largest > CHECK_BYTES or time.monotonic() - checked_at >= CHECK_SECONDS
