"""Which uploads there are, and what those of an owner take: from lists of the bucket."""

from collections.abc import AsyncIterator, Iterable

from tusd_py.storage.catalogue import Catalogue
from tusd_py.storage.s3 import keys
from tusd_py.storage.s3.bucket import Bucket, Listed
from tusd_py.storage.s3.records import Records
from tusd_py.upload import Upload
from tusd_py.usage import Held, Usage, held


class Listing:
    """A record that said its upload is finished or gone is not read again to be counted."""

    def __init__(self, bucket: Bucket, records: Records) -> None:
        self._bucket = bucket
        self._records = records
        self._catalogue = Catalogue()

    async def uploads(self, owner: str) -> AsyncIterator[Upload]:
        """See `Storage.uploads`."""
        async for upload in self._read(self._bucket.list(keys.of_owner(owner))):
            yield upload

    async def unsettled(self) -> AsyncIterator[Upload]:
        """See `Storage.unsettled`."""
        listed = self._bucket.list(keys.ROOT)
        unknown = (each async for each in listed if self._catalogue.size(_mark(each)) is None)
        async for upload in self._read(unknown):
            if not upload.is_file:
                yield upload

    async def usage(self, owner: str) -> Usage:
        """See `Storage.usage`."""
        opened: dict[str, Held] = {}
        finished: dict[str, int] = {}
        waiting: dict[str, dict[int, int]] = {}
        unknown = []
        async for each in self._bucket.list(keys.of_owner(owner)):
            kept = keys.parse(each.key)
            if kept is None:
                continue
            if (index := kept.chunk_index) is not None:
                waiting.setdefault(kept.upload_id, {})[index] = each.size
            elif (size := self._catalogue.size(_mark(each))) is not None:
                finished[kept.upload_id] = size
            elif kept.is_record and not self._catalogue.is_gone(_mark(each)):
                unknown.append(each)
        async for upload in self._read(_given(unknown)):
            if upload.is_file:
                finished[upload.id] = upload.offset
            elif upload.is_open:
                opened[upload.id] = held(upload, waiting.get(upload.id, {}))
        return Usage(open=opened, finished=finished)

    async def _read(self, listed: AsyncIterator[Listed]) -> AsyncIterator[Upload]:
        async for each, upload in self._records.read(listed, wants=lambda _listed: True):
            self._catalogue.note(_mark(each), upload)
            yield upload


def _mark(listed: Listed) -> int:
    return hash((listed.key, listed.etag))


async def _given(listed: Iterable[Listed]) -> AsyncIterator[Listed]:
    for each in listed:
        yield each
