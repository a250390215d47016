"""Uploads on a local file system.

What lies where: storage/local/paths.py.
"""

import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from xxhash import xxh3_128

from tusd_py.errors import StorageError, TooLarge, UploadGone, UploadNotFound
from tusd_py.events import Cleaned
from tusd_py.interfaces import ChunkWriter, Content, Hasher, Writer
from tusd_py.storage import disk
from tusd_py.storage.fsync import NotSynced
from tusd_py.storage.local import medium, places
from tusd_py.storage.local.cleaning import Cleaning
from tusd_py.storage.local.content import LocalContent
from tusd_py.storage.local.index import LocalIndex
from tusd_py.storage.local.paths import Paths
from tusd_py.storage.local.records import ForeignRecord, LocalRecords
from tusd_py.storage.local.space import Space
from tusd_py.storage.local.staging import Staging
from tusd_py.storage.local.writer import LocalWriter
from tusd_py.storage.record import TornRecord
from tusd_py.storage.steps import Steps
from tusd_py.storage.thread import Threads
from tusd_py.upload import Chunk, Upload, is_upload_id, shrunk
from tusd_py.usage import Usage

STALE_SECONDS = 3600.0

SHOWN = 16 << 20
"""So many bytes are read for a digest at a time: then others have their turn."""

LARGEST = 2**63 - 1
"""Bytes that an offset in a file can count (off_t)."""

logger = logging.getLogger(__name__)


class LocalStorage:
    """See `Storage`. All calls to the disk are made in threads.

    With `is_strict` whatever was answered is on the medium; otherwise completions are. `boot` is
    the present life of the machine. `least_free` bytes stay free when an upload is created.
    """

    def __init__(
        self, root: Path, *, boot: str, is_strict: bool = False, least_free: int = 0
    ) -> None:
        self._paths = Paths(root)
        self._space = Space(root, least_free)
        self._threads = Threads()
        self._records = LocalRecords(self._paths, boot=boot, is_strict=is_strict)
        self._staging = Staging(self._threads, self._paths, boot=boot, is_strict=is_strict)
        self._cleaning = Cleaning(self._paths, self._records, self._staging)
        self._index = LocalIndex(
            self._paths, self._records, self._staging, suspect=self._cleaning.suspect
        )

    async def check(self) -> None:
        """See `Storage.check`."""
        await self._threads.run(disk.probe, self._paths.uploads)
        await self._threads.run(disk.probe, self._paths.final)
        await self._threads.run(self._space.require, 0)

    async def create(self, upload: Upload) -> Upload:
        """See `Storage.create`."""
        if upload.length is not None and upload.length > LARGEST:
            raise TooLarge("No file can be so large; send smaller ones.")
        return await self._threads.run_steps(self._create(upload))

    async def load(self, owner: str, upload_id: str) -> Upload:
        """See `Storage.load`; `UploadGone` when the record is torn.

        When the disk lost bytes that the record knows, the upload has those before them only; after
        a power failure those that were on the medium.
        """
        if not is_upload_id(upload_id):
            raise UploadNotFound
        try:
            return await self._threads.run(self._load, owner, upload_id)
        except ForeignRecord as error:
            self._cleaning.suspect(owner, upload_id, error)
            raise UploadNotFound from error
        except TornRecord as error:
            self._cleaning.suspect(owner, upload_id, error)
            raise UploadGone("The record of the upload is damaged; create a new one.") from error

    async def save(self, upload: Upload) -> Upload:
        """See `Storage.save`. Completions are on the medium when this returns."""
        writing = self._records.write(upload, synced=medium.synced(upload))
        return await self._threads.run_steps(writing)

    def writer(self, upload: Upload, *, atomic: bool) -> AbstractAsyncContextManager[Writer]:
        """See `Storage.writer`. Nothing differs for an `atomic` one on disk."""
        return LocalWriter(self._threads, self._paths, self._records, self._staging, upload)

    def stage(self, upload: Upload, index: int) -> AbstractAsyncContextManager[ChunkWriter]:
        """See `Storage.stage`."""
        return self._staging.open(upload, index)

    async def staged(self, upload: Upload) -> dict[int, int]:
        """See `Storage.staged`."""
        return await self._threads.run(self._staging.sizes, upload)

    async def unstage(self, upload: Upload, index: int) -> None:
        """See `Storage.unstage`."""
        await self._threads.run(self._staging.forget, upload, index)

    async def assemble(self, upload: Upload, done: Upload | None = None) -> list[Upload]:
        """See `Storage.assemble`: a rename."""
        steps = self._assemble(upload, done)
        if upload.offset <= medium.SOON:
            return await self._threads.run_steps(steps)
        return await self._threads.run_long_steps(upload.owner, steps)

    async def location(self, upload: Upload) -> str:
        """See `Storage.location`: a path."""
        return self._paths.place(upload)

    async def download_url(self, upload: Upload) -> None:
        """See `Storage.download_url`: there is none."""

    @asynccontextmanager
    async def open(self, upload: Upload) -> AsyncIterator[Content]:
        """See `Storage.open`."""
        fd = await self._threads.run(self._open, upload)
        try:
            yield LocalContent(self._threads, fd, upload.offset)
        finally:
            await self._threads.run(disk.close, fd)

    async def digests(self, upload: Upload, start: int, size: int) -> tuple[Chunk, ...]:
        """See `Storage.digests`: one piece, which is read."""
        fd = await self._threads.run(self._open, upload)
        try:
            digest = xxh3_128()
            async for block in LocalContent(self._threads, fd, upload.offset).read(
                start, start + size
            ):
                digest.update(block)
        finally:
            await self._threads.run(disk.close, fd)
        return (Chunk(size=size, digest=digest.digest()),)

    async def show(self, upload: Upload, hasher: Hasher, start: int) -> bool:
        """See `Storage.show`: always True."""
        if start >= upload.offset:
            return True
        fd = await self._threads.run(self._open_committed, upload)
        try:
            for position in range(start, upload.offset, SHOWN):
                size = min(SHOWN, upload.offset - position)
                await self._threads.run_long(
                    upload.owner, disk.show, fd, position, size, hasher.update
                )
        finally:
            await self._threads.run(disk.close, fd)
        return True

    async def has_file(self, upload: Upload) -> bool:
        """See `Storage.has_file`."""
        return await self._threads.run(self._has_file, upload)

    async def delete(self, upload: Upload) -> None:
        """See `Storage.delete`."""
        await self._threads.run(self._delete, upload)

    async def forget(self, upload: Upload) -> None:
        """See `Storage.forget`."""
        await self._threads.run(self._delete, upload)
        await self._threads.run(disk.remove, self._paths.info(upload))
        await self._threads.run(
            disk.prune, self._paths.uploads / upload.owner, below=self._paths.uploads
        )

    async def uploads(self, owner: str) -> AsyncIterator[Upload]:
        """See `Storage.uploads`."""
        await self._threads.run(self._require_folder)
        for upload in await self._threads.run_scan(self._index.uploads, owner):
            yield upload

    async def usage(self, owner: str) -> Usage:
        """See `Storage.usage`."""
        await self._threads.run(self._require_folder)
        return await self._threads.run_scan(self._index.usage, owner)

    async def unsettled(self) -> AsyncIterator[Upload]:
        """See `Storage.unsettled`."""
        await self._threads.run(self._require_folder)
        for owner in await self._threads.run(disk.names, self._paths.uploads):
            try:
                found = await self._threads.run_scan(self._index.unsettled, owner)
            except StorageError as error:  # one folder must not keep the others waiting
                logger.error("unreadable_folder", extra={"owner": owner, "why": str(error)})
                continue
            for upload in found:
                yield upload

    async def clean(self) -> Cleaned:
        """See `Storage.clean`: what nobody wrote to for an hour."""
        return await self._threads.run_scan(self._cleaning.run, time.time() - STALE_SECONDS)

    def _create(self, upload: Upload) -> Steps[Upload]:
        self._space.require(upload.length or 0)
        return (yield from self._records.create(upload))

    def _load(self, owner: str, upload_id: str) -> Upload:
        try:
            upload = self._records.read(owner, upload_id)
        except (FileNotFoundError, NotADirectoryError):
            self._require_folder()
            raise UploadNotFound from None
        if upload.completion is not None or upload.ending is not None or not upload.offset:
            return upload
        size = disk.size(self._paths.data(upload))
        if size is None:
            is_moved = upload.is_full and places.holder(self._paths, upload) == upload.id
            if is_moved:
                return upload
            size = 0
        if not medium.is_of(upload, self._records.boot):
            size = min(size, medium.synced(upload))
        if size < upload.offset:
            logger.error("bytes_lost", extra={"owner": owner, "upload": upload_id, "size": size})
            return shrunk(upload, size)
        return upload

    def _require_folder(self) -> None:
        """Where the data folder is missing nothing can be said to be absent."""
        if not self._paths.uploads.is_dir():
            raise StorageError("The data folder is not there; try again later.")

    def _open(self, upload: Upload) -> int:
        if upload.is_file:
            return places.open_own(self._paths, upload)
        return disk.open_to_read(self._paths.data(upload))

    def _open_committed(self, upload: Upload) -> int:
        """A descriptor of the bytes of a full upload, moved to their place or not."""
        try:
            return disk.open_to_read(self._paths.data(upload))
        except FileNotFoundError:
            if places.holder(self._paths, upload) != upload.id:
                raise StorageError("Bytes of this upload were lost on the disk.") from None
        return disk.open_to_read(self._paths.place(upload))

    def _has_file(self, upload: Upload) -> bool:
        return os.path.isfile(self._paths.place(upload)) and places.is_own(self._paths, upload)

    def _assemble(self, upload: Upload, done: Upload | None) -> Steps[list[Upload]]:
        data = self._paths.data(upload)
        if upload.is_partial:
            if not (yield from self._seal(upload, may_create=not upload.offset)):
                raise StorageError("Bytes of this upload were lost on the disk.")
            with self._records.ready(done) as record:
                yield [str(self._paths.uploads / upload.owner), *record]
            others = []
        else:
            claimants = places.claimants(self._paths, upload)
            others = self._others(upload, claimants) if claimants else []
            is_first = claimants[:1] != [upload.id]
            may_create = is_first and not upload.offset
            is_moved = not (yield from self._seal(upload, may_create=may_create))
            replaced = [other.id for other in others]
            source = None if is_moved else data
            with self._records.ready(done) as record:
                yield from places.occupy(self._paths, upload, source, claimants, replaced, record)
        disk.remove_files(self._paths.chunks(upload))
        return others

    def _others(self, upload: Upload, claimants: Sequence[str]) -> list[Upload]:
        """The claimants of the place of an upload that did not end yet. Raises `UploadGone` when it
        did itself; while nobody claims its place nobody replaced it."""
        if self._records.read(upload.owner, upload.id).ending is not None:
            raise UploadGone("Another upload replaced this one; create a new one.")
        others = []
        for upload_id in claimants:
            with contextlib.suppress(FileNotFoundError, TornRecord, StorageError):
                other = self._records.read(upload.owner, upload_id)
                if other.ending is None and other.place == upload.place and other.id != upload.id:
                    others.append(other)
        return others

    def _seal(self, upload: Upload, *, may_create: bool) -> Steps[bool]:
        """Put the bytes on the medium; False when they are not there."""
        try:
            yield from disk.seal(self._paths.data(upload), upload.offset, may_create=may_create)
        except NotSynced:
            yield from self._records.go_back(upload)
            raise
        except FileNotFoundError:
            return False
        return True

    def _delete(self, upload: Upload) -> None:
        if upload.is_full and not upload.is_partial:
            places.vacate(self._paths, upload)  # first: it looks whether the bytes were moved
        disk.remove(self._paths.data(upload))
        disk.remove_files(self._paths.chunks(upload))
