"""The records in the bucket: replaced by the faster of two writers, and read with care."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.uploads import UPLOAD, fresh
from tusd_py.errors import StorageError, UploadGone, UploadLocked, UploadNotFound
from tusd_py.storage.record import PLAIN, VERSION, encode
from tusd_py.storage.s3 import keys
from tusd_py.storage.s3.bucket import Bucket, Listed
from tusd_py.storage.s3.note import Note, Piece, encode_note, note_of
from tusd_py.storage.s3.records import PARALLEL, Records
from tusd_py.upload import Chunk, Upload

STORED = replace(
    UPLOAD,
    offset=7,
    chunks=(Chunk(size=7, digest=None),),
    backing=Note(tail=(Piece(name="0a1b2c3d", size=7),)),
)


async def names(bucket: Bucket) -> list[str]:
    """All keys in the bucket."""
    return [each.key async for each in bucket.list("")]


async def read(records: Records, bucket: Bucket, owner: str = "42") -> list[str]:
    """The ids of an owner's uploads, in the order in which they are read."""
    listed = bucket.list(keys.of_owner(owner))
    return [upload.id async for _, upload in records.read(listed, wants=lambda _: True)]


def newer(upload: Upload) -> bytes:
    """The record that a newer server would write."""
    data = encode(upload, s3=encode_note(note_of(upload)))
    return data.replace(b'"version":%d' % PLAIN, b'"version":%d' % (VERSION + 1))


# --- one record


async def test_a_record_is_loaded_as_it_was(records: Records, bucket: Bucket) -> None:
    """With its note, which knows the record's ETag now."""
    stored = await records.store(STORED)
    loaded = await records.load("42", STORED.id)

    assert loaded == stored == STORED
    assert note_of(loaded) == note_of(stored)
    assert note_of(loaded) == replace(note_of(STORED), etag=note_of(loaded).etag)
    assert note_of(loaded).etag is not None
    assert await names(bucket) == [f".tusd_py/42/{STORED.id}.info"]


async def test_no_record(records: Records) -> None:
    """What is not there is not found, for its owner as for any other."""
    await records.store(STORED)
    for owner, upload_id in (("43", STORED.id), ("42", fresh().id)):
        with pytest.raises(UploadNotFound):
            await records.load(owner, upload_id)


async def test_a_record_is_removed(records: Records, bucket: Bucket) -> None:
    """Once and again."""
    await records.store(STORED)
    for _ in range(2):
        await records.remove(STORED)

    assert await names(bucket) == []


async def test_a_torn_record_is_gone(
    records: Records, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    """Its client must begin anew; the log names it."""
    await bucket.put_small(keys.info("42", STORED.id), encode(STORED)[:40])

    with pytest.raises(UploadGone):
        await records.load("42", STORED.id)
    assert caplog.messages == ["torn_record"]


async def test_a_record_of_another_storage_is_gone(records: Records, bucket: Bucket) -> None:
    """A record without a note of its bytes is of no use here."""
    await bucket.put_small(keys.info("42", STORED.id), encode(STORED))

    with pytest.raises(UploadGone):
        await records.load("42", STORED.id)


async def test_a_record_of_a_newer_server_is_trouble(records: Records, bucket: Bucket) -> None:
    """A record that this server is too old for is 503, not gone."""
    await bucket.put_small(keys.info("42", STORED.id), newer(STORED))

    with pytest.raises(StorageError, match="newer version"):
        await records.load("42", STORED.id)


async def test_a_record_in_anothers_place_is_nobodys(
    records: Records, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    """A record counts where it belongs, not where somebody copied it."""
    data = encode(STORED, s3=encode_note(note_of(STORED)))
    other = fresh().id
    for owner, upload_id in (("43", STORED.id), ("42", other)):
        await bucket.put_small(keys.info(owner, upload_id), data)
        with pytest.raises(UploadNotFound):
            await records.load(owner, upload_id)

    assert set(caplog.messages) == {"foreign_record"}
    assert await read(records, bucket, "43") == []
    assert await read(records, bucket, "42") == []


# --- two writers


async def test_a_record_is_replaced(records: Records) -> None:
    """Whoever has the last version writes the next one."""
    upload = await records.store(STORED)
    for name in ("b.mp3", "c.mp3"):
        upload = await records.store(replace(upload, filename=name))

    assert (await records.load("42", STORED.id)).filename == "c.mp3"


async def test_the_slower_of_two_writers_is_refused(records: Records) -> None:
    """Whoever has an earlier version changes nothing."""
    first = await records.store(STORED)
    await records.store(replace(first, filename="faster.mp3"))
    with pytest.raises(UploadLocked):
        await records.store(replace(first, filename="slower.mp3"))

    assert (await records.load("42", STORED.id)).filename == "faster.mp3"


async def test_a_record_is_created_once(records: Records) -> None:
    """An id that is there already is not created again with other contents."""
    await records.store(STORED)
    with pytest.raises(UploadLocked):
        await records.store(replace(STORED, filename="other.mp3"))

    assert (await records.load("42", STORED.id)).filename == "audio.mp3"


async def test_a_record_that_was_removed_stays_so(records: Records, bucket: Bucket) -> None:
    """Whoever goes on with an upload that was forgotten meanwhile does not bring it back."""
    upload = await records.store(STORED)
    await records.remove(upload)
    with pytest.raises((UploadLocked, UploadNotFound)):
        await records.store(replace(upload, filename="other.mp3"))

    assert await names(bucket) == []


async def test_a_lost_answer_is_no_other_writer(records: Records) -> None:
    """When the store has just what is to be written, it was us: the call was made again."""
    first = await records.store(STORED)
    second = await records.store(replace(first, filename="b.mp3"))
    again = await records.store(replace(first, filename="b.mp3"))
    third = await records.store(replace(again, filename="c.mp3"))

    assert note_of(again).etag == note_of(second).etag
    assert await records.load("42", STORED.id) == third


async def test_without_conditions_the_last_writer_wins(records: Records) -> None:
    """A store that has no conditional writes is used without them."""
    records.is_conditional = False
    first = await records.store(STORED)
    await records.store(replace(first, filename="b.mp3"))
    await records.store(replace(first, filename="c.mp3"))

    assert (await records.load("42", STORED.id)).filename == "c.mp3"


async def test_the_probe_learns_what_the_store_can(records: Records, bucket: Bucket) -> None:
    """It leaves nothing in the bucket."""
    records.is_conditional = False
    await records.probe()

    assert records.is_conditional
    assert await names(bucket) == []


# --- lists


async def test_all_records_are_read(records: Records, bucket: Bucket) -> None:
    """However many there are, in the order of their keys, and bytes are no records."""
    ids = sorted(fresh().id for _ in range(2 * PARALLEL + 3))
    for upload_id in ids:
        upload = replace(STORED, id=upload_id)
        await records.store(upload)
        await bucket.put_small(keys.tail(upload, 0, "0a1b2c3d"), b"bytes")
        await bucket.put_small(keys.chunk(upload, 0), b"chunk")
    await records.store(replace(fresh(STORED), owner="421"))

    assert await read(records, bucket) == ids
    assert await read(records, bucket, "4") == []


async def test_exactly_a_batch_is_read(records: Records, bucket: Bucket) -> None:
    """No record is read twice or not at all at the end of a batch."""
    ids = sorted(fresh().id for _ in range(PARALLEL))
    for upload_id in ids:
        await records.store(replace(STORED, id=upload_id))

    assert await read(records, bucket) == ids


async def test_only_what_is_wanted_is_read(records: Records, bucket: Bucket) -> None:
    """A record that is not wanted costs no call, so it does not matter what is in it."""
    good = await records.store(STORED)
    bad = keys.info("42", fresh().id)
    await bucket.put_small(bad, b"{")

    def wants(listed: Listed) -> bool:
        return listed.key != bad

    found = [one async for one in records.read(bucket.list(keys.ROOT), wants=wants)]

    assert [(listed.key, upload) for listed, upload in found] == [
        (keys.info("42", good.id), good),
    ]


async def test_a_list_leaves_out_what_cannot_be_read(
    records: Records, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    """A torn record never stops a list or another upload; the log names it."""
    good = await records.store(STORED)
    torn = [keys.info("42", fresh().id) for _ in range(2)]
    await bucket.put_small(torn[0], b"{")
    await bucket.put_small(torn[1], newer(fresh(STORED)))
    await bucket.put_small(".tusd_py/42/note.txt", b"")

    assert await read(records, bucket) == [good.id]
    assert caplog.messages == ["unreadable_record"] * 2
    assert sorted(vars(record)["record"] for record in caplog.records) == sorted(torn)


async def test_a_record_that_goes_meanwhile_is_left_out(records: Records, bucket: Bucket) -> None:
    """What is listed and then removed was not there."""
    stays = await records.store(STORED)
    goes = await records.store(fresh(STORED))
    before = [each async for each in bucket.list(keys.ROOT)]
    await records.remove(goes)

    async def listed() -> AsyncIterator[Listed]:
        for each in before:
            yield each

    found = [upload.id async for _, upload in records.read(listed(), wants=lambda _: True)]
    assert found == [stays.id]
