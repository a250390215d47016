"""DELETE /upload/file (design.md 1.4, 1.8)."""

import asyncio
import contextlib
import json
import time

import pytest

from tests.conformance.rest.client import (
    FORM,
    RestClient,
    assert_error,
    chunk_form,
)
from tests.conformance.rest.malformed import BAD_JSON
from tests.servers import taken

MARKER = b"bytes to look for"


async def test_answer_is_exactly_the_documented_one(rest: RestClient) -> None:
    """200 {"status":"success","message":…}."""
    upload_id = await rest.uploaded(b"x")
    answer = await rest.delete(upload_id)

    message = answer.json()["message"]
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json() == {"status": "success", "message": message}
    assert isinstance(message, str)
    assert message


async def test_finished_file_is_gone(rest: RestClient) -> None:
    """Deleting a finished upload deletes its file and its place in the listing."""
    upload_id = await rest.uploaded(MARKER)
    location = rest.server.location("42", 123, "audio.mp3")
    was_there = await rest.server.fetch(location) == MARKER
    await rest.delete(upload_id)

    assert was_there
    assert await rest.server.fetch(location) is None
    assert await rest.files() == []
    assert await rest.server.holding(MARKER) == []


async def test_unfinished_upload_is_gone(rest: RestClient) -> None:
    """Deleting an unfinished upload frees its bytes, also those that wait."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, MARKER)
    await rest.chunk(upload_id, 5, MARKER)
    was_there = await rest.server.holding(MARKER)
    answer = await rest.delete(upload_id)

    assert was_there
    assert answer.status == 200
    assert await rest.server.holding(MARKER) == []


@pytest.mark.parametrize("finished", [False, True])
async def test_deleted_upload_is_gone_on_every_endpoint(rest: RestClient, finished: bool) -> None:
    """A terminated upload is 410 while the record remembers it, else 404."""
    upload_id = await (rest.uploaded(b"x") if finished else rest.init())
    await rest.delete(upload_id)
    answers = [
        await rest.chunk(upload_id, 0, b"x"),
        await rest.complete(upload_id, 1),
        await rest.delete(upload_id),
    ]
    verbs = [await rest.tus(method, upload_id) for method in ("HEAD", "GET", "DELETE")]

    assert {answer.status for answer in answers + verbs} <= {404, 410}
    assert {answer.json()["code"] for answer in answers} <= {"not_found", "expired"}
    assert await rest.server.file("42", 123, "audio.mp3") is None


async def test_other_files_stay(rest: RestClient) -> None:
    """A deletion touches one upload only, also under one file id."""
    first = await rest.uploaded(b"a", name="a.mp3")
    await rest.uploaded(b"b", name="b.mp3")
    unfinished = await rest.init(124)
    await rest.chunk(unfinished, 0, b"c")
    await rest.delete(first)
    completed = await rest.complete(unfinished, 1, 124)

    assert completed.status == 200
    assert [*await rest.server.finished()] == ["42/123/b.mp3", "42/124/audio.mp3"]


async def test_place_can_be_used_again(rest: RestClient) -> None:
    """After a deletion the same user/file_id/filename can be uploaded again."""
    await rest.delete(await rest.uploaded(b"first"))
    await rest.uploaded(b"second")

    assert await rest.server.file("42", 123, "audio.mp3") == b"second"


async def test_parallel_deletions_of_one_upload(rest: RestClient) -> None:
    """Deletions at once: at least one succeeds, none fails in another way than not to find it."""
    upload_id = await rest.uploaded(b"x")
    answers = await asyncio.gather(*(rest.delete(upload_id) for _ in range(6)))

    statuses = [answer.status for answer in answers]
    assert 200 in statuses
    assert set(statuses) <= {200, 404, 410}
    assert await rest.files() == []


async def test_stalled_chunk_does_not_hold_up_a_deletion(rest: RestClient) -> None:
    """A newcomer goes on within a second (design.md 2.3): the stalled connection loses."""
    upload_id = await rest.init()
    whole = chunk_form(upload_id, 0, MARKER * 10_000)
    token = rest.server.auth()["Authorization"]
    reader, writer = await asyncio.open_connection(rest.server.host, rest.server.port)
    writer.write(
        f"POST /upload/chunk HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
        f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: {len(whole)}\r\n\r\n".encode()
        + whole[:100_000]
    )
    await writer.drain()
    await taken(writer)
    began = time.monotonic()
    answer = await rest.delete(upload_id)
    took = time.monotonic() - began
    ending = b""
    with contextlib.suppress(ConnectionError):
        writer.write(whole[100_000:])
        async with asyncio.timeout(15):
            ending = await reader.read()
    writer.close()

    assert answer.status == 200
    assert took < 3
    assert not ending.startswith(b"HTTP/1.1 200")
    assert await rest.server.holding(MARKER) == []


@pytest.mark.parametrize("index", [0, 1])
async def test_deletion_beside_a_chunk_leaves_nothing(rest: RestClient, index: int) -> None:
    """Whichever comes first, after both nothing of the chunk is left."""
    for _ in range(10):
        upload_id = await rest.init()
        chunk, deleted = await asyncio.gather(
            rest.chunk(upload_id, index, MARKER * 1000), rest.delete(upload_id)
        )

        assert deleted.status == 200
        assert chunk.status in {200, 404, 410, 503}
    assert await rest.server.holding(MARKER) == []


@pytest.mark.parametrize(
    "upload_id", ["00000000-0000-4000-8000-000000000000", "nonsense", "../final", "..", "\x00"]
)
async def test_unknown_upload_is_404(rest: RestClient, upload_id: str) -> None:
    """404: unknown."""
    await rest.uploaded(b"x")
    answer = await rest.delete(upload_id)

    assert_error(answer, 404, "not_found")
    assert len(await rest.files()) == 1


async def test_another_users_upload_is_like_an_unknown_one(rest: RestClient) -> None:
    """404 (unknown, and another user's: same body), and the file stays."""
    upload_id = await rest.uploaded(b"x")
    stranger = RestClient(http=rest.http, server=rest.server, user="43")
    foreign = await stranger.delete(upload_id)
    unknown = await stranger.delete("00000000-0000-4000-8000-000000000000")

    assert_error(foreign, 404, "not_found")
    assert foreign.body == unknown.body
    assert await rest.server.file("42", 123, "audio.mp3") == b"x"


@pytest.mark.decided_early
@pytest.mark.parametrize("upload_id", [1, None, True, [], {}, 1.5])
async def test_id_of_a_wrong_type_is_400(rest: RestClient, upload_id: object) -> None:
    """Wrong types are 400."""
    answer = await rest.delete(upload_id)

    assert_error(answer, 400, "bad_request")


@pytest.mark.decided_early
@pytest.mark.parametrize("body", [*BAD_JSON, b"{}"])
async def test_body_that_is_no_json_object_with_an_id_is_400(rest: RestClient, body: bytes) -> None:
    """Wrong types, deep nesting, huge numbers, NaN, non-UTF-8 are 400; so is a missing field."""
    headers = {"Content-Type": "application/json"}
    answer = await rest.send("DELETE", "/upload/file", body, headers)

    assert_error(answer, 400, "bad_request")


async def test_other_media_type_is_415(rest: RestClient) -> None:
    """A body that does not say it is JSON is 415; the file stays."""
    upload_id = await rest.uploaded(b"x")
    body = json.dumps({"upload_session_id": upload_id}).encode()
    answer = await rest.send("DELETE", "/upload/file", body, {"Content-Type": "text/plain"})

    assert_error(answer, 415, "unsupported_media_type")
    assert len(await rest.files()) == 1
