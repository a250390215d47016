"""Limits on the REST face: what is refused, what stays, what is counted."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from tests.conformance.metrics import limits_met
from tests.conformance.rest.client import (
    Answer,
    RestClient,
    assert_error,
    chunk_form,
    form,
)
from tests.conftest import MakeServer

MakeRest = Callable[..., Awaitable[RestClient]]


@pytest.fixture
def make_rest(http: aiohttp.ClientSession, make_server: MakeServer) -> MakeRest:
    """User 42 of a server with settings."""

    async def make(**settings: str) -> RestClient:
        return RestClient(http=http, server=await make_server(**settings))

    return make


def late_form(upload_id: str, index: int, content: bytes) -> bytes:
    """A form whose chunk comes before it is known where it belongs."""
    return form(
        ("chunk", content),
        ("upload_session_id", upload_id.encode()),
        ("chunk_index", str(index).encode()),
    )


# --- MAX_UPLOAD_SIZE


async def _in_turn(rest: RestClient, upload_id: str) -> Answer:
    await rest.chunk(upload_id, 0, b"hello")
    return await rest.chunk(upload_id, 1, b"world!")


async def _before_its_turn(rest: RestClient, upload_id: str) -> Answer:
    await rest.chunk(upload_id, 0, b"hello")
    return await rest.chunk(upload_id, 2, b"world!")


async def _sum_of_those_that_wait(rest: RestClient, upload_id: str) -> Answer:
    await rest.chunk(upload_id, 1, b"hello")
    return await rest.chunk(upload_id, 2, b"world!")


async def _in_turn_beside_what_waits(rest: RestClient, upload_id: str) -> Answer:
    await rest.chunk(upload_id, 1, b"hello")
    return await rest.chunk(upload_id, 0, b"world!")


async def _spooled(rest: RestClient, upload_id: str) -> Answer:
    await rest.chunk(upload_id, 0, b"hello")
    return await rest.form(late_form(upload_id, 1, b"x" * 11))


async def _spooled_within(rest: RestClient, upload_id: str) -> Answer:
    await rest.chunk(upload_id, 0, b"hello")
    return await rest.form(late_form(upload_id, 1, b"world!"))


BEYOND = {
    "in turn": _in_turn,
    "before its turn": _before_its_turn,
    "sum of those that wait": _sum_of_those_that_wait,
    "in turn beside what waits": _in_turn_beside_what_waits,
    "spooled": _spooled,
    "spooled, in sum": _spooled_within,
}


@pytest.mark.parametrize("way", BEYOND.values(), ids=BEYOND)
async def test_every_way_beyond_the_limit_is_413_and_counted(
    make_rest: MakeRest, way: Callable[[RestClient, str], Awaitable[Answer]]
) -> None:
    """MAX_UPLOAD_SIZE holds on every way, each refusal is counted as this limit, and the chunk that
    was there stays."""
    rest = await make_rest(MAX_UPLOAD_SIZE="10")
    upload_id = await rest.init()

    assert_error(await way(rest, upload_id), 413, "too_large")

    assert await limits_met(rest.server) == {"max_upload_size": 1}
    for index in range(2):
        await rest.chunk(upload_id, index, b"")
    assert await rest.stored(await rest.complete(upload_id, 2)) == b"hello"


async def test_what_stands_behind_the_chunk_does_not_count(make_rest: MakeRest) -> None:
    """A chunk of exactly MAX_UPLOAD_SIZE is taken, whatever else the form holds."""
    content = bytes(1_500_000)
    rest = await make_rest(MAX_UPLOAD_SIZE=str(len(content)))
    upload_id = await rest.init()
    fields = (("upload_session_id", upload_id.encode()), ("chunk_index", b"0"))

    answer = await rest.form(form(*fields, ("chunk", content), ("other", bytes(4_000_000))))

    assert answer.status == 200
    assert await rest.offset(upload_id) == len(content)


async def test_a_limit_that_was_lowered_holds_for_what_waits(make_rest: MakeRest) -> None:
    """Chunks that waited when the limit was lowered become part of the file as far as it reaches;
    `complete` says why not all of them do."""
    before = await make_rest()
    upload_id = await before.init()
    for index in (1, 2):
        await before.chunk(upload_id, index, b"12345678")

    rest = await make_rest(MAX_UPLOAD_SIZE="10")
    first = await rest.chunk(upload_id, 0, b"")
    completed = await rest.complete(upload_id, 3)

    assert first.status == 200
    assert_error(completed, 413, "too_large")
    assert await rest.offset(upload_id) == 8
    assert await limits_met(rest.server) == {"max_upload_size": 1}
    assert (await rest.delete(upload_id)).status == 200


async def test_beyond_its_own_length_is_no_limit_of_the_server(make_rest: MakeRest) -> None:
    """A chunk that is longer than its tus upload is 413, too, but no limit was met."""
    rest = await make_rest(MAX_UPLOAD_SIZE="10")
    upload_id = await rest.create({"Upload-Length": "3"})

    refused = [await rest.chunk(upload_id, index, b"four") for index in (0, 1)]

    assert [answer.status for answer in refused] == [413, 413]
    assert await limits_met(rest.server) == {}


# --- MAX_CHUNKS


async def test_chunks_are_limited(make_rest: MakeRest) -> None:
    """One chunk more than may be is 413, in turn or before it, and counted as this limit."""
    rest = await make_rest(MAX_CHUNKS="2")
    upload_id = await rest.init()
    stored = [await rest.chunk(upload_id, index, b"x") for index in (0, 5)]

    refused = [await rest.chunk(upload_id, index, b"y") for index in (6, 7)]

    assert [answer.status for answer in stored] == [200, 200]
    for answer in refused:
        assert_error(answer, 413, "too_large")
    assert await limits_met(rest.server) == {"max_chunks": 2}


# --- names


@pytest.mark.parametrize("name", ["a" * 60_000 + ".mp3", "😀" * 5_000], ids=["long", "wide"])
async def test_a_name_has_an_end(make_rest: MakeRest, name: str) -> None:
    """A name is shortened to 255 bytes; JSON of more than 64 KiB is refused."""
    rest = await make_rest()

    upload_id = await rest.uploaded(b"hello", name=name)
    longer = await rest.post(
        "/upload/init", {"main_service_file_id": 1, "original_file_name": "a" * 66_000}
    )

    [path] = await rest.files()
    head = await rest.tus("HEAD", upload_id)
    [stored] = await rest.server.finished()
    assert len(stored.rpartition("/")[2].encode()) <= 255
    assert (head.status, isinstance(path, str)) == (200, True)
    assert_error(longer, 400, "bad_request")


# --- MAX_OPEN_UPLOADS_PER_USER


async def test_open_uploads_are_limited(make_rest: MakeRest) -> None:
    """One more is 429 with Retry-After; a finished or deleted one makes room, on either face."""
    rest = await make_rest(MAX_OPEN_UPLOADS_PER_USER="2")
    first, second = await rest.init(1), await rest.create({"Upload-Length": "5"})
    beyond = {"main_service_file_id": 3, "original_file_name": "a.txt"}

    refused = await rest.post("/upload/init", beyond)

    assert_error(refused, 429, "too_many_uploads")
    assert refused.headers["Retry-After"] == "60"
    assert await limits_met(rest.server) == {"max_open_uploads_per_user": 1}
    await rest.chunk(first, 0, b"hello")
    await rest.complete(first, 1, 1)
    assert (await rest.post("/upload/init", beyond)).status == 200
    await rest.delete(second)
    assert (await rest.post("/upload/init", beyond)).status == 200
    assert (await rest.post("/upload/init", beyond)).status == 429


# --- USER_QUOTA


async def test_the_quota_counts_chunks_as_they_come(make_rest: MakeRest) -> None:
    """The chunk that goes over is refused, wherever it belongs and in whatever order its form is;
    what is there stays, counts once, and can be finished."""
    rest = await make_rest(USER_QUOTA="20")
    await rest.uploaded(b"12345", file_id=7)
    upload_id = await rest.init()
    stored = [await rest.chunk(upload_id, index, b"hello") for index in (1, 1, 3)]

    refused = [
        await rest.chunk(upload_id, 0, b"longer"),
        await rest.chunk(upload_id, 2, b"longer"),
        await rest.chunk(upload_id, 3, b"much longer"),
        await rest.form(late_form(upload_id, 0, b"longer")),
        await rest.tus("POST", headers={"Upload-Length": "6"}),
    ]

    assert [answer.status for answer in stored] == [200] * 3
    for answer in refused[:4]:
        assert_error(answer, 413, "quota_exceeded")
    assert refused[4].status == 413
    assert await limits_met(rest.server) == {"user_quota": 5}
    for index, content in ((3, b"again"), (0, b"abc"), (2, b"de")):
        assert (await rest.chunk(upload_id, index, content)).status == 200
    assert await rest.stored(await rest.complete(upload_id, 4)) == b"abchellodeagain"
    assert_error(await rest.chunk(await rest.init(8), 0, b"!"), 413, "quota_exceeded")


async def test_a_deletion_gives_bytes_back(make_rest: MakeRest) -> None:
    """What was deleted counts no more, finished or not."""
    rest = await make_rest(USER_QUOTA="10")
    for complete in (True, False, True):
        upload_id = await rest.init()
        assert (await rest.chunk(upload_id, 0, b"x" * 5)).status == 200
        assert (await rest.chunk(upload_id, 2, b"x" * 5)).status == 200
        if complete:
            await rest.chunk(upload_id, 1, b"")
            assert (await rest.complete(upload_id, 3)).status == 200
        assert (await rest.chunk(await rest.init(5), 0, b"x")).status == 413
        assert (await rest.delete(upload_id)).status == 200


async def test_parallel_chunks_stay_within_the_quota(make_rest: MakeRest) -> None:
    """However many chunks come at once, those that are stored stay within the quota."""
    size, quota = 20_000, 100_000
    rest = await make_rest(USER_QUOTA=str(quota))
    ids = [await rest.init(number) for number in range(4)]
    forms = [
        (chunk_form if index % 2 else late_form)(upload_id, index, b"x" * size)
        for upload_id in ids
        for index in range(4)
    ]

    answers = await asyncio.gather(*[rest.form(each) for each in forms])

    stored = [answer.status for answer in answers].count(200)
    assert 1 <= stored <= quota // size
    assert {answer.status for answer in answers} == {200, 413}


# --- RATE_LIMIT


async def test_who_asks_too_often_is_429(make_rest: MakeRest) -> None:
    """The rate counts all requests of a user, on both faces; the answer says how long to wait."""
    rest = await make_rest(RATE_LIMIT="3/m")
    upload_id = await rest.init()
    await rest.files()
    assert await rest.offset(upload_id) == 0

    refused = [await rest.listing(), await rest.chunk(upload_id, 0, b"hello")]

    for answer in refused:
        assert_error(answer, 429, "rate_limited")
        assert 0 < int(answer.headers["Retry-After"]) <= 20
    assert await limits_met(rest.server) == {"rate_limit": 2}


# --- MIN_FREE_DISK


@pytest.mark.parametrize("make_store", ["local"], indirect=True)
async def test_nothing_new_on_a_disk_that_is_nearly_full(make_rest: MakeRest) -> None:
    """A session that would leave too little is 507; one that has begun goes on."""
    upload_id = await (await make_rest(MIN_FREE_DISK="0")).init()
    rest = await make_rest(MIN_FREE_DISK="1000TiB")
    values = {"main_service_file_id": 3, "original_file_name": "a.txt"}

    assert_error(await rest.post("/upload/init", values), 507, "no_space")

    assert (await rest.chunk(upload_id, 0, b"hello")).status == 200
    assert await rest.stored(await rest.complete(upload_id, 1)) == b"hello"
    assert await limits_met(rest.server) == {"min_free_disk": 1}
