"""tus 1.0.0, core protocol: PATCH."""

import asyncio
import gzip
import itertools
import socket
import struct
import time

import aiohttp
import pytest

from tests.conformance.tus.client import (
    OCTETS,
    Answer,
    Headers,
    Tus,
    begun_patch,
    chunked,
    connected,
    content_of,
    parse,
    pieces,
    stalled_patch,
    until_smaller,
)
from tests.conformance.tus.conftest import MakeTus
from tests.conformance.tus.scenes import unknown
from tests.conftest import MakeProcess

SIZES = pytest.mark.parametrize("size", [1000, 6 * 2**20], ids=["small", "large"])


async def try_patch(tus: Tus, url: str, offset: int, body: bytes) -> Answer | None:
    """A PATCH whose connection may be closed by the server."""
    try:
        return await tus.patch(url, offset, body)
    except aiohttp.ClientError:
        return None


async def test_t24_patch_appends(tus: Tus) -> None:
    """The Server MUST acknowledge successful PATCH requests with the 204 No Content status. It MUST
    include the Upload-Offset header containing the new offset. [T24]"""
    content = content_of(100)
    url = await tus.create(100)
    await tus.patch(url, 0, content[:70])

    answer = await tus.patch(url, 70, content[70:])

    assert (answer.status, answer.headers["Upload-Offset"]) == (204, "100")
    assert await tus.download(url) == content


@pytest.mark.parametrize("size", [1, 65536, 65537, 2**20 + 1, 9 * 2**20])
async def test_t24_patch_of_any_size(tus: Tus, size: int) -> None:
    """The Server SHOULD accept PATCH requests against any upload URL and apply the bytes contained
    in the message at the given offset. [T24]"""
    content = content_of(size)
    url = await tus.create(size)

    answer = await tus.patch(url, 0, content)

    assert (answer.status, answer.headers["Upload-Offset"]) == (204, str(size))
    assert await tus.download(url) == content


async def test_t25_the_new_offset_counts_what_was_stored(tus: Tus) -> None:
    """The new offset MUST be the sum of the offset before the PATCH request and the number of bytes
    received and processed or stored during the current PATCH request. [T25]"""
    url = await tus.create(1000)
    sizes = [0, 1, 10, 100]

    answers = [
        await tus.patch(url, start, b"x" * size)
        for start, size in zip(itertools.accumulate([0, *sizes]), sizes, strict=False)
    ]

    assert [answer.headers["Upload-Offset"] for answer in answers] == ["0", "1", "11", "111"]
    assert await tus.offset(url) == 111


@pytest.mark.decided_early
@pytest.mark.parametrize(
    "media_type", [None, "text/plain", "", "application/octet-stream", "application/offset", "x"]
)
async def test_t26_another_media_type_is_refused(tus: Tus, media_type: str | None) -> None:
    """All PATCH requests MUST use Content-Type: application/offset+octet-stream, otherwise the
    server SHOULD return a 415 Unsupported Media Type status. [T26]"""
    url = await tus.create(5)

    answer = await tus.patch(url, 0, b"hello", {"Content-Type": media_type})

    assert answer.status == 415
    assert await tus.offset(url) == 0


@pytest.mark.parametrize(
    "media_type",
    ["Application/Offset+Octet-Stream", f"{OCTETS}; x=y", f"{OCTETS} ;charset=utf-8"],
)
async def test_t26_case_and_parameters_do_not_matter(tus: Tus, media_type: str) -> None:
    """All PATCH requests MUST use Content-Type: application/offset+octet-stream. [T26]"""
    url = await tus.create(5)

    answer = await tus.patch(url, 0, b"hello", {"Content-Type": media_type})

    assert answer.status == 204


@pytest.mark.parametrize("offset", [69, 71, 0, 100, 101, 2**63])
async def test_t27_another_offset_is_a_conflict(tus: Tus, offset: int) -> None:
    """The Upload-Offset header's value MUST be equal to the current offset of the resource. If the
    offsets do not match, the Server MUST respond with the 409 Conflict status without modifying
    the upload resource. [T27]"""
    content = content_of(100)
    url = await tus.create(100)
    await tus.patch(url, 0, content[:70])

    answer = await tus.patch(url, offset, b"x" * 10)

    assert answer.status == 409
    assert answer.headers.get("Upload-Offset", "70") == "70"
    assert (await tus.patch(url, 70, content[70:])).status == 204
    assert await tus.download(url) == content


async def test_t28_patch_without_an_offset_is_refused(tus: Tus) -> None:
    """The bytes are applied at the given offset specified by the Upload-Offset header: without it
    the request is refused. [T28]"""
    url = await tus.create(5)

    answer = await tus.patch(url, 0, b"hello", {"Upload-Offset": None})

    assert answer.status == 400
    assert await tus.offset(url) == 0


async def test_t29_patch_of_an_unknown_upload(tus: Tus) -> None:
    """If the server receives a PATCH request against a non-existent resource it SHOULD return a 404
    Not Found status. [T29]"""
    answer = await tus.patch(unknown(tus), 0, b"hello")

    assert answer.status == 404
    assert "upload-offset" not in answer.words


async def test_t30_many_small_patches(tus: Tus) -> None:
    """The Client SHOULD send all the remaining bytes of an upload in a single PATCH request, but
    MAY also use multiple small requests successively for scenarios where this is desirable. [T30]
    """
    content = content_of(1000)
    url = await tus.create(1000)

    statuses = set()
    offset = 0
    while offset < 1000:
        answer = await tus.patch(url, offset, content[offset : offset + 13])
        statuses.add(answer.status)
        offset = int(answer.headers["Upload-Offset"])

    assert statuses == {204}
    assert await tus.download(url) == content


@SIZES
async def test_t31_what_came_before_a_cut_is_kept(tus: Tus, size: int) -> None:
    """Both Client and Server, SHOULD attempt to detect and handle network errors predictably. The
    Server SHOULD always attempt to store as much of the received data as possible. [T31]"""
    content = content_of(size)
    url = await tus.create(size)

    async with begun_patch(tus, url, 0, size) as connection:
        await connection.send(content[: size // 2])
        await connection.hang_up()
    offset = await tus.offset(url)

    assert offset == size // 2
    assert (await tus.patch(url, offset, content[offset:])).status == 204
    assert await tus.download(url) == content


async def test_t31_what_came_before_a_cut_of_a_chunked_body_is_kept(tus: Tus) -> None:
    """The Server SHOULD always attempt to store as much of the received data as possible. [T31]"""
    url = await tus.create(10)
    headers = {"Content-Length": None, "Transfer-Encoding": "chunked"}

    async with begun_patch(tus, url, 0, 10, headers) as connection:
        await connection.send(b"5\r\nhello\r\n5\r\nwo")
        await connection.hang_up()
    offset = await tus.offset(url)

    assert 5 <= offset <= 7
    assert (await tus.patch(url, offset, b"helloworld"[offset:])).status == 204
    assert await tus.download(url) == b"helloworld"


@SIZES
async def test_t31_a_reset_connection_costs_no_acknowledged_byte(tus: Tus, size: int) -> None:
    """Both Client and Server, SHOULD attempt to detect and handle network errors
    predictably. [T31]"""
    content = content_of(size)
    url = await tus.create(size)
    await tus.patch(url, 0, content[:100])

    async with stalled_patch(tus, url, 100, size - 100, content[100 : size // 2]) as connection:
        line: socket.socket = connection.writer.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.abort()
    offset = await tus.offset(url)

    assert 100 < offset <= size // 2
    assert (await tus.patch(url, offset, content[offset:])).status == 204
    assert await tus.download(url) == content


async def test_t31_a_malformed_chunk_ends_the_body(tus: Tus) -> None:
    """The Server SHOULD always attempt to store as much of the received data as possible; what
    follows a malformed chunk is no data. [T31]"""
    url = await tus.create(10)
    headers = {"Content-Type": OCTETS, "Upload-Offset": "0", "Transfer-Encoding": "chunked"}

    answers = await tus.raw("PATCH", url, headers, body=b"5\r\nhello\r\nnonsense\r\nworld")
    offset = await tus.offset(url)

    assert all(400 <= answer.status < 600 for answer in answers)
    assert 0 <= offset <= 5
    assert (await tus.patch(url, offset, b"helloworld"[offset:])).status == 204
    assert await tus.download(url) == b"helloworld"


@SIZES
async def test_t32_a_silent_body_is_closed_and_its_bytes_are_kept(
    make_tus: MakeTus, size: int
) -> None:
    """A timeout SHOULD be handled by closing the underlying connection. The Server SHOULD always
    attempt to store as much of the received data as possible. [T32]"""
    tus = await make_tus(BODY_TIMEOUT="1")
    content = content_of(size)
    url = await tus.create(size)

    async with begun_patch(tus, url, 0, size) as connection:
        await connection.send(content[: size // 2])
        started = time.monotonic()
        farewell = await connection.rest(within=5)
        silence = time.monotonic() - started
    async with asyncio.timeout(1):
        offset = await tus.offset(url)

    assert 0.5 < silence < 4
    assert not farewell or parse(farewell)[0].status in {408, 503}
    assert offset == size // 2
    assert (await tus.patch(url, offset, content[offset:])).status == 204
    assert await tus.download(url) == content


async def test_t32_a_silent_chunked_body_is_closed(make_tus: MakeTus) -> None:
    """A timeout SHOULD be handled by closing the underlying connection. [T32]"""
    tus = await make_tus(BODY_TIMEOUT="1")
    url = await tus.create(10)
    headers = {"Content-Length": None, "Transfer-Encoding": "chunked"}

    async with begun_patch(tus, url, 0, 10, headers) as connection:
        await connection.send(b"5\r\nhello\r\n")
        await connection.rest(within=5)

    assert await tus.offset(url) == 5


async def test_t32_a_slow_body_is_not_a_silent_one(make_tus: MakeTus) -> None:
    """BODY_TIMEOUT is silence, not total time. [T32, design 1.8]"""
    tus = await make_tus(BODY_TIMEOUT="1")
    url = await tus.create(5)

    async with begun_patch(tus, url, 0, 5) as connection:
        for letters in (b"he", b"l", b"lo"):
            await asyncio.sleep(0.5)
            await connection.send(letters)
        answer = await connection.head()

    assert answer.status == 204
    assert await tus.download(url) == b"hello"


async def test_t33_a_body_beyond_the_length_is_refused_unread(tus: Tus) -> None:
    """413 beyond length or limit, before the body is read. [T33, design 1.5]"""
    url = await tus.create(10)
    await tus.patch(url, 0, b"hello")
    headers = {
        "Content-Type": OCTETS,
        "Upload-Offset": "5",
        "Content-Length": "6",
        "Expect": "100-continue",
    }

    answers = await tus.raw("PATCH", url, headers)

    assert [answer.status for answer in answers] == [413]
    assert await tus.offset(url) == 5


@pytest.mark.parametrize("size", [11, 3 * 2**20], ids=["small", "large"])
async def test_t33_a_chunked_body_is_cut_at_the_length(tus: Tus, size: int) -> None:
    """With a chunked body: stop at the length, 413; never store surplus bytes. [T33, design 1.5]"""
    url = await tus.create(10)
    surplus = b"x" * (size - 10)
    headers = {"Content-Type": OCTETS, "Upload-Offset": "0", "Transfer-Encoding": "chunked"}

    answers = await tus.raw("PATCH", url, headers, body=chunked(b"0123456789", surplus))
    offset = await tus.offset(url)

    assert [answer.status for answer in answers] == [413]
    assert 0 <= offset <= 10
    assert await tus.address.size() < 2**20
    if offset < 10:
        await tus.patch(url, offset, b"0123456789"[offset:])
    assert await tus.download(url) == b"0123456789"


async def test_t33_the_client_sees_the_413_of_a_large_body(make_tus: MakeTus) -> None:
    """The client must see the 413 (lingering close). [T33, design 1.8]"""
    tus = await make_tus(MAX_UPLOAD_SIZE="1000")
    url = await tus.create(None)
    body = b"x" * (4 * 2**20)
    headers = {"Content-Type": OCTETS, "Upload-Offset": "0", "Content-Length": str(len(body))}

    answers = await tus.raw("PATCH", url, headers, body=body)

    assert [answer.status for answer in answers] == [413]
    assert await tus.offset(url) == 0


async def test_t34_an_empty_patch_changes_nothing(tus: Tus) -> None:
    """The new offset MUST be the sum of the offset before the PATCH request and the number of bytes
    received: an empty PATCH is answered with the same offset. [T34]"""
    url = await tus.create(10)
    await tus.patch(url, 0, b"hello")

    answer = await tus.patch(url, 5, b"")

    assert (answer.status, answer.headers["Upload-Offset"]) == (204, "5")
    assert await tus.offset(url) == 5


async def test_t35_an_empty_patch_of_a_complete_upload_changes_nothing(tus: Tus) -> None:
    """PATCH on an already complete upload with the right offset and an empty body → 204. [T35]"""
    url = await tus.upload(b"hello")

    answer = await tus.patch(url, 5, b"")

    assert (answer.status, answer.headers["Upload-Offset"]) == (204, "5")
    assert await tus.download(url) == b"hello"


async def test_t35_bytes_for_a_complete_upload_are_too_many(tus: Tus) -> None:
    """413 beyond length or limit. [T35, design 1.5]"""
    url = await tus.upload(b"hello")

    answer = await tus.patch(url, 5, b"!")

    assert answer.status == 413
    assert await tus.download(url) == b"hello"


async def test_t35_chunked_bytes_for_a_complete_upload_are_too_many(tus: Tus) -> None:
    """413 beyond length or limit. [T35, design 1.5]"""
    url = await tus.upload(b"hello")
    headers = {"Content-Type": OCTETS, "Upload-Offset": "5", "Transfer-Encoding": "chunked"}

    answers = await tus.raw("PATCH", url, headers, body=chunked(b"!"))

    assert [answer.status for answer in answers] == [413]
    assert await tus.download(url) == b"hello"


async def test_t35_the_last_patch_again_is_a_conflict(tus: Tus) -> None:
    """Chromium may repeat a cut PATCH by itself at the old offset: that is a 409. [T35,
    design 1.5]"""
    url = await tus.upload(b"hello")

    answer = await tus.patch(url, 0, b"hello")

    assert answer.status == 409
    assert await tus.download(url) == b"hello"


@pytest.mark.parametrize("size", [11, 3 * 2**20], ids=["small", "large"])
async def test_t36_a_chunked_body(tus: Tus, size: int) -> None:
    """Chunked transfer-encoding (no Content-Length) is accepted for PATCH. [T36]"""
    content = content_of(size)
    url = await tus.create(size)

    answer = await tus.patch(url, 0, pieces(content[:3], content[3:10], content[10:]))

    assert (answer.status, answer.headers["Upload-Offset"]) == (204, str(size))
    assert await tus.download(url) == content


async def test_t36_an_empty_chunked_body(tus: Tus) -> None:
    """Chunked transfer-encoding (no Content-Length) is accepted for PATCH. [T36]"""
    url = await tus.create(5)

    answer = await tus.patch(url, 0, pieces())

    assert (answer.status, answer.headers["Upload-Offset"]) == (204, "0")


async def test_t36_small_chunks_and_extensions(tus: Tus) -> None:
    """Chunk extensions and trailers are no data (RFC 9112 section 7.1). [T36]"""
    url = await tus.create(5)
    headers = {"Content-Type": OCTETS, "Upload-Offset": "0", "Transfer-Encoding": "chunked"}
    body = b"1;a=b\r\nh\r\n3\r\nell\r\n01\r\no\r\n0\r\nX-Trailer: y\r\n\r\n"

    answers = await tus.raw("PATCH", url, headers, body=body)

    assert [answer.status for answer in answers] == [204]
    assert await tus.download(url) == b"hello"


@SIZES
async def test_t37_two_patches_at_one_offset_have_one_effect(tus: Tus, size: int) -> None:
    """Two concurrent PATCHes at the same offset → exactly one effect; the final content is never
    interleaved. [T37]"""
    url = await tus.create(2 * size)

    answers = await asyncio.gather(
        try_patch(tus, url, 0, b"a" * size), try_patch(tus, url, 0, b"b" * size)
    )
    statuses = [answer.status for answer in answers if answer is not None]
    offset = await tus.offset(url)
    await tus.patch(url, offset, b"c" * (2 * size - offset))
    content = await tus.download(url)

    assert statuses.count(204) <= 1
    assert set(statuses) <= {204, 409, 423, 503}
    assert content[:offset] in {b"a" * offset, b"b" * offset}
    assert content[offset:] == b"c" * (2 * size - offset)
    assert offset == size or 204 not in statuses


async def test_t37_ten_patches_at_one_offset_have_one_effect(tus: Tus) -> None:
    """Two concurrent PATCHes at the same offset → exactly one effect. [T37]"""
    url = await tus.create(1000)
    letters = [bytes([letter]) * 1000 for letter in b"abcdefghij"]

    answers = await asyncio.gather(*(try_patch(tus, url, 0, body) for body in letters))

    statuses = [answer.status for answer in answers if answer is not None]
    assert statuses.count(204) == 1
    assert set(statuses) <= {204, 409, 423, 503}
    assert await tus.download(url) in letters


@SIZES
async def test_t37_a_patch_takes_over_from_a_stalled_one(tus: Tus, size: int) -> None:
    """A newcomer sets the holder's `wanted` event; the holder commits what it has, answers 503 on
    its dying connection and leaves; the newcomer goes on within a second. [T37, design 2.3]"""
    content = content_of(size)
    half = size // 2
    url = await tus.create(size)

    async with stalled_patch(tus, url, 0, size, content[:half]) as stalled:
        async with asyncio.timeout(1):
            answer = await tus.patch(url, half, content[half : half + 100])
        farewell = await stalled.head()

    assert (answer.status, answer.headers["Upload-Offset"]) == (204, str(half + 100))
    assert (farewell.status, farewell.headers["Connection"].lower()) == (503, "close")
    assert (await tus.patch(url, half + 100, content[half + 100 :])).status == 204
    assert await tus.download(url) == content


async def test_t37_a_repeated_patch_learns_how_far_the_stalled_one_came(tus: Tus) -> None:
    """Chromium may repeat a cut PATCH by itself at the old offset: that is a 409. [T37,
    design 1.5]"""
    content = content_of(1000)
    url = await tus.create(1000)

    async with stalled_patch(tus, url, 0, 1000, content[:400]):
        async with asyncio.timeout(1):
            answer = await tus.patch(url, 0, content)
    offset = await tus.offset(url)

    assert answer.status == 409
    assert offset == 400
    assert (await tus.patch(url, offset, content[offset:])).status == 204
    assert await tus.download(url) == content


async def test_t37_a_patch_takes_over_in_another_process(
    make_process: MakeProcess, http: aiohttp.ClientSession
) -> None:
    """Two processes on one folder: at most one 204 per offset; the newcomer goes on within a
    second. [T37, design 1.8, design 2.3]"""
    first, second = await asyncio.gather(make_process(), make_process())
    old, new = (Tus(http=http, address=process.address) for process in (first, second))
    content = content_of(1000)
    url = await old.create(1000)
    seen = new.url(new.path(url))

    async with stalled_patch(old, url, 0, 1000, content[:400]) as stalled:
        async with asyncio.timeout(1.5):
            answer = await new.patch(seen, 400, content[400:])
        farewell = await stalled.head()

    assert answer.status == 204
    assert farewell.status == 503
    assert await old.download(url) == content


async def test_t37_another_upload_is_not_held_up(tus: Tus) -> None:
    """One stalled upload freezing a whole worker. [T37, design 3.4]"""
    url = await tus.create(1000)

    async with stalled_patch(tus, url, 0, 1000, b"x" * 400):
        async with asyncio.timeout(1):
            other = await tus.upload(b"hello")

    assert await tus.download(other) == b"hello"


async def test_t38_204_has_no_body(tus: Tus) -> None:
    """The Server MUST acknowledge successful PATCH requests with the 204 No Content status: no
    body, no Content-Length (RFC 9110). [T38]"""
    url = await tus.create(5)
    headers = {
        "Content-Type": OCTETS,
        "Upload-Offset": "0",
        "Content-Length": "5",
        "Connection": "close",
    }

    stream = await tus.address.raw(tus.wire("PATCH", url, headers) + b"hello")

    head, _, body = stream.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 204 ")
    assert b"content-length" not in head.lower()
    assert b"transfer-encoding" not in head.lower()
    assert body == b""


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity"])
async def test_t39_content_encoding_is_stored_as_sent(tus: Tus, coding: str) -> None:
    """Content-Encoding on a body: stored as sent. [T39, design 1.8]"""
    content = gzip.compress(b"hello" * 1000)
    url = await tus.create(len(content))

    answer = await tus.patch(url, 0, content, {"Content-Encoding": coding})

    assert (answer.status, answer.headers["Upload-Offset"]) == (204, str(len(content)))
    assert await tus.download(url) == content


async def test_expect_is_answered_once_the_headers_are_accepted(tus: Tus) -> None:
    """100-continue at the first read: 100, then the final answer. [T65, design 2.3]"""
    url = await tus.create(5)

    async with begun_patch(tus, url, 0, 5) as connection:
        await connection.send(b"hello")
        answer = await connection.head()

    assert (answer.status, answer.headers["Upload-Offset"]) == (204, "5")


REFUSED: dict[str, tuple[int, Headers]] = {
    "400": (400, {"Upload-Offset": "x"}),
    "401": (401, {"Authorization": "Bearer nonsense"}),
    "409": (409, {"Upload-Offset": "3"}),
    "412": (412, {"Tus-Resumable": "0.2.2"}),
    "413": (413, {"Content-Length": "6"}),
    "415": (415, {"Content-Type": "text/plain"}),
    "unknown algorithm": (400, {"Upload-Checksum": "foo YQ=="}),
}


@pytest.mark.parametrize(("status", "headers"), REFUSED.values(), ids=REFUSED)
async def test_expect_is_not_answered_when_the_headers_are_refused(
    tus: Tus, status: int, headers: Headers
) -> None:
    """With an expect handler of our own, 401/409/413 cost the client nothing: a final 4xx comes
    without 100. [T65, design 3.2]"""
    url = await tus.create(5)
    own = {
        "Content-Type": OCTETS,
        "Upload-Offset": "0",
        "Content-Length": "5",
        "Expect": "100-continue",
    }

    answers = await tus.raw("PATCH", url, {**own, **headers})

    assert [answer.status for answer in answers] == [status]
    assert await tus.offset(url) == 0


async def test_expect_is_not_answered_for_an_unknown_upload(tus: Tus) -> None:
    """A final 4xx comes without 100. [T65, T29]"""
    headers = {
        "Content-Type": OCTETS,
        "Upload-Offset": "0",
        "Content-Length": "5",
        "Expect": "100-continue",
    }

    answers = await tus.raw("PATCH", unknown(tus), headers)

    assert [answer.status for answer in answers] == [404]


async def test_a_refused_body_does_not_become_the_next_request(tus: Tus) -> None:
    """Bytes of a refused body are never taken for a request: the connection closes or the body is
    skipped. [T1, design 3.2]"""
    url = await tus.create(5)
    victim = await tus.create(5)
    smuggled = tus.wire("DELETE", victim, {"Content-Length": "0"})
    headers = {
        "Content-Type": "text/plain",
        "Upload-Offset": "0",
        "Content-Length": str(len(smuggled)),
    }

    async with connected(tus.address) as connection:
        await connection.send(tus.wire("PATCH", url, headers) + smuggled)
        await connection.send(tus.wire("HEAD", victim, {"Connection": "close"}))
        answers = parse(await connection.rest(within=15))

    assert answers[0].status == 415
    assert 204 not in {answer.status for answer in answers}
    assert await tus.offset(victim) == 0


async def test_two_patches_on_one_connection(tus: Tus) -> None:
    """Many small PATCHes in a row, also pipelined on one connection. [T30]"""
    url = await tus.create(10)
    head = {"Content-Type": OCTETS, "Content-Length": "5"}
    first = tus.wire("PATCH", url, {**head, "Upload-Offset": "0"}) + b"hello"
    second = tus.wire("PATCH", url, {**head, "Upload-Offset": "5"}) + b"world"

    async with connected(tus.address) as connection:
        await connection.send(first + second)
        answers = [await connection.head(), await connection.head()]

    assert [answer.status for answer in answers] == [204, 204]
    assert await tus.download(url) == b"helloworld"


async def test_the_bytes_of_a_refused_token_are_not_stored(tus: Tus) -> None:
    """The body is never read before the token is verified. [design 1.5, design 3.4]"""
    url = await tus.create(5)

    answer = await tus.patch(url, 0, b"hello", {"Authorization": "Bearer nonsense"})

    assert answer.status == 401
    assert await tus.offset(url) == 0
    assert await tus.address.finished() == {}


async def test_a_storage_out_of_reach_is_503(tus: Tus) -> None:
    """Absence is 404, failure is 503; what was acknowledged is still there afterwards.
    [design 4]"""
    url = await tus.create(10)
    await tus.patch(url, 0, b"hello")

    async with tus.address.store.out_of_reach():
        answer = await tus.patch(url, 5, b"world")

    assert answer.status == 503
    assert await tus.offset(url) == 5


async def test_once_the_offset_is_the_length_the_file_exists(tus: Tus) -> None:
    """Once HEAD says offset == length the final file exists and is listed. [design 1.8]"""
    url = await tus.create(5, {"Upload-Metadata": "filename aGkudHh0"})

    before = await tus.address.finished()
    await tus.patch(url, 0, b"hello")

    upload_id = url.rpartition("/")[2]
    assert before == {}
    assert await tus.address.file("42", upload_id, "hi.txt") == b"hello"
    assert await tus.listed() == [tus.address.location("42", upload_id, "hi.txt")]


async def test_nothing_temporary_is_left(tus: Tus) -> None:
    """After completion nothing temporary is left; with local storage the final file
    remains. [design 1.6]"""
    content = content_of(2**20)

    await tus.upload(content)

    await until_smaller(tus.address, len(content) + 8192)
    assert [*(await tus.address.finished()).values()] == [len(content)]
