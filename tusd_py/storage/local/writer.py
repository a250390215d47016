"""Appending to an upload on a local file system."""

import asyncio
import contextlib
import functools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tusd_py.errors import StorageError, UploadError
from tusd_py.interfaces import Writer
from tusd_py.storage import disk
from tusd_py.storage.local import medium
from tusd_py.storage.local.paths import Paths
from tusd_py.storage.local.records import LocalRecords
from tusd_py.storage.local.staging import Staging
from tusd_py.storage.thread import Threads
from tusd_py.upload import Chunk, Upload

PIECE = 16 << 20
"""So much is copied at a time: then others have their turn."""

SYNC_BYTES = 64 << 20
"""Without DURABILITY=strict, too, what was received is put on the medium when it is so much: so a
power failure costs no more of a long upload, and its completion has less to wait for."""


@asynccontextmanager
async def open_writer(
    threads: Threads, paths: Paths, records: LocalRecords, staging: Staging, upload: Upload
) -> AsyncIterator[Writer]:
    """Append to an upload; what is not committed at the end is cut off."""
    fd = await threads.run(_open_data, paths.data(upload), upload.offset)
    writer = _LocalWriter(threads, paths, records, staging, fd, upload)
    try:
        yield writer
    finally:
        await writer.end()


class _LocalWriter:
    """See `Writer`."""

    def __init__(
        self,
        threads: Threads,
        paths: Paths,
        records: LocalRecords,
        staging: Staging,
        fd: int,
        upload: Upload,
    ) -> None:
        self._threads = threads
        self._paths = paths
        self._records = records
        self._staging = staging
        self._fd = fd
        self._upload = upload
        self._position = upload.offset
        self._kept = upload.offset
        self._synced = medium.synced(upload)
        self._syncing: asyncio.Task[int] | None = None
        self._sync_bytes = 1 if records.is_strict else SYNC_BYTES

    async def write(self, block: bytes) -> None:
        await self._threads.run(disk.write_all, self._fd, block, self._position)
        self._position += len(block)

    async def absorb(self, source: Upload | int) -> Chunk:
        if isinstance(source, Upload) and not source.offset:
            return Chunk(size=0, digest=None)
        fd, chunk = await self._threads.run(self._open_source, source)
        try:
            for start in range(0, chunk.size, PIECE):
                size = min(PIECE, chunk.size - start)
                await self._threads.run_long(
                    self._upload.owner, disk.copy, fd, start, self._fd, self._position, size
                )
                self._position += size
        finally:
            await self._threads.run(disk.close, fd)
        return chunk

    async def commit(self, upload: Upload) -> Upload:
        if upload.offset != self._position:
            raise StorageError(f"{self._position} bytes were written, not {upload.offset}.")
        if self._must_sync(upload):
            await self._settle()
            self._begin_sync()
            await self._settle()
        return await self._write_record(upload)

    async def checkpoint(self, grown: Callable[[int], Upload]) -> Upload:
        if self._syncing is not None and self._syncing.done():
            await self._settle()
        if self._syncing is None and self._position - self._synced >= self._sync_bytes:
            self._begin_sync()
        if not self._records.is_strict:
            return await self._write_record(grown(self._position - self._upload.offset))
        if self._synced > self._upload.offset:  # what a record says may be answered
            return await self._write_record(grown(self._synced - self._upload.offset))
        return self._upload

    async def end(self) -> None:
        """Cut off what was not committed; no thread uses the descriptor any more."""
        try:
            await self._settle()
        finally:
            await self._threads.run(self._close)

    def _must_sync(self, upload: Upload) -> bool:
        """Whether a commit waits for the medium. A full upload does so when it is assembled."""
        if self._records.is_strict:
            return self._position > self._synced
        return not upload.is_full and self._position - self._synced >= SYNC_BYTES

    def _begin_sync(self) -> None:
        """Put what was written so far on the medium, while more may be written."""
        self._syncing = asyncio.create_task(self._sync(self._position))

    async def _sync(self, position: int) -> int:
        await self._threads.run_long(self._upload.owner, disk.sync, self._fd)
        return position

    async def _settle(self) -> None:
        """Wait for the medium. If it refuses, the upload goes back to what it took before."""
        if self._syncing is None:
            return
        syncing, self._syncing = self._syncing, None
        try:
            self._synced = await syncing
        except UploadError:
            self._upload = await self._threads.run(self._records.go_back, self._upload)
            self._kept = self._upload.offset
            raise

    async def _write_record(self, upload: Upload) -> Upload:
        before, self._kept = self._kept, upload.offset  # a record may come of it, even if cancelled
        write = functools.partial(self._records.write, synced=self._synced)
        try:
            self._upload = await self._threads.run(write, upload)
        except UploadError:
            self._kept = before
            with contextlib.suppress(UploadError):
                await self._threads.run(write, self._upload)
            raise
        return self._upload

    def _close(self) -> None:
        try:
            if os.fstat(self._fd).st_size > self._kept:
                os.ftruncate(self._fd, self._kept)
        finally:
            os.close(self._fd)

    def _open_source(self, source: Upload | int) -> tuple[int, Chunk]:
        if isinstance(source, int):
            return self._staging.open_to_read(self._upload, source)
        fd = disk.open_to_read(self._paths.data(source))
        return fd, Chunk(size=source.offset, digest=None)


def _open_data(path: Path, offset: int) -> int:
    """Open the bytes of an upload and cut off what was never committed."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (0 if offset else os.O_CREAT)
    fd = os.open(path, flags, 0o644)
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
