"""tus 1.0.0, core protocol: HEAD."""

import asyncio
import signal

import aiohttp
import pytest

from tests.conformance.tus.client import (
    Tus,
    begun_patch,
    connected,
    content_of,
    parse,
    pieces,
    stalled_patch,
)
from tests.conformance.tus.scenes import unknown
from tests.conftest import MakeProcess

METADATA = [
    "filename d29ybGQ=,is_confidential",
    "is_confidential,filename d29ybGQ=",
    "b YQ==,a Yg==,c ,d",
    "filename d29ybGQ=, spaced YQ==",
    "filename d29ybGQ= , spaced YQ==",
    "empty ,filename d29ybGQ=",
    "binary gIGCgw==",
    "alone",
]


async def test_t15_head_of_a_fresh_upload(tus: Tus) -> None:
    """The Server MUST always include the Upload-Offset header in the response for a HEAD request,
    even if the offset is 0. If the size of the upload is known, the Server MUST include the
    Upload-Length header in the response. [T15]"""
    url = await tus.create(100)

    answer = await tus.head(url)

    assert answer.status == 200
    assert answer.headers["Upload-Offset"] == "0"
    assert answer.headers["Upload-Length"] == "100"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_t16_head_between_two_patches(tus: Tus) -> None:
    """The Server MUST always include the Upload-Offset header in the response for a HEAD
    request. [T16]"""
    url = await tus.create(10)
    await tus.patch(url, 0, b"hello")

    answer = await tus.head(url)

    assert answer.headers["Upload-Offset"] == "5"
    assert answer.headers["Upload-Length"] == "10"


async def test_t16_head_of_a_complete_upload(tus: Tus) -> None:
    """The Server MUST always include the Upload-Offset header in the response for a HEAD request,
    even if the upload is already considered completed. [T16]"""
    url = await tus.upload(b"hello")

    answer = await tus.head(url)

    assert answer.status == 200
    assert answer.headers["Upload-Offset"] == answer.headers["Upload-Length"] == "5"


async def test_t17_head_has_no_body(tus: Tus) -> None:
    """The server SHOULD respond to HEAD with a 200 OK or 204 No Content status. [T17]"""
    url = await tus.upload(b"hello")
    request = tus.wire("HEAD", url, {"Connection": "close"})

    stream = await tus.address.raw(request)

    assert stream.split(b" ")[1] in {b"200", b"204"}
    assert stream.partition(b"\r\n\r\n")[2] == b""


async def test_t18_head_of_a_deferred_length(tus: Tus) -> None:
    """As long as the length of the upload is not known, the Server MUST set Upload-Defer-Length: 1
    in all responses to HEAD requests. [T18]"""
    url = await tus.create(None)
    await tus.patch(url, 0, b"hello")

    answer = await tus.head(url)

    assert answer.headers["Upload-Defer-Length"] == "1"
    assert answer.headers["Upload-Offset"] == "5"
    assert "upload-length" not in answer.words


async def test_t18_head_once_the_length_is_known(tus: Tus) -> None:
    """If the length of an upload is not deferred, this header MUST be omitted. [T18]"""
    url = await tus.create(None)
    await tus.patch(url, 0, b"hello", {"Upload-Length": "10"})

    answer = await tus.head(url)

    assert answer.headers["Upload-Length"] == "10"
    assert "upload-defer-length" not in answer.words


async def test_t18_head_of_a_length_known_from_the_start(tus: Tus) -> None:
    """If the length of an upload is not deferred, this header MUST be omitted. [T18]"""
    url = await tus.create(5)

    answer = await tus.head(url)

    assert "upload-defer-length" not in answer.words


@pytest.mark.parametrize("value", METADATA)
async def test_t19_head_repeats_the_metadata(tus: Tus, value: str) -> None:
    """If an upload contains additional metadata, responses to HEAD requests MUST include the
    Upload-Metadata header and its value as specified by the Client during the creation. [T19]"""
    url = await tus.create(5, {"Upload-Metadata": value})

    before = await tus.head(url)
    await tus.patch(url, 0, b"hello")
    after = await tus.head(url)

    assert before.headers["Upload-Metadata"] == value
    assert after.headers["Upload-Metadata"] == value


async def test_t19_head_without_metadata(tus: Tus) -> None:
    """If an upload contains additional metadata, responses to HEAD requests MUST include the
    Upload-Metadata header. [T19]"""
    url = await tus.create(5)

    answer = await tus.head(url)

    assert "upload-metadata" not in answer.words


async def test_t20_head_of_an_unknown_upload(tus: Tus) -> None:
    """If the resource is not found, the Server SHOULD return either the 404 Not Found, 410 Gone or
    403 Forbidden status without the Upload-Offset header. [T20]"""
    answer = await tus.head(unknown(tus))

    assert answer.status == 404
    assert "upload-offset" not in answer.words
    assert "upload-length" not in answer.words


@pytest.mark.decided_early
@pytest.mark.parametrize(
    "upload_id",
    ["1", "..%2f..%2fetc%2fpasswd", "%2e%2e", "a%00b", "%ff", "x" * 4000, "%F0%9F%92%A9"],
)
async def test_t20_head_of_an_odd_id(tus: Tus, upload_id: str) -> None:
    """Any id with `..%2f` must not reach the disk: unknown is unknown. [T20, design 3.4]"""
    answer = await tus.head(f"{tus.address.files}{upload_id}")

    assert answer.status == 404
    assert "upload-offset" not in answer.words


async def test_t21_head_is_not_cached(tus: Tus) -> None:
    """The Server MUST prevent the client and/or proxies from caching the response by adding the
    Cache-Control: no-store header to the response. [T21]"""
    complete = await tus.upload(b"hello")
    gone = await tus.create(5)
    await tus.delete(gone)

    answers = [
        await tus.head(complete),
        await tus.head(gone),
        await tus.head(unknown(tus)),
        await tus.head(complete, {"Authorization": None}),
        await tus.head(complete, {"Tus-Resumable": "0.2.2"}),
        await tus.of("7").head(complete),
    ]

    assert [answer.status for answer in answers] == [200, 410, 404, 401, 412, 404]
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}


@pytest.mark.parametrize("size", [1000, 6 * 2**20], ids=["small", "large"])
async def test_t22_head_takes_over_a_stalled_patch(tus: Tus, size: int) -> None:
    """HEAD while a PATCH is in flight: the returned offset must be usable in a following PATCH;
    the newcomer goes on within a second. [T22, design 2.3]"""
    content = content_of(size)
    url = await tus.create(size)

    async with stalled_patch(tus, url, 0, size, content[: size // 2]) as stalled:
        async with asyncio.timeout(1):
            offset = await tus.offset(url)
        farewell = await stalled.head()

    assert 0 < offset <= size // 2
    assert (farewell.status, farewell.headers["Connection"].lower()) == (503, "close")
    assert (await tus.patch(url, offset, content[offset:])).status == 204
    assert await tus.download(url) == content


async def test_t22_the_connection_that_was_taken_over_closes(tus: Tus) -> None:
    """The holder answers 503 on its dying connection and leaves. [T22, T32, design 2.3]"""
    url = await tus.create(1000)

    async with stalled_patch(tus, url, 0, 1000, b"x" * 400) as stalled:
        await tus.head(url)
        [farewell] = parse(await stalled.rest(within=3))

    assert farewell.status == 503
    assert farewell.headers["Tus-Resumable"] == "1.0.0"


async def test_t22_head_takes_over_a_patch_that_sent_nothing(tus: Tus) -> None:
    """The newcomer goes on within a second; HEAD does the same. [T22, design 2.3]"""
    url = await tus.create(1000)

    async with begun_patch(tus, url, 0, 1000):
        async with asyncio.timeout(1):
            offset = await tus.offset(url)

    assert offset == 0


async def test_t22_head_takes_over_a_chunked_patch(tus: Tus) -> None:
    """HEAD while a PATCH is in flight: the returned offset must be usable in a following
    PATCH. [T22]"""
    url = await tus.create(10)
    headers = {"Content-Length": None, "Transfer-Encoding": "chunked"}

    async with begun_patch(tus, url, 0, 10, headers) as stalled:
        await stalled.send(b"5\r\nhello\r\n")
        async with asyncio.timeout(1):
            offset = await tus.offset(url)
    rest = b"helloworld"[offset:]

    assert 0 <= offset <= 5
    assert (await tus.patch(url, offset, pieces(rest))).status == 204
    assert await tus.download(url) == b"helloworld"


async def test_t22_many_heads_at_once(tus: Tus) -> None:
    """HEAD answers within 3 s. [T22, design 1.5]"""
    url = await tus.create(1000)

    async with stalled_patch(tus, url, 0, 1000, b"x" * 400):
        async with asyncio.timeout(3):
            answers = await asyncio.gather(*(tus.head(url) for _ in range(20)))

    assert {answer.status for answer in answers} == {200}
    assert len({answer.headers["Upload-Offset"] for answer in answers}) == 1


async def test_t22_a_lock_that_stays_is_423(
    make_process: MakeProcess, http: aiohttp.ClientSession
) -> None:
    """HEAD answers within 3 s, and temporary trouble (lock not free) is a 423 with Retry-After
    there; never 429 or 5xx. PATCH and DELETE wait in vain, too. [T22, T37, design 1.5]"""
    frozen, other = await asyncio.gather(make_process(), make_process())
    url = await Tus(http=http, address=frozen.address).create(1000)
    tus = Tus(http=http, address=other.address)
    seen = tus.url(tus.path(url))
    assert frozen.process is not None

    async with stalled_patch(Tus(http=http, address=frozen.address), url, 0, 1000, b"x" * 400):
        frozen.process.send_signal(signal.SIGSTOP)
        try:
            answer, *others = await asyncio.gather(
                asyncio.wait_for(tus.head(seen), 3), tus.patch(seen, 0, b"x"), tus.delete(seen)
            )
        finally:
            frozen.process.send_signal(signal.SIGCONT)

    assert answer.status == 423
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "upload-offset" not in answer.words
    assert [other.status for other in others] == [423, 423]
    assert await tus.offset(seen) == 400


async def test_t22_head_of_a_storage_out_of_reach_is_423(tus: Tus) -> None:
    """Temporary trouble (storage unreachable) is a 423 with Retry-After there; never 429 or
    5xx. [T22, design 1.5]"""
    url = await tus.create(5)

    async with tus.address.store.out_of_reach(), asyncio.timeout(3):
        answer = await tus.head(url)

    assert answer.status == 423
    assert int(answer.headers["Retry-After"]) > 0
    assert "upload-offset" not in answer.words
    assert await tus.offset(url) == 0


async def test_t22_head_on_a_kept_connection(tus: Tus) -> None:
    """Several HEADs on one connection are answered one after another. [T22]"""
    url = await tus.create(5)
    request = tus.wire("HEAD", url, {})

    async with connected(tus.address) as connection:
        await connection.send(request * 3)
        answers = [await connection.head() for _ in range(3)]

    assert [answer.headers["Upload-Offset"] for answer in answers] == ["0", "0", "0"]
