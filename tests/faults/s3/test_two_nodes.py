"""Two servers with folders of their own on one bucket: each goes on with what the other began, and
of two that write at once one is refused."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient
from tests.conftest import MakeProcess, MakeServer
from tests.faults.s3.conftest import MakeScene
from tests.faults.s3.scene import (
    MIB,
    PART,
    Scene,
    content_of,
    file_of,
    is_same,
    is_tail,
    record_of,
)
from tests.faults.test_two_processes import RunningPatch
from tests.moto_store import make_bucket, moto_store
from tests.store_calls import Kind
from tests.store_proxy import Hold, StoreProxy, Where, store_proxy
from tests.weed import ACCESS_KEY, SECRET_KEY, Bucket

SETTINGS = {
    "STORAGE_BACKEND": "s3",
    "S3_BUCKET_NAME": "tests",
    "S3_ACCESS_KEY": ACCESS_KEY,
    "S3_SECRET_KEY": SECRET_KEY,
}


@pytest.fixture(scope="module")
def moto() -> Iterator[int]:
    """The port of a fake store."""
    with moto_store() as port:
        yield port


@pytest.fixture
async def nodes(make_scene: MakeScene, tmp_path: Path) -> tuple[Scene, Scene]:
    """Two servers in this process, behind the same proxy."""
    return await make_scene(root=tmp_path / "one"), await make_scene(root=tmp_path / "two")


# --- one after the other


@pytest.mark.parametrize("size", [100_000, MIB, 2 * MIB, PART, PART + 1])
async def test_patches_alternate(nodes: tuple[Scene, Scene], size: int) -> None:
    """Any node continues any upload: PATCHes of any size alternate between two."""
    pieces = [content_of(size + number) for number in range(4)]
    content = b"".join(pieces)
    upload_id = await nodes[0].created(len(content))
    offset = 0
    offsets = []
    for number, piece in enumerate(pieces):
        await nodes[number % 2].sent(upload_id, offset, piece)
        offset += len(piece)
        offsets += [await node.client.offset(upload_id) for node in nodes]
    downloads = [await node.client.tus("GET", upload_id) for node in nodes]

    assert offsets == [sum(map(len, pieces[: count // 2 + 1])) for count in range(8)]
    assert all(is_same(download.body, content) for download in downloads)
    await nodes[0].assert_only(file_of(upload_id), record_of(upload_id))


async def test_chunks_alternate(nodes: tuple[Scene, Scene]) -> None:
    """Chunks of one session may come to either node, in any order."""
    chunks = [content_of(PART + number) for number in range(4)]
    upload_id = await nodes[0].client.init(7, "chunks.mp3")
    for index in (2, 0, 3, 1):
        answer = await nodes[index % 2].client.chunk(upload_id, index, chunks[index])
        assert answer.status == 200, answer
    completed = [await node.client.complete(upload_id, 4, 7) for node in nodes]

    assert [answer.status for answer in completed] == [200, 200]
    assert completed[0].body == completed[1].body
    assert await nodes[0].is_stored("42/7/chunks.mp3", b"".join(chunks))
    await nodes[0].assert_only("42/7/chunks.mp3", record_of(upload_id))


# --- both at once


@pytest.mark.parametrize("size", [50_000, PART])
async def test_at_most_one_204_per_offset(nodes: tuple[Scene, Scene], size: int) -> None:
    """Of two PATCHes at the same offset on two nodes at most one gets a 204, and its bytes are in
    the file."""
    upload_id = await nodes[0].created(None)
    rounds = 3 if size == PART else 10
    won: dict[int, list[bytes]] = {}
    offset = 0
    for number in range(rounds):
        bodies = [bytes([65 + number]) * size, bytes([97 + number]) * size]
        answers = await asyncio.gather(
            *(
                node.client.patch(upload_id, offset, body)
                for node, body in zip(nodes, bodies, strict=True)
            )
        )
        for answer, body in zip(answers, bodies, strict=True):
            assert answer.status in {204, 409, 423, 503}
            if answer.status == 204:
                won.setdefault(offset, []).append(body)
        offset = await nodes[number % 2].client.offset(upload_id)
    last = await nodes[0].client.patch(upload_id, offset, b"", {"Upload-Length": str(offset)})

    assert {len(bodies) for bodies in won.values()} == {1}
    assert offset == len(won) * size
    assert last.status == 204
    content = await nodes[0].bucket.read(file_of(upload_id))
    assert content is not None
    for start, (body,) in won.items():
        assert is_same(content[start : start + size], body)


async def late_part(fast: Scene, slow: Scene, content: bytes, other: bytes) -> int:
    """Let one node store a part, other bytes, late: when the other node has acknowledged its own.
    The status that the client of the slow one gets."""
    upload_id = await fast.created(len(content))
    await fast.sent(upload_id, 0, content[:PART])
    with fast.proxy.rule(Hold(where=Where.BEFORE), Kind.PART, part=2, times=1) as rule:
        late = asyncio.create_task(slow.client.patch(upload_id, PART, other))
        await rule.holding()
        await fast.sent(upload_id, PART, content[PART : 2 * PART])
        rule.release()
        refused = await late
    answer = await fast.client.patch(upload_id, 2 * PART, content[2 * PART :])
    download = await fast.client.tus("GET", upload_id)

    assert answer.status == 204
    assert is_same(download.body, content)
    return refused.status


async def test_late_part_does_not_disturb_acknowledged_ones(nodes: tuple[Scene, Scene]) -> None:
    """A part that one node stores late, other bytes for an offset that the other node acknowledged
    meanwhile, is refused and harms nothing."""
    status = await late_part(*nodes, content_of(3 * PART), bytes(PART))

    assert status in {409, 423, 503}


@pytest.mark.parametrize("same", [True, False], ids=["same-bytes", "other-bytes"])
async def test_late_part_where_the_last_one_counts(
    http: aiohttp.ClientSession,
    moto: int,
    bucket: Bucket,
    make_server: MakeServer,
    tmp_path: Path,
    same: bool,
) -> None:
    """In a store that keeps the last one of two parts of the same number, as AWS, the same bytes do
    no harm. Other bytes do not become part of the file: the upload goes back before them."""
    await make_bucket(moto, "tests")
    async with store_proxy(moto) as proxy:
        own = {**SETTINGS, "S3_ENDPOINT_URL": proxy.endpoint, "S3_PART_SIZE": "5MiB"}
        fast, slow = [
            Scene(
                client=RestClient(http=http, server=await make_server(tmp_path / name, **own)),
                proxy=proxy,
                bucket=bucket,
            )
            for name in ("one", "two")
        ]
        content = content_of(3 * PART)
        upload_id = await fast.created(len(content))
        await fast.sent(upload_id, 0, content[:PART])
        with fast.proxy.rule(Hold(where=Where.BEFORE), Kind.PART, part=2, times=1) as rule:
            other = content[PART : 2 * PART] if same else bytes(PART)
            late = asyncio.create_task(slow.client.patch(upload_id, PART, other))
            await rule.holding()
            await fast.sent(upload_id, PART, content[PART : 2 * PART])
            rule.release()
            refused = await late
        answer = await fast.client.patch(upload_id, 2 * PART, content[2 * PART :])
        offset = await fast.gone_on(upload_id, content)
        download = await fast.client.tus("GET", upload_id)

    assert refused.status in {409, 423, 503}
    assert (answer.status, offset) == ((204, 3 * PART) if same else (503, PART))
    assert is_same(download.body, content)


async def test_repeated_patch_at_another_node(nodes: tuple[Scene, Scene]) -> None:
    """A client that repeats a PATCH at another node, while the first one still stores it, loses
    nothing: whichever node is later is refused."""
    slow, fast = nodes
    content = content_of(3 * PART)
    upload_id = await fast.created(len(content))
    await slow.sent(upload_id, 0, content[:PART])
    with fast.proxy.rule(Hold(where=Where.BEFORE), Kind.PART, part=2, times=1) as rule:
        late = asyncio.create_task(slow.client.patch(upload_id, PART, content[PART:]))
        await rule.holding()
        await fast.sent(upload_id, PART, content[PART:])
        rule.release()
        refused = await late

    assert refused.status in {204, 409, 423, 503}
    assert await fast.is_stored(file_of(upload_id), content)
    await fast.assert_only(file_of(upload_id), record_of(upload_id))


async def test_slower_node_is_refused_not_told_that_nothing_is_there(
    nodes: tuple[Scene, Scene],
) -> None:
    """A node whose tail was made a part by the other one meanwhile refuses for now: a 404 would
    let the client throw the upload away."""
    fast, slow = nodes
    content = content_of(2 * PART)
    upload_id = await fast.created(len(content))
    await fast.sent(upload_id, 0, content[:100])
    with fast.proxy.rule(Hold(where=Where.BEFORE), Kind.GET, key=is_tail, times=1) as rule:
        late = asyncio.create_task(slow.client.patch(upload_id, 100, content[100:]))
        await rule.holding()
        await fast.sent(upload_id, 100, content[100:])
        rule.release()
        refused = await late

    assert refused.status in {204, 409, 423, 503}
    assert await fast.is_stored(file_of(upload_id), content)
    await fast.assert_only(file_of(upload_id), record_of(upload_id))


async def test_both_nodes_finish(nodes: tuple[Scene, Scene]) -> None:
    """Two nodes that finish the same full upload at once make one file of it."""
    one, two = nodes
    content = content_of(2 * PART + 100)
    upload_id = await one.created(len(content))
    with one.proxy.rule(Hold(where=Where.BEFORE), Kind.COMPLETE, times=1) as rule:
        patching = asyncio.create_task(one.client.patch(upload_id, 0, content))
        await rule.holding()
        head = await two.client.tus("HEAD", upload_id)
        rule.release()
        patched = await patching

    assert head.status == 200
    assert head.headers["Upload-Offset"] == str(len(content))
    assert patched.status in {204, 423}
    assert await one.client.offset(upload_id) == len(content)
    assert await one.is_stored(file_of(upload_id), content)
    await one.assert_only(file_of(upload_id), record_of(upload_id))


# --- death


async def test_other_node_goes_on_after_kill(
    http: aiohttp.ClientSession,
    bucket: Bucket,
    proxy: StoreProxy,
    make_process: MakeProcess,
    tmp_path: Path,
) -> None:
    """PATCHes alternate between two processes; kill -9 of one in mid-PATCH: the other finishes, all
    bytes right, and no acknowledged byte was lost."""
    through = {"S3_ENDPOINT_URL": proxy.endpoint, "S3_PART_SIZE": "5MiB"}
    doomed, other = [
        await make_process(root=tmp_path / name, **{**bucket.settings, **through})
        for name in ("one", "two")
    ]
    first, second = [
        Scene(client=RestClient(http=http, server=each.address), proxy=proxy, bucket=bucket)
        for each in (doomed, other)
    ]
    content = content_of(4 * PART)
    upload_id = await first.created(len(content))
    await first.sent(upload_id, 0, content[:MIB])
    await second.sent(upload_id, MIB, content[MIB : 2 * MIB])
    running = await RunningPatch.begin(
        first.client.server, upload_id, 2 * MIB, len(content) - 2 * MIB
    )
    await running.send(content[2 * MIB : 3 * PART])
    async with asyncio.timeout(15):
        while await second.client.offset(upload_id) < 2 * PART:  # noqa: ASYNC110 - no event crosses processes
            await asyncio.sleep(0.05)
    await doomed.end(signal.SIGKILL)
    await running.end()
    offset = await second.gone_on(upload_id, content)

    assert 2 * PART <= offset <= 3 * PART
    assert await second.is_stored(file_of(upload_id), content)
    await second.assert_only(file_of(upload_id), record_of(upload_id))
