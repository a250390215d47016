"""tus 1.0.0, Checksum: a body is stored as a whole and verified, or not at all."""

import asyncio
import hashlib

import pytest

from tests.conformance.tus.client import (
    OCTETS,
    Tus,
    base64_of,
    begun_patch,
    checksum,
    chunked,
    content_of,
)

ALGORITHMS = ["sha1", "sha256", "sha512", "md5", "crc32"]
HELLO_WORLD = "Kq5sNclPz7QV2+lfQIuc6R7oRu0="
SHA1 = hashlib.sha1(b"hello", usedforsecurity=False).digest()


async def test_t73_the_algorithms_are_announced(tus: Tus) -> None:
    """If supported, the Server MUST add checksum to the Tus-Extension header. The
    Tus-Checksum-Algorithm header MUST be included in the response to an OPTIONS request. The Server
    MUST support at least the SHA1 checksum algorithm identified by sha1. The names MUST only
    consist of ASCII characters with the modification that uppercase characters are excluded. [T73,
    T81, design 1.5]"""
    answer = await tus.send("OPTIONS", tus.address.files)

    line = answer.headers["Tus-Checksum-Algorithm"]
    assert "checksum" in answer.headers["Tus-Extension"].split(",")
    assert {name.strip() for name in line.split(",")} == set(ALGORITHMS)
    assert line.isascii()
    assert line == line.lower()


async def test_t74_a_right_checksum(tus: Tus) -> None:
    """Once the entire request has been received, the Server MUST verify the uploaded chunk against
    the provided checksum using the specified algorithm: 204 No Content if the checksums match and
    the processing of the data succeeded. [T74]"""
    url = await tus.create(11)

    answer = await tus.patch(url, 0, b"hello world", {"Upload-Checksum": f"sha1 {HELLO_WORLD}"})

    assert (answer.status, answer.headers["Upload-Offset"]) == (204, "11")
    assert await tus.download(url) == b"hello world"


@pytest.mark.parametrize("size", [5, 3 * 2**20], ids=["small", "large"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_t81_every_algorithm_verifies(tus: Tus, algorithm: str, size: int) -> None:
    """Algorithm names are server choice; crc32: 4 bytes big-endian, then Base64. [T74, T81]"""
    content = content_of(size)
    url = await tus.create(size)
    await tus.patch(url, 0, content[:3])

    answer = await tus.patch(url, 3, content[3:], checksum(algorithm, content[3:]))

    assert (answer.status, answer.headers["Upload-Offset"]) == (204, str(size))
    assert await tus.download(url) == content


@pytest.mark.parametrize("size", [1000, 3 * 2**20], ids=["small", "large"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_t75_a_wrong_checksum_discards_the_chunk(tus: Tus, algorithm: str, size: int) -> None:
    """460 Checksum Mismatch if the checksums mismatch. In the first two cases the uploaded chunk
    MUST be discarded, and the upload and its offset MUST NOT be updated. [T75]"""
    content = content_of(size)
    url = await tus.create(size)
    await tus.patch(url, 0, content[:100])

    answer = await tus.patch(url, 100, b"x" * 500, checksum(algorithm, b"other"))

    assert (answer.status, answer.reason) == (460, "Checksum Mismatch")
    assert await tus.offset(url) == 100
    again = await tus.patch(url, 100, content[100:], checksum(algorithm, content[100:]))
    assert again.status == 204
    assert await tus.download(url) == content


async def test_t75_a_wrong_checksum_of_a_large_chunk_leaves_nothing_behind(tus: Tus) -> None:
    """The uploaded chunk MUST be discarded: a shorter retry leaves none of its bytes. [T75]"""
    url = await tus.create(5)
    large = await tus.create(6 * 2**20)

    wrong = await tus.patch(large, 0, b"x" * (6 * 2**20), checksum("sha1", b"other"))
    small = await tus.patch(url, 0, b"xxxxx", checksum("sha1", b"other"))

    assert (wrong.status, small.status) == (460, 460)
    assert await tus.address.finished() == {}
    assert (await tus.offset(large), await tus.offset(url)) == (0, 0)
    content = content_of(6 * 2**20)
    await tus.patch(large, 0, content[:10])
    await tus.patch(large, 10, content[10:])
    assert await tus.download(large) == content


async def test_t75_a_wrong_checksum_does_not_complete(tus: Tus) -> None:
    """The upload and its offset MUST NOT be updated: the last chunk does not make a file. [T75]"""
    url = await tus.create(10)
    await tus.patch(url, 0, b"hello")

    answer = await tus.patch(url, 5, b"world", checksum("sha256", b"other"))

    assert answer.status == 460
    assert await tus.address.finished() == {}
    assert await tus.listed() == []


async def test_t75_a_wrong_checksum_does_not_set_the_length(tus: Tus) -> None:
    """The upload and its offset MUST NOT be updated. [T75, design 2.4]"""
    url = await tus.create(None)

    answer = await tus.patch(url, 0, b"hello", {"Upload-Length": "5", **checksum("sha1", b"other")})

    assert answer.status == 460
    assert (await tus.head(url)).headers["Upload-Defer-Length"] == "1"


async def test_t76_an_unknown_algorithm_discards_the_chunk(tus: Tus) -> None:
    """400 Bad Request if the checksum algorithm is not supported by the server. In the first two
    cases the uploaded chunk MUST be discarded, and the upload and its offset MUST NOT be
    updated. [T76]"""
    url = await tus.create(5)

    answer = await tus.patch(url, 0, b"hello", {"Upload-Checksum": f"foo {base64_of(SHA1)}"})

    assert answer.status == 400
    assert await tus.offset(url) == 0


@pytest.mark.decided_early
@pytest.mark.parametrize(
    "value",
    [
        "",
        "sha1",
        "sha1 ",
        "sha1 !!!",
        "sha1 YQ==",
        f"sha1  {base64_of(SHA1)}",
        f"SHA1 {base64_of(SHA1)}",
        f"sha1 {base64_of(SHA1)} x",
        f"sha1 {base64_of(SHA1)[:-1]}",
        f"sha1 {SHA1.hex()}",
        f"sha1,{base64_of(SHA1)}",
        f"sha256 {base64_of(SHA1)}",
        base64_of(SHA1),
        "\u00e9 YQ==",
    ],
)
async def test_t77_a_malformed_checksum_is_refused(tus: Tus, value: str) -> None:
    """The header MUST consist of the name of the used checksum algorithm and the Base64 encoded
    checksum separated by a space. [T77]"""
    url = await tus.create(5)

    answer = await tus.patch(url, 0, b"hello", {"Upload-Checksum": value})

    assert answer.status == 400
    assert await tus.offset(url) == 0


async def test_t77_two_checksums_are_refused(tus: Tus) -> None:
    """The Upload-Checksum request header contains information about the checksum of the current
    body payload: two of them are none. [T77]"""
    url = await tus.create(5)
    headers = {
        "Content-Type": OCTETS,
        "Content-Length": "5",
        "Upload-Offset": "0",
        **checksum("sha1", b"hello"),
    }

    answers = await tus.raw(
        "PATCH", url, headers, *checksum("md5", b"other").items(), body=b"hello"
    )

    assert [answer.status for answer in answers] == [400]
    assert await tus.offset(url) == 0


@pytest.mark.parametrize("size", [1000, 6 * 2**20], ids=["small", "large"])
async def test_t78_a_chunk_that_broke_off_is_discarded(tus: Tus, size: int) -> None:
    """Once the entire request has been received, the Server MUST verify the uploaded chunk: what
    cannot be verified is discarded. [T78]"""
    content = content_of(size)
    url = await tus.create(size)
    await tus.patch(url, 0, content[:100])
    claimed = checksum("sha1", content[100:])

    async with begun_patch(tus, url, 100, size - 100, claimed) as connection:
        await connection.send(content[100 : size // 2])
        await connection.hang_up()
    offset = await tus.offset(url)

    assert offset == 100
    assert (await tus.patch(url, 100, content[100:], claimed)).status == 204
    assert await tus.download(url) == content


async def test_t78_head_does_not_count_unverified_bytes(tus: Tus) -> None:
    """The uploaded chunk MUST be discarded: HEAD in the middle must not show unverified
    bytes. [T78, T22]"""
    content = content_of(1000)
    url = await tus.create(1000)
    claimed = checksum("sha1", content)

    async with begun_patch(tus, url, 0, 1000, claimed) as connection:
        await connection.send(content[:400])
        async with asyncio.timeout(1):
            offset = await tus.offset(url)

    assert offset == 0
    assert (await tus.patch(url, 0, content, claimed)).status == 204
    assert await tus.download(url) == content


async def test_t79_the_checksum_of_nothing(tus: Tus) -> None:
    """Empty body with the checksum of the empty string → 204. [T79]"""
    url = await tus.create(5)

    right = await tus.patch(url, 0, b"", checksum("sha1", b""))
    wrong = await tus.patch(url, 0, b"", checksum("sha1", b"hello"))

    assert (right.status, right.headers["Upload-Offset"]) == (204, "0")
    assert wrong.status == 460


@pytest.mark.parametrize("claimed", [b"hello", b"other"])
async def test_t79_the_checksum_of_a_chunked_body(tus: Tus, claimed: bytes) -> None:
    """Once the entire request has been received, the Server MUST verify the uploaded
    chunk. [T74, T75, T79, T36]"""
    url = await tus.create(5)
    headers = {
        "Content-Type": OCTETS,
        "Upload-Offset": "0",
        "Transfer-Encoding": "chunked",
        **checksum("sha256", claimed),
    }

    answers = await tus.raw("PATCH", url, headers, body=chunked(b"hel", b"lo"))

    is_right = claimed == b"hello"
    assert [answer.status for answer in answers] == [204 if is_right else 460]
    assert await tus.offset(url) == (5 if is_right else 0)


async def test_t79_a_chunked_body_beyond_the_length_is_not_verified_in_part(tus: Tus) -> None:
    """413 beyond length or limit; nothing of an unverified chunk is stored. [T33, T75, T79]"""
    url = await tus.create(5)
    headers = {
        "Content-Type": OCTETS,
        "Upload-Offset": "0",
        "Transfer-Encoding": "chunked",
        **checksum("sha1", b"hello!"),
    }

    answers = await tus.raw("PATCH", url, headers, body=chunked(b"hello", b"!"))

    assert [answer.status for answer in answers] == [413]
    assert await tus.offset(url) == 0


async def test_t80_checksum_trailer_is_not_announced(tus: Tus) -> None:
    """If the Server can handle trailers, this behavior MUST be announced by adding checksum-trailer
    to the Tus-Extension header. It is not offered. [T80, design 1.5]"""
    answer = await tus.send("OPTIONS", tus.address.files)

    assert "checksum-trailer" not in answer.headers["Tus-Extension"].split(",")


async def test_t80_a_checksum_in_a_trailer_protects_nothing(tus: Tus) -> None:
    """A request with `Trailer: Upload-Checksum` is refused with 400: the client believes it is
    protected. [T80]"""
    url = await tus.create(5)
    headers = {
        "Content-Type": OCTETS,
        "Upload-Offset": "0",
        "Transfer-Encoding": "chunked",
        "Trailer": "Upload-Checksum",
    }
    trailer = f"Upload-Checksum: sha1 {base64_of(SHA1)}\r\n\r\n".encode()

    answers = await tus.raw("PATCH", url, headers, body=b"5\r\nhello\r\n0\r\n" + trailer)

    assert [answer.status for answer in answers] == [400]
    assert await tus.offset(url) == 0


async def test_t75_a_discarded_chunk_leaves_the_disk(tus: Tus) -> None:
    """The uploaded chunk MUST be discarded. [T75]"""
    url = await tus.create(2**20)

    answer = await tus.patch(url, 0, b"\xa5" * 2**19, checksum("md5", b"other"))

    assert answer.status == 460
    assert await tus.address.holding(b"\xa5" * 1024) == []
