"""Limits on the tus face: what is refused, what stays, what is counted."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.conformance.metrics import limits_met
from tests.conformance.tus.client import (
    OCTETS,
    Answer,
    Tus,
    broken_post,
    chunked,
    content_of,
    metadata,
    pieces,
)
from tests.conformance.tus.conftest import MakeTus

BYTES = {"Content-Type": OCTETS}
DEFERRED = {"Upload-Defer-Length": "1"}
PARTIAL = {"Upload-Concat": "partial"}
CHUNKED = {"Transfer-Encoding": "chunked"}

Way = Callable[[Tus], Awaitable[Answer]]


# --- MAX_UPLOAD_SIZE


async def _declared(tus: Tus) -> Answer:
    return await tus.post({"Upload-Length": "11"})


async def _declared_with_bytes(tus: Tus) -> Answer:
    return await tus.post({"Upload-Length": "11", **BYTES}, b"hello")


async def _post_of_a_size(tus: Tus) -> Answer:
    return await tus.post({**DEFERRED, **BYTES}, b"x" * 11)


async def _post_of_any_size(tus: Tus) -> Answer:
    headers = {**DEFERRED, **BYTES, **CHUNKED}
    return (await tus.raw("POST", tus.address.files, headers, body=chunked(b"x" * 9, b"!!")))[-1]


async def _late_length(tus: Tus) -> Answer:
    return await tus.patch(await tus.create(None), 0, b"hello", {"Upload-Length": "11"})


async def _patch_of_a_size(tus: Tus) -> Answer:
    url = await tus.create(None)
    await tus.patch(url, 0, b"hello")
    return await tus.patch(url, 5, b"world!")


async def _patch_of_any_size(tus: Tus) -> Answer:
    headers = {**BYTES, **CHUNKED, "Upload-Offset": "0"}
    url = await tus.create(None)
    return (await tus.raw("PATCH", url, headers, body=chunked(b"x" * 9, b"!!")))[-1]


async def _concatenation(tus: Tus) -> Answer:
    parts = [await tus.upload(data, PARTIAL) for data in (b"hello", b"world!")]
    return await tus.post({"Upload-Concat": "final;" + " ".join(map(tus.path, parts))})


BEYOND: dict[str, Way] = {
    "declared": _declared,
    "declared with bytes": _declared_with_bytes,
    "POST of a size": _post_of_a_size,
    "POST of any size": _post_of_any_size,
    "late length": _late_length,
    "PATCH of a size": _patch_of_a_size,
    "PATCH of any size": _patch_of_any_size,
    "concatenation": _concatenation,
}


@pytest.mark.parametrize("way", BEYOND.values(), ids=BEYOND)
async def test_every_way_beyond_the_limit_is_413_and_counted(make_tus: MakeTus, way: Way) -> None:
    """MAX_UPLOAD_SIZE holds on every way, and each refusal is counted as this limit."""
    tus = await make_tus(MAX_UPLOAD_SIZE="10")

    answer = await way(tus)

    assert answer.status == 413
    assert await limits_met(tus.address) == {"max_upload_size": 1}
    assert await tus.address.finished() == {}


async def test_beyond_its_own_length_is_no_limit_of_the_server(make_tus: MakeTus) -> None:
    """A body that is longer than its upload is 413, too, but no limit was met."""
    tus = await make_tus(MAX_UPLOAD_SIZE="10")
    url = await tus.create(3)
    headers = {**BYTES, **CHUNKED, "Upload-Offset": "0"}

    answers = [
        await tus.patch(url, 0, b"four"),
        (await tus.raw("PATCH", url, headers, body=chunked(b"x" * 4)))[-1],
        await tus.post({"Upload-Length": "3", **BYTES}, b"four"),
    ]

    assert [answer.status for answer in answers] == [413] * 3
    assert await limits_met(tus.address) == {}


# --- MAX_METADATA_SIZE


async def test_metadata_has_an_end(make_tus: MakeTus) -> None:
    """A longer Upload-Metadata is 431 (RFC 6585, 5), and nothing is created; exactly the limit
    works."""
    tus = await make_tus(MAX_METADATA_SIZE="40")
    longest = "filename YWJj,k" + "x" * 25
    exact = await tus.post({"Upload-Length": "5", "Upload-Metadata": longest})
    longer = await tus.post({"Upload-Length": "5", "Upload-Metadata": longest + "x"})

    assert (exact.status, longer.status) == (201, 431)
    assert longer.body == b"Upload-Metadata: send at most 40 bytes.\n"
    assert await limits_met(tus.address) == {"max_metadata_size": 1}


async def test_metadata_may_have_16_kib(tus: Tus) -> None:
    """By default 16 KiB, which HEAD tells again."""
    line = "filename YWJj,k" + "x" * ((16 << 10) - 15)
    url = await tus.create(5, {"Upload-Metadata": line})

    head = await tus.address.raw(tus.wire("HEAD", url, {"Connection": "close"}))
    assert f"\r\nUpload-Metadata: {line}\r\n".encode() in head
    answer = await tus.post({"Upload-Length": "5", "Upload-Metadata": line + "x"})
    assert answer.status == 431


# --- MAX_OPEN_UPLOADS_PER_USER


async def test_open_uploads_are_limited(make_tus: MakeTus) -> None:
    """One more is 429 with Retry-After, and says what to do; then it works."""
    tus = await make_tus(MAX_OPEN_UPLOADS_PER_USER="2")
    first, second = await tus.create(5), await tus.create(None)

    refused = [await tus.post({"Upload-Length": "5"}) for _ in range(2)]

    assert [answer.status for answer in refused] == [429, 429]
    assert refused[0].headers["Retry-After"] == "60"
    assert b"finish or delete one" in refused[0].body
    assert await limits_met(tus.address) == {"max_open_uploads_per_user": 2}
    await tus.of("43").create(5)
    await tus.patch(first, 0, b"hello")
    await tus.create(5)
    await tus.delete(second)
    await tus.create(5)
    assert (await tus.post({"Upload-Length": "5"})).status == 429


async def test_parts_are_open_and_their_file_is_not(make_tus: MakeTus) -> None:
    """A user whose open uploads are all parts can still make the file of them."""
    tus = await make_tus(MAX_OPEN_UPLOADS_PER_USER="2")
    parts = [await tus.upload(data, PARTIAL) for data in (b"hello ", b"world")]

    refused = await tus.post({"Upload-Length": "5"})
    final = await tus.post({"Upload-Concat": "final;" + " ".join(map(tus.path, parts))})

    assert (refused.status, final.status) == (429, 201)
    assert await tus.download(tus.url(final.headers["Location"])) == b"hello world"


async def test_an_earlier_server_left_what_is_counted(make_tus: MakeTus) -> None:
    """What was there before the start counts, finished files and open uploads alike."""
    before = await make_tus()
    await before.upload(b"hello")
    await before.create(5)

    tus = await make_tus(MAX_OPEN_UPLOADS_PER_USER="1", USER_QUOTA="12")

    assert (await tus.post({"Upload-Length": "1"})).status == 429
    tus = await make_tus(USER_QUOTA="12")
    assert (await tus.post({"Upload-Length": "3"})).status == 413
    assert (await tus.post({"Upload-Length": "2"})).status == 201


# --- USER_QUOTA


async def test_the_quota_counts_lengths_from_the_creation_on(make_tus: MakeTus) -> None:
    """Finished and open uploads together may have so many bytes; a deletion gives them back."""
    tus = await make_tus(USER_QUOTA="20")
    url, _ = await tus.upload(b"hello"), await tus.create(10)

    refused = await tus.post({"Upload-Length": "6", **BYTES}, b"123456")

    assert refused.status == 413
    assert b"20 bytes in all" in refused.body
    assert await limits_met(tus.address) == {"user_quota": 1}
    await tus.of("43").upload(content_of(20))
    await tus.create(5)
    await tus.delete(url)
    await tus.create(5)


async def test_the_quota_counts_bytes_as_they_come(make_tus: MakeTus) -> None:
    """Where no length is known the append that goes over is refused; what came before stays, and
    the user's other uploads go on."""
    tus = await make_tus(USER_QUOTA="20")
    other, url = await tus.create(10), await tus.create(None)
    await tus.patch(url, 0, b"hello")
    headers = {**BYTES, **CHUNKED, "Upload-Offset": "5"}

    refused = [
        await tus.patch(url, 5, b"world!"),
        await tus.patch(url, 5, b"w", {"Upload-Length": "11"}),
        (await tus.raw("PATCH", url, headers, body=chunked(b"!" * 6)))[-1],
        await tus.post({**DEFERRED, **BYTES}, b"x" * 6),
    ]
    offset = await tus.offset(url)

    assert [answer.status for answer in refused] == [413] * 4
    assert await limits_met(tus.address) == {"user_quota": 4}
    assert offset == 5
    assert (await tus.patch(other, 0, content_of(10))).status == 204
    assert (await tus.patch(url, 5, b"world", {"Upload-Length": "10"})).status == 204
    assert await tus.download(url) == b"helloworld"


async def test_parallel_bytes_stay_within_the_quota(make_tus: MakeTus) -> None:
    """However many uploads grow at once, their sum stays within the quota."""
    size, quota = 64 << 10, 300 << 10
    tus = await make_tus(USER_QUOTA=str(quota))
    urls = [await tus.create(None) for _ in range(8)]
    blocks = [content_of(size // 8)] * 8

    answers = await asyncio.gather(
        *[tus.patch(url, 0, pieces(*blocks)) for url in urls], return_exceptions=True
    )

    offsets = [await tus.offset(url) for url in urls]
    statuses = [each.status for each in answers if isinstance(each, Answer)]
    assert quota - size < sum(offsets) <= quota
    assert statuses.count(204) <= quota // size
    assert set(statuses) <= {204, 413}


async def test_a_creation_that_failed_costs_nothing(make_tus: MakeTus) -> None:
    """A POST that was refused in the middle of its bytes, or broke off there, leaves nobody with an
    upload that he does not know: the user has his place and his bytes again."""
    tus = await make_tus(USER_QUOTA="20", MAX_OPEN_UPLOADS_PER_USER="1")
    beyond = {**DEFERRED, **BYTES, **CHUNKED}
    broken = {"Upload-Length": "20", **BYTES}

    refused = [
        await broken_post(tus, broken, b"hello"),
        (await tus.raw("POST", tus.address.files, beyond, body=chunked(b"x" * 15, b"!" * 6)))[-1],
        await broken_post(tus, broken, b"hello"),
    ]

    assert [answer.status for answer in refused] == [400, 413, 400]
    assert (await tus.post({"Upload-Length": "20"})).status == 201


async def test_a_replaced_file_gives_its_bytes_back(make_tus: MakeTus) -> None:
    """A file that another one replaced counts no more."""
    tus = await make_tus(USER_QUOTA="20")
    place = metadata(filename="a.txt", main_service_file_id="7")

    for _ in range(4):
        await tus.upload(content_of(10), place)

    assert await tus.address.finished() == {"42/7/a.txt": 10}


# --- RATE_LIMIT


async def test_who_asks_too_often_is_429(make_tus: MakeTus) -> None:
    """After so many requests the next one is 429 with the seconds to wait; a HEAD is 423, for
    tus-js-client forgets an upload for any other 4xx. OPTIONS, strangers and other users are not
    concerned."""
    tus = await make_tus(RATE_LIMIT="3/h")
    url = await tus.create(5)
    for _ in range(5):
        assert (await tus.head(url, {"Authorization": "Bearer a.b.c"})).status == 401
    statuses = [(await tus.head(url)).status for _ in range(2)]

    refused = [
        await tus.patch(url, 0, b"hello"),
        await tus.head(url),
        await tus.delete(url),
        await tus.post({"Upload-Length": "5"}),
    ]

    assert statuses == [200, 200]
    assert [answer.status for answer in refused] == [429, 423, 429, 429]
    assert {0 < int(answer.headers["Retry-After"]) <= 1200 for answer in refused} == {True}
    assert await limits_met(tus.address) == {"rate_limit": 4}
    assert (await tus.send("OPTIONS", url)).status == 200
    assert (await tus.of("43").head(await tus.of("43").create(5))).status == 200


async def test_who_waited_may_ask_again(make_tus: MakeTus) -> None:
    """After the seconds of Retry-After the same request works."""
    tus = await make_tus(RATE_LIMIT="2/s")
    url = await tus.create(5)
    async with asyncio.timeout(10):
        while (refused := await tus.head(url)).status != 423:
            pass

    await asyncio.sleep(int(refused.headers["Retry-After"]))

    assert refused.headers["Retry-After"] == "1"
    assert await tus.offset(url) == 0


# --- MIN_FREE_DISK


@pytest.mark.parametrize("make_store", ["local"], indirect=True)
async def test_nothing_new_on_a_disk_that_is_nearly_full(make_tus: MakeTus) -> None:
    """A new upload that would leave too little is 507, a concatenation too; /readyz says so, and
    what has begun goes on."""
    roomy = await make_tus(MIN_FREE_DISK="0")
    url, part = await roomy.create(5), await roomy.upload(b"part", PARTIAL)

    tus = await make_tus(MIN_FREE_DISK="1000TiB")
    refused = [
        await tus.post({"Upload-Length": "5"}),
        await tus.post({**DEFERRED, **BYTES}, b"hello"),
        await tus.post({"Upload-Concat": f"final;{tus.path(part)}"}),
    ]
    ready = await tus.send("GET", f"{tus.address.base}/readyz")

    assert [answer.status for answer in refused] == [507] * 3
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
    assert await limits_met(tus.address) == {"min_free_disk": 3}
    assert ready.status == 503
    assert (await tus.patch(url, 0, b"hello")).status == 204
    assert await tus.download(url) == b"hello"


@pytest.mark.parametrize("make_store", ["local"], indirect=True)
async def test_the_length_must_fit_beside_what_stays_free(make_tus: MakeTus) -> None:
    """Room for the length is looked for at the creation."""
    tus = await make_tus()

    refused = await tus.post({"Upload-Length": str(1 << 60)})
    accepted = await tus.post({"Upload-Length": "5"})

    assert (refused.status, accepted.status) == (507, 201)
