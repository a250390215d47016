"""GET of an upload: its content, whole or in ranges (design 1.5; RFC 9110; RFC 6266)."""

import asyncio
import email
import re

import pytest
from aiohttp.multipart import content_disposition_filename, parse_content_disposition

from tests.conformance.tus.client import (
    Answer,
    Tus,
    base64_of,
    begun_patch,
    connected,
    content_of,
    metadata,
    stalled_patch,
)

TEXT = b"0123456789"
HEADER_VALUE = re.compile(r"[\x20-\x7e]*")


def filename_of(answer: Answer) -> str | None:
    """The name that a client gives the file."""
    _, parameters = parse_content_disposition(answer.headers["Content-Disposition"])
    return content_disposition_filename(parameters)


async def test_t23_get_of_a_complete_upload(tus: Tus) -> None:
    """`GET /files/<id>` downloads a complete upload. [T23, design 1.5]"""
    url = await tus.upload(TEXT, metadata(filename="a.txt", filetype="text/plain"))

    answer = await tus.get(url)

    assert (answer.status, answer.body) == (200, TEXT)
    assert answer.headers["Content-Length"] == "10"
    assert answer.headers["Content-Type"].partition(";")[0] == "text/plain"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert filename_of(answer) == "a.txt"
    assert answer.headers["ETag"].startswith('"')


@pytest.mark.parametrize("length", [10, None])
async def test_t23_get_of_an_unfinished_upload_gives_no_bytes(tus: Tus, length: int | None) -> None:
    """GET must not leak upload content by accident. [T23]"""
    url = await tus.create(length)
    await tus.patch(url, 0, TEXT[:5])

    answer = await tus.get(url)
    part = await tus.get(url, {"Range": "bytes=0-1"})

    assert 400 <= answer.status < 500
    assert 400 <= part.status < 500
    assert TEXT[:5] not in answer.body


async def test_get_of_a_large_upload(tus: Tus) -> None:
    """`GET /files/<id>` downloads a complete upload. [T23, design 1.5]"""
    content = content_of(9 * 2**20 + 1)
    url = await tus.upload(content)

    whole = await tus.get(url)
    part = await tus.get(url, {"Range": "bytes=3000001-7000000"})

    assert whole.body == content
    assert part.body == content[3000001:7000001]


@pytest.mark.parametrize(
    ("ranges", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-4", 0, 5),
        ("bytes=5-", 5, 10),
        ("bytes=9-9", 9, 10),
        ("bytes=-3", 7, 10),
        ("bytes=-99", 0, 10),
        ("bytes=0-99", 0, 10),
        ("bytes=2-999999999999999999", 2, 10),
        ("Bytes=0-4", 0, 5),
    ],
)
async def test_get_of_a_range(tus: Tus, ranges: str, start: int, stop: int) -> None:
    """206 Partial Content with a Content-Range that describes what range of the selected
    representation is enclosed (RFC 9110 section 15.3.7). [design 1.5]"""
    url = await tus.upload(TEXT)

    answer = await tus.get(url, {"Range": ranges})

    assert (answer.status, answer.body) == (206, TEXT[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/10"
    assert answer.headers["Content-Length"] == str(stop - start)
    assert "etag" in answer.words
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.decided_early
@pytest.mark.parametrize("ranges", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99-"])
async def test_get_of_a_range_beyond_the_end(tus: Tus, ranges: str) -> None:
    """416 Range Not Satisfiable; SHOULD generate a Content-Range header field specifying the
    current length (RFC 9110 section 15.5.17). [design 1.5]"""
    url = await tus.upload(TEXT)

    answer = await tus.get(url, {"Range": ranges})

    assert answer.status == 416
    assert answer.headers["Content-Range"] == "bytes */10"


@pytest.mark.decided_early
@pytest.mark.parametrize(
    "ranges",
    [
        "bytes=5-2",
        "bytes=a-b",
        "bytes=",
        "bytes=-",
        "bytes",
        "bytes=1",
        "bytes=+1-2",
        "bytes=1_0-2",
        "bytes=\u0661-2",
        "bytes=0-1-2",
        "",
        "9" * 400,
    ],
)
async def test_get_of_a_malformed_range(tus: Tus, ranges: str) -> None:
    """A server that supports range requests MAY ignore or reject a Range header field that contains
    an invalid ranges-specifier (RFC 9110 section 14.2). [design 1.5]"""
    url = await tus.upload(TEXT)

    answer = await tus.get(url, {"Range": ranges})

    assert answer.status in {200, 400, 416}
    assert answer.status != 200 or answer.body == TEXT


async def test_get_of_a_range_with_a_huge_end(tus: Tus) -> None:
    """A recipient MUST anticipate potentially large decimal numerals and prevent parsing errors due
    to integer conversion overflows (RFC 9110 section 14.1.2). [design 1.5]"""
    url = await tus.upload(TEXT)

    answer = await tus.get(url, {"Range": f"bytes=2-{'9' * 40}"})

    assert (answer.status, answer.body) in {(206, TEXT[2:]), (200, TEXT)}


async def test_get_of_a_range_of_an_unknown_unit(tus: Tus) -> None:
    """An origin server MUST ignore a Range header field that contains a range unit it does not
    understand (RFC 9110 section 14.2). [design 1.5]"""
    url = await tus.upload(TEXT)

    answer = await tus.get(url, {"Range": "lines=0-1"})

    assert (answer.status, answer.body) == (200, TEXT)


@pytest.mark.parametrize("ranges", ["bytes=0-1,4-5", "bytes=0-1, 4-5", "bytes=0-1,4-5,-1"])
async def test_get_of_several_ranges(tus: Tus, ranges: str) -> None:
    """Several ranges: multipart/byteranges with all of them, the whole (RFC 9110 section 14.2: MAY
    ignore), or 416. [design 1.5]"""
    url = await tus.upload(TEXT)

    answer = await tus.get(url, {"Range": ranges})

    assert answer.status in {200, 206, 416}
    if answer.status == 200:
        assert answer.body == TEXT
    if answer.status == 206:
        head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + answer.body)
        parts = [part.get_payload() for part in message.walk() if not part.is_multipart()]
        assert parts[:2] == ["01", "45"]


async def test_get_of_very_many_ranges(tus: Tus) -> None:
    """A server ought to ignore, coalesce, or reject egregious range requests (RFC 9110 section
    17.15). [design 1.5]"""
    url = await tus.upload(TEXT)

    answer = await tus.get(url, {"Range": "bytes=" + ",".join(["0-9"] * 1000)})

    assert answer.status in {200, 206, 400, 416}
    assert len(answer.body) <= 20 * len(TEXT)


async def test_if_range_of_the_same_file(tus: Tus) -> None:
    """If the representation is unchanged, send me the part(s) that I am requesting in Range (RFC
    9110 section 13.1.5). [design 1.5]"""
    url = await tus.upload(TEXT)
    etag = (await tus.get(url)).headers["ETag"]

    answer = await tus.get(url, {"Range": "bytes=0-4", "If-Range": etag})

    assert (answer.status, answer.body) == (206, TEXT[:5])


@pytest.mark.parametrize(
    "validator",
    ['"other"', "W/{etag}", "Wed, 25 Jun 2014 16:00:00 GMT", "nonsense", '"'],
)
async def test_if_range_of_another_file(tus: Tus, validator: str) -> None:
    """Otherwise, send me the entire representation (RFC 9110 section 13.1.5). A client MUST NOT
    generate an If-Range header field containing an entity tag that is marked as weak. [design 1.5]
    """
    url = await tus.upload(TEXT)
    etag = (await tus.get(url)).headers["ETag"]

    answer = await tus.get(url, {"Range": "bytes=0-4", "If-Range": validator.format(etag=etag)})

    assert (answer.status, answer.body) == (200, TEXT)


@pytest.mark.parametrize("condition", ["{etag}", "W/{etag}", '"x", {etag}', "*", '"x",{etag},"y"'])
async def test_if_none_match_of_the_same_file(tus: Tus, condition: str) -> None:
    """The origin server MUST NOT perform the requested method if the condition evaluates to false;
    instead, it MUST respond with the 304 (Not Modified) status code (RFC 9110 section
    13.1.2). [design 1.5]"""
    url = await tus.upload(TEXT)
    etag = (await tus.get(url)).headers["ETag"]

    answer = await tus.get(url, {"If-None-Match": condition.format(etag=etag)})

    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["ETag"] == etag


@pytest.mark.parametrize("condition", ['"other"', 'W/"other"', "nonsense", ""])
async def test_if_none_match_of_another_file(tus: Tus, condition: str) -> None:
    """If the field value is a list of entity tags, the condition is false if one of the listed tags
    matches the entity tag of the selected representation (RFC 9110 section 13.1.2). [design 1.5]
    """
    url = await tus.upload(TEXT)

    answer = await tus.get(url, {"If-None-Match": condition})

    assert (answer.status, answer.body) == (200, TEXT)


async def test_if_none_match_comes_before_range(tus: Tus) -> None:
    """If-None-Match is evaluated before Range (RFC 9110 section 13.2.2). [design 1.5]"""
    url = await tus.upload(TEXT)
    etag = (await tus.get(url)).headers["ETag"]

    answer = await tus.get(url, {"If-None-Match": etag, "Range": "bytes=0-4"})

    assert answer.status == 304


async def test_etag_stays_and_tells_files_apart(tus: Tus) -> None:
    """Two GETs of one upload have the same ETag, two uploads have different ones. [design 1.5]"""
    first, second = await tus.upload(TEXT), await tus.upload(TEXT)

    etags = [(await tus.get(url)).headers["ETag"] for url in (first, first, second)]

    assert etags[0] == etags[1]
    assert etags[0] != etags[2]


async def test_get_of_an_empty_file(tus: Tus) -> None:
    """An upload of 0 bytes is complete when it is created. [T51, design 1.5]"""
    url = await tus.create(0)

    whole = await tus.get(url)
    part = await tus.get(url, {"Range": "bytes=0-0"})

    assert (whole.status, whole.body, whole.headers["Content-Length"]) == (200, b"", "0")
    assert (part.status, part.headers["Content-Range"]) == (416, "bytes */0")


@pytest.mark.parametrize(
    "name",
    [
        "report.pdf",
        "with space.txt",
        "50%20off.txt",
        "%41.txt",
        'quo"te.txt',
        "semi;colon,comma=equals.txt",
        "it's (1) [2] {3}.txt",
        "\u041e\u0442\u0447\u0451\u0442.pdf",
        "\u65e5\u672c\u8a9e.txt",
        "na\u00efve.txt",
        "\U0001f600.png",
        "\u20ac rates.csv",
        "UTF-8''a.txt",
    ],
)
async def test_content_disposition_names_the_file(tus: Tus, name: str) -> None:
    """Content-Disposition (RFC 6266 with filename*). [design 1.5]"""
    url = await tus.upload(TEXT, metadata(filename=name))

    answer = await tus.get(url)

    assert HEADER_VALUE.fullmatch(answer.headers["Content-Disposition"])
    assert filename_of(answer) == name
    assert "filename*=UTF-8''" in answer.headers["Content-Disposition"] or name.isascii()


@pytest.mark.parametrize("filetype", ["text/html", "image/svg+xml", "application/xhtml+xml"])
async def test_a_page_is_not_shown(tus: Tus, filetype: str) -> None:
    """A file that can hold scripts is saved, not run at the server's origin. [design 1.5]"""
    url = await tus.upload(b"<script>", metadata(filename="a.html", filetype=filetype))

    answer = await tus.get(url)

    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "filetype",
    [
        b"",
        b"nonsense",
        b"text/html\r\nSet-Cookie: x=1",
        b"text/plain\x00",
        b"\xff\xfe",
        "text/\u00e9".encode(),
        b"a/" + b"b" * 5000,
        b'text/plain; charset="',
        b"text/html, text/plain",
    ],
)
async def test_a_hostile_filetype_reaches_no_header(tus: Tus, filetype: bytes) -> None:
    """Servers SHOULD carefully validate metadata values or sanitize them before using them as
    header values to avoid header smuggling. [T54]"""
    url = await tus.upload(TEXT, {"Upload-Metadata": f"filetype {base64_of(filetype)}".strip()})

    answer = await tus.get(url)

    assert (answer.status, answer.body) == (200, TEXT)
    assert "set-cookie" not in answer.words
    assert re.fullmatch(r"[\w.+-]+/[\w.+-]+(;[\x20-\x7e]+)?", answer.headers["Content-Type"])


async def test_head_of_a_complete_upload_is_an_answer_of_tus(tus: Tus) -> None:
    """The Server MUST always include the Upload-Offset header in the response for a HEAD request,
    even if the upload is already considered completed. [T16, T21]"""
    url = await tus.upload(TEXT)

    answer = await tus.head(url)

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Upload-Offset"] == answer.headers["Upload-Length"] == "10"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers.get("Content-Length", "0") in {"0", "10"}


@pytest.mark.parametrize("conditions", [{"Range": "bytes=0-1"}, {"If-None-Match": "*"}])
async def test_head_of_a_complete_upload_knows_no_conditions(
    tus: Tus, conditions: dict[str, str]
) -> None:
    """HEAD that is neither 2xx nor 423 throws an upload's progress away in tus-js-client. [T17,
    design 1.5]"""
    url = await tus.upload(TEXT)

    answer = await tus.head(url, conditions)

    assert (answer.status, answer.headers["Upload-Offset"]) == (200, "10")


async def test_get_is_never_under_a_lock(tus: Tus) -> None:
    """Parallel GETs blocked by a lock. [design 1.5, design 3.4]"""
    content = content_of(4 * 2**20)
    url = await tus.upload(content)

    async with connected(tus.address) as slow:
        await slow.send(tus.wire("GET", url, {}))
        await slow.head()
        async with asyncio.timeout(5):
            bodies = await asyncio.gather(*(tus.download(url) for _ in range(5)))

    assert all(body == content for body in bodies)


async def test_get_does_not_stop_a_running_patch(tus: Tus) -> None:
    """Reading never locks: a GET of an unfinished upload leaves its PATCH alone. [design 2.3]"""
    url = await tus.create(10)

    async with begun_patch(tus, url, 0, 10) as connection:
        await connection.send(b"01234")
        early = await tus.get(url)
        await connection.send(b"56789")
        answer = await connection.head()

    assert 400 <= early.status < 500
    assert answer.status == 204
    assert await tus.download(url) == TEXT


async def test_get_while_another_patch_is_stalled(tus: Tus) -> None:
    """One stalled upload freezing a whole worker. [design 3.4]"""
    url = await tus.upload(TEXT)
    other = await tus.create(1000)

    async with stalled_patch(tus, other, 0, 1000, b"x" * 400), asyncio.timeout(2):
        body = await tus.download(url)

    assert body == TEXT


async def test_a_client_that_leaves_in_a_download_harms_nobody(tus: Tus) -> None:
    """A GET that kills the process. [design 3.4]"""
    content = content_of(8 * 2**20)
    url = await tus.upload(content)

    for _ in range(3):
        async with connected(tus.address) as connection:
            await connection.send(tus.wire("GET", url, {}))
            await connection.head()
            connection.abort()

    assert await tus.download(url) == content
