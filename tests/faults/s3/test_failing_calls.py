"""Calls to the store that fail: a client never learns of short trouble, and loses nothing by long
trouble."""

import asyncio
from collections import Counter
from collections.abc import Callable

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient
from tests.conftest import MakeServer
from tests.faults.s3.conftest import MakeScene
from tests.faults.s3.scene import (
    MIB,
    PART,
    Scene,
    content_of,
    file_of,
    is_file,
    is_record,
    is_same,
    is_tail,
    record_of,
)
from tests.store_calls import Call, Kind
from tests.store_proxy import LOST_ANSWER, SLOW_DOWN, Action, Cut, Hold, Refuse, Where, store_proxy
from tests.weed import Bucket

BROKEN = Refuse(status=500, code="InternalError")

LONG: dict[str, Action] = {
    "slow-down": SLOW_DOWN,
    "internal-error": BROKEN,
    "unreachable": Cut(where=Where.BEFORE),
    "reset-in-mid-part": Cut(where=Where.MIDDLE),
    "lost-answer": LOST_ANSWER,
}


@pytest.mark.parametrize("trouble", LONG.values(), ids=LONG)
async def test_middle_part_that_fails_for_good(scene: Scene, trouble: Action) -> None:
    """When the middle part of three fails for good the client gets 503; HEAD tells an offset from
    which the upload can go on, and afterwards every byte is right."""
    content = content_of(3 * PART)
    upload_id = await scene.created(len(content))
    with scene.proxy.rule(trouble, Kind.PART, part=2) as rule:
        answer = await scene.client.patch(upload_id, 0, content)
        asked = await scene.client.tus("HEAD", upload_id)
    offset = await scene.gone_on(upload_id, content)

    assert len(rule.calls) >= 2
    assert answer.status == 503
    assert asked.status in {200, 423}
    assert offset in {0, PART}
    assert await scene.is_stored(file_of(upload_id), content)


@pytest.mark.parametrize(
    "where", [Where.BEFORE, Where.MIDDLE, Where.AFTER], ids=lambda each: each.name
)
async def test_middle_part_that_gets_no_answer(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch, where: Where
) -> None:
    """A store that falls silent is given up after a while: the client gets 503, and can go on once
    the store speaks again."""
    monkeypatch.setattr("tusd_py.storage.s3.bucket.ANSWER_SECONDS", 1)
    monkeypatch.setattr("tusd_py.storage.s3.bucket.ATTEMPTS", 2)
    scene = await make_scene()
    content = content_of(3 * PART)
    upload_id = await scene.created(len(content))
    with scene.proxy.rule(Hold(where=where), Kind.PART, part=2) as rule:
        async with asyncio.timeout(15):
            answer = await scene.client.patch(upload_id, 0, content)
    await scene.gone_on(upload_id, content)

    assert len(rule.calls) == 2
    assert answer.status == 503
    assert await scene.is_stored(file_of(upload_id), content)


async def test_store_that_stops_reading(
    http: aiohttp.ClientSession,
    bucket: Bucket,
    make_server: MakeServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A store that takes no more of a body is given up like one that does not answer."""
    monkeypatch.setattr("tusd_py.storage.s3.bucket.ANSWER_SECONDS", 1)
    monkeypatch.setattr("tusd_py.storage.s3.bucket.ATTEMPTS", 2)
    content = content_of(15 * MIB)
    async with store_proxy(bucket.weed.port, room=64 << 10) as proxy:
        own = {**bucket.settings, "S3_ENDPOINT_URL": proxy.endpoint}
        server = await make_server(**own)
        scene = Scene(client=RestClient(http=http, server=server), proxy=proxy, bucket=bucket)
        upload_id = await scene.created(len(content))
        with proxy.rule(Hold(where=Where.MIDDLE), Kind.PUT, key=is_tail) as rule:
            async with asyncio.timeout(15):
                answer = await scene.client.patch(upload_id, 0, content)
        await scene.gone_on(upload_id, content)

    assert len(rule.calls) == 2
    assert answer.status == 503
    assert await scene.is_stored(file_of(upload_id), content)


@pytest.mark.parametrize("kind", [Kind.PART, Kind.PUT], ids=lambda each: each.value)
async def test_store_that_is_full(scene: Scene, kind: Kind) -> None:
    """No space in the store is a 507; what was acknowledged before stays, and the upload goes on
    when there is space."""
    content = content_of(3 * PART)
    upload_id = await scene.created(len(content))
    await scene.sent(upload_id, 0, content[:PART])
    full = Refuse(status=507, code="InsufficientStorage")
    with scene.proxy.rule(full, kind, key=lambda key: not is_record(key)):
        answer = await scene.client.patch(upload_id, PART, content[PART : 2 * PART + 1])
    offset = await scene.gone_on(upload_id, content)

    assert answer.status == 507
    assert PART <= offset <= 2 * PART
    assert await scene.is_stored(file_of(upload_id), content)


ERROR_IN_200 = Refuse(status=200, code="InternalError")


@pytest.mark.parametrize("times", [2, None])
async def test_completion_that_fails_after_its_200(scene: Scene, times: int | None) -> None:
    """CompleteMultipartUpload may answer 200 and then tell an error in the body: that is none yet
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html)."""
    content = content_of(2 * PART + 1)
    upload_id = await scene.created(len(content))
    with scene.proxy.rule(ERROR_IN_200, Kind.COMPLETE, times=times):
        answer = await scene.client.patch(upload_id, 0, content)
        early = await scene.bucket.read(file_of(upload_id))
    await scene.gone_on(upload_id, content)

    assert answer.status == (204 if times else 503)
    assert (early is None) == (times is None)
    assert await scene.is_stored(file_of(upload_id), content)
    await scene.assert_only(file_of(upload_id), record_of(upload_id))


@pytest.mark.parametrize("key", [is_record, is_tail], ids=["record", "tail"])
async def test_half_an_answer(scene: Scene, key: Callable[[str], bool]) -> None:
    """What the store breaks off telling is trouble for a while, and never taken for the whole."""
    content = content_of(2 * PART)
    upload_id = await scene.created(len(content))
    await scene.sent(upload_id, 0, content[:100_000])
    with scene.proxy.rule(Cut(where=Where.ANSWER), Kind.GET, key=key) as rule:
        answer = await scene.client.patch(upload_id, 100_000, content[100_000:])
    await scene.gone_on(upload_id, content)

    assert rule.calls
    assert answer.status == 503
    assert await scene.is_stored(file_of(upload_id), content)


async def test_head_of_a_store_that_is_silent(scene: Scene) -> None:
    """HEAD answers within 3 s, and temporary trouble is a 423 with Retry-After there."""
    upload_id = await scene.created(10)
    with scene.proxy.rule(Hold(where=Where.BEFORE)):
        async with asyncio.timeout(3.5):
            answer = await scene.client.tus("HEAD", upload_id)

    assert answer.status == 423
    assert "Retry-After" in answer.headers
    assert await scene.client.offset(upload_id) == 0


LOST: dict[str, tuple[Kind, Callable[[str], bool]]] = {
    "record": (Kind.PUT, is_record),
    "tail": (Kind.PUT, is_tail),
    "file": (Kind.PUT, is_file),
    "begin": (Kind.BEGIN, is_file),
    "part": (Kind.PART, is_file),
    "complete": (Kind.COMPLETE, is_file),
    "copy": (Kind.COPY, is_file),
    "list": (Kind.LIST, lambda key: not key),
    "delete": (Kind.DELETE, is_tail),
}
"""Calls whose answers get lost, for good."""

SHAPES = {
    "large": [PART + 1, PART - 1],
    "with a tail": [PART + 1, 100_000, 100_000],
    "small": [100_000],
    "small in pieces": [100_000, 100_000],
}

HAVE = {
    "large": ["record", "begin", "part", "complete", "list"],
    "with a tail": ["tail", "delete"],
    "small": ["record", "tail", "copy", "delete"],
    "small in pieces": ["file"],
}


@pytest.mark.parametrize(
    ("shape", "lost"), [(shape, lost) for shape, all_lost in HAVE.items() for lost in all_lost]
)
async def test_answers_that_are_lost_for_good(scene: Scene, shape: str, lost: str) -> None:
    """The store does what it is told, but no answer of one kind arrives: no success is told that
    is none, and once answers arrive the upload is finished, every byte right."""
    kind, key = LOST[lost]
    content = content_of(sum(SHAPES[shape]))
    upload_id = await scene.created(len(content))
    statuses = []
    offset = 0
    with scene.proxy.rule(LOST_ANSWER, kind, key=key) as rule:
        for size in SHAPES[shape]:
            answer = await scene.client.patch(upload_id, offset, content[offset : offset + size])
            statuses.append(answer.status)
            offset += size
            if answer.status != 204:
                break
    told = offset if answer.status == 204 else offset - size
    found = await scene.gone_on(upload_id, content)

    assert rule.calls
    assert set(statuses) <= {204, 503}
    assert found >= told
    assert await scene.is_stored(file_of(upload_id), content)
    assert sorted(await scene.bucket.keys()) == sorted([file_of(upload_id), record_of(upload_id)])


# --- trouble that passes


class FirstTries:
    """Matches the first `count` tries of every call."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._seen: Counter[str] = Counter()

    def __call__(self, call: Call) -> bool:
        """Whether it is one of them."""
        self._seen[call.invocation] += 1
        return self._seen[call.invocation] <= self._count


SHORT: dict[str, tuple[Action, int]] = {
    "slow-down-twice": (SLOW_DOWN, 2),
    "internal-error": (BROKEN, 1),
    "unreachable": (Cut(where=Where.BEFORE), 1),
    "reset-in-mid-body": (Cut(where=Where.MIDDLE), 1),
    "lost-answer": (LOST_ANSWER, 1),
}


NEEDED = {
    Kind.PUT,
    Kind.GET,
    Kind.DELETE,
    Kind.LIST,
    Kind.BEGIN,
    Kind.PART,
    Kind.COPY_PART,
    Kind.COMPLETE,
    Kind.COPY,
}
"""The calls of which uploads are made."""


@pytest.mark.parametrize(("trouble", "tries"), SHORT.values(), ids=SHORT)
async def test_client_notices_nothing_of_short_trouble(
    scene: Scene, trouble: Action, tries: int
) -> None:
    """Every call there is fails at first and then goes well: every answer is a success, and the
    bucket holds what it should."""
    proxy, client = scene.proxy, scene.client
    large, small, chunks = content_of(PART + 300_000), content_of(20), content_of(PART)
    with proxy.rule(trouble, also=FirstTries(tries)) as rule:
        large_id = await scene.created(len(large))
        await scene.sent(large_id, 0, large[: PART + 1], large[PART + 1 : -100], large[-100:])
        small_ids = [await scene.created(len(small)) for _ in range(2)]
        await scene.sent(small_ids[0], 0, small)
        await scene.sent(small_ids[1], 0, small[:10], small[10:])
        rest_id = await client.init(7, "chunks.mp3")
        answers = [await client.chunk(rest_id, index, chunks) for index in (1, 0)]
        answers.append(await client.complete(rest_id, 2, 7))
        download = await client.tus("GET", large_id)
        answers.append(await client.delete(small_ids[1]))

    assert [answer.status for answer in answers] == [200] * 4
    assert is_same(download.body, large)
    assert await scene.is_stored(file_of(large_id), large)
    assert await scene.is_stored(file_of(small_ids[0]), small)
    assert await scene.is_stored("42/7/chunks.mp3", chunks * 2)
    finals = [file_of(large_id), file_of(small_ids[0]), "42/7/chunks.mp3"]
    records = [record_of(each) for each in (large_id, *small_ids, rest_id)]
    assert {call.kind for call in rule.calls} >= NEEDED
    assert sorted(await scene.bucket.keys()) == sorted([*finals, *records])
