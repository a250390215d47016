"""Many clients at once: slow ones keep nobody waiting, and what is under way is bounded."""

import asyncio

from tests.faults.s3.conftest import MakeScene
from tests.faults.s3.scene import PART, Scene, busiest, content_of, file_of
from tests.faults.scene import statuses
from tests.faults.test_two_processes import RunningPatch
from tests.servers import taken
from tests.store_calls import Kind
from tests.store_proxy import Hold, Where

STALLED = 50


async def test_stalled_clients_keep_nobody_waiting(make_scene: MakeScene) -> None:
    """A client gets its upload stored while 50 others, silent in the middle of a part, hold what
    they sent; these lose nothing by it."""
    scene = await make_scene(S3_MEMORY="8MiB")
    server = scene.client.server
    others = content_of(400_000)
    half = len(others) // 2
    ids = [await scene.created(len(others)) for _ in range(STALLED)]
    running = [await RunningPatch.begin(server, upload_id, 0, len(others)) for upload_id in ids]
    for patch in running:
        await patch.send(others[:half])
    for patch in running:
        await taken(patch.writer)
    content = content_of(2 * PART + 1)
    upload_id = await scene.created(len(content))
    await scene.sent(upload_id, 0, content)
    is_stored = await scene.is_stored(file_of(upload_id), content)
    answered = [patch.reader.at_eof() for patch in running]
    for patch in running:
        await patch.send(others[half:])
    endings = [await patch.end() for patch in running]

    assert is_stored
    assert answered == [False] * STALLED
    assert [statuses(ending) for ending in endings] == [[204]] * STALLED
    assert all(await asyncio.gather(*(scene.is_stored(file_of(each), others) for each in ids)))


async def other_requests(scene: Scene) -> None:
    """Let some time pass: that of requests that carry no bytes."""
    for _ in range(20):
        assert await scene.client.offset(await scene.created(100)) == 0


async def test_parts_of_an_upload_are_bounded(scene: Scene) -> None:
    """At most 4 parts of an upload are on their way to the store at a time, however slow it
    is."""
    content = content_of(6 * PART)
    upload_id = await scene.created(len(content))
    with scene.proxy.rule(Hold(where=Where.BEFORE), Kind.PART) as rule:
        sending = asyncio.create_task(scene.client.patch(upload_id, 0, content))
        await rule.holding(4)
        await other_requests(scene)
        held = len(rule.held)
        rule.release()
        answer = await sending

    assert held == 4
    assert answer.status == 204
    assert busiest(scene.proxy.of(Kind.PART)) == 4
    assert await scene.is_stored(file_of(upload_id), content)


async def test_parts_of_all_uploads_are_bounded(scene: Scene) -> None:
    """At most 16 parts in all are on their way to the store at a time."""
    content = content_of(5 * PART)
    ids = [await scene.created(len(content)) for _ in range(5)]
    with scene.proxy.rule(Hold(where=Where.BEFORE), Kind.PART) as rule:
        sending = [
            asyncio.create_task(scene.client.patch(upload_id, 0, content)) for upload_id in ids
        ]
        await rule.holding(16)
        await other_requests(scene)
        held = len(rule.held)
        rule.release()
        answers = await asyncio.gather(*sending)

    assert held == 16
    assert [answer.status for answer in answers] == [204] * 5
    assert busiest(scene.proxy.of(Kind.PART)) == 16
    assert all(await asyncio.gather(*(scene.is_stored(file_of(each), content) for each in ids)))
