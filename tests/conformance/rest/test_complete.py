"""POST /upload/complete, and where its files end (design.md 1.4, 1.6, 1.8)."""

import asyncio
import os
import time
import unicodedata

import aiohttp
import pytest

from tests.conformance.rest.client import (
    FORM,
    RestClient,
    assert_error,
    chunk_form,
    told,
)
from tests.conformance.rest.malformed import BAD_JSON, NOT_A_FILE_ID
from tests.conftest import MakeServer

# --- the answer -------------------------------------------------------------------------------


async def test_answer_is_exactly_the_documented_one(rest: RestClient) -> None:
    """200 {"status":"success","message":…,"data":{"file_path_on_upload_service":"<url or path>"}}:
    "File upload completed." where no notifier is configured."""
    upload_id = await rest.init()
    for index in range(10):
        await rest.chunk(upload_id, index, b"%d;" % index)
    answer = await rest.complete(upload_id, 10)

    location = rest.server.location("42", 123, "audio.mp3")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json() == {
        "status": "success",
        "message": "File upload completed.",
        "data": {"file_path_on_upload_service": location},
    }
    assert await rest.fetched(location) == b"0;1;2;3;4;5;6;7;8;9;"


async def test_same_call_again_gives_the_same_answer(rest: RestClient) -> None:
    """complete is idempotent: the same call again gives the same answer."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"hello")
    answers = [await rest.complete(upload_id, 1) for _ in range(3)]

    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert await rest.stored(answers[0]) == b"hello"


async def test_parallel_completes_give_one_result(rest: RestClient) -> None:
    """Parallel completes give one result."""
    content = os.urandom(1_000_000)
    upload_id = await rest.init()
    await rest.chunk(upload_id, 1, content)
    await rest.chunk(upload_id, 0, content)
    answers = await asyncio.gather(*(rest.complete(upload_id, 2) for _ in range(8)))

    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert await rest.stored(answers[0]) == content * 2
    assert len(await rest.files()) == 1


async def test_completion_is_remembered_over_a_restart(
    http: aiohttp.ClientSession, make_server: MakeServer
) -> None:
    """An answered completion, and what was acknowledged of others, survives the process."""
    first = RestClient(http=http, server=await make_server())
    done = await first.uploaded(b"done")
    waiting = await first.init(124)
    await first.chunk(waiting, 1, b"world")
    second = RestClient(http=http, server=await make_server())
    await second.chunk(waiting, 0, b"hello ")
    answers = [await second.complete(done, 1), await second.complete(waiting, 2, 124)]

    assert [await second.stored(answer) for answer in answers] == [b"done", b"hello world"]


# --- refusals lose nothing --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "total", "missing"),
    [
        ([], 1, [0]),
        ([], 3, [0, 1, 2]),
        ([0], 2, [1]),
        ([1], 2, [0]),
        ([0, 2, 4], 6, [1, 3, 5]),
        ([5], 6, [0, 1, 2, 3, 4]),
    ],
)
async def test_missing_chunks_are_named(
    rest: RestClient, given: list[int], total: int, missing: list[int]
) -> None:
    """`complete` on missing chunks: 409, `missing` names them."""
    upload_id = await rest.init()
    for index in given:
        await rest.chunk(upload_id, index, b"x")
    answer = await rest.complete(upload_id, total)

    assert_error(answer, 409, "missing_chunks")
    assert answer.json()["missing"] == missing
    assert await rest.server.file("42", 123, "audio.mp3") is None


async def test_missing_chunks_can_be_sent_and_complete_called_again(rest: RestClient) -> None:
    """With missing chunks it loses nothing; send them and call again."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"a")
    await rest.chunk(upload_id, 3, b"d")
    first = await rest.complete(upload_id, 4)
    await rest.chunk(upload_id, 2, b"c")
    second = await rest.complete(upload_id, 4)
    await rest.chunk(upload_id, 1, b"b")
    third = await rest.complete(upload_id, 4)

    assert [first.json()["missing"], second.json()["missing"]] == [[1, 2], [1]]
    assert await rest.stored(third) == b"abcd"


async def test_at_most_a_hundred_missing_chunks_are_named(rest: RestClient) -> None:
    """`missing` names them (at most 100, and how many)."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"x")
    answer = await rest.complete(upload_id, 1235)

    assert_error(answer, 409, "missing_chunks")
    assert answer.json()["missing"] == list(range(1, 101))
    assert b"1234" in answer.body


@pytest.mark.parametrize("total", [10**9, 10**15, 10**19, 10**300])
async def test_absurd_totals_are_refused_at_once(rest: RestClient, total: int) -> None:
    """Absurd totals are refused at once. A refusal never loses a byte."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"hello ")
    await rest.chunk(upload_id, 1, b"world")
    began = time.monotonic()
    refused = await rest.complete(upload_id, total)
    took = time.monotonic() - began
    answer = await rest.complete(upload_id, 2)

    assert refused.status in {400, 409}
    assert refused.json()["status"] == "error"
    assert len(refused.body) < 10_000
    assert took < 2
    assert await rest.stored(answer) == b"hello world"


@pytest.mark.decided_early
@pytest.mark.parametrize(
    "total", ["0", "-1", "1.0", "1.5", '"1"', "true", "null", "[]", "{}", "1e0", "NaN"]
)
async def test_total_is_a_json_integer_of_at_least_one(rest: RestClient, total: str) -> None:
    """total_chunks a JSON integer; `total_chunks` is at least 1."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"x")
    body = (
        f'{{"upload_session_id": "{upload_id}", "total_chunks": {total}, '
        f'"main_service_file_id": 123}}'
    )
    headers = {"Content-Type": "application/json"}
    refused = await rest.send("POST", "/upload/complete", body.encode(), headers)
    answer = await rest.complete(upload_id, 1)

    assert_error(refused, 400, "bad_request")
    assert "total_chunks" in str(refused.json()["message"]) or total == "NaN"
    assert answer.status == 200


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
async def test_more_chunks_than_the_total_are_409(
    rest: RestClient, order: tuple[int, int, int]
) -> None:
    """A total below what was sent would lose bytes: 409, and the right total still works."""
    upload_id = await rest.init()
    for index in order:
        await rest.chunk(upload_id, index, b"%d" % index)
    refused = await rest.complete(upload_id, 2)
    answer = await rest.complete(upload_id, 3)

    assert_error(refused, 409, "chunk_count_mismatch")
    assert await rest.stored(answer) == b"012"


async def test_waiting_chunk_beyond_the_total_is_409(rest: RestClient) -> None:
    """Also a chunk that only waits is not thrown away."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"a")
    await rest.chunk(upload_id, 2, b"c")
    refused = await rest.complete(upload_id, 1)
    await rest.chunk(upload_id, 1, b"b")
    answer = await rest.complete(upload_id, 3)

    assert_error(refused, 409, "chunk_count_mismatch")
    assert await rest.stored(answer) == b"abc"


async def test_other_total_after_completion_is_409(rest: RestClient) -> None:
    """Only the same call again gives the same answer."""
    upload_id = await rest.uploaded(b"a", b"b")
    refused = await rest.complete(upload_id, 1)
    answer = await rest.complete(upload_id, 2)

    assert refused.status == 409
    assert refused.json()["status"] == "error"
    assert await rest.stored(answer) == b"ab"


async def test_other_file_id_is_409(rest: RestClient) -> None:
    """409 (…id mismatch), and nothing is lost."""
    upload_id = await rest.init(123)
    await rest.chunk(upload_id, 0, b"x")
    refused = await rest.complete(upload_id, 1, 124)
    answer = await rest.complete(upload_id, 1, 123)
    after = await rest.complete(upload_id, 1, 124)

    assert_error(refused, 409, "id_mismatch")
    assert_error(after, 409, "id_mismatch")
    assert told(answer) == rest.server.location("42", 123, "audio.mp3")


@pytest.mark.decided_early
@pytest.mark.parametrize("file_id", NOT_A_FILE_ID)
async def test_file_id_is_a_json_integer_of_zero_or_more(rest: RestClient, file_id: str) -> None:
    """main_service_file_id an integer >= 0; wrong types and huge numbers are 400."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"x")
    body = (
        f'{{"upload_session_id": "{upload_id}", "total_chunks": 1, '
        f'"main_service_file_id": {file_id}}}'
    )
    headers = {"Content-Type": "application/json"}
    answer = await rest.send("POST", "/upload/complete", body.encode(), headers)

    assert_error(answer, 400, "bad_request")


@pytest.mark.decided_early
@pytest.mark.parametrize("missing", ["upload_session_id", "total_chunks", "main_service_file_id"])
async def test_every_field_is_required(rest: RestClient, missing: str) -> None:
    """A missing field is 400, and the message names it."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"x")
    body: dict[str, object] = {
        "upload_session_id": upload_id,
        "total_chunks": 1,
        "main_service_file_id": 123,
    }
    del body[missing]
    answer = await rest.post("/upload/complete", body)

    assert_error(answer, 400, "bad_request")
    assert missing in str(answer.json()["message"])


@pytest.mark.decided_early
@pytest.mark.parametrize("body", BAD_JSON)
async def test_body_that_is_no_json_object_is_400(rest: RestClient, body: bytes) -> None:
    """Wrong types, deep nesting, huge numbers, NaN, non-UTF-8 are 400."""
    headers = {"Content-Type": "application/json"}
    answer = await rest.send("POST", "/upload/complete", body, headers)

    assert_error(answer, 400, "bad_request")


@pytest.mark.decided_early
@pytest.mark.parametrize("upload_id", [1, None, True, [], {}, 1.5])
async def test_id_of_a_wrong_type_is_400(rest: RestClient, upload_id: object) -> None:
    """Wrong types are 400."""
    body = {"upload_session_id": upload_id, "total_chunks": 1, "main_service_file_id": 123}
    answer = await rest.post("/upload/complete", body)

    assert_error(answer, 400, "bad_request")


@pytest.mark.parametrize(
    "upload_id", ["00000000-0000-4000-8000-000000000000", "nonsense", "../../etc/passwd", "\x00"]
)
async def test_unknown_upload_is_404(rest: RestClient, upload_id: str) -> None:
    """404: unknown."""
    answer = await rest.complete(upload_id, 1)

    assert_error(answer, 404, "not_found")


async def test_another_users_upload_is_like_an_unknown_one(rest: RestClient) -> None:
    """404 (unknown, and another user's: same body), before and after its completion."""
    upload_id = await rest.init()
    stranger = RestClient(http=rest.http, server=rest.server, user="43")
    unknown = await stranger.complete("00000000-0000-4000-8000-000000000000", 1)
    await rest.chunk(upload_id, 0, b"x")
    open_one = await stranger.complete(upload_id, 1)
    await rest.complete(upload_id, 1)
    finished_one = await stranger.complete(upload_id, 1)

    assert_error(unknown, 404, "not_found")
    assert (open_one.status, open_one.body) == (404, unknown.body)
    assert (finished_one.status, finished_one.body) == (404, unknown.body)


async def test_complete_while_a_chunk_is_still_coming_names_it_or_waits(rest: RestClient) -> None:
    """A completion that runs beside the last chunk gives the whole file or a 409, never less."""
    content = os.urandom(2_000_000)
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"start")
    chunk, early = await asyncio.gather(
        rest.chunk(upload_id, 1, content), rest.complete(upload_id, 2)
    )
    if chunk.status != 200:
        chunk = await rest.chunk(upload_id, 1, content)
    answer = await rest.complete(upload_id, 2)

    assert early.status in {200, 409}
    assert chunk.status == 200
    assert await rest.stored(answer) == b"start" + content


@pytest.mark.parametrize("index", [0, 1])
async def test_complete_does_not_wait_for_a_stalled_chunk(rest: RestClient, index: int) -> None:
    """A chunk that stalls is missing: 409 soon, and the chunk can be sent again at once."""
    upload_id = await rest.init()
    whole = chunk_form(upload_id, index, b"x" * 100_000)
    token = rest.server.auth()["Authorization"]
    _, writer = await asyncio.open_connection(rest.server.host, rest.server.port)
    writer.write(
        f"POST /upload/chunk HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
        f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: {len(whole)}\r\n\r\n".encode()
        + whole[:50_000]
    )
    await writer.drain()
    began = time.monotonic()
    refused = await rest.complete(upload_id, index + 1)
    chunks = [await rest.chunk(upload_id, number, b"%d" % number) for number in range(index + 1)]
    took = time.monotonic() - began
    answer = await rest.complete(upload_id, index + 1)
    writer.close()

    assert_error(refused, 409, "missing_chunks")
    assert {chunk.status for chunk in chunks} == {200}
    assert took < 4
    assert await rest.stored(answer) == b"01"[: index + 1]


# --- where files end --------------------------------------------------------------------------


async def test_nothing_temporary_is_left(rest: RestClient) -> None:
    """After completion nothing temporary is left; with local storage the final file remains."""
    marker = b"a chunk to look for"
    upload_id = await rest.init()
    for index in (2, 0, 1):
        await rest.chunk(upload_id, index, marker + b"%d" % index)
    await rest.form(chunk_form(upload_id, 1, marker)[:-6])
    await rest.complete(upload_id, 3)

    assert await rest.server.holding(marker) == ["42/123/audio.mp3"]


async def test_each_user_and_file_id_has_its_folder(rest: RestClient) -> None:
    """{LOCAL_TEMP_CHUNK_PATH}/final/{user_id}/{file_id}/{filename}."""
    other = RestClient(http=rest.http, server=rest.server, user=7)
    await rest.uploaded(b"a", file_id=1)
    await rest.uploaded(b"b", file_id=2)
    await other.uploaded(b"c", file_id=1)

    assert [*await rest.server.finished()] == [
        "42/1/audio.mp3",
        "42/2/audio.mp3",
        "7/1/audio.mp3",
    ]


async def test_two_names_under_one_file_id_are_two_files(rest: RestClient) -> None:
    """Only the same user/file_id/filename is the same place."""
    await rest.uploaded(b"a", name="a.mp3")
    await rest.uploaded(b"b", name="b.mp3")

    assert [*await rest.server.finished()] == ["42/123/a.mp3", "42/123/b.mp3"]
    assert len(await rest.files()) == 2


async def test_finishing_the_same_place_again_replaces_the_file(rest: RestClient) -> None:
    """Finishing the same user/file_id/filename again replaces; the older upload is gone: 410 or 404
    on every verb."""
    older = await rest.uploaded(b"older")
    newer = await rest.uploaded(b"newer!")
    location = rest.server.location("42", 123, "audio.mp3")
    statuses = [
        (await rest.complete(older, 1)).status,
        (await rest.chunk(older, 0, b"older")).status,
        (await rest.tus("HEAD", older)).status,
        (await rest.tus("GET", older)).status,
    ]

    assert set(statuses) <= {404, 410}
    assert await rest.fetched(location) == b"newer!"
    assert await rest.files() == [location]
    assert (await rest.tus("GET", newer)).body == b"newer!"


async def test_deleting_the_older_upload_keeps_the_newer_file(rest: RestClient) -> None:
    """Deleting a replaced upload must not delete the newer file, on either face."""
    older = [await rest.uploaded(b"older"), await rest.uploaded(b"old")]
    newer = await rest.uploaded(b"newer!")
    await rest.delete(older[0])
    await rest.tus("DELETE", older[1])

    location = rest.server.location("42", 123, "audio.mp3")
    assert await rest.fetched(location) == b"newer!"
    assert await rest.files() == [location]
    assert (await rest.complete(newer, 1)).status == 200


async def test_replacement_is_atomic(rest: RestClient) -> None:
    """…replaces atomically: whoever opens the file sees one whole version at any moment."""
    versions = [bytes([letter]) * 500_000 for letter in b"abcdef"]
    await rest.uploaded(versions[0])
    location = rest.server.location("42", 123, "audio.mp3")
    seen: set[bytes] = set()
    over = asyncio.Event()

    async def watch() -> None:
        while not over.is_set():
            seen.add(await rest.fetched(location))

    watcher = asyncio.create_task(watch())
    for version in versions[1:]:
        await rest.uploaded(version)
    over.set()
    await watcher

    assert seen <= set(versions)
    assert await rest.fetched(location) == versions[-1]


async def test_two_uploads_finishing_at_one_place_at_once(rest: RestClient) -> None:
    """Two completions of one place at once: one whole file, listed once, kept by one upload."""
    contents = [b"a" * 300_000, b"b" * 300_000]
    uploads = [await rest.init(), await rest.init()]
    for upload_id, content in zip(uploads, contents, strict=True):
        await rest.chunk(upload_id, 0, content)
    answers = await asyncio.gather(*(rest.complete(upload_id, 1) for upload_id in uploads))
    again = [await rest.complete(upload_id, 1) for upload_id in uploads]

    location = rest.server.location("42", 123, "audio.mp3")
    assert 200 in {answer.status for answer in answers}
    assert {answer.status for answer in answers} <= {200, 404, 410}
    assert sorted(answer.status for answer in again) in [[200, 404], [200, 410]]
    winner = [answer.status for answer in again].index(200)
    assert await rest.fetched(location) == contents[winner]
    assert await rest.files() == [location]


# --- names ------------------------------------------------------------------------------------


HARMLESS = [
    'it\'s "quoted".mp3',
    "100%20 sure.mp3",
    "%2e%2e%2fetc",
    "what?.mp3",
    "a#b&c=d;e,f+g.mp3",
    "a:b*c|d<e>.mp3",
    "$HOME `ls` ~.txt",
    "-rf",
    "日本語の音声.mp3",
    "Приве́т.txt",
    unicodedata.normalize("NFC", "é.txt"),
    unicodedata.normalize("NFD", "é.txt"),
    "🎧🏽.mp3",
    "no extension",
    "a..b...c.mp3",
    "audio.tar.gz",
    "a" * 196 + ".mp3",
]


@pytest.mark.parametrize("name", HARMLESS)
async def test_harmless_name_stays_byte_for_byte(rest: RestClient, name: str) -> None:
    """Names stay byte for byte when harmless (quotes, `%20`, `?`, any UTF-8)."""
    upload_id = await rest.init(name=name)
    await rest.chunk(upload_id, 0, b"x")
    answer = await rest.complete(upload_id, 1)

    location = rest.server.location("42", 123, name)
    assert told(answer) == location
    assert await rest.server.finished() == {f"42/123/{name}": 1}
    assert await rest.files() == [location]


HARMFUL = [
    "../../x",
    "../x",
    "/etc/passwd",
    "a/b/c.mp3",
    "a/",
    "..",
    ".",
    "...",
    " ",
    "a\x00b.mp3",
    "\x00",
    "line\r\nbreak.mp3",
    "tab\tand\x1bescape",
    "\x7f\x85\u2028",
    "..\\..\\x",
    "C:\\Windows\\x.mp3",
    "\\",
    " spaces ",
    "dot.",
    ".hidden",
    ".info",
    "x.info",
    "a" * 255,
    "a" * 256,
    "a" * 300 + ".mp3",
    "é" * 150 + ".mp3",
    "🎧" * 75 + ".mp3",
    "a." + "b" * 300,
    "n" * 5000,
    "\u202egpj.exe",
    "%",
    "%00",
    "con",
    "\ufeffbom",
    "🎧" * 64,
]


@pytest.mark.parametrize("name", HARMFUL)
async def test_any_name_ends_inside_its_folder(rest: RestClient, name: str) -> None:
    """Others are made harmless inside final/{user}/{file_id}/. What was accepted can be completed,
    listed, downloaded, deleted."""
    upload_id = await rest.init(name=name)
    chunked = await rest.chunk(upload_id, 0, b"content")
    location = told(await rest.complete(upload_id, 1))
    listed = await rest.files()
    content = await rest.fetched(location)
    downloaded = await rest.tus("GET", upload_id)
    deleted = await rest.delete(upload_id)

    assert chunked.status == 200
    folder, _, filename = rest.server.store.named_by(location).rpartition("/")
    assert folder == "42/123"
    assert is_safe(filename)
    assert listed == [location]
    assert content == b"content"
    assert (downloaded.status, downloaded.body) == (200, b"content")
    assert deleted.status == 200
    assert await rest.server.finished() == {}


@pytest.mark.parametrize(
    ("name", "beginning"),
    [
        ("é" * 150 + ".mp3", "éééééééééé"),
        ("🎧" * 75 + ".mp3", "🎧🎧🎧🎧"),
        ("a" * 300 + ".mp3", "aaaaaaaa"),
    ],
)
async def test_long_name_is_shortened_and_stays_readable(
    rest: RestClient, name: str, beginning: str
) -> None:
    """Names are made safe (…length in UTF-8 bytes) and stay readable Unicode: a shortened name
    keeps its beginning and its extension."""
    upload_id = await rest.init(name=name)
    await rest.chunk(upload_id, 0, b"x")
    location = told(await rest.complete(upload_id, 1))

    filename = rest.server.store.named_by(location).rpartition("/")[2]
    assert filename.startswith(beginning)
    assert filename.endswith(".mp3")
    assert 100 < len(filename.encode()) <= 255


async def test_readable_part_of_a_harmful_name_is_kept(rest: RestClient) -> None:
    """Names are made safe and stay readable."""
    upload_id = await rest.init(name="../../日本語\n1.mp3")
    await rest.chunk(upload_id, 0, b"x")
    location = told(await rest.complete(upload_id, 1))

    filename = rest.server.store.named_by(location).rpartition("/")[2]
    assert "日本語" in filename
    assert filename.endswith("1.mp3")


def is_safe(name: str) -> bool:
    """No separator, no control character, no dot name, not too long."""
    return (
        name not in {"", ".", ".."}
        and not any(unicodedata.category(letter) == "Cc" or letter in "/\\" for letter in name)
        and len(name.encode()) <= 255
    )
