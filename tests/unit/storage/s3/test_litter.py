"""What dead processes left in the bucket goes; what anybody may still need stays."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.uploads import fresh
from tusd_py.storage.record import PLAIN, VERSION, encode
from tusd_py.storage.s3 import keys
from tusd_py.storage.s3.bucket import Bucket
from tusd_py.storage.s3.litter import MULTIPART_AGE, PIECE_AGE, Litter
from tusd_py.storage.s3.note import Note, encode_note
from tusd_py.storage.s3.objects import PIECE
from tusd_py.storage.s3.records import Records
from tusd_py.upload import Upload

A_MOMENT = timedelta(seconds=60)


@pytest.fixture
def litter(bucket: Bucket, records: Records) -> Litter:
    """The cleaner of the bucket."""
    return Litter(bucket, records)


def pieces(upload: Upload) -> list[str]:
    """Keys of bytes that an upload may have."""
    return [
        keys.chunk(upload, 3),
        keys.tail(upload, 2, "0a1b2c3d"),
        f"{keys.of_upload(upload)}partial",
    ]


async def put(bucket: Bucket, *names: str) -> None:
    """Objects of some bytes."""
    for name in names:
        await bucket.put_small(name, b"bytes")


async def left(bucket: Bucket) -> list[str]:
    """All keys in the bucket."""
    return [each.key async for each in bucket.list("")]


async def begun(bucket: Bucket, key: str) -> str:
    """A multipart upload that was begun."""
    return await bucket.begin(key, PIECE)


async def multiparts(bucket: Bucket) -> set[str]:
    """The multipart uploads in progress."""
    return {each.multipart async for each in bucket.unfinished()}


async def age_of_multiparts(bucket: Bucket) -> datetime:
    """When the store says that they were begun."""
    return max([each.begun async for each in bucket.unfinished()])


# --- pieces


async def test_pieces_without_a_record_go(bucket: Bucket, litter: Litter) -> None:
    """A process that died while it forgot an upload left its bytes."""
    await put(bucket, *pieces(fresh()), *pieces(fresh()))
    removed = await litter.remove(datetime.now(UTC) + PIECE_AGE + A_MOMENT)

    assert removed == 6
    assert await left(bucket) == []


async def test_young_pieces_stay(bucket: Bucket, litter: Litter) -> None:
    """Their record may not be seen yet."""
    await put(bucket, *pieces(fresh()))
    removed = await litter.remove(datetime.now(UTC) + PIECE_AGE - A_MOMENT)

    assert removed == 0
    assert len(await left(bucket)) == 3


async def test_pieces_with_a_record_stay(bucket: Bucket, litter: Litter, records: Records) -> None:
    """However old, and whatever its record says of them: they are acknowledged bytes."""
    upload = await records.store(fresh())
    await put(bucket, *pieces(upload))
    before = await left(bucket)
    removed = await litter.remove(datetime.now(UTC) + timedelta(days=400))

    assert removed == 0
    assert await left(bucket) == before


async def test_pieces_with_an_unreadable_record_stay(bucket: Bucket, litter: Litter) -> None:
    """A record that this server cannot read is a record."""
    upload = fresh()
    await put(bucket, *pieces(upload), keys.info(upload.owner, upload.id))

    assert await litter.remove(datetime.now(UTC) + timedelta(days=400)) == 0
    assert len(await left(bucket)) == 4


async def test_a_record_of_another_owner_is_another(
    bucket: Bucket, litter: Litter, records: Records
) -> None:
    """The same id of another owner says nothing of these bytes."""
    upload = await records.store(fresh())
    await put(bucket, f".tusd_py/43/{upload.id}.chunk.0", keys.chunk(upload, 0))
    removed = await litter.remove(datetime.now(UTC) + PIECE_AGE + A_MOMENT)

    assert removed == 1
    assert keys.chunk(upload, 0) in await left(bucket)


async def test_what_is_not_ours_stays(bucket: Bucket, litter: Litter) -> None:
    """Finished files and other programs' objects are no litter."""
    names = ["42/123/audio.mp3", "README", ".tusd_py/42/notes.txt", ".tusd_pyx/probe-1"]
    await put(bucket, *names)

    assert await litter.remove(datetime.now(UTC) + timedelta(days=400)) == 0
    assert await left(bucket) == sorted(names)


async def test_probes_go(bucket: Bucket, litter: Litter) -> None:
    """A process that died while it started left an object, which is removed after an hour."""
    await put(bucket, ".tusd_py/probe-0a1b")
    young = await litter.remove(datetime.now(UTC) + PIECE_AGE - A_MOMENT)
    old = await litter.remove(datetime.now(UTC) + PIECE_AGE + A_MOMENT)

    assert (young, old) == (0, 1)
    assert await left(bucket) == []


# --- multipart uploads


async def test_multiparts_without_a_record_go_after_a_day(bucket: Bucket, litter: Litter) -> None:
    """A process that died before it noted the multipart upload that it began left it."""
    one = await begun(bucket, "42/123/audio.mp3")
    other = await begun(bucket, f".tusd_py/43/{fresh().id}.partial")
    at = await age_of_multiparts(bucket)
    young = await litter.remove(at + MULTIPART_AGE - A_MOMENT), await multiparts(bucket)
    old = await litter.remove(at + MULTIPART_AGE + A_MOMENT), await multiparts(bucket)

    assert young == (0, {one, other})
    assert old == (2, set())


async def test_multiparts_with_a_record_stay(
    bucket: Bucket, litter: Litter, records: Records
) -> None:
    """However long an upload takes; others at the same place, which nobody names, go."""
    upload = fresh()
    named = await begun(bucket, keys.data(upload))
    stray = await begun(bucket, keys.data(upload))
    await records.store(replace(upload, backing=Note(multipart=named)))
    removed = await litter.remove(await age_of_multiparts(bucket) + timedelta(days=400))

    assert removed == 1
    assert await multiparts(bucket) == {named}
    assert stray != named


async def test_multiparts_of_unreadable_records_stay(bucket: Bucket, litter: Litter) -> None:
    """While a newer server goes on with an upload, an older one does not end it."""
    upload = fresh()
    named = await begun(bucket, keys.data(upload))
    data = encode(upload, s3=encode_note(Note(multipart=named)))
    data = data.replace(b'"version":%d' % PLAIN, b'"version":%d' % (VERSION + 1))
    await bucket.put_small(keys.info(upload.owner, upload.id), data)
    await litter.remove(await age_of_multiparts(bucket) + timedelta(days=400))

    assert await multiparts(bucket) == {named}


@pytest.mark.parametrize(
    "key",
    ["file", "a/file", "a/b/c/file", "a//file", "/b/file", ".hidden/b/file", "a/.b/file", "a/b/"],
)
async def test_multiparts_of_others_stay(key: str, bucket: Bucket, litter: Litter) -> None:
    """A key that none of ours has is another program's."""
    multipart = await begun(bucket, key)
    removed = await litter.remove(await age_of_multiparts(bucket) + timedelta(days=400))

    assert removed == 0
    assert await multiparts(bucket) == {multipart}


async def test_nothing_to_remove(litter: Litter) -> None:
    """An empty bucket stays so."""
    assert await litter.remove(datetime.now(UTC)) == 0
