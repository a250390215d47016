"""tus 1.0.0, Creation With Upload: the first bytes in the POST."""

import gzip

import pytest

from tests.conformance.tus.client import (
    OCTETS,
    Headers,
    Tus,
    broken_post,
    checksum,
    chunked,
    connected,
    content_of,
    metadata,
    pieces,
)
from tests.conformance.tus.conftest import MakeTus

BYTES = {"Content-Type": OCTETS}


async def test_t58_creation_with_upload_is_announced(tus: Tus) -> None:
    """If the Server supports this extension, it MUST add creation-with-upload to the Tus-Extension.
    Also, if the Server supports this extension, it MUST also support the creation
    extension. [T58]"""
    answer = await tus.send("OPTIONS", tus.address.files)

    assert {"creation", "creation-with-upload"} <= set(answer.headers["Tus-Extension"].split(","))


async def test_t59_the_first_bytes_come_with_the_post(tus: Tus) -> None:
    """The Server SHOULD accept as many bytes as possible and MUST include the Upload-Offset header
    in the response and MUST set its value to the offset of the upload after applying the accepted
    bytes. [T59]"""
    answer = await tus.post({"Upload-Length": "10", **BYTES}, b"hello")
    url = tus.url(answer.headers["Location"])

    offset = await tus.offset(url)

    assert (answer.status, answer.headers["Upload-Offset"]) == (201, "5")
    assert offset == 5
    assert (await tus.patch(url, 5, b"world")).status == 204
    assert await tus.download(url) == b"helloworld"


@pytest.mark.parametrize("size", [5, 6 * 2**20], ids=["small", "large"])
async def test_t60_all_bytes_come_with_the_post(tus: Tus, size: int) -> None:
    """The Client MAY include either the entirety or a chunk of the upload data in the body of the
    POST request. [T60]"""
    content = content_of(size)
    headers = {"Upload-Length": str(size), **BYTES, **metadata(filename="a.bin")}

    answer = await tus.post(headers, content)

    url = tus.url(answer.headers["Location"])
    assert (answer.status, answer.headers["Upload-Offset"]) == (201, str(size))
    assert await tus.download(url) == content
    assert await tus.listed() == [
        tus.address.location("42", url.rpartition("/")[2], "a.bin"),
    ]


async def test_t61_bytes_need_their_media_type(tus: Tus) -> None:
    """The Client MUST include the Content-Type: application/offset+octet-stream header. [T61]"""
    answer = await tus.post({"Upload-Length": "5", "Content-Type": None}, pieces(b"hello"))

    assert answer.status == 415
    assert "location" not in answer.words


@pytest.mark.parametrize("body", [b"", None], ids=["empty", "none"])
async def test_t62_no_bytes_with_the_post(tus: Tus, body: bytes | None) -> None:
    """The Server MUST include the Upload-Offset header in the response, also for an empty
    body. [T62]"""
    answer = await tus.post({"Upload-Length": "5", **BYTES}, body)

    assert (answer.status, answer.headers["Upload-Offset"]) == (201, "0")


async def test_t63_a_post_that_broke_off_is_no_file(tus: Tus) -> None:
    """Disconnect mid-body → the client has no URL; the upload must not be marked
    complete. [T63]"""
    headers = {"Upload-Length": "10", "Content-Length": "10", **BYTES}

    async with connected(tus.address) as connection:
        await connection.send(tus.wire("POST", tus.address.files, headers) + b"hello")
        await connection.hang_up()

    assert await tus.address.finished() == {}
    assert await tus.listed() == []


async def test_t63_a_chunked_post_that_broke_off_is_no_file(tus: Tus) -> None:
    """Disconnect mid-body → the upload must not be marked complete. [T63]"""
    headers = {"Upload-Defer-Length": "1", "Transfer-Encoding": "chunked", **BYTES}

    async with connected(tus.address) as connection:
        await connection.send(tus.wire("POST", tus.address.files, headers) + b"5\r\nhello\r\n")
        await connection.hang_up()

    assert await tus.address.finished() == {}


@pytest.mark.parametrize("size", [5, 11 * 2**20], ids=["small", "large"])
@pytest.mark.parametrize("is_told", [True, False], ids=["told", "deferred"])
async def test_t63_a_post_that_broke_off_leaves_nothing(
    make_tus: MakeTus, size: int, is_told: bool
) -> None:
    """Disconnect mid-body → client has no URL: nothing is kept of what came, and the next POST of
    the client creates an upload. [T63]"""
    tus = await make_tus(S3_PART_SIZE="5MiB")
    content = content_of(size)
    length = {"Upload-Length": str(size + 1)} if is_told else {"Upload-Defer-Length": "1"}
    headers = {**length, **BYTES}
    before = await tus.address.store.everything()

    answer = await broken_post(tus, headers, content)

    assert answer.status == 400
    assert "location" not in answer.words
    assert await tus.address.store.everything() == before
    assert (await tus.post({**length, **BYTES}, content)).headers["Upload-Offset"] == str(size)


async def test_t64_a_body_beyond_the_length_is_refused(tus: Tus) -> None:
    """413 beyond length or limit. [T64, design 1.5]"""
    answer = await tus.post({"Upload-Length": "5", **BYTES}, b"hello!")

    assert answer.status == 413
    assert "location" not in answer.words
    assert await tus.address.finished() == {}


async def test_t64_a_chunked_body_beyond_the_length_is_refused(tus: Tus) -> None:
    """413 beyond length or limit; surplus bytes are never stored. [T64, design 1.5]"""
    headers = {"Upload-Length": "5", "Transfer-Encoding": "chunked", **BYTES}

    answers = await tus.raw(
        "POST", tus.address.files, headers, body=chunked(b"hello", b"!" * 2**20)
    )

    assert [answer.status for answer in answers] == [413]
    assert await tus.address.size() < 2**19
    assert set(await tus.address.contents()) <= {b"hello"}


async def test_t64_a_wrong_checksum_creates_nothing(tus: Tus) -> None:
    """The uploaded chunk MUST be discarded: with no Location the client could not come back, so
    nothing is created. [T64, T75]"""
    headers = {"Upload-Length": "5", **BYTES, **checksum("sha1", b"other")}
    await tus.create(5)
    before = await tus.address.size()

    answer = await tus.post(headers, b"hello")

    assert answer.status == 460
    assert "location" not in answer.words
    assert await tus.address.size() == before


async def test_t64_a_right_checksum_counts(tus: Tus) -> None:
    """In this case, similar rules as for the PATCH request and response apply. [T64, T79]"""
    headers = {"Upload-Length": "5", **BYTES, **checksum("sha1", b"hello")}

    answer = await tus.post(headers, b"hello")

    assert (answer.status, answer.headers["Upload-Offset"]) == (201, "5")


async def test_t65_expect_is_answered_once_the_headers_are_accepted(tus: Tus) -> None:
    """`Expect: 100-continue` → 100 then 201. [T65]"""
    headers = {
        "Upload-Length": "5",
        "Content-Length": "5",
        "Expect": "100-continue",
        **BYTES,
    }

    async with connected(tus.address) as connection:
        await connection.send(tus.wire("POST", tus.address.files, headers))
        interim = await connection.head()
        await connection.send(b"hello")
        final = await connection.head()

    assert (interim.status, final.status) == (100, 201)
    assert final.headers["Upload-Offset"] == "5"


REFUSED: dict[str, tuple[int, Headers]] = {
    "400": (400, {"Upload-Length": "x"}),
    "400 metadata": (400, {"Upload-Metadata": "k !!!"}),
    "400 checksum": (400, {"Upload-Checksum": "foo YQ=="}),
    "401": (401, {"Authorization": None}),
    "412": (412, {"Tus-Resumable": "0.2.2"}),
    "413 limit": (413, {"Upload-Length": "1001"}),
    "413 length": (413, {"Content-Length": "6"}),
    "413 deferred": (
        413,
        {"Upload-Length": None, "Upload-Defer-Length": "1", "Content-Length": "1001"},
    ),
    "415": (415, {"Content-Type": "text/plain"}),
}


@pytest.mark.decided_early
@pytest.mark.parametrize(("status", "headers"), REFUSED.values(), ids=REFUSED)
async def test_t65_expect_is_not_answered_when_the_headers_are_refused(
    make_tus: MakeTus, status: int, headers: Headers
) -> None:
    """A final 4xx **without** 100 when headers already prove failure. [T65]"""
    tus = await make_tus(MAX_UPLOAD_SIZE="1000")
    own = {"Upload-Length": "5", "Content-Length": "5", "Expect": "100-continue", **BYTES}

    answers = await tus.raw("POST", tus.address.files, {**own, **headers})

    assert [answer.status for answer in answers] == [status]
    assert "location" not in answers[0].words


async def test_t66_a_deferred_length_with_the_first_bytes(tus: Tus) -> None:
    """With `Upload-Defer-Length: 1` + body → 201 + Upload-Offset; not complete. [T66]"""
    answer = await tus.post({"Upload-Defer-Length": "1", **BYTES}, b"hello")

    url = tus.url(answer.headers["Location"])
    assert (answer.status, answer.headers["Upload-Offset"]) == (201, "5")
    assert (await tus.head(url)).headers["Upload-Defer-Length"] == "1"
    assert await tus.address.finished() == {}
    assert (await tus.patch(url, 5, b"", {"Upload-Length": "5"})).status == 204
    assert await tus.download(url) == b"hello"


@pytest.mark.parametrize("size", [11, 3 * 2**20], ids=["small", "large"])
async def test_t36_a_chunked_post(tus: Tus, size: int) -> None:
    """Chunked transfer-encoding (no Content-Length) is accepted for POST. [T36]"""
    content = content_of(size)

    answer = await tus.post({"Upload-Length": str(size), **BYTES}, pieces(content[:5], content[5:]))

    assert (answer.status, answer.headers["Upload-Offset"]) == (201, str(size))
    assert await tus.download(tus.url(answer.headers["Location"])) == content


async def test_t36_an_empty_chunked_post(tus: Tus) -> None:
    """Chunked transfer-encoding is accepted for POST, also with nothing in it. [T36, T62]"""
    headers = {"Upload-Length": "5", "Transfer-Encoding": "chunked", **BYTES}

    answers = await tus.raw("POST", tus.address.files, headers, body=chunked())

    assert [answer.status for answer in answers] == [201]
    assert answers[0].headers["Upload-Offset"] == "0"


async def test_t39_content_encoding_of_a_post_is_stored_as_sent(tus: Tus) -> None:
    """Content-Encoding on a body: stored as sent. [T39, design 1.8]"""
    content = gzip.compress(b"hello" * 1000)
    headers = {"Upload-Length": str(len(content)), "Content-Encoding": "gzip", **BYTES}

    answer = await tus.post(headers, content)

    assert answer.headers["Upload-Offset"] == str(len(content))
    assert await tus.download(tus.url(answer.headers["Location"])) == content


async def test_t49_the_limit_holds_for_a_chunked_post_without_a_length(make_tus: MakeTus) -> None:
    """MAX_UPLOAD_SIZE: on every face, also for deferred length and chunked bodies. [T49, T64,
    design 1.3]"""
    tus = await make_tus(MAX_UPLOAD_SIZE="10")
    headers = {"Upload-Defer-Length": "1", "Transfer-Encoding": "chunked", **BYTES}

    before = await tus.address.store.everything()

    answers = await tus.raw("POST", tus.address.files, headers, body=chunked(b"x" * 10, b"!"))

    assert [answer.status for answer in answers] == [413]
    assert await tus.address.store.everything() == before


async def test_t68_the_post_tells_when_the_upload_expires(tus: Tus) -> None:
    """If the expiration is known at the creation, the Upload-Expires header MUST be included in the
    response to the initial POST request. [T68]"""
    unfinished = await tus.post({"Upload-Length": "10", **BYTES}, b"hello")
    complete = await tus.post({"Upload-Length": "5", **BYTES}, b"hello")

    assert "upload-expires" in unfinished.words
    assert "upload-expires" not in complete.words
