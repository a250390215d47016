"""Finished files: made of what an upload has stored, told apart, read, and removed."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import NoReturn

from tusd_py.errors import StorageError, UploadError, UploadLocked, UploadNotFound
from tusd_py.storage.s3 import keys
from tusd_py.storage.s3.bucket import Bucket, Described, Found
from tusd_py.storage.s3.buffer import Sending
from tusd_py.storage.s3.description import UPLOAD_ID, described
from tusd_py.storage.s3.failures import Changed, PartsLost, StoreError
from tusd_py.storage.s3.flow import Flow
from tusd_py.storage.s3.note import Note, note_of
from tusd_py.storage.s3.parts import Parts
from tusd_py.storage.s3.records import Records
from tusd_py.storage.s3.settings import S3Settings
from tusd_py.storage.s3.sizes import COPY_PART, part_size_for
from tusd_py.upload import Upload, shrunk

PIECE = Described(content_type="application/octet-stream", disposition="attachment", metadata={})
"""What objects say of themselves that are no finished files."""

DELETES_AT_A_TIME = 8

logger = logging.getLogger(__name__)


class Objects:
    """The finished files of a bucket, and what leads to them."""

    def __init__(self, bucket: Bucket, records: Records, flow: Flow, settings: S3Settings) -> None:
        self.bucket = bucket
        self.records = records
        self.settings = settings
        self._flow = flow

    def described(self, upload: Upload) -> Described:
        """What the object of an upload says of itself."""
        return described(upload)

    async def own(self, upload: Upload) -> Found | None:
        """The object of an upload, if the one at its place is its own."""
        found = await self.bucket.find(keys.data(upload))
        return found if found is not None and found.metadata.get(UPLOAD_ID) == upload.id else None

    async def holder(self, upload: Upload) -> str | None:
        """The id of the upload whose file lies at the place of `upload`."""
        found = await self.bucket.find(upload.place)
        return None if found is None else found.metadata.get(UPLOAD_ID)

    async def assemble(self, upload: Upload) -> None:
        """See `Storage.assemble`: no byte that is in a part is sent again."""
        try:
            if note_of(upload).parts:
                await self._make_whole(upload)
                if upload.claim is not None:
                    await self._copy_whole(keys.parts(upload), upload)
            else:
                await self._put_whole(upload)
        except (PartsLost, UploadNotFound):  # done already, before a crash; or else they are lost
            if not await self._is_assembled(upload):
                await self._start_over(upload)
        await self.tidy(upload)

    async def bytes_of(self, upload: Upload, start: int) -> AsyncIterator[bytes] | None:
        """The bytes of a full upload from `start` on; None while they are parts that may not become
        an object before their turn."""
        note = note_of(upload)
        found = await self.own(upload)
        if found is not None and found.size == upload.offset:
            return self.read(upload, found, start, upload.offset)
        if not note.parts:
            return self._tail_from(upload, note, start)
        if upload.claim is None:
            return None
        try:
            await self._make_whole(upload)
        except PartsLost:
            await self._start_over(upload)
        return self.bucket.get(keys.parts(upload), start, upload.offset)

    async def remove(self, upload: Upload) -> None:
        """Remove the object of an upload if it is its own, and all parts and pieces."""
        note = note_of(upload)
        if note.multipart is not None:
            with contextlib.suppress(PartsLost):
                await self.bucket.abort(keys.parts(upload), note.multipart)
        if upload.is_full and await self.own(upload) is not None:
            await self.bucket.delete(keys.data(upload))
        await self.tidy(upload, is_gone=True)

    async def tidy(self, upload: Upload, *, is_gone: bool = False) -> None:
        """Remove all pieces and waiting chunks of an upload; what a partial one has, if it
        `is_gone`."""
        kept = {keys.info(upload.owner, upload.id)}
        if not is_gone:
            kept.add(keys.data(upload))
        found = [each.key async for each in self.bucket.list(keys.of_upload(upload))]
        await self._delete([key for key in found if key not in kept])

    async def discard(self, names: Sequence[str]) -> None:
        """Remove what no record names any more; if that fails it is removed at the end."""
        with contextlib.suppress(StorageError):
            await self._delete(names)

    @asynccontextmanager
    async def noticing_loss(self, upload: Upload) -> AsyncIterator[None]:
        """When parts turn out to be lost, the upload starts over from those before them."""
        try:
            yield
        except PartsLost:
            await self._start_over(upload)

    async def read(
        self, upload: Upload, found: Found, start: int, stop: int
    ) -> AsyncIterator[bytes]:
        """Bytes of the object that was found."""
        try:
            async for block in self.bucket.get(keys.data(upload), start, stop, match=found.etag):
                yield block
        except (Changed, UploadNotFound) as error:
            raise StoreError("the file was replaced or removed meanwhile") from error

    async def _is_assembled(self, upload: Upload) -> bool:
        found = await self.own(upload)
        return found is not None and found.size == upload.offset

    async def _make_whole(self, upload: Upload) -> None:
        """Make one object of all parts; for a digest it may have been made before."""
        try:
            await self._complete(upload)
        except (PartsLost, UploadNotFound):
            if upload.claim is None:
                raise
            found = await self.bucket.find(keys.parts(upload))
            if found is None or found.size != upload.offset:
                raise

    async def _copy_whole(self, source: str, upload: Upload) -> None:
        """Copy an object with all bytes of an upload to its place, inside of the store."""
        key, size = keys.data(upload), upload.offset
        step = part_size_for(size, COPY_PART, self.settings.max_parts)
        if size <= step:
            await self.bucket.copy(source, key, described(upload))
            return
        multipart = await self.bucket.begin(key, described(upload))
        parts = Parts(self._flow, ())
        try:
            for start in range(0, size, step):
                stop = min(start + step, size)
                await parts.begin(
                    functools.partial(
                        self._copy_part, key, multipart, source=source, start=start, stop=stop
                    )
                )
            await parts.settle()
            await self.bucket.complete(key, multipart, parts.etags)
        except BaseException as error:
            await parts.close()
            with contextlib.suppress(StorageError):
                await self.bucket.abort(key, multipart)
            if isinstance(error, PartsLost):  # of the copy: the bytes are still there
                raise StoreError("the parts of a copy were lost") from error
            raise

    async def _copy_part(
        self, key: str, multipart: str, number: int, *, source: str, start: int, stop: int
    ) -> str:
        return await self.bucket.copy_part(key, multipart, number, source, start, stop)

    async def _tail_from(self, upload: Upload, note: Note, start: int) -> AsyncIterator[bytes]:
        """The bytes of an upload without parts."""
        try:
            for key, piece in zip(self._tail_keys(upload, note), note.tail, strict=True):
                if start < piece.size:
                    async for block in self.bucket.get(key, start, piece.size):
                        yield block
                start = max(0, start - piece.size)
        except UploadNotFound:
            await self._start_over(upload)

    async def _complete(self, upload: Upload) -> None:
        note = note_of(upload)
        assert note.multipart is not None
        key = keys.parts(upload)
        etags = note.parts
        if note.tail:
            etags = (*etags, await self._tail_as_part(upload, note, note.multipart))
        await self.bucket.complete(key, note.multipart, etags)

    async def _tail_as_part(self, upload: Upload, note: Note, multipart: str) -> str:
        key, number = keys.parts(upload), len(note.parts) + 1
        names = self._tail_keys(upload, note)
        if len(names) == 1:
            size = note.tail[0].size
            return await self.bucket.copy_part(key, multipart, number, names[0], 0, size)
        async with self._fetched(upload, note) as body:
            return await self.bucket.put_part(key, multipart, number, body)

    async def _put_whole(self, upload: Upload) -> None:
        """Make the object of an upload that is smaller than a part."""
        note = note_of(upload)
        names = self._tail_keys(upload, note)
        if len(names) == 1:
            await self.bucket.copy(names[0], keys.data(upload), described(upload))
            return
        async with self._fetched(upload, note) as body:
            await self.bucket.put(keys.data(upload), body, described(upload))

    @asynccontextmanager
    async def _fetched(self, upload: Upload, note: Note) -> AsyncIterator[Sending]:
        """The bytes of the tail."""
        buffer = self._flow.buffer()
        try:
            for key, piece in zip(self._tail_keys(upload, note), note.tail, strict=True):
                async for block in self.bucket.get(key, 0, piece.size):
                    await buffer.write(block)
            yield Sending([buffer])
        finally:
            buffer.close()

    def _tail_keys(self, upload: Upload, note: Note) -> list[str]:
        return [keys.tail(upload, len(note.parts), piece.name) for piece in note.tail]

    async def _start_over(self, upload: Upload) -> NoReturn:
        """Let the record say what is still stored, unless somebody else went on meanwhile.

        Raises `PartsLost`, or `UploadLocked`.
        """
        stored = await self.records.load(upload.owner, upload.id)
        note = note_of(stored)
        if note.etag != note_of(upload).etag:
            raise UploadLocked
        count = await self._whole_parts(stored)
        size = count * (note.part_size or 0)
        logger.error("bytes_lost", extra={"owner": upload.owner, "upload": upload.id, "size": size})
        kept = Note(etag=note.etag)
        if count:
            parts = note.parts[:count]
            kept = replace(kept, multipart=note.multipart, part_size=note.part_size, parts=parts)
        await self.records.store(replace(shrunk(stored, size), backing=kept))
        raise PartsLost

    async def _whole_parts(self, upload: Upload) -> int:
        """How many of the first parts are as the record says, and end with a chunk (REST)."""
        note = note_of(upload)
        if note.multipart is None or note.part_size is None:
            return 0
        try:
            found = await self.bucket.parts(keys.parts(upload), note.multipart)
        except PartsLost:
            return 0
        count = 0
        for number, etag in enumerate(note.parts, 1):
            known = {each.strip('"') for each in found.get(number, ())}
            if etag.strip('"') not in known or number * note.part_size > upload.offset:
                break
            count = number
        while shrunk(upload, count * note.part_size).offset != count * note.part_size:
            count -= 1
        return count

    async def _delete(self, names: Sequence[str]) -> None:
        """Remove objects, several at a time. Raises what the first failure was."""
        turns = asyncio.Semaphore(DELETES_AT_A_TIME)

        async def delete(name: str) -> UploadError | None:
            async with turns:
                try:
                    await self.bucket.delete(name)
                except UploadError as error:
                    return error
            return None

        for error in await asyncio.gather(*[delete(name) for name in names]):
            if error is not None:
                raise error
