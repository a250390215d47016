"""Uploads on a local file system.

What lies where: storage/paths.py.
"""

import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiofiles

from tusd_py.errors import StorageError, UploadGone, UploadNotFound, from_os
from tusd_py.interfaces import ChunkWriter, Content, Writer
from tusd_py.storage import disk
from tusd_py.storage.local_writer import DIGEST_SIZE, open_chunk_writer, open_writer
from tusd_py.storage.paths import Paths
from tusd_py.storage.record import TornRecord, decode, encode
from tusd_py.storage.thread import in_thread
from tusd_py.upload import Upload, is_upload_id

READ_SIZE = 1 << 20
STALE_SECONDS = 3600.0

logger = logging.getLogger(__name__)


class LocalStorage:
    """See `Storage`. All calls to the disk are made in threads."""

    def __init__(self, root: Path) -> None:
        self._paths = Paths(root)

    async def check(self) -> None:
        """See `Storage.check`."""
        await in_thread(disk.probe, self._paths.uploads)
        await in_thread(disk.probe, self._paths.final)

    async def create(self, upload: Upload) -> None:
        """See `Storage.create`."""
        await in_thread(self._create, upload)

    async def load(self, owner: str, upload_id: str) -> Upload:
        """See `Storage.load`; `UploadGone` when the record is torn."""
        if not is_upload_id(upload_id):
            raise UploadNotFound
        data = await in_thread(disk.read, self._paths.info_of(owner, upload_id))
        try:
            upload = decode(data)
        except TornRecord as error:
            logger.error("torn_record", extra={"owner": owner, "upload": upload_id})
            raise UploadGone("The record of the upload is damaged; create a new one.") from error
        if upload.owner != owner or upload.id != upload_id:
            logger.error("foreign_record", extra={"owner": owner, "upload": upload_id})
            raise UploadNotFound
        return upload

    async def save(self, upload: Upload) -> None:
        """See `Storage.save`. Completions are on the medium when this returns."""
        await in_thread(self._save, upload)

    @asynccontextmanager
    async def writer(self, upload: Upload, *, atomic: bool) -> AsyncIterator[Writer]:
        """See `Storage.writer`. Nothing differs for an `atomic` one on disk."""
        async with open_writer(self._paths, upload) as writer:
            yield writer

    @asynccontextmanager
    async def stage(self, upload: Upload, index: int) -> AsyncIterator[ChunkWriter]:
        """See `Storage.stage`."""
        async with open_chunk_writer(self._paths.chunk(upload, index)) as writer:
            yield writer

    async def staged(self, upload: Upload) -> dict[int, int]:
        """See `Storage.staged`."""
        return await in_thread(_staged, self._paths.chunks(upload))

    async def unstage(self, upload: Upload, index: int) -> None:
        """See `Storage.unstage`."""
        await in_thread(self._paths.chunk(upload, index).unlink, missing_ok=True)

    async def others_at_place(self, upload: Upload) -> list[Upload]:
        """See `Storage.others_at_place`. Reads the owner's records only if the file exists."""
        return await in_thread(self._others_at_place, upload)

    async def assemble(self, upload: Upload) -> str:
        """See `Storage.assemble`: a rename."""
        return await in_thread(self._assemble, upload)

    @asynccontextmanager
    async def open(self, upload: Upload) -> AsyncIterator[Content]:
        """See `Storage.open`."""
        path = self._paths.place(upload) if upload.is_file else self._paths.data(upload)
        try:
            file = await aiofiles.open(path, "rb", buffering=0)
        except FileNotFoundError:
            raise UploadNotFound from None
        except OSError as error:
            raise from_os(error) from error
        try:
            yield _LocalContent(file.fileno(), upload.offset)
        finally:
            await file.close()

    async def has_file(self, upload: Upload) -> bool:
        """See `Storage.has_file`."""
        return await in_thread(self._paths.place(upload).is_file)

    async def delete(self, upload: Upload) -> None:
        """See `Storage.delete`."""
        await in_thread(self._delete, upload)

    async def forget(self, upload: Upload) -> None:
        """See `Storage.forget`."""
        await in_thread(self._delete, upload)
        await in_thread(self._paths.info(upload).unlink, missing_ok=True)
        await in_thread(disk.prune, self._paths.uploads / upload.owner, below=self._paths.uploads)

    async def uploads(self, owner: str | None = None) -> AsyncIterator[Upload]:
        """See `Storage.uploads`."""
        owners = [owner] if owner is not None else await in_thread(disk.names, self._paths.uploads)
        for name in owners:
            for upload in await in_thread(self._records, name):
                yield upload

    async def clean(self) -> int:
        """See `Storage.clean`: temporary files that nobody wrote to for an hour."""
        return await in_thread(self._clean, time.time() - STALE_SECONDS)

    def _create(self, upload: Upload) -> None:
        try:
            disk.replace(self._paths.info(upload), encode(upload), durable=False)
        except FileNotFoundError:
            (self._paths.uploads / upload.owner).mkdir(parents=True, exist_ok=True)
            disk.replace(self._paths.info(upload), encode(upload), durable=False)

    def _save(self, upload: Upload) -> None:
        disk.replace(
            self._paths.info(upload), encode(upload), durable=upload.completion is not None
        )

    def _others_at_place(self, upload: Upload) -> list[Upload]:
        if not self._paths.place(upload).exists():
            return []
        return [
            other
            for other in self._records(upload.owner)
            if other.id != upload.id
            and other.place == upload.place
            and (other.is_file or self._is_renamed_only(other))
        ]

    def _is_renamed_only(self, upload: Upload) -> bool:
        """Whether a crash came between the rename and the record of a completion."""
        return upload.ending is None and upload.is_full and not self._paths.data(upload).exists()

    def _assemble(self, upload: Upload) -> str:
        place = self._paths.place(upload)
        data = self._paths.data(upload)
        try:
            disk.seal(data, upload.offset, may_create=upload.offset == 0)
        except FileNotFoundError:
            if not place.exists():
                raise StorageError("Bytes of this upload were lost on the disk.") from None
        else:
            disk.move(data, place, below=self._paths.root)
        disk.remove_files(self._paths.chunks(upload))
        return str(place)

    def _delete(self, upload: Upload) -> None:
        self._paths.data(upload).unlink(missing_ok=True)
        disk.remove_files(self._paths.chunks(upload))
        if upload.is_file:
            place = self._paths.place(upload)
            place.unlink(missing_ok=True)
            disk.prune(place.parent, below=self._paths.final)

    def _records(self, owner: str) -> list[Upload]:
        found = []
        for name in disk.names(self._paths.uploads / owner):
            if not name.endswith(".info"):
                continue
            try:
                upload = decode(disk.read(self._paths.uploads / owner / name))
            except FileNotFoundError:
                continue
            except (TornRecord, StorageError, OSError):
                logger.error("unreadable_record", extra={"owner": owner, "record": name})
                continue
            if upload.owner == owner and f"{upload.id}.info" == name:
                found.append(upload)
        return found

    def _clean(self, before: float) -> int:
        count = 0
        for owner in disk.names(self._paths.uploads):
            folder = self._paths.uploads / owner
            for name in disk.names(folder):
                if name.endswith(".tmp"):
                    count += disk.remove_older(folder / name, before)
                elif name.endswith(".chunks"):
                    for chunk in disk.names(folder / name):
                        if chunk.endswith(".tmp"):
                            count += disk.remove_older(folder / name / chunk, before)
                    disk.remove_empty(folder / name)
        return count


class _LocalContent:
    """See `Content`."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        while start < stop:
            block = await in_thread(os.pread, self._fd, min(READ_SIZE, stop - start), start)
            if not block:
                raise StorageError("The file is shorter than its upload was.")
            yield block
            start += len(block)


def _staged(folder: Path) -> dict[int, int]:
    sizes = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.isascii() and entry.name.isdigit():
                with contextlib.suppress(FileNotFoundError):
                    sizes[int(entry.name)] = entry.stat().st_size - DIGEST_SIZE
    return sizes
