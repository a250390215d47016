"""What dead processes left in the bucket: pieces without a record, multiparts nobody names."""

import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import chain

from tusd_py.names import is_segment
from tusd_py.storage.s3 import keys
from tusd_py.storage.s3.bucket import Bucket, Listed, Unfinished
from tusd_py.storage.s3.failures import PartsLost
from tusd_py.storage.s3.note import note_of
from tusd_py.storage.s3.records import Records

PIECE_AGE = timedelta(hours=1)
MULTIPART_AGE = timedelta(days=1)

logger = logging.getLogger(__name__)


class Litter:
    """Finds and removes it."""

    def __init__(self, bucket: Bucket, records: Records) -> None:
        self._bucket = bucket
        self._records = records

    async def remove(self, now: datetime) -> int:
        """One pass; returns how many objects and multiparts were removed."""
        return await self._pieces(now - PIECE_AGE) + await self._multiparts(now - MULTIPART_AGE)

    async def _pieces(self, before: datetime) -> int:
        """Pieces and chunks of uploads that have no record."""
        old: dict[tuple[str, str], list[str]] = {}
        known = set()
        async for each in self._bucket.list(keys.ROOT):
            kept = keys.parse(each.key)
            if kept is None:
                if each.key.startswith(f"{keys.ROOT}probe-") and each.modified < before:
                    old.setdefault(("", each.key), []).append(each.key)
            elif kept.is_record:
                known.add((kept.owner, kept.upload_id))
            elif each.modified < before:
                old.setdefault((kept.owner, kept.upload_id), []).append(each.key)
        gone = list(chain.from_iterable(old[upload] for upload in old.keys() - known))
        for key in gone:
            await self._bucket.delete(key)
        return len(gone)

    async def _multiparts(self, before: datetime) -> int:
        """Multipart uploads of ours that were begun, and then no record came to name them."""
        count = 0
        async for each in self._orphans(before):
            try:
                await self._bucket.abort(each.key, each.multipart)
            except PartsLost:
                continue
            logger.info("multipart_aborted", extra={"key": each.key})
            count += 1
        return count

    async def _orphans(self, before: datetime) -> AsyncIterator[Unfinished]:
        named: dict[str, set[str | None] | None] = {}
        for each in [each async for each in self._bucket.unfinished()]:
            owner = _owner(each.key)
            if owner is None or each.begun >= before:
                continue
            if owner not in named:
                named[owner] = await self._named(owner)
            known = named[owner]
            if known is not None and each.multipart not in known:
                yield each

    async def _named(self, owner: str) -> set[str | None] | None:
        """The multiparts that the records of an owner name; None when some cannot be read."""
        listed = [each async for each in self._bucket.list(keys.of_owner(owner))]
        records = [each for each in listed if _is_record(each.key)]
        found = [
            note_of(upload).multipart
            async for _, upload in self._records.read(_given(records), wants=lambda _listed: True)
        ]
        return set(found) if len(found) == len(records) else None


async def _given(listed: list[Listed]) -> AsyncIterator[Listed]:
    for each in listed:
        yield each


def _is_record(key: str) -> bool:
    kept = keys.parse(key)
    return kept is not None and kept.is_record


def _owner(key: str) -> str | None:
    """The owner of a key of the form that ours have; None for any other."""
    kept = keys.parse(key)
    if kept is not None:
        return kept.owner
    match key.split("/"):
        case [owner, file_id, filename] if is_segment(owner) and is_segment(file_id) and filename:
            return owner
    return None
