"""Uploads on a local file system.

uploads/{owner}/{id}.info             the record
uploads/{owner}/{id}.data             the bytes, renamed to the finished file
uploads/{owner}/{id}.chunks/{index}   REST chunks before their turn, each followed by its digest
final/{owner}/{file_id}/{filename}    finished files
"""

import asyncio
import contextlib
import logging
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import aiofiles

from tusd_py.errors import StorageError, UploadGone, UploadNotFound, from_os
from tusd_py.interfaces import ChunkWriter, Content, Writer
from tusd_py.storage import disk
from tusd_py.storage.record import TornRecord, decode, encode
from tusd_py.upload import Chunk, Upload

P = ParamSpec("P")
T = TypeVar("T")

DIGEST_SIZE = 16
READ_SIZE = 1 << 20
STALE_SECONDS = 3600.0

logger = logging.getLogger(__name__)


class LocalStorage:
    """See `Storage`. All calls to the disk are made in threads."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._uploads = root / "uploads"
        self._final = root / "final"

    async def check(self) -> None:
        """See `Storage.check`."""
        await _in_thread(disk.probe, self._uploads)
        await _in_thread(disk.probe, self._final)

    async def create(self, upload: Upload) -> None:
        """See `Storage.create`."""
        await _in_thread(self._create, upload)

    async def load(self, owner: str, upload_id: str) -> Upload:
        """See `Storage.load`; `UploadGone` when the record is torn."""
        data = await _in_thread(disk.read, self._path(owner, upload_id, "info"))
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
        await _in_thread(self._save, upload)

    @asynccontextmanager
    async def writer(self, upload: Upload, *, atomic: bool) -> AsyncIterator[Writer]:
        """See `Storage.writer`. Nothing differs for an `atomic` one on disk."""
        fd = await _in_thread(self._open_data, upload)
        writer = _LocalWriter(self, fd, upload)
        try:
            yield writer
        finally:
            await _in_thread(writer.close)

    @asynccontextmanager
    async def stage(self, upload: Upload, index: int) -> AsyncIterator[ChunkWriter]:
        """See `Storage.stage`."""
        folder = self._path(upload.owner, upload.id, "chunks")
        temporary = folder / f"{index}.{uuid.uuid4().hex}.tmp"
        fd = await _in_thread(_open_staged, temporary)
        try:
            yield _LocalChunkWriter(fd, temporary, folder / str(index))
        finally:
            await _in_thread(_close_staged, fd, temporary)

    async def staged(self, upload: Upload) -> dict[int, int]:
        """See `Storage.staged`."""
        return await _in_thread(_staged, self._path(upload.owner, upload.id, "chunks"))

    async def unstage(self, upload: Upload, index: int) -> None:
        """See `Storage.unstage`."""
        folder = self._path(upload.owner, upload.id, "chunks")
        await _in_thread((folder / str(index)).unlink, missing_ok=True)

    async def others_at_place(self, upload: Upload) -> list[Upload]:
        """See `Storage.others_at_place`. Reads the owner's records only if the file exists."""
        return await _in_thread(self._others_at_place, upload)

    async def assemble(self, upload: Upload) -> str:
        """See `Storage.assemble`: a rename."""
        return await _in_thread(self._assemble, upload)

    @asynccontextmanager
    async def open(self, upload: Upload) -> AsyncIterator[Content]:
        """See `Storage.open`."""
        path = self._place(upload) if upload.is_file else self._data(upload)
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
        return await _in_thread(self._place(upload).is_file)

    async def delete(self, upload: Upload) -> None:
        """See `Storage.delete`."""
        await _in_thread(self._delete, upload)

    async def forget(self, upload: Upload) -> None:
        """See `Storage.forget`."""
        await _in_thread(self._delete, upload)
        await _in_thread(self._info(upload).unlink, missing_ok=True)
        await _in_thread(disk.prune, self._uploads / upload.owner, below=self._uploads)

    async def uploads(self, owner: str | None = None) -> AsyncIterator[Upload]:
        """See `Storage.uploads`."""
        owners = [owner] if owner is not None else await _in_thread(disk.names, self._uploads)
        for name in owners:
            for upload in await _in_thread(self._records, name):
                yield upload

    async def clean(self) -> int:
        """See `Storage.clean`: temporary files that nobody wrote to for an hour."""
        return await _in_thread(self._clean, time.time() - STALE_SECONDS)

    def commit(self, upload: Upload) -> None:
        """The record of `upload`, written from a writer's thread."""
        disk.replace(self._info(upload), encode(upload), durable=False)

    def data_of(self, source: Upload) -> Path:
        """The bytes of an upload that is no file yet, or never becomes one."""
        return self._data(source)

    def chunk_of(self, upload: Upload, index: int) -> Path:
        """The chunk that waits under an index."""
        return self._path(upload.owner, upload.id, "chunks") / str(index)

    def _path(self, owner: str, upload_id: str, suffix: str) -> Path:
        return self._uploads / owner / f"{upload_id}.{suffix}"

    def _info(self, upload: Upload) -> Path:
        return self._path(upload.owner, upload.id, "info")

    def _data(self, upload: Upload) -> Path:
        return self._path(upload.owner, upload.id, "data")

    def _place(self, upload: Upload) -> Path:
        return self._final / upload.owner / upload.file_id / upload.filename

    def _create(self, upload: Upload) -> None:
        try:
            disk.replace(self._info(upload), encode(upload), durable=False)
        except FileNotFoundError:
            (self._uploads / upload.owner).mkdir(parents=True, exist_ok=True)
            disk.replace(self._info(upload), encode(upload), durable=False)

    def _save(self, upload: Upload) -> None:
        disk.replace(self._info(upload), encode(upload), durable=upload.completion is not None)

    def _open_data(self, upload: Upload) -> int:
        fd = os.open(self._data(upload), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(fd).st_size
            if size < upload.offset:
                raise StorageError("Bytes of this upload were lost on the disk.")
            if size > upload.offset:
                os.ftruncate(fd, upload.offset)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _others_at_place(self, upload: Upload) -> list[Upload]:
        if not self._place(upload).exists():
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
        return upload.ending is None and upload.is_full and not self._data(upload).exists()

    def _assemble(self, upload: Upload) -> str:
        place = self._place(upload)
        data = self._data(upload)
        try:
            disk.seal(data, upload.offset, may_create=upload.offset == 0)
        except FileNotFoundError:
            if not place.exists():
                raise StorageError("Bytes of this upload were lost on the disk.") from None
        else:
            disk.move(data, place, below=self._root)
        disk.remove_tree(self._path(upload.owner, upload.id, "chunks"))
        return str(place)

    def _delete(self, upload: Upload) -> None:
        self._data(upload).unlink(missing_ok=True)
        disk.remove_tree(self._path(upload.owner, upload.id, "chunks"))
        if upload.is_file:
            place = self._place(upload)
            place.unlink(missing_ok=True)
            disk.prune(place.parent, below=self._final)

    def _records(self, owner: str) -> list[Upload]:
        found = []
        for name in disk.names(self._uploads / owner):
            if not name.endswith(".info"):
                continue
            try:
                upload = decode(disk.read(self._uploads / owner / name))
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
        for owner in disk.names(self._uploads):
            folder = self._uploads / owner
            for name in disk.names(folder):
                if name.endswith(".tmp"):
                    count += disk.remove_older(folder / name, before)
                elif name.endswith(".chunks"):
                    for chunk in disk.names(folder / name):
                        if chunk.endswith(".tmp"):
                            count += disk.remove_older(folder / name / chunk, before)
        return count


class _LocalWriter:
    """See `Writer`."""

    def __init__(self, storage: LocalStorage, fd: int, upload: Upload) -> None:
        self._storage = storage
        self._fd = fd
        self._upload = upload
        self._position = upload.offset

    async def write(self, block: bytes) -> None:
        await _in_thread(disk.write_all, self._fd, block, self._position)
        self._position += len(block)

    async def absorb(self, source: Upload | int) -> Chunk:
        chunk = await _in_thread(self._absorb, source)
        self._position += chunk.size
        return chunk

    async def commit(self, upload: Upload) -> Upload:
        if upload.offset != self._position:
            raise StorageError(f"{self._position} bytes were written, not {upload.offset}.")
        await _in_thread(self._storage.commit, upload)
        self._upload = upload
        return upload

    def close(self) -> None:
        """Discard what was not committed."""
        try:
            if self._position != self._upload.offset or self._has_surplus():
                os.ftruncate(self._fd, self._upload.offset)
        finally:
            os.close(self._fd)

    def _has_surplus(self) -> bool:
        return os.fstat(self._fd).st_size > self._upload.offset

    def _absorb(self, source: Upload | int) -> Chunk:
        if isinstance(source, Upload):
            if source.offset == 0:
                return Chunk(size=0, digest=None)
            disk.copy(self._storage.data_of(source), self._fd, self._position, source.offset)
            return Chunk(size=source.offset, digest=None)
        path = self._storage.chunk_of(self._upload, source)
        size = path.stat().st_size - DIGEST_SIZE
        digest = disk.copy(path, self._fd, self._position, size, tail=DIGEST_SIZE)
        return Chunk(size=size, digest=digest)


class _LocalChunkWriter:
    """See `ChunkWriter`."""

    def __init__(self, fd: int, temporary: Path, path: Path) -> None:
        self._fd = fd
        self._temporary = temporary
        self._path = path
        self._position = 0

    async def write(self, block: bytes) -> None:
        await _in_thread(disk.write_all, self._fd, block, self._position)
        self._position += len(block)

    async def commit(self, chunk: Chunk) -> None:
        if chunk.digest is None or len(chunk.digest) != DIGEST_SIZE:
            raise StorageError("A chunk that waits needs its digest.")
        await _in_thread(disk.write_all, self._fd, chunk.digest, self._position)
        await _in_thread(os.rename, self._temporary, self._path)


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
            block = await _in_thread(os.pread, self._fd, min(READ_SIZE, stop - start), start)
            if not block:
                raise StorageError("The file is shorter than its upload was.")
            yield block
            start += len(block)


def _open_staged(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:
        path.parent.mkdir(exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)


def _close_staged(fd: int, temporary: Path) -> None:
    os.close(fd)
    temporary.unlink(missing_ok=True)


def _staged(folder: Path) -> dict[int, int]:
    sizes = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.isascii() and entry.name.isdigit():
                with contextlib.suppress(FileNotFoundError):
                    sizes[int(entry.name)] = entry.stat().st_size - DIGEST_SIZE
    return sizes


async def _in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a call to the disk in a thread and translate its errors; absence is `UploadNotFound`.

    Ends only when the call has ended, even if cancelled: no thread ever uses a closed descriptor.
    """
    running = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
    except FileNotFoundError as error:
        raise UploadNotFound from error
    except OSError as error:
        raise from_os(error) from error
