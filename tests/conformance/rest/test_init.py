"""POST /upload/init (design.md 1.4, 1.8)."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from tests.conformance.rest.client import RestClient, assert_error
from tests.conformance.rest.malformed import BAD_JSON, NOT_A_FILE_ID


async def test_answer_is_exactly_the_documented_one(rest: RestClient) -> None:
    """200 {"status":"success","message":"Upload session initialized.",
    "data":{"upload_session_id":"<uuid>"}}."""
    answer = await rest.post(
        "/upload/init", {"main_service_file_id": 123, "original_file_name": "audio.mp3"}
    )

    upload_id = str(answer.data["upload_session_id"])
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert str(UUID(upload_id)) == upload_id
    assert answer.json() == {
        "status": "success",
        "message": "Upload session initialized.",
        "data": {"upload_session_id": upload_id},
    }


async def test_every_upload_has_its_own_id(rest: RestClient) -> None:
    """The same file may be opened twice: two uploads."""
    first = await rest.init()
    second = await rest.init()

    assert first != second


async def test_unknown_fields_are_ignored(rest: RestClient) -> None:
    """Unknown JSON fields are ignored."""
    body = {"main_service_file_id": 1, "original_file_name": "a", "colour": {"deep": [None]}}
    answer = await rest.post("/upload/init", body)

    assert answer.status == 200


async def test_json_with_a_charset_is_json(rest: RestClient) -> None:
    """Parameters of the media type do not matter."""
    body = '{"main_service_file_id": 1, "original_file_name": "ü"}'.encode()
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    answer = await rest.send("POST", "/upload/init", body, headers)

    assert answer.status == 200


async def test_chunked_json_is_json(rest: RestClient) -> None:
    """A body without Content-Length is read like any other."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"main_service_file_id": 1, "origin'
        yield b'al_file_name": "a"}'

    headers = {"Content-Type": "application/json"}
    answer = await rest.send("POST", "/upload/init", pieces(), headers)

    assert answer.status == 200


async def test_other_media_type_is_415(rest: RestClient) -> None:
    """A body that does not say it is JSON is 415."""
    body = b'{"main_service_file_id": 1, "original_file_name": "a"}'
    answer = await rest.send("POST", "/upload/init", body, {"Content-Type": "text/plain"})

    assert_error(answer, 415, "unsupported_media_type")


@pytest.mark.decided_early
@pytest.mark.parametrize("file_id", NOT_A_FILE_ID)
async def test_file_id_is_a_json_integer_of_zero_or_more(rest: RestClient, file_id: str) -> None:
    """main_service_file_id is an integer >= 0; wrong types and huge numbers are 400."""
    body = f'{{"main_service_file_id": {file_id}, "original_file_name": "a"}}'.encode()
    answer = await rest.send("POST", "/upload/init", body, {"Content-Type": "application/json"})

    assert_error(answer, 400, "bad_request")


async def test_file_id_zero_is_a_file_id(rest: RestClient) -> None:
    """main_service_file_id is an integer >= 0, so 0 is one."""
    upload_id = await rest.init(0)
    await rest.chunk(upload_id, 0, b"x")
    answer = await rest.complete(upload_id, 1, 0)

    location = rest.server.location("42", 0, "audio.mp3")
    assert answer.data == {"file_path_on_upload_service": location}


@pytest.mark.decided_early
@pytest.mark.parametrize("name", ["7", "true", "null", '["a"]', '{"a": 1}'])
async def test_file_name_is_a_json_string(rest: RestClient, name: str) -> None:
    """Wrong types are 400."""
    body = f'{{"main_service_file_id": 1, "original_file_name": {name}}}'.encode()
    answer = await rest.send("POST", "/upload/init", body, {"Content-Type": "application/json"})

    assert_error(answer, 400, "bad_request")


async def test_file_needs_a_name(rest: RestClient) -> None:
    """An empty name is 400: a file cannot be without a name."""
    answer = await rest.post("/upload/init", {"main_service_file_id": 1, "original_file_name": ""})

    assert_error(answer, 400, "bad_request")


@pytest.mark.parametrize("missing", ["main_service_file_id", "original_file_name"])
async def test_both_fields_are_required(rest: RestClient, missing: str) -> None:
    """A missing field is 400, and the message names it."""
    body = {"main_service_file_id": 1, "original_file_name": "a"}
    del body[missing]
    answer = await rest.post("/upload/init", body)

    assert_error(answer, 400, "bad_request")
    assert missing in str(answer.json()["message"])


@pytest.mark.decided_early
@pytest.mark.parametrize("body", BAD_JSON)
async def test_body_that_is_no_json_object_is_400(rest: RestClient, body: bytes) -> None:
    """Wrong types, deep nesting, huge numbers, NaN, non-UTF-8 are 400."""
    answer = await rest.send("POST", "/upload/init", body, {"Content-Type": "application/json"})

    assert_error(answer, 400, "bad_request")


async def test_half_a_surrogate_is_400_or_a_file_that_can_be_finished(rest: RestClient) -> None:
    """What was accepted can be completed, listed, downloaded, deleted."""
    body = b'{"main_service_file_id": 1, "original_file_name": "a\\ud800b.txt"}'
    answer = await rest.send("POST", "/upload/init", body, {"Content-Type": "application/json"})

    assert answer.status in {200, 400}
    if answer.status == 200:
        upload_id = str(answer.data["upload_session_id"])
        assert (await rest.chunk(upload_id, 0, b"x")).status == 200
        assert (await rest.complete(upload_id, 1, 1)).status == 200
        assert len(await rest.files()) == 1
        assert (await rest.tus("GET", upload_id)).body == b"x"
        assert (await rest.delete(upload_id)).status == 200


async def test_refused_init_leaves_nothing(rest: RestClient) -> None:
    """A refused init creates no upload."""
    before = await rest.server.store.everything()
    answer = await rest.post("/upload/init", {"main_service_file_id": -1})

    assert answer.status == 400
    assert await rest.server.store.everything() == before


@pytest.mark.decided_early
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_other_methods_are_405(rest: RestClient, method: str) -> None:
    """Only POST opens an upload; the answer says what is allowed."""
    answer = await rest.send(method, "/upload/init")

    assert answer.status == 405
    assert "POST" in answer.headers["Allow"]
