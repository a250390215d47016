"""Writing to a local file system: appends to an upload, and chunks before their turn."""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tusd_py.errors import StorageError, UploadError
from tusd_py.interfaces import ChunkWriter, Writer
from tusd_py.storage import disk
from tusd_py.storage.paths import Paths
from tusd_py.storage.record import encode
from tusd_py.storage.thread import in_thread
from tusd_py.upload import Chunk, Upload

DIGEST_SIZE = 16
"""Bytes after a chunk that waits: its digest."""


@asynccontextmanager
async def open_writer(paths: Paths, upload: Upload) -> AsyncIterator[Writer]:
    """Append to an upload; what is not committed at the end is cut off."""
    fd = await in_thread(_open_data, paths.data(upload), upload.offset)
    writer = _LocalWriter(paths, fd, upload)
    try:
        yield writer
    finally:
        await in_thread(writer.close)


@asynccontextmanager
async def open_chunk_writer(path: Path) -> AsyncIterator[ChunkWriter]:
    """Write a chunk beside `path`, which it replaces when it is whole."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    fd = await in_thread(_open_staged, temporary)
    try:
        yield _LocalChunkWriter(fd, temporary, path)
    finally:
        await in_thread(_close_staged, fd, temporary)


class _LocalWriter:
    """See `Writer`."""

    def __init__(self, paths: Paths, fd: int, upload: Upload) -> None:
        self._paths = paths
        self._fd = fd
        self._upload = upload
        self._position = upload.offset
        self._kept = upload.offset

    async def write(self, block: bytes) -> None:
        await in_thread(disk.write_all, self._fd, block, self._position)
        self._position += len(block)

    async def absorb(self, source: Upload | int) -> Chunk:
        chunk = await in_thread(self._absorb, source)
        self._position += chunk.size
        return chunk

    async def commit(self, upload: Upload) -> Upload:
        if upload.offset != self._position:
            raise StorageError(f"{self._position} bytes were written, not {upload.offset}.")
        before, self._kept = self._kept, upload.offset  # a record may come of it, even if cancelled
        try:
            await in_thread(disk.replace, self._paths.info(upload), encode(upload), durable=False)
        except UploadError:
            self._kept = before
            raise
        self._upload = upload
        return upload

    def close(self) -> None:
        """Cut off what was not committed."""
        try:
            if os.fstat(self._fd).st_size > self._kept:
                os.ftruncate(self._fd, self._kept)
        finally:
            os.close(self._fd)

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

    def __init__(self, fd: int, temporary: Path, path: Path) -> None:
        self._fd = fd
        self._temporary = temporary
        self._path = path
        self._position = 0

    async def write(self, block: bytes) -> None:
        await in_thread(disk.write_all, self._fd, block, self._position)
        self._position += len(block)

    async def commit(self, chunk: Chunk) -> None:
        if chunk.digest is None or len(chunk.digest) != DIGEST_SIZE:
            raise StorageError("A chunk that waits needs its digest.")
        await in_thread(disk.write_all, self._fd, chunk.digest, self._position)
        await in_thread(os.rename, self._temporary, self._path)


def _open_data(path: Path, offset: int) -> int:
    """Open the bytes of an upload and cut off what was never committed."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
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
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:
        path.parent.mkdir(exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)


def _close_staged(fd: int, temporary: Path) -> None:
    os.close(fd)
    temporary.unlink(missing_ok=True)
