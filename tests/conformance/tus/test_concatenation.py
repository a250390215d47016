"""tus 1.0.0, Concatenation."""

import asyncio
import time

import pytest

from tests.conformance.tus.client import (
    OCTETS,
    Tus,
    content_of,
    filenames,
    metadata,
)
from tests.conformance.tus.conftest import MakeTus
from tests.conformance.tus.scenes import unknown

PARTIAL = {"Upload-Concat": "partial"}


async def two_parts(tus: Tus) -> tuple[str, str]:
    """Two finished partial uploads: `hello` and `world!`."""
    return await tus.upload(b"hello", PARTIAL), await tus.upload(b"world!", PARTIAL)


def final_of(tus: Tus, *urls: str) -> dict[str, str]:
    """The Upload-Concat line that joins uploads."""
    return {"Upload-Concat": f"final;{' '.join(map(tus.path, urls))}"}


async def test_t88_concatenation_is_announced(tus: Tus) -> None:
    """If the Server supports this extension, it MUST add concatenation to the Tus-Extension
    header. [T88]"""
    answer = await tus.send("OPTIONS", tus.address.files)

    extensions = answer.headers["Tus-Extension"].split(",")
    assert "concatenation" in extensions
    assert "concatenation-unfinished" not in extensions


async def test_t89_a_partial_upload_is_an_upload(tus: Tus) -> None:
    """The response to a HEAD request for a partial upload MUST contain the Upload-Offset header.
    Response to a HEAD request against a partial or final upload MUST include the Upload-Concat
    header and its value as received in the upload creation request. [T89]"""
    url = await tus.create(5, PARTIAL)
    await tus.patch(url, 0, b"hel")

    answer = await tus.head(url)

    assert answer.headers["Upload-Concat"] == "partial"
    assert answer.headers["Upload-Offset"] == "3"
    assert answer.headers["Upload-Length"] == "5"


async def test_t89_a_partial_upload_is_no_file(tus: Tus) -> None:
    """The Server SHOULD NOT process these partial uploads until they are concatenated to form a
    final upload. [T89]"""
    url = await tus.upload(b"hello", {**PARTIAL, **metadata(filename="a.txt")})

    head = await tus.head(url)

    assert head.headers["Upload-Offset"] == head.headers["Upload-Length"] == "5"
    assert await tus.address.finished() == {}
    assert await tus.listed() == []


async def test_t89_a_partial_upload_with_its_bytes(tus: Tus) -> None:
    """It is constructed by including the Upload-Concat: partial header while creating a new upload
    using the Creation extension. [T89, T60]"""
    answer = await tus.post({"Upload-Length": "5", "Content-Type": OCTETS, **PARTIAL}, b"hello")

    assert (answer.status, answer.headers["Upload-Offset"]) == (201, "5")
    assert await tus.address.finished() == {}


async def test_t90_the_final_upload_is_the_parts_in_order(tus: Tus) -> None:
    """The partial uploads MUST be concatenated in the order specified in the list. After successful
    concatenation, the Upload-Offset and Upload-Length MUST be set and their values MUST be
    equal. [T90, T92]"""
    first, second = await two_parts(tus)

    forth = await tus.post(final_of(tus, first, second))
    back = await tus.post(final_of(tus, await tus.upload(b"b", PARTIAL), first))

    url = tus.url(forth.headers["Location"])
    head = await tus.head(url)
    assert (forth.status, back.status) == (201, 201)
    assert head.headers["Upload-Length"] == head.headers["Upload-Offset"] == "11"
    assert head.headers["Upload-Concat"] == final_of(tus, first, second)["Upload-Concat"]
    assert await tus.download(url) == b"helloworld!"
    assert await tus.download(tus.url(back.headers["Location"])) == b"bhello"


async def test_t90_the_final_upload_is_a_file(tus: Tus) -> None:
    """Once HEAD says offset == length the final file exists and is listed. [T90, design 1.8]"""
    parts = await two_parts(tus)

    answer = await tus.post({**final_of(tus, *parts), **metadata(filename="a.txt")})

    upload_id = answer.headers["Location"].rpartition("/")[2]
    assert await tus.address.file("42", upload_id, "a.txt") == b"helloworld!"
    assert await tus.listed() == [tus.address.location("42", upload_id, "a.txt")]


async def test_t90_one_part_is_enough(tus: Tus) -> None:
    """The value MUST be final followed by a semicolon and a space-separated list of the partial
    upload URLs that need to be concatenated. [T90]"""
    part = await tus.upload(b"hello", PARTIAL)

    answer = await tus.post(final_of(tus, part))

    assert await tus.download(tus.url(answer.headers["Location"])) == b"hello"


async def test_t90_empty_parts_count_nothing(tus: Tus) -> None:
    """The length of the final upload MUST be the sum of the length of all partial
    uploads. [T90, T92, T51]"""
    first, second = await two_parts(tus)
    empty = await tus.create(0, PARTIAL)

    answer = await tus.post(final_of(tus, empty, first, empty, second))
    nothing = await tus.post(final_of(tus, empty))

    assert await tus.download(tus.url(answer.headers["Location"])) == b"helloworld!"
    assert await tus.download(tus.url(nothing.headers["Location"])) == b""


async def test_t91_a_final_upload_has_no_length_of_its_own(tus: Tus) -> None:
    """The Client MUST NOT include the Upload-Length header in the final upload creation. [T91]"""
    parts = await two_parts(tus)

    answer = await tus.post({**final_of(tus, *parts), "Upload-Length": "11"})

    assert answer.status == 400
    assert "location" not in answer.words
    assert await tus.address.finished() == {}


async def test_t91_a_final_upload_has_no_deferred_length(tus: Tus) -> None:
    """The length of the final upload MUST be the sum of the length of all partial
    uploads. [T91]"""
    parts = await two_parts(tus)

    answer = await tus.post({**final_of(tus, *parts), "Upload-Defer-Length": "1"})

    assert answer.status == 400


@pytest.mark.parametrize(("offset", "body"), [(11, b""), (11, b"x"), (0, b"x"), (5, b"")])
async def test_t93_a_final_upload_is_not_patched(tus: Tus, offset: int, body: bytes) -> None:
    """The Server MUST respond with the 403 Forbidden status to PATCH requests against a final
    upload URL and MUST NOT modify the final or its partial uploads. [T93]"""
    first, second = await two_parts(tus)
    created = await tus.post(final_of(tus, first, second))
    url = tus.url(created.headers["Location"])

    answer = await tus.patch(url, offset, body)

    assert answer.status == 403
    assert await tus.download(url) == b"helloworld!"


async def test_t94_metadata_of_parts_is_not_inherited(tus: Tus) -> None:
    """When creating a new final upload the partial uploads' metadata SHALL NOT be transferred to
    the new final upload. [T94]"""
    part = await tus.upload(b"hello", {**PARTIAL, **metadata(filename="part.txt")})

    answer = await tus.post(final_of(tus, part))

    head = await tus.head(tus.url(answer.headers["Location"]))
    assert "upload-metadata" not in head.words
    assert filenames(await tus.address.finished()) != ["part.txt"]


async def test_t94_metadata_of_the_final_upload_counts(tus: Tus) -> None:
    """All metadata SHOULD be included in the concatenation request using the Upload-Metadata
    header. [T94]"""
    part = await tus.upload(b"hello", {**PARTIAL, **metadata(filename="part.txt")})
    whole = metadata(filename="whole.txt")

    answer = await tus.post({**final_of(tus, part), **whole})

    head = await tus.head(tus.url(answer.headers["Location"]))
    assert head.headers["Upload-Metadata"] == whole["Upload-Metadata"]
    assert filenames(await tus.address.finished()) == ["whole.txt"]


async def test_t95_a_part_may_appear_twice(tus: Tus) -> None:
    """They MAY however be used multiple times to form a final resource. [T95]"""
    first, second = await two_parts(tus)

    answer = await tus.post(final_of(tus, first, second, first))

    assert answer.status == 201
    assert await tus.download(tus.url(answer.headers["Location"])) == b"helloworld!hello"


async def test_t95_a_part_may_be_used_again(tus: Tus) -> None:
    """They MAY however be used multiple times to form a final resource. [T95, T100]"""
    first, second = await two_parts(tus)
    await tus.post(final_of(tus, first, second))

    answer = await tus.post(final_of(tus, second, first))

    assert answer.status == 201
    assert await tus.download(tus.url(answer.headers["Location"])) == b"world!hello"


async def test_t96_parts_by_absolute_url(tus: Tus) -> None:
    """A space-separated list of the partial upload URLs: absolute or relative. [T96]"""
    first, second = await two_parts(tus)
    value = f"final;{first} {tus.path(second)}"

    answer = await tus.post({"Upload-Concat": value})

    url = tus.url(answer.headers["Location"])
    assert answer.status == 201
    assert await tus.download(url) == b"helloworld!"
    assert (await tus.head(url)).headers["Upload-Concat"] == value


@pytest.mark.parametrize("prefix", ["https://up.example.com", "https://up.example.com/api"])
async def test_t96_parts_by_public_url(make_tus: MakeTus, prefix: str) -> None:
    """A client names parts by the Location that it got. [T96, design 1.3]"""
    tus = await make_tus(PUBLIC_URL=prefix)
    headers = {"Upload-Length": "5", "Content-Type": OCTETS, **PARTIAL}
    part = await tus.post(headers, b"hello")

    answer = await tus.post({"Upload-Concat": f"final;{part.headers['Location']}"})

    upload_id = answer.headers["Location"].rpartition("/")[2]
    assert answer.status == 201
    assert await tus.download(tus.address.files + upload_id) == b"hello"


async def test_t96_parts_by_forwarded_url(make_tus: MakeTus) -> None:
    """A client names parts by the Location that it got. [T96, design 1.3]"""
    tus = await make_tus(TRUSTED_PROXIES="127.0.0.1")
    proxy = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "up.example.com",
        "X-Forwarded-Prefix": "/api",
    }
    headers = {"Upload-Length": "5", "Content-Type": OCTETS, **PARTIAL, **proxy}
    part = await tus.post(headers, b"hello")

    answer = await tus.post({"Upload-Concat": f"final;{part.headers['Location']}", **proxy})

    assert part.headers["Location"].startswith("https://up.example.com/api/files/")
    assert answer.status == 201


@pytest.mark.decided_early
@pytest.mark.parametrize(
    "url",
    [
        "/other/{id}",
        "/files/",
        "/files/{id}/",
        "/files/{id}x",
        "/{id}",
        "https://evil.example/files/{id}",
        "https://evil.example/{id}",
        "/files/../files/../{id}",
        "//evil.example/{id}",
        "http://[::1",
        "http://[::1/files/{id}",
        "http://",
        "http://:99999/files/{id}",
        "ftp://\u00e9/{id}x",
        "..%2f..%2fetc%2fpasswd",
        "javascript:alert(1)",
        "%00",
        "#",
        "?",
    ],
)
async def test_t96_what_is_no_upload_cannot_be_concatenated(tus: Tus, url: str) -> None:
    """Map by own URL routing; else 400 or 404. aiohttp traps seen: `urlsplit("http://[::1")`
    raising 500. [T96, design 1.8]"""
    part = await tus.upload(b"hello", PARTIAL)

    answer = await tus.post({"Upload-Concat": f"final;{url.format(id=part.rpartition('/')[2])}"})

    assert answer.status in {400, 404}
    assert "location" not in answer.words


async def test_t96_unknown_and_foreign_parts_look_the_same(tus: Tus) -> None:
    """Caller must be authorised for each. Another's id gives the same body and headers as an
    unknown one, also inside Upload-Concat. [T96, design 1.8]"""
    own = await tus.upload(b"hello", PARTIAL)
    foreign = [
        await tus.of("7").upload(b"hello", PARTIAL),
        await tus.of("7").create(5, PARTIAL),
        await tus.of("7").upload(b"hello"),
    ]
    terminated = await tus.of("7").upload(b"hello", PARTIAL)
    await tus.of("7").delete(terminated)

    expected = await tus.post(final_of(tus, own, unknown(tus)))
    answers = [await tus.post(final_of(tus, own, url)) for url in [*foreign, terminated]]

    assert expected.status in {400, 404}
    assert [answer.sameness for answer in answers] == [expected.sameness] * 4


async def test_t96_an_ordinary_upload_is_no_part(tus: Tus) -> None:
    """Not a partial → 400 or 404. [T96]"""
    url = await tus.upload(b"hello")

    answer = await tus.post(final_of(tus, url))

    assert answer.status in {400, 404}
    assert "location" not in answer.words


async def test_t96_a_final_upload_is_no_part(tus: Tus) -> None:
    """Not a partial, final → 400 or 404. [T96]"""
    created = await tus.post(final_of(tus, *await two_parts(tus)))

    answer = await tus.post(final_of(tus, tus.url(created.headers["Location"])))

    assert answer.status in {400, 404}
    assert "location" not in answer.words


async def test_t97_unfinished_parts_are_refused(tus: Tus) -> None:
    """This feature MUST be explicitly announced by the Server by adding concatenation-unfinished to
    the Tus-Extension header: it is not, so unfinished partials give 400. [T97]"""
    first = await tus.upload(b"hello", PARTIAL)
    second = await tus.create(6, PARTIAL)
    await tus.patch(second, 0, b"wor")

    answer = await tus.post(final_of(tus, first, second))

    assert answer.status == 400
    assert "location" not in answer.words
    assert (await tus.patch(second, 3, b"ld!")).status == 204
    assert (await tus.post(final_of(tus, first, second))).status == 201


async def test_t98_a_final_upload_takes_no_bytes(tus: Tus) -> None:
    """final with body (OOS) → 403 or 400. [T98]"""
    parts = await two_parts(tus)

    answer = await tus.post({**final_of(tus, *parts), "Content-Type": OCTETS}, b"more")

    assert answer.status in {400, 403}
    assert "location" not in answer.words
    assert await tus.address.finished() == {}


@pytest.mark.decided_early
@pytest.mark.parametrize(
    "value",
    [
        "",
        "foo",
        "final",
        "final;",
        "final; ",
        "Final;{url}",
        "FINAL;{url}",
        "final ;{url}",
        "final:{url}",
        "final;{url},{url}",
        "partial;{url}",
        "Partial",
        "partial, partial",
        "final;{url} \u00e9",
    ],
)
async def test_t98_a_malformed_upload_concat_is_refused(tus: Tus, value: str) -> None:
    """The value MUST be final followed by a semicolon and a space-separated list of the partial
    upload URLs that need to be concatenated. [T98]"""
    part = await tus.upload(b"hello", PARTIAL)

    answer = await tus.post({"Upload-Concat": value.format(url=tus.path(part))})

    assert answer.status in {400, 404}
    assert "location" not in answer.words
    assert await tus.address.finished() == {}


async def test_t99_more_than_the_limit_in_sum_is_refused(make_tus: MakeTus) -> None:
    """MAX_UPLOAD_SIZE counts in sum: Σ > max size → 413. [T99]"""
    tus = await make_tus(MAX_UPLOAD_SIZE="10")
    parts = await two_parts(tus)

    answer = await tus.post(final_of(tus, *parts))

    assert answer.status == 413
    assert "location" not in answer.words
    assert await tus.address.finished() == {}


async def test_t99_exactly_the_limit_in_sum_works(make_tus: MakeTus) -> None:
    """Exactly the limit works. [T99, design 1.8]"""
    tus = await make_tus(MAX_UPLOAD_SIZE="11")

    answer = await tus.post(final_of(tus, *await two_parts(tus)))

    assert answer.status == 201


async def test_t100_parts_that_stay_expire(tus: Tus) -> None:
    """The Server MAY delete partial uploads after concatenation. If not, they expire
    normally. [T100]"""
    url = await tus.create(5, PARTIAL)

    answer = await tus.patch(url, 0, b"hello")

    assert answer.status == 204
    assert "upload-expires" in answer.words


async def test_t101_a_part_of_deferred_length(tus: Tus) -> None:
    """`Upload-Concat: partial` + `Upload-Defer-Length: 1`: final over such a partial needs its
    final length. [T101]"""
    part = await tus.create(None, PARTIAL)
    await tus.patch(part, 0, b"hello")

    early = await tus.post(final_of(tus, part))
    await tus.patch(part, 5, b"", {"Upload-Length": "5"})
    late = await tus.post(final_of(tus, part))

    assert (early.status, late.status) == (400, 201)
    assert await tus.download(tus.url(late.headers["Location"])) == b"hello"


async def test_t102_large_parts_hold_nobody_up(tus: Tus) -> None:
    """Final concat of large data: do it out of the event loop. [T102]"""
    content = content_of(24 * 2**20)
    third = len(content) // 3
    parts = [
        await tus.upload(content[start : start + third], PARTIAL)
        for start in range(0, len(content), third)
    ]
    bystander = await tus.create(5)

    joining = asyncio.create_task(tus.post(final_of(tus, *parts)))
    waits = []
    while not joining.done():
        started = time.monotonic()
        await tus.offset(bystander)
        waits.append(time.monotonic() - started)
    answer = await joining

    assert max(waits) < 1
    assert answer.status == 201
    assert await tus.download(tus.url(answer.headers["Location"])) == content


async def test_t90_a_long_list_of_parts(tus: Tus) -> None:
    """The field limit (8190 bytes) must be raised for long Upload-Concat. [T90, design 3.2]"""
    part = await tus.upload(b"hello", PARTIAL)

    answer = await tus.post(final_of(tus, *[part] * 400))

    assert answer.status == 201
    assert (await tus.get(tus.url(answer.headers["Location"]))).body == b"hello" * 400
