"""Writing to a local file system: appends to an upload, and chunks before their turn."""

import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tusd_py.errors import StorageError, UploadError
from tusd_py.interfaces import ChunkWriter, Writer
from tusd_py.storage import disk
from tusd_py.storage.paths import Paths
from tusd_py.storage.record import encode
from tusd_py.storage.thread import Threads
from tusd_py.upload import Chunk, Upload

DIGEST_SIZE = 16
"""Bytes after a chunk that waits: its digest."""


@asynccontextmanager
async def open_writer(threads: Threads, paths: Paths, upload: Upload) -> AsyncIterator[Writer]:
    """Append to an upload; what is not committed at the end is cut off."""
    fd = await threads.run(_open_data, paths.data(upload), upload.offset)
    writer = _LocalWriter(threads, paths, fd, upload)
    try:
        yield writer
    finally:
        await threads.run(writer.close)


@asynccontextmanager
async def open_chunk_writer(threads: Threads, path: Path) -> AsyncIterator[ChunkWriter]:
    """Write a chunk beside `path`, which it replaces when it is whole."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    fd = await threads.run(_open_staged, temporary)
    try:
        yield _LocalChunkWriter(threads, fd, temporary, path)
    finally:
        await threads.run(_close_staged, fd, temporary)


class _LocalWriter:
    """See `Writer`."""

    def __init__(self, threads: Threads, paths: Paths, fd: int, upload: Upload) -> None:
        self._threads = threads
        self._paths = paths
        self._fd = fd
        self._upload = upload
        self._position = upload.offset
        self._kept = upload.offset

    async def write(self, block: bytes) -> None:
        await self._threads.run(disk.write_all, self._fd, block, self._position)
        self._position += len(block)

    async def absorb(self, source: Upload | int) -> Chunk:
        chunk = await self._threads.run_long(self._absorb, source)
        self._position += chunk.size
        return chunk

    async def commit(self, upload: Upload) -> Upload:
        if upload.offset != self._position:
            raise StorageError(f"{self._position} bytes were written, not {upload.offset}.")
        before, self._kept = self._kept, upload.offset  # a record may come of it, even if cancelled
        try:
            await self._threads.run(self._write_record, upload)
        except UploadError:
            self._kept = before
            raise
        self._upload = upload
        return upload

    async def checkpoint(self, grown: Callable[[int], Upload]) -> Upload:
        return await self.commit(grown(self._position - self._upload.offset))

    def close(self) -> None:
        """Cut off what was not committed."""
        try:
            if os.fstat(self._fd).st_size > self._kept:
                os.ftruncate(self._fd, self._kept)
        finally:
            os.close(self._fd)

    def _write_record(self, upload: Upload) -> None:
        disk.replace(self._paths.info(upload), encode(upload), durable=False)

    def _absorb(self, source: Upload | int) -> Chunk:
        if isinstance(source, Upload):
            if source.offset == 0:
                return Chunk(size=0, digest=None)
            disk.copy(self._paths.data(source), self._fd, self._position, source.offset)
            return Chunk(size=source.offset, digest=None)
        path = self._paths.chunk(self._upload, source)
        size, digest = disk.copy_before_tail(path, self._fd, self._position, DIGEST_SIZE)
        return Chunk(size=size, digest=digest)


class _LocalChunkWriter:
    """See `ChunkWriter`."""

    def __init__(self, threads: Threads, fd: int, temporary: Path, path: Path) -> None:
        self._threads = threads
        self._fd = fd
        self._temporary = temporary
        self._path = path
        self._position = 0

    async def write(self, block: bytes) -> None:
        await self._threads.run(disk.write_all, self._fd, block, self._position)
        self._position += len(block)

    async def commit(self, chunk: Chunk) -> None:
        if chunk.digest is None or len(chunk.digest) != DIGEST_SIZE:
            raise StorageError("A chunk that waits needs its digest.")
        await self._threads.run(disk.write_all, self._fd, chunk.digest, self._position)
        await self._threads.run(os.rename, self._temporary, self._path)


def _open_data(path: Path, offset: int) -> int:
    """Open the bytes of an upload and cut off what was never committed."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | (0 if offset else os.O_CREAT), 0o644)
    try:
        size = os.fstat(fd).st_size
        if size < offset:
            raise StorageError("Bytes of this upload were lost on the disk.")
        if size > offset:
            os.ftruncate(fd, offset)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _open_staged(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    for _ in range(5):  # the sweeper may remove the folder, empty as it is
        try:
            return os.open(path, flags, 0o644)
        except FileNotFoundError:
            path.parent.mkdir(exist_ok=True)
    return os.open(path, flags, 0o644)


def _close_staged(fd: int, temporary: Path) -> None:
    os.close(fd)
    temporary.unlink(missing_ok=True)
