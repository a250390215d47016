"""POST /upload/chunk (design.md 1.4, 1.8)."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.conformance.rest.client import (
    CHUNK_STORED,
    FORM,
    Answer,
    RestClient,
    assert_error,
    chunk_form,
    form,
    part_head,
)
from tests.conftest import MakeProcess, MakeServer
from tests.servers import Address

MIB = 1 << 20


async def finished(rest: RestClient, upload_id: str, total: int, file_id: int = 123) -> bytes:
    """Complete an upload and return what was stored."""
    return await rest.stored(await rest.complete(upload_id, total, file_id))


async def cut(server: Address, body: bytes, length: int) -> None:
    """Send the beginning of a form of `length` bytes, then drop the connection when the server
    has taken what was sent."""
    token = server.auth()["Authorization"]
    head = (
        f"POST /upload/chunk HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
        f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: {length}\r\n\r\n"
    )
    await server.raw(head.encode() + body, eof=True, seconds=5)


# --- the answer -------------------------------------------------------------------------------


async def test_answer_is_exactly_the_documented_one(rest: RestClient) -> None:
    """200 {"status":"success","message":"Chunk uploaded successfully."}."""
    upload_id = await rest.init()
    answer = await rest.chunk(upload_id, 0, b"hello")

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json() == CHUNK_STORED


async def test_aiohttp_form_data_is_understood(
    rest: RestClient, http: aiohttp.ClientSession
) -> None:
    """A form as an ordinary HTTP library writes it is a chunk."""
    upload_id = await rest.init()
    fields = aiohttp.FormData()
    fields.add_field("upload_session_id", upload_id)
    fields.add_field("chunk_index", "0")
    fields.add_field("chunk", b"hello", filename="part 1.bin", content_type="audio/mpeg")
    url = f"{rest.server.base}/upload/chunk"
    async with http.post(url, data=fields, headers=rest.server.auth()) as response:
        value = await response.json()

    assert value == CHUNK_STORED
    assert await finished(rest, upload_id, 1) == b"hello"


# --- order, parallel, again -------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1), (1, 3, 0, 2)])
async def test_chunks_may_come_in_any_order(rest: RestClient, order: tuple[int, ...]) -> None:
    """Chunks may come in any order."""
    chunks = [b"zero", b"one", b"two", b"three"]
    upload_id = await rest.init()
    answers = [await rest.chunk(upload_id, index, chunks[index]) for index in order]

    assert [answer.json() for answer in answers] == [CHUNK_STORED] * 4
    assert await finished(rest, upload_id, 4) == b"zeroonetwothree"


async def test_chunks_may_come_in_parallel(rest: RestClient) -> None:
    """Chunks may come in parallel, with any sizes."""
    chunks = [os.urandom(size) for size in (1, 70_000, 0, 300_000, 5, 65_536, 1_000_000, 3) * 3]
    upload_id = await rest.init()
    answers = await asyncio.gather(
        *(rest.chunk(upload_id, index, chunk) for index, chunk in enumerate(chunks))
    )

    assert {answer.status for answer in answers} == {200}
    assert await finished(rest, upload_id, len(chunks)) == b"".join(chunks)


async def test_parallel_chunks_of_several_uploads_do_not_mix(rest: RestClient) -> None:
    """Each upload gets its own chunks."""
    uploads = [await rest.init(file_id) for file_id in range(4)]
    await asyncio.gather(
        *(
            rest.chunk(upload_id, index, f"{number}:{index};".encode())
            for index in range(5)
            for number, upload_id in enumerate(uploads)
        )
    )
    stored = [await finished(rest, upload_id, 5, i) for i, upload_id in enumerate(uploads)]

    assert stored == ["".join(f"{n}:{i};" for i in range(5)).encode() for n in range(4)]


async def test_same_bytes_again_are_a_success(rest: RestClient) -> None:
    """Chunks may come again after a lost answer: the same bytes again are a success."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"hello ")
    await rest.chunk(upload_id, 1, b"world")
    again = [await rest.chunk(upload_id, 0, b"hello "), await rest.chunk(upload_id, 1, b"world")]

    assert [(a.status, a.json()) for a in again] == [(200, CHUNK_STORED)] * 2
    assert await finished(rest, upload_id, 2) == b"hello world"


@pytest.mark.parametrize("other", [b"HELLO ", b"hello", b"hello !", b""])
async def test_other_bytes_for_a_chunk_of_the_file_are_409(rest: RestClient, other: bytes) -> None:
    """Other bytes for an index that is already part of the file are a 409."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"hello ")
    await rest.chunk(upload_id, 1, b"world")
    answer = await rest.chunk(upload_id, 0, other)

    assert_error(answer, 409, "chunk_conflict")
    assert await finished(rest, upload_id, 2) == b"hello world"


async def test_last_chunk_with_other_bytes_is_409(rest: RestClient) -> None:
    """The newest chunk of the file is as fixed as the ones before it."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"hello ")
    await rest.chunk(upload_id, 1, b"world")
    longer = await rest.chunk(upload_id, 1, b"world and more")

    assert_error(longer, 409, "chunk_conflict")
    assert await finished(rest, upload_id, 2) == b"hello world"


async def test_large_chunk_again_is_compared_to_its_last_byte(rest: RestClient) -> None:
    """A chunk is the same only when all of its bytes are."""
    content = os.urandom(3 * MIB)
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, content)
    same = await rest.chunk(upload_id, 0, content)
    other = await rest.chunk(upload_id, 0, content[:-1] + bytes([content[-1] ^ 1]))

    assert same.status == 200
    assert_error(other, 409, "chunk_conflict")
    assert await finished(rest, upload_id, 1) == content


async def test_waiting_chunk_is_replaced_by_other_bytes(rest: RestClient) -> None:
    """A chunk that only waits for its turn is not yet part of the file: the newest bytes win."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 1, b"a long first version")
    answer = await rest.chunk(upload_id, 1, b"world")
    await rest.chunk(upload_id, 0, b"hello ")

    assert answer.json() == CHUNK_STORED
    assert await finished(rest, upload_id, 2) == b"hello world"


async def test_chunk_that_waited_is_part_of_the_file_once_the_gap_is_closed(
    rest: RestClient,
) -> None:
    """Once the gap before it is closed, a chunk takes no other bytes."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 1, b"world")
    await rest.chunk(upload_id, 0, b"hello ")
    same = await rest.chunk(upload_id, 1, b"world")
    other = await rest.chunk(upload_id, 1, b"WORLD")

    assert same.status == 200
    assert_error(other, 409, "chunk_conflict")


async def test_same_index_in_parallel_gives_one_whole_version(rest: RestClient) -> None:
    """Whatever arrives at once for one index, the chunk is one of them and never a mixture."""
    versions = [bytes([letter]) * 200_000 for letter in b"abcdef"]
    upload_id = await rest.init()
    answers = await asyncio.gather(*(rest.chunk(upload_id, 0, version) for version in versions))
    stored = await finished(rest, upload_id, 1)

    assert stored in versions
    assert {answer.status for answer in answers} <= {200, 409}
    assert answers[versions.index(stored)].status == 200
    assert [answer.status for answer in answers].count(200) == 1


async def test_same_waiting_index_in_parallel_gives_one_whole_version(rest: RestClient) -> None:
    """Also of a chunk that waits there is one whole version."""
    versions = [bytes([letter]) * 200_000 for letter in b"abcdef"]
    upload_id = await rest.init()
    answers = await asyncio.gather(*(rest.chunk(upload_id, 1, version) for version in versions))
    await rest.chunk(upload_id, 0, b"")
    stored = await finished(rest, upload_id, 2)

    assert stored in versions
    assert {answer.status for answer in answers} == {200}


async def test_chunk_again_after_completion(rest: RestClient) -> None:
    """After completion the same bytes are still a success and others still a 409."""
    upload_id = await rest.uploaded(b"hello ", b"world")
    same = await rest.chunk(upload_id, 1, b"world")
    other = await rest.chunk(upload_id, 1, b"WORLD")

    assert same.json() == CHUNK_STORED
    assert_error(other, 409, "chunk_conflict")
    assert await finished(rest, upload_id, 2) == b"hello world"


async def test_further_chunk_after_completion_is_refused(rest: RestClient) -> None:
    """A finished file does not grow."""
    upload_id = await rest.uploaded(b"hello")
    answer = await rest.chunk(upload_id, 1, b" world")

    assert answer.status in {400, 409}
    assert answer.json()["status"] == "error"
    assert await finished(rest, upload_id, 1) == b"hello"


# --- sizes ------------------------------------------------------------------------------------


async def test_empty_file_is_one_empty_chunk(rest: RestClient) -> None:
    """An empty file is one empty chunk."""
    upload_id = await rest.init()
    answer = await rest.chunk(upload_id, 0, b"")

    assert answer.json() == CHUNK_STORED
    assert await finished(rest, upload_id, 1) == b""


async def test_empty_chunks_are_allowed_anywhere(rest: RestClient) -> None:
    """Empty chunks are allowed, in any place, also while they wait."""
    upload_id = await rest.init()
    for index in (3, 0, 4, 2):
        assert (await rest.chunk(upload_id, index, b"")).status == 200
    await rest.chunk(upload_id, 1, b"middle")

    assert await finished(rest, upload_id, 5) == b"middle"


async def test_empty_chunk_takes_no_other_bytes(rest: RestClient) -> None:
    """An empty chunk is part of the file like any other."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"")
    again = await rest.chunk(upload_id, 0, b"")
    other = await rest.chunk(upload_id, 0, b"x")

    assert again.status == 200
    assert_error(other, 409, "chunk_conflict")
    assert await finished(rest, upload_id, 1) == b""


@pytest.mark.parametrize(
    "content",
    [
        b"\r\n",
        b"\r\n--tusd-py-test-boundar",
        b"x--tusd-py-test-boundary--\r\n",
        b"\r\n" * 70_000,
        b"\r\n-" * 50_000,
        b"\x00\xff\r\r\n\n",
        b"a" * 65_535 + b"\r",
        b"a" * 65_536 + b"\r\n",
        b"a" * 131_071 + b"\r\n--tusd-py",
    ],
)
async def test_every_byte_of_a_chunk_is_kept(rest: RestClient, content: bytes) -> None:
    """Line ends and almost-boundaries inside a chunk are its bytes."""
    upload_id = await rest.init()
    answer = await rest.chunk(upload_id, 0, content)

    assert answer.status == 200, answer.body
    assert await finished(rest, upload_id, 1) == content


@pytest.mark.parametrize("index", [0, 1], ids=["in-turn", "waiting"])
async def test_every_byte_of_a_large_chunk_is_kept(rest: RestClient, index: int) -> None:
    """So they are in a chunk of some MiB, with and without a large field behind it."""
    contents = [os.urandom(size) + b"\r\n--tusd-py-test-bound\r" for size in (3 * MIB, 5 * MIB)]
    upload_id = await rest.init()
    fields = ("upload_session_id", upload_id.encode())
    last = chunk_form(upload_id, index, contents[index])
    other = form(
        *(fields, ("chunk_index", str(1 - index).encode()), ("chunk", contents[1 - index])),
        ("notes", b"\r\n--tusd-py-test" * 200_000),
    )
    answers = [await rest.form(each) for each in (last, other)]

    assert [answer.status for answer in answers] == [200, 200], [each.body for each in answers]
    assert await finished(rest, upload_id, 2) == b"".join(contents)


@pytest.mark.parametrize("index", ["9999999999999999999", "4294967296", "9223372036854775808"])
async def test_huge_index_only_waits(rest: RestClient, index: str) -> None:
    """chunk_index is 1 to 19 ASCII digits: a far one waits and disturbs nothing."""
    upload_id = await rest.init()
    far = await rest.chunk(upload_id, index, b"far")
    near = await rest.chunk(upload_id, 0, b"near")

    assert (far.status, near.status) == (200, 200)
    assert await rest.offset(upload_id) == 4


async def test_leading_zeros_do_not_change_an_index(rest: RestClient) -> None:
    """chunk_index is 1 to 19 ASCII digits, leading zeros included."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, "000", b"hello ")
    await rest.chunk(upload_id, "0000000000000000001", b"world")

    assert await finished(rest, upload_id, 2) == b"hello world"


@pytest.mark.decided_early
@pytest.mark.parametrize(
    "index",
    [
        "",
        "+1",
        "-1",
        "1_0",
        "1.5",
        "1.0",
        "1e3",
        " 1",
        "1 ",
        "0x1",
        "a",
        "²",
        "\u0661",
        "1,1",
        "1" * 20,
        "1" * 400,
        "1" * 5000,
        "1\n",
        "\x00",
    ],
)
async def test_index_that_is_no_number_is_400(rest: RestClient, index: str) -> None:
    """chunk_index is 1 to 19 ASCII digits (`+1`, `1_0`, `1.5` are 400)."""
    upload_id = await rest.init()
    answer = await rest.chunk(upload_id, index, b"hello")

    assert_error(answer, 400, "bad_request")
    assert "chunk_index" in str(answer.json()["message"])
    assert await rest.offset(upload_id) == 0


# --- the form ---------------------------------------------------------------------------------


ORDERS = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("index", [0, 1])
async def test_fields_may_come_in_any_order(
    rest: RestClient, order: tuple[int, ...], index: int
) -> None:
    """Multipart form upload_session_id, chunk_index, chunk, in any field order."""
    upload_id = await rest.init()
    content = os.urandom(200_000)
    fields = [
        ("upload_session_id", upload_id.encode()),
        ("chunk_index", str(index).encode()),
        ("chunk", content),
    ]
    answer = await rest.form(form(*(fields[place] for place in order)))
    if index:
        await rest.chunk(upload_id, 0, b"before ")

    assert answer.json() == CHUNK_STORED
    expected = b"before " + content if index else content
    assert await finished(rest, upload_id, index + 1) == expected


@pytest.mark.parametrize("order", ORDERS)
async def test_form_without_content_length_is_a_form(
    rest: RestClient, order: tuple[int, ...]
) -> None:
    """A form in chunked transfer coding, cut anywhere, is read like any other."""
    upload_id = await rest.init()
    fields = [
        ("upload_session_id", upload_id.encode()),
        ("chunk_index", b"0"),
        ("chunk", b"hello\r\nworld"),
    ]

    async def bytewise() -> AsyncIterator[bytes]:
        body = form(*(fields[place] for place in order))
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    answer = await rest.form(bytewise())

    assert answer.json() == CHUNK_STORED
    assert await finished(rest, upload_id, 1) == b"hello\r\nworld"


async def test_unknown_fields_are_ignored(rest: RestClient) -> None:
    """Fields the document does not name do no harm, before and after the chunk."""
    upload_id = await rest.init()
    answer = await rest.form(
        form(
            ("colour", b"green"),
            ("upload_session_id", upload_id.encode()),
            ("chunk_index", b"0"),
            ("chunk", b"hello"),
            ("total", b"7"),
        )
    )

    assert answer.json() == CHUNK_STORED
    assert await finished(rest, upload_id, 1) == b"hello"


@pytest.mark.decided_early
@pytest.mark.parametrize("missing", ["upload_session_id", "chunk_index", "chunk"])
async def test_missing_field_is_400(rest: RestClient, missing: str) -> None:
    """A form without one of its fields is refused with the field's name; nothing is stored."""
    upload_id = await rest.init()
    fields = {
        "upload_session_id": upload_id.encode(),
        "chunk_index": b"0",
        "chunk": b"a chunk to look for",
    }
    del fields[missing]
    answer = await rest.form(form(*fields.items()))

    assert_error(answer, 400, "bad_request")
    assert missing in str(answer.json()["message"])
    assert await rest.offset(upload_id) == 0
    assert await rest.server.holding(b"a chunk to look for") == []


@pytest.mark.decided_early
@pytest.mark.parametrize("doubled", ["upload_session_id", "chunk_index", "chunk"])
async def test_doubled_field_is_400(rest: RestClient, doubled: str) -> None:
    """A form that names a field twice is ambiguous: refused, nothing is stored."""
    upload_id = await rest.init()
    fields = {"upload_session_id": upload_id.encode(), "chunk_index": b"0", "chunk": b"one"}
    answer = await rest.form(form(*fields.items(), (doubled, fields[doubled])))

    assert_error(answer, 400, "bad_request")
    assert await rest.offset(upload_id) == 0


async def test_body_that_is_no_form_is_415(rest: RestClient) -> None:
    """A chunk comes in a multipart form."""
    upload_id = await rest.init()
    answer = await rest.post("/upload/chunk", {"upload_session_id": upload_id, "chunk_index": 0})

    assert_error(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("end", ["nothing", "open boundary", "half boundary"])
async def test_form_without_its_closing_boundary_is_refused(
    rest: RestClient, index: int, end: str
) -> None:
    """A form without its closing boundary is refused, and its bytes are no part of the file."""
    upload_id = await rest.init()
    whole = chunk_form(upload_id, index, b"y" * 100_000)
    ends = {"nothing": whole[:-50_000], "open boundary": whole[:-4], "half boundary": whole[:-12]}
    answer = await rest.form(ends[end])

    assert_error(answer, 400, "bad_request")
    assert await rest.offset(upload_id) == 0
    missing = await rest.complete(upload_id, index + 1)
    assert_error(missing, 409, "missing_chunks")
    assert missing.json()["missing"] == list(range(index + 1))


async def test_form_that_broke_off_can_be_sent_again(rest: RestClient) -> None:
    """After a refused form the same chunk is accepted, whatever it holds."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"hello ")
    broken = await rest.form(chunk_form(upload_id, 1, b"wrong" * 50_000)[:-6])
    answer = await rest.chunk(upload_id, 1, b"world")

    assert broken.status == 400
    assert answer.status == 200
    assert await finished(rest, upload_id, 2) == b"hello world"


@pytest.mark.parametrize("how", ["form not closed", "connection cut"])
@pytest.mark.parametrize("index", [0, 1])
async def test_resend_that_breaks_off_keeps_the_whole_version(
    rest: RestClient, how: str, index: int
) -> None:
    """A re-send that breaks off keeps the version that was whole."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, index, b"whole")
    broken = chunk_form(upload_id, index, b"wh" + b"z" * 200_000)
    if how == "connection cut":
        await cut(rest.server, broken[:150_000], len(broken))
    else:
        await rest.form(broken[:-6])
    if index:
        await rest.chunk(upload_id, 0, b"")

    assert await finished(rest, upload_id, index + 1) == b"whole"


async def test_connection_cut_in_a_new_chunk_stores_nothing(rest: RestClient) -> None:
    """A chunk counts when its form is whole; what a cut left behind is not part of the file."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"hello ")
    broken = chunk_form(upload_id, 1, b"z" * 300_000)
    await cut(rest.server, broken[:200_000], len(broken))
    answer = await rest.chunk(upload_id, 1, b"world")

    assert answer.status == 200
    assert await finished(rest, upload_id, 2) == b"hello world"


async def test_slow_chunk_is_no_silent_one(
    http: aiohttp.ClientSession, make_server: MakeServer
) -> None:
    """BODY_TIMEOUT is silence, not total time: a chunk may take longer as long as bytes come."""
    rest = RestClient(http=http, server=await make_server(BODY_TIMEOUT="1s"))
    upload_id = await rest.init()
    whole = chunk_form(upload_id, 0, b"slowly")

    async def slowly() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), len(whole) // 4):
            yield whole[start : start + len(whole) // 4]
            await asyncio.sleep(0.4)

    answer = await rest.form(slowly())

    assert answer.json() == CHUNK_STORED
    assert await finished(rest, upload_id, 1) == b"slowly"


# --- whose ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "upload_id", ["00000000-0000-4000-8000-000000000000", "nonsense", "../../x", "%2e%2e", "é"]
)
async def test_unknown_upload_is_404(rest: RestClient, upload_id: str) -> None:
    """404: unknown."""
    before = await rest.server.store.everything()
    answer = await rest.chunk(upload_id, 0, b"hello")

    assert_error(answer, 404, "not_found")
    assert await rest.server.store.everything() == before


async def test_chunk_for_another_users_upload_is_like_an_unknown_one(rest: RestClient) -> None:
    """404 (unknown, and another user's: same body)."""
    upload_id = await rest.init()
    stranger = RestClient(http=rest.http, server=rest.server, user="43")
    foreign = await stranger.chunk(upload_id, 0, b"hello")
    unknown = await stranger.chunk("00000000-0000-4000-8000-000000000000", 0, b"hello")

    assert_error(foreign, 404, "not_found")
    assert foreign.body == unknown.body
    assert await rest.offset(upload_id) == 0


async def test_expired_upload_is_410(http: aiohttp.ClientSession, make_server: MakeServer) -> None:
    """410 expired, on chunk and on complete."""
    server = await make_server(UPLOAD_EXPIRES_AFTER="1s")
    rest = RestClient(http=http, server=server)
    upload_id = await rest.init()
    async with asyncio.timeout(10):
        while (completed := await rest.complete(upload_id, 1)).status == 409:
            pass
    answer = await rest.chunk(upload_id, 0, b"late")

    assert_error(completed, 410, "expired")
    assert_error(answer, 410, "expired")


# --- limits -----------------------------------------------------------------------------------


async def limited(http: aiohttp.ClientSession, make_server: MakeServer, limit: int) -> RestClient:
    """A client of a server with MAX_UPLOAD_SIZE."""
    return RestClient(http=http, server=await make_server(MAX_UPLOAD_SIZE=str(limit)))


async def test_exactly_the_limit_works(
    http: aiohttp.ClientSession, make_server: MakeServer
) -> None:
    """MAX_UPLOAD_SIZE counts file bytes, not form overhead; exactly the limit works."""
    rest = await limited(http, make_server, 10)
    upload_id = await rest.init()
    first = await rest.chunk(upload_id, 0, b"12345")
    second = await rest.chunk(upload_id, 1, b"67890")
    empty = await rest.chunk(upload_id, 2, b"")

    assert [a.status for a in (first, second, empty)] == [200, 200, 200]
    assert await finished(rest, upload_id, 3) == b"1234567890"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_limit_is_over_the_sum_of_all_chunks(
    http: aiohttp.ClientSession, make_server: MakeServer, order: tuple[int, int, int]
) -> None:
    """MAX_UPLOAD_SIZE in sum over chunks: waiting ones count; only what is beyond is refused."""
    rest = await limited(http, make_server, 10)
    upload_id = await rest.init()
    answers = [await rest.chunk(upload_id, index, b"1234") for index in order]
    retry = await rest.chunk(upload_id, order[2], b"12")

    assert [answer.status for answer in answers] == [200, 200, 413]
    assert_error(answers[2], 413, "too_large")
    assert retry.status == 200
    assert len(await finished(rest, upload_id, 3)) == 10


async def test_limit_does_not_count_what_is_sent_again(
    http: aiohttp.ClientSession, make_server: MakeServer
) -> None:
    """MAX_UPLOAD_SIZE in sum over chunks without counting re-sends."""
    rest = await limited(http, make_server, 10)
    upload_id = await rest.init()
    answers: list[Answer] = []
    for _ in range(3):
        answers.append(await rest.chunk(upload_id, 0, b"12345"))
        answers.append(await rest.chunk(upload_id, 2, b"67890"))
    replaced = await rest.chunk(upload_id, 2, b"6789")
    filled = await rest.chunk(upload_id, 1, b"x")

    assert {answer.status for answer in answers} == {200}
    assert (replaced.status, filled.status) == (200, 200)
    assert await finished(rest, upload_id, 3) == b"12345x6789"


async def test_replacement_over_the_limit_keeps_the_old_version(
    http: aiohttp.ClientSession, make_server: MakeServer
) -> None:
    """A refusal never loses a byte: the chunk that waited still waits."""
    rest = await limited(http, make_server, 10)
    upload_id = await rest.init()
    await rest.chunk(upload_id, 1, b"world")
    refused = await rest.chunk(upload_id, 1, b"w" * 11)
    await rest.chunk(upload_id, 0, b"hell ")

    assert_error(refused, 413, "too_large")
    assert await finished(rest, upload_id, 2) == b"hell world"


async def test_limit_holds_for_parallel_chunks(
    http: aiohttp.ClientSession, make_server: MakeServer
) -> None:
    """Chunks that come at once cannot pass the limit together."""
    rest = await limited(http, make_server, 100_000)
    upload_id = await rest.init()
    answers = await asyncio.gather(
        *(rest.chunk(upload_id, index, b"x" * 40_000) for index in range(8))
    )

    assert [answer.status for answer in answers].count(200) <= 2
    assert {answer.status for answer in answers} <= {200, 413}


@pytest.mark.parametrize("chunked", [False, True])
async def test_client_sees_the_413_of_a_large_chunk(
    http: aiohttp.ClientSession, make_server: MakeServer, chunked: bool
) -> None:
    """The client must see the 413 (lingering close), also when it sends without a length."""
    rest = await limited(http, make_server, 1000)
    upload_id = await rest.init()
    whole = chunk_form(upload_id, 0, b"x" * 8 * MIB)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), MIB):
            yield whole[start : start + MIB]

    answer = await rest.form(pieces() if chunked else whole)
    retry = await rest.chunk(upload_id, 0, b"small")

    assert_error(answer, 413, "too_large")
    assert retry.status == 200
    assert await finished(rest, upload_id, 1) == b"small"


async def test_chunk_that_comes_before_its_id_is_limited_too(
    http: aiohttp.ClientSession, make_server: MakeServer
) -> None:
    """The field order does not lift the limit, nor does what was refused stay on the disk."""
    rest = await limited(http, make_server, 1000)
    upload_id = await rest.init()
    answer = await rest.form(
        form(
            ("chunk", b"too large to keep " * 1000),
            ("chunk_index", b"0"),
            ("upload_session_id", upload_id.encode()),
        )
    )

    assert_error(answer, 413, "too_large")
    assert await rest.server.holding(b"too large to keep") == []


async def test_chunk_over_the_limit_is_refused_while_it_comes(
    http: aiohttp.ClientSession, make_server: MakeServer
) -> None:
    """The 413 comes as soon as the limit is passed, not when all was sent, in any field order."""
    rest = await limited(http, make_server, 1000)
    upload_id = await rest.init()
    names = form(("upload_session_id", upload_id.encode()), ("chunk_index", b"0"), closed=False)
    token = rest.server.auth()["Authorization"]
    for beginning in (names + part_head("chunk"), part_head("chunk")):
        reader, writer = await asyncio.open_connection(rest.server.host, rest.server.port)
        writer.write(
            f"POST /upload/chunk HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
            f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: 1000000000\r\n\r\n".encode()
            + beginning
            + b"x" * 100_000
        )
        async with asyncio.timeout(5):
            status_line = await reader.readline()
        writer.close()

        assert status_line.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("chunk_first", [False, True])
async def test_large_chunk_never_sits_in_memory(
    http: aiohttp.ClientSession, make_process: MakeProcess, chunk_first: bool
) -> None:
    """A chunk of any size never sits in memory, wherever it stands in its form."""
    process = await make_process(S3_MEMORY="16MiB")
    rest = RestClient(http=http, server=process.address)
    upload_id = await rest.init()
    assert process.process is not None
    before = peak_memory(process.process.pid)
    block, count, digest = os.urandom(MIB), 96, hashlib.sha256()
    names = form(("upload_session_id", upload_id.encode()), ("chunk_index", b"0"))

    async def body() -> AsyncIterator[bytes]:
        head = part_head("chunk")
        tail = b"\r\n" + names if chunk_first else b"\r\n" + form()
        yield head if chunk_first else names.removesuffix(form()) + head
        for _ in range(count):
            digest.update(block)
            yield block
        yield tail

    answer = await rest.form(body())
    grown = peak_memory(process.process.pid) - before
    completed = await rest.complete(upload_id, 1)

    assert answer.json() == CHUNK_STORED
    assert grown < count // 2 * MIB
    assert completed.status == 200
    assert await process.address.sha256("42", 123, "audio.mp3") == digest.hexdigest()


def peak_memory(pid: int) -> int:
    """The most memory a process ever held, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
