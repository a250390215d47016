"""Lists of the bucket: what is finished or gone is read once to be counted."""

from dataclasses import replace

import pytest

from tests.uploads import NOW, UPLOAD, completed, fresh
from tusd_py.storage.s3 import keys
from tusd_py.storage.s3.bucket import Bucket
from tusd_py.storage.s3.listing import Listing
from tusd_py.storage.s3.note import Note
from tusd_py.storage.s3.records import Records
from tusd_py.upload import End, Ending, Upload

ENDED = Ending(why=End.TERMINATED, at=NOW)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the records that were read."""
    seen: list[str] = []
    get_small = Bucket.get_small

    async def noting(bucket: Bucket, key: str) -> tuple[bytes, str]:
        seen.append(key)
        return await get_small(bucket, key)

    monkeypatch.setattr(Bucket, "get_small", noting)
    return seen


async def stored(records: Records, upload: Upload) -> Upload:
    """A record of its own that says this."""
    return await records.store(replace(fresh(upload), backing=Note()))


async def test_what_is_over_is_not_read_again(
    bucket: Bucket, records: Records, reads: list[str]
) -> None:
    """Counting again is a list, and the records of open uploads; so is a sweep that comes after,
    which reads what is gone, too."""
    listing = Listing(bucket, records)
    done = await stored(records, completed(replace(UPLOAD, offset=10)))
    gone = await stored(records, replace(UPLOAD, ending=ENDED))
    upload = await stored(records, UPLOAD)
    first = await listing.usage("42")
    reads.clear()

    again = await listing.usage("42")
    counting = list(reads)
    swept = {each.id async for each in listing.unsettled()}

    assert again == first
    assert (again.finished, list(again.open)) == ({done.id: 10}, [upload.id])
    assert counting == [keys.info("42", upload.id)]
    assert swept == {gone.id, upload.id}
    assert keys.info("42", done.id) not in reads


async def test_a_record_that_was_replaced_is_read_again(bucket: Bucket, records: Records) -> None:
    """A finished file that was deleted, by whichever node, counts no more."""
    listing = Listing(bucket, records)
    done = await stored(records, completed(replace(UPLOAD, offset=10)))
    assert (await listing.usage("42")).size == 10
    await records.store(replace(done, ending=ENDED))

    assert (await listing.usage("42")).size == 0


async def test_what_is_none_of_ours_is_not_counted(bucket: Bucket, records: Records) -> None:
    """Pieces and foreign objects beside the records take nothing; a chunk does not without its
    upload."""
    upload = await stored(records, replace(UPLOAD, length=None))
    for key in (
        keys.tail(upload, 0, "0a1b2c3d"),
        keys.chunks(upload) + "x",
        keys.chunk(fresh(), 3),
        keys.of_owner("42") + "foreign",
    ):
        await bucket.put_small(key, b"some bytes")
    await bucket.put_small(keys.chunk(upload, 3), b"chunk")

    usage = await Listing(bucket, records).usage("42")

    assert {each: held.total for each, held in usage.open.items()} == {upload.id: 5}
