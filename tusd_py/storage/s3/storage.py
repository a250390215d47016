"""Uploads in a bucket of an S3-compatible store.

What lies where: keys.py. What a record says of its bytes: note.py.
"""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from xxhash import xxh3_128

from tusd_py.errors import StorageError, UploadGone, UploadNotFound
from tusd_py.events import Cleaned
from tusd_py.interfaces import ChunkWriter, Content, Hasher, Outlet, Writer
from tusd_py.representation import disposition, safe_media_type
from tusd_py.storage.s3 import keys
from tusd_py.storage.s3.bucket import Bucket, Found
from tusd_py.storage.s3.buffer import Room
from tusd_py.storage.s3.flow import Flow
from tusd_py.storage.s3.listing import Listing
from tusd_py.storage.s3.litter import Litter
from tusd_py.storage.s3.note import Note, note_of
from tusd_py.storage.s3.objects import Objects
from tusd_py.storage.s3.records import Records
from tusd_py.storage.s3.settings import S3Settings
from tusd_py.storage.s3.sizes import require_storable
from tusd_py.storage.s3.staging import open_chunk_writer, staged_chunks
from tusd_py.storage.s3.writer import open_writer
from tusd_py.storage.thread import Threads
from tusd_py.upload import Chunk, Upload, is_upload_id
from tusd_py.usage import Usage

CLEAN_SECONDS = 3600.0
"""Litter is looked for so often, at most: a pass costs a list of the bucket."""


class S3Storage:
    """See `Storage`. Nothing that a client was told depends on the local disk."""

    def __init__(self, bucket: Bucket, settings: S3Settings) -> None:
        self._bucket = bucket
        self._settings = settings
        self._threads = Threads()
        self._room = Room(settings.memory, settings.spill, self._threads)
        self._flow = Flow(self._room)
        self._records = Records(bucket)
        self._listing = Listing(bucket, self._records)
        self._objects = Objects(bucket, self._records, self._flow, settings)
        self._litter = Litter(bucket, self._records)
        self._cleaned_at: float | None = None

    async def start(self) -> None:
        """Make the local folder, and prove that the bucket can be listed and written to."""
        await self._threads.run(self._room.clean)
        await self.check()
        await self._records.probe()

    async def check(self) -> None:
        """See `Storage.check`; asks for a list, which costs least."""
        await self._bucket.require_listable()

    async def create(self, upload: Upload) -> Upload:
        """See `Storage.create`."""
        require_storable(upload.length)
        return await self._records.store(replace(upload, backing=Note()))

    async def load(self, owner: str, upload_id: str) -> Upload:
        """See `Storage.load`; `UploadGone` when the record is torn."""
        if not is_upload_id(upload_id):
            raise UploadNotFound
        return await self._records.load(owner, upload_id)

    async def save(self, upload: Upload) -> Upload:
        """See `Storage.save`. A finished upload has one object, and no parts to remember."""
        if upload.completion is not None and upload.ending is None:
            upload = replace(upload, backing=Note(etag=note_of(upload).etag))
        return await self._records.store(upload)

    @asynccontextmanager
    async def writer(self, upload: Upload, *, atomic: bool) -> AsyncIterator[Writer]:
        """See `Storage.writer`. Nothing differs for an `atomic` one: no part counts before."""
        async with open_writer(self._objects, self._flow, upload) as writer:
            yield writer

    @asynccontextmanager
    async def stage(self, upload: Upload, index: int) -> AsyncIterator[ChunkWriter]:
        """See `Storage.stage`."""
        async with open_chunk_writer(self._bucket, self._flow, upload, index) as writer:
            yield writer

    async def staged(self, upload: Upload) -> dict[int, int]:
        """See `Storage.staged`."""
        return await staged_chunks(self._bucket, upload)

    async def unstage(self, upload: Upload, index: int) -> None:
        """See `Storage.unstage`."""
        await self._bucket.delete(keys.chunk(upload, index))

    async def assemble(self, upload: Upload, done: Upload | None = None) -> list[Upload]:
        """See `Storage.assemble`."""
        if upload.is_partial:
            await self._objects.assemble(upload)
            return []
        if (await self._records.load(upload.owner, upload.id)).ending is not None:
            raise UploadGone("Another upload replaced this one; create a new one.")
        others = await self._others_at_place(upload)
        await self._objects.assemble(upload)
        return others

    async def _others_at_place(self, upload: Upload) -> list[Upload]:
        holder = await self._objects.holder(upload)
        if holder is None or holder == upload.id or not is_upload_id(holder):
            return []
        try:
            other = await self._records.load(upload.owner, holder)
        except UploadNotFound:
            return []
        return [other] if other.ending is None and other.place == upload.place else []

    async def location(self, upload: Upload) -> str:
        """See `Storage.location`: a URL."""
        if self._settings.presigned is not None:
            return await self._presigned(upload, self._settings.presigned)
        return keys.url(self._settings.endpoint_url, self._bucket.name, keys.data(upload))

    async def download_url(self, upload: Upload) -> str | None:
        """See `Storage.download_url`."""
        if self._settings.redirected is None:
            return None
        if not await self.has_file(upload):
            raise UploadNotFound
        return await self._presigned(upload, self._settings.redirected)

    @asynccontextmanager
    async def open(self, upload: Upload) -> AsyncIterator[Content]:
        """See `Storage.open`."""
        found = await self._objects.own(upload)
        if found is None:
            raise UploadNotFound
        yield _S3Content(self._objects, upload, found)

    async def digests(self, upload: Upload, start: int, size: int) -> tuple[Chunk, ...] | None:
        """See `Storage.digests`: what was noted while the bytes came, else they are read."""
        noted = tuple(
            Chunk(size=segment.size, digest=segment.digest)
            for segment in note_of(upload).segments
            if start <= segment.start < start + size
        )
        if sum(piece.size for piece in noted) == size:
            return noted
        if upload.completion is None:
            return None
        digest = xxh3_128()
        async with self.open(upload) as content:
            async for block in content.read(start, start + size):
                digest.update(block)
        return (Chunk(size=size, digest=digest.digest()),)

    async def show(self, upload: Upload, hasher: Hasher, start: int) -> bool:
        """See `Storage.show`: False of parts, unless a digest is claimed."""
        if start >= upload.offset:
            return True
        blocks = await self._objects.bytes_of(upload, start)
        if blocks is None:
            return False
        async for block in blocks:
            start += len(block)
            await self._threads.run(hasher.update, block)
        if start != upload.offset:
            raise StorageError("A file is shorter than its record says.")
        return True

    async def has_file(self, upload: Upload) -> bool:
        """See `Storage.has_file`."""
        return await self._objects.own(upload) is not None

    async def delete(self, upload: Upload) -> None:
        """See `Storage.delete`."""
        await self._objects.remove(upload)

    async def forget(self, upload: Upload) -> None:
        """See `Storage.forget`."""
        await self._objects.remove(upload)
        await self._records.remove(upload)

    async def uploads(self, owner: str) -> AsyncIterator[Upload]:
        """See `Storage.uploads`."""
        async for upload in self._listing.uploads(owner):
            yield upload

    async def usage(self, owner: str) -> Usage:
        """See `Storage.usage`: one list."""
        return await self._listing.usage(owner)

    async def unsettled(self) -> AsyncIterator[Upload]:
        """See `Storage.unsettled`. A record that said its upload is finished is not read again."""
        async for upload in self._listing.unsettled():
            yield upload

    async def clean(self) -> Cleaned:
        """See `Storage.clean`."""
        now = time.monotonic()
        if self._cleaned_at is not None and now - self._cleaned_at < CLEAN_SECONDS:
            return Cleaned()
        self._cleaned_at = now
        return Cleaned(removed=await self._litter.remove(datetime.now(UTC)))

    async def _presigned(self, upload: Upload, life: timedelta) -> str:
        return await self._bucket.presigned(
            keys.data(upload),
            life,
            content_type=safe_media_type(upload.content_type),
            disposition=disposition(upload.filename),
        )


class _S3Content:
    """See `Content`."""

    def __init__(self, objects: Objects, upload: Upload, found: Found) -> None:
        self._objects = objects
        self._upload = upload
        self._found = found

    @property
    def size(self) -> int:
        return self._found.size

    def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        return self._objects.read(self._upload, self._found, start, stop)

    async def send(self, outlet: Outlet, start: int, stop: int) -> None:
        async for block in self.read(start, stop):
            rest = memoryview(block)
            while rest:
                try:
                    rest = rest[os.write(outlet.fd, rest) :]
                except BlockingIOError:
                    await outlet.writable()
