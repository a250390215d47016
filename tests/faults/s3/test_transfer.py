"""How many bytes go to the store, and in which order acknowledged ones are replaced."""

import asyncio
import json

import pytest

from tests.faults.s3.conftest import MakeScene
from tests.faults.s3.scene import (
    MIB,
    PART,
    TRANSFERS,
    Scene,
    content_of,
    file_of,
    is_record,
    is_tail,
    record_of,
    transferred,
)
from tests.store_calls import Kind
from tests.store_proxy import SLOW_DOWN, Hold, Where

IN_ORDER = {
    "6 MiB": [6 * MIB, 6 * MIB, 6 * MIB],
    "6 MiB, the last smaller": [6 * MIB, 6 * MIB, 100],
    "5 MiB": [5 * MIB, 5 * MIB, 5 * MIB],
    "one": [17 * MIB],
    "small": [1000],
}


@pytest.mark.parametrize("sizes", IN_ORDER.values(), ids=IN_ORDER)
async def test_chunks_in_order_are_transferred_once(
    make_scene: MakeScene, sizes: list[int]
) -> None:
    """REST chunks in order stream into parts of the default size or their own: the bytes of all
    bodies are those of the file."""
    scene = await make_scene(S3_PART_SIZE="8MiB")
    chunks = [content_of(size) for size in sizes]
    scene.proxy.begin_anew()
    await scene.client.uploaded(*chunks, file_id=7, name="chunks.mp3")

    assert transferred(scene.proxy.of(*TRANSFERS)) == sum(sizes)
    assert await scene.is_stored("42/7/chunks.mp3", b"".join(chunks))


@pytest.mark.parametrize("size", [5 * MIB, 6 * MIB, 8 * MIB])
async def test_patches_are_transferred_once(make_scene: MakeScene, size: int) -> None:
    """PATCHes of a size that parts can have are parts."""
    scene = await make_scene(S3_PART_SIZE="8MiB")
    content = content_of(2 * size + 100)
    upload_id = await scene.created(len(content))
    scene.proxy.begin_anew()
    await scene.sent(upload_id, 0, content[:size], content[size : 2 * size], content[2 * size :])

    assert transferred(scene.proxy.of(*TRANSFERS)) == len(content)
    assert await scene.is_stored(file_of(upload_id), content)


@pytest.mark.parametrize("size", [15 * MIB + 1, 16 * MIB, 3 * MIB, 100])
async def test_one_patch_is_transferred_once(scene: Scene, size: int) -> None:
    """Completion never sends again what is there."""
    content = content_of(size)
    upload_id = await scene.created(size)
    scene.proxy.begin_anew()
    await scene.sent(upload_id, 0, content)

    assert transferred(scene.proxy.of(*TRANSFERS)) == size
    assert await scene.is_stored(file_of(upload_id), content)


async def test_chunks_out_of_order_are_transferred_once(scene: Scene) -> None:
    """Chunks that came before their turn wait as objects, and whole parts of them are copied inside
    of the store."""
    chunks = [content_of(PART + 1000) for _ in range(3)]
    scene.proxy.begin_anew()
    upload_id = await scene.client.init(7, "chunks.mp3")
    for index in (2, 1, 0):
        answer = await scene.client.chunk(upload_id, index, chunks[index])
        assert answer.status == 200, answer
    await scene.client.complete(upload_id, 3, 7)

    assert transferred(scene.proxy.of(*TRANSFERS)) == sum(map(len, chunks))
    assert await scene.is_stored("42/7/chunks.mp3", b"".join(chunks))


async def test_small_patches_are_transferred_twice_at_most(scene: Scene) -> None:
    """Bytes that are no part yet are stored as a tail, and once more in their part."""
    pieces = [content_of(MIB + number) for number in range(12)]
    content = b"".join(pieces)
    upload_id = await scene.created(len(content))
    scene.proxy.begin_anew()
    await scene.sent(upload_id, 0, *pieces)

    assert transferred(scene.proxy.of(*TRANSFERS)) <= 2 * len(content)
    assert await scene.is_stored(file_of(upload_id), content)


# --- acknowledged bytes


async def test_tail_is_removed_after_a_record_that_does_without_it(scene: Scene) -> None:
    """Acknowledged bytes are never deleted before they are stored again: first the part, then a
    record that no longer names the piece of the tail, then its end."""
    pieces = [content_of(MIB + number) for number in range(12)]
    upload_id = await scene.created(sum(map(len, pieces)))
    await scene.sent(upload_id, 0, *pieces)
    records = [
        call for call in scene.proxy.of(Kind.PUT) if is_record(call.key) and call.status == 200
    ]
    removals = [call for call in scene.proxy.of(Kind.DELETE) if is_tail(call.key)]

    assert len(removals) >= 10
    for removal in removals:
        name = removal.key.rsplit(".", 1)[-1]
        last = [call for call in records if (call.ended or 0) < removal.began][-1]
        note = json.loads(last.body)["s3"]
        assert name not in [piece[0] for piece in note["tail"]]


async def test_tail_stays_while_its_part_is_on_its_way(scene: Scene) -> None:
    """As long as the record that names the part is not answered the tail is there."""
    content = content_of(2 * PART)
    upload_id = await scene.created(len(content))
    await scene.sent(upload_id, 0, content[:MIB], content[MIB : 2 * MIB])
    tails = [key for key in await scene.bucket.keys() if is_tail(key)]
    with scene.proxy.rule(Hold(where=Where.AFTER), Kind.PUT, key=is_record, times=1) as rule:
        sending = asyncio.create_task(
            scene.client.patch(upload_id, 2 * MIB, content[2 * MIB : PART + MIB])
        )
        await rule.holding()
        held = await scene.bucket.keys()
        rule.release()
        answer = await sending
    afterwards = await scene.bucket.keys()

    assert len(tails) == 2
    assert set(tails) <= set(held)
    assert answer.status == 204
    assert not set(tails) & set(afterwards)
    await scene.gone_on(upload_id, content)
    assert await scene.is_stored(file_of(upload_id), content)


async def test_tail_that_cannot_be_removed_is_removed_at_the_end(scene: Scene) -> None:
    """A DELETE that fails harms nobody, and leaves nothing after completion."""
    content = content_of(2 * PART)
    upload_id = await scene.created(len(content))
    await scene.sent(upload_id, 0, content[:MIB])
    with scene.proxy.rule(SLOW_DOWN, Kind.DELETE) as rule:
        answer = await scene.client.patch(upload_id, MIB, content[MIB : PART + 1])
    await scene.gone_on(upload_id, content)

    assert rule.calls
    assert answer.status == 204
    assert await scene.is_stored(file_of(upload_id), content)
    await scene.assert_only(file_of(upload_id), record_of(upload_id))
