"""The records: small objects, replaced whole, by the faster of two writers only.

Where the store has no conditional writes the last writer wins; `probe` finds out.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace

from tusd_py.errors import StorageError, UploadGone, UploadLocked, UploadNotFound
from tusd_py.storage.record import TornRecord, decode, encode
from tusd_py.storage.s3 import keys
from tusd_py.storage.s3.bucket import Bucket, Listed
from tusd_py.storage.s3.failures import Changed, StoreError
from tusd_py.storage.s3.note import Note, decode_note, encode_note, note_of
from tusd_py.upload import Upload

_UNKNOWN = {"NotImplemented", "501", "InvalidArgument", "InvalidRequest", "400"}
"""How stores refuse a condition that they do not know."""

PARALLEL = 16
"""So many records of a list are read at a time."""

logger = logging.getLogger(__name__)


class Records:
    """The records of a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.is_conditional = True

    async def probe(self) -> None:
        """Prove that objects can be written and removed, and learn whether conditions are kept."""
        key = f"{keys.ROOT}probe-{uuid.uuid4().hex}"
        await self._bucket.put_small(key, b"{}")
        try:
            await self._bucket.put_small(key, b"{}", is_new=True)
        except Changed:
            self.is_conditional = True
        except StoreError as error:
            if error.reason not in _UNKNOWN:
                raise
            self.is_conditional = False
        else:
            self.is_conditional = False
        finally:
            await self._bucket.delete(key)

    async def load(self, owner: str, upload_id: str) -> Upload:
        """See `Storage.load`."""
        data, etag = await self._bucket.get_small(keys.info(owner, upload_id))
        try:
            upload = _decode(data, etag)
        except TornRecord as error:
            logger.error("torn_record", extra={"owner": owner, "upload": upload_id})
            raise UploadGone("The record of the upload is damaged; create a new one.") from error
        if upload.owner != owner or upload.id != upload_id:
            logger.error("foreign_record", extra={"owner": owner, "upload": upload_id})
            raise UploadNotFound
        return upload

    async def store(self, upload: Upload) -> Upload:
        """Replace the record, or write the first one; return the upload with a note of it.

        Raises `UploadLocked` when the record is not the one that the note of `upload` came from.
        """
        note = note_of(upload)
        key = keys.info(upload.owner, upload.id)
        data = encode(upload, s3=encode_note(note))
        try:
            etag = await self._bucket.put_small(
                key,
                data,
                match=note.etag if self.is_conditional else None,
                is_new=self.is_conditional and note.etag is None,
            )
        except Changed as error:
            etag = await self._own(key, data, error)
        return replace(upload, backing=replace(note, etag=etag))

    async def remove(self, upload: Upload) -> None:
        """Remove the record."""
        await self._bucket.delete(keys.info(upload.owner, upload.id))

    async def read(
        self, listed: AsyncIterator[Listed], *, wants: Callable[[Listed], bool]
    ) -> AsyncIterator[tuple[Listed, Upload]]:
        """The records among listed objects, several at a time. Those that cannot be read are left
        out and logged."""
        batch: list[Listed] = []
        async for each in listed:
            kept = keys.parse(each.key)
            if kept is None or not kept.is_record or not wants(each):
                continue
            batch.append(each)
            if len(batch) == PARALLEL:
                for one in await self._read(batch):
                    yield one
                batch = []
        for one in await self._read(batch):
            yield one

    async def _read(self, batch: list[Listed]) -> list[tuple[Listed, Upload]]:
        found = await asyncio.gather(*[self._read_one(each) for each in batch])
        return [
            (each, upload) for each, upload in zip(batch, found, strict=True) if upload is not None
        ]

    async def _read_one(self, listed: Listed) -> Upload | None:
        try:
            data, etag = await self._bucket.get_small(listed.key)
        except UploadNotFound:
            return None
        try:
            upload = _decode(data, etag)
        except (TornRecord, StorageError):
            logger.error("unreadable_record", extra={"record": listed.key})
            return None
        return upload if keys.info(upload.owner, upload.id) == listed.key else None

    async def _own(self, key: str, data: bytes, error: Changed) -> str:
        """The ETag of the record if it is what we wrote: an answer may have been lost."""
        try:
            stored, etag = await self._bucket.get_small(key)
        except UploadNotFound:
            stored, etag = b"", ""
        if stored != data:
            raise UploadLocked from error
        return etag


def _decode(data: bytes, etag: str) -> Upload:
    def backing(fields: Mapping[str, object]) -> Note:
        return replace(decode_note(fields), etag=etag)

    return decode(data, backing)
