"""Appending to an upload on a local file system."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from types import TracebackType

from tusd_py.block import write_all
from tusd_py.errors import StorageError, UploadError
from tusd_py.interfaces import Block, Writer
from tusd_py.storage import disk, fsync
from tusd_py.storage.local import medium
from tusd_py.storage.local.paths import Paths
from tusd_py.storage.local.records import LocalRecords
from tusd_py.storage.local.staging import Staging
from tusd_py.storage.steps import Steps
from tusd_py.storage.thread import Threads
from tusd_py.upload import Chunk, Upload

PIECE = 16 << 20
"""So much is copied at a time: then others have their turn."""

HELD = 128 << 10
"""Up to so many bytes wait in memory for their record: one call stores both."""

SYNC_BYTES = 64 << 20
SYNC_SECONDS = 3.0
"""Without DURABILITY=strict, too, what was received is put on the medium when it is so much: by the
next append, and by one that runs so long while it goes on, every so many seconds. So a power
failure costs a large upload little. A fast append is not slowed down to the speed of the medium."""


class LocalWriter:
    """See `Writer`. A few bytes wait in memory for the commit, which stores them and their record
    in one call. The file is open from the first bytes that do not wait. Whoever enters it leaves
    it, too: then what was not committed is cut off."""

    def __init__(
        self,
        threads: Threads,
        paths: Paths,
        records: LocalRecords,
        staging: Staging,
        upload: Upload,
    ) -> None:
        self._threads = threads
        self._paths = paths
        self._records = records
        self._staging = staging
        self._fd: int | None = None
        self._held: bytes | bytearray = b""
        self._upload = upload
        self._position = upload.offset
        self._kept = upload.offset
        self._synced = medium.synced(upload)
        self._syncing: asyncio.Task[int] | None = None
        self._synced_at = time.monotonic()
        self._is_behind = upload.offset - self._synced >= SYNC_BYTES

    async def write(self, block: Block) -> int:
        if self._fd is None and len(self._held) + block.most <= HELD:
            size = self._hold(block.take())
        else:
            size = await self._threads.run_bulk(self._put_block, block)
        self._position += size
        return size

    async def absorb(self, source: Upload | int) -> Chunk:
        if isinstance(source, Upload) and not source.offset:
            return Chunk(size=0, digest=None)
        fd, chunk = await self._threads.run(self._open_source, source)
        try:
            for start in range(0, chunk.size, PIECE):
                size = min(PIECE, chunk.size - start)
                await self._threads.run_long(self._upload.owner, self._put_copy, fd, start, size)
                self._position += size
        finally:
            await self._threads.run(disk.close, fd)
        return chunk

    async def commit(self, upload: Upload) -> Upload:
        if upload.offset != self._position:
            raise StorageError(f"{self._position} bytes were written, not {upload.offset}.")
        await self._settle()
        if self._must_sync(upload):
            await self._begin_sync()
            await self._settle()
        return await self._write_record(upload)

    async def checkpoint(self, grown: Callable[[int], Upload]) -> Upload:
        if self._syncing is not None and self._syncing.done():
            await self._settle()
        if self._syncing is None and self._may_sync():
            await self._begin_sync()
        if not self._records.is_strict:
            return await self._write_record(grown(self._position - self._upload.offset))
        if self._synced > self._upload.offset:  # what a record says may be answered
            return await self._write_record(grown(self._synced - self._upload.offset))
        return self._upload

    async def __aenter__(self) -> Writer:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Cut off what was not committed; no thread uses the descriptor any more."""
        try:
            await self._settle()
        finally:
            if self._fd is not None:
                await self._threads.run(self._close)

    def _must_sync(self, upload: Upload) -> bool:
        """Whether a commit waits for the medium. A full upload does so when it is assembled."""
        if upload.is_full:
            return False
        return self._is_behind or (self._records.is_strict and self._position > self._synced)

    def _may_sync(self) -> bool:
        """Whether a running append puts on the medium what came, while it goes on."""
        size = self._position - self._synced
        if self._records.is_strict:
            return size > 0
        return size >= SYNC_BYTES and time.monotonic() - self._synced_at >= SYNC_SECONDS

    async def _begin_sync(self) -> None:
        """Put what was written so far on the medium, while more may be written."""
        fd = await self._threads.run(self._put_held)
        self._synced_at = time.monotonic()
        self._syncing = asyncio.create_task(self._sync(fd, self._position))

    async def _sync(self, fd: int, position: int) -> int:
        if position - self._synced <= medium.SOON:
            await self._threads.sync(fd)
        else:
            await self._threads.run_long(self._upload.owner, fsync.sync, fd)
        return position

    async def _settle(self) -> None:
        """Wait for the medium. If it refuses, the upload goes back to what it took before."""
        if self._syncing is None:
            return
        syncing, self._syncing = self._syncing, None
        try:
            self._synced = await syncing
        except UploadError:
            self._upload = await self._threads.run_steps(self._records.go_back(self._upload))
            self._kept = self._upload.offset
            raise

    async def _write_record(self, upload: Upload) -> Upload:
        before, self._kept = self._kept, upload.offset  # a record may come of it, even if cancelled
        try:
            self._upload = await self._threads.run_steps(self._store(upload))
        except UploadError:
            self._kept = before
            with contextlib.suppress(UploadError):
                again = self._records.write(self._upload, synced=self._synced)
                await self._threads.run_steps(again)
            raise
        return self._upload

    def _store(self, upload: Upload) -> Steps[Upload]:
        """The bytes that wait, then the record that counts them."""
        is_open = self._fd is not None
        if self._held:
            self._put_held()
        stored = yield from self._records.write(upload, synced=self._synced)
        if not is_open and self._fd is not None:
            fd, self._fd = self._fd, None  # nothing is to be cut off
            os.close(fd)
        return stored

    def _hold(self, data: bytes) -> int:
        """In one piece: very many small ones would take far more memory than they have bytes."""
        if isinstance(self._held, bytearray):
            self._held += data
        elif self._held:
            self._held = bytearray(self._held + data)
        else:
            self._held = data
        return len(data)

    def _put_held(self) -> int:
        """Write the bytes that wait in memory; return the descriptor, open from now on."""
        fd = self._opened()
        write_all(fd, self._held, self._position - len(self._held))
        self._held = b""
        return fd

    def _put_block(self, block: Block) -> int:
        return block.into(self._put_held(), self._position)

    def _put_copy(self, fd: int, start: int, size: int) -> None:
        disk.copy(fd, start, self._put_held(), self._position, size)

    def _opened(self) -> int:
        if self._fd is None:
            self._fd = _open_data(self._paths.data(self._upload), self._upload.offset)
        return self._fd

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        assert fd is not None
        try:
            if os.fstat(fd).st_size > self._kept:
                os.ftruncate(fd, self._kept)
        finally:
            os.close(fd)

    def _open_source(self, source: Upload | int) -> tuple[int, Chunk]:
        if isinstance(source, int):
            return self._staging.open_to_read(self._upload, source)
        fd = disk.open_to_read(self._paths.data(source))
        return fd, Chunk(size=source.offset, digest=None)


def _open_data(path: str, offset: int) -> int:
    """Open the bytes of an upload and cut off what was never committed."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    if not offset:
        return os.open(path, flags | os.O_CREAT | os.O_TRUNC, 0o644)
    fd = os.open(path, flags)
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
