"""tus 1.0.0, Expiration: unfinished uploads go after UPLOAD_EXPIRES_AFTER of silence."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from tests.conformance.tus.client import (
    Answer,
    Headers,
    Tus,
    begun_patch,
    checksum,
    content_of,
    until_smaller,
)
from tests.conformance.tus.conftest import MakeTus

IMF_FIXDATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d "
    r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT"
)


def expires(answer: Answer) -> datetime:
    """The time in Upload-Expires."""
    return parsedate_to_datetime(answer.headers["Upload-Expires"])


async def gone(tus: Tus, url: str) -> Answer:
    """The first HEAD that does not find the upload any more."""
    async with asyncio.timeout(10):
        while (answer := await tus.head(url)).status == 200:  # noqa: ASYNC110 - the clock
            await asyncio.sleep(0.05)
    return answer


async def test_t67_expiration_is_announced(tus: Tus) -> None:
    """In order to indicate this behavior to the Client, the Server MUST add expiration to the
    Tus-Extension header. [T67]"""
    answer = await tus.send("OPTIONS", tus.address.files)

    assert "expiration" in answer.headers["Tus-Extension"].split(",")


async def test_t68_post_and_patch_tell_when_the_upload_expires(tus: Tus) -> None:
    """This header MUST be included in every PATCH response if the upload is going to expire. If the
    expiration is known at the creation, the Upload-Expires header MUST be included in the response
    to the initial POST request. Its value MUST be in RFC 9110 datetime format. [T68]"""
    created = await tus.post({"Upload-Length": "10"})
    patched = await tus.patch(tus.url(created.headers["Location"]), 0, b"hello")

    tomorrow = datetime.now(UTC) + timedelta(hours=24)
    for answer in (created, patched):
        assert IMF_FIXDATE.fullmatch(answer.headers["Upload-Expires"])
        assert abs(expires(answer) - tomorrow) < timedelta(seconds=10)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604800)],
)
async def test_t68_the_time_is_the_one_in_the_settings(
    make_tus: MakeTus, setting: str, expected: int
) -> None:
    """UPLOAD_EXPIRES_AFTER: unfinished uploads. [T68, design 1.3]"""
    tus = await make_tus(UPLOAD_EXPIRES_AFTER=setting)

    answer = await tus.post({"Upload-Length": "10"})

    left = expires(answer) - datetime.now(UTC)
    assert abs(left - timedelta(seconds=expected)) < timedelta(seconds=5)


ERRORS: dict[str, tuple[int, Headers]] = {
    "400": (400, {"Upload-Offset": "x"}),
    "400 checksum": (400, {"Upload-Checksum": "foo YQ=="}),
    "409": (409, {"Upload-Offset": "4"}),
    "413": (413, {}),
    "415": (415, {"Content-Type": "text/plain"}),
    "460": (460, checksum("sha1", b"other")),
}


@pytest.mark.parametrize(("status", "headers"), ERRORS.values(), ids=ERRORS)
async def test_t68_a_refused_patch_tells_when_the_upload_expires(
    tus: Tus, status: int, headers: Headers
) -> None:
    """This header MUST be included in every PATCH response if the upload is going to expire.
    [T68]"""
    url = await tus.create(5)

    answer = await tus.patch(url, 0, b"hello!" if status == 413 else b"hello", headers)

    assert answer.status == status
    assert IMF_FIXDATE.fullmatch(answer.headers["Upload-Expires"])


async def test_t69_every_patch_moves_the_time(make_tus: MakeTus) -> None:
    """Its value MAY change over time: it slides. [T69, design 1.3]"""
    tus = await make_tus(UPLOAD_EXPIRES_AFTER="1h")
    created = await tus.post({"Upload-Length": "1000"})
    url = tus.url(created.headers["Location"])

    offset = 0
    async with asyncio.timeout(5):
        while expires(answer := await tus.patch(url, offset, b"x")) <= expires(created):
            offset = int(answer.headers["Upload-Offset"])
            await asyncio.sleep(0.1)

    assert expires(answer) > expires(created)


async def test_t69_a_complete_upload_does_not_expire(tus: Tus) -> None:
    """The Upload-Expires response header indicates the time after which the unfinished upload
    expires: a complete one has none. [T69]"""
    url = await tus.create(5)

    answer = await tus.patch(url, 0, b"hello")

    assert "upload-expires" not in answer.words
    assert "upload-expires" not in (await tus.head(url)).words


async def test_t70_an_expired_upload_is_gone(make_tus: MakeTus) -> None:
    """If a Client does attempt to resume an upload which has since been removed by the Server, the
    Server SHOULD respond with the 404 Not Found or 410 Gone status. The latter one SHOULD be used
    if the Server is keeping track of expired uploads. [T70]"""
    tus = await make_tus(UPLOAD_EXPIRES_AFTER="1s")
    url = await tus.create(10)
    await tus.patch(url, 0, b"hello")

    answers = [
        await gone(tus, url),
        await tus.patch(url, 5, b"world"),
        await tus.get(url),
        await tus.delete(url),
    ]

    assert [answer.status for answer in answers] == [410, 410, 410, 410]
    assert all("upload-offset" not in answer.words for answer in answers)


async def test_t70_what_the_sweeper_took_is_still_known(make_tus: MakeTus) -> None:
    """410 expired or terminated while the record remembers it. [T70, T71, design 1.5]"""
    tus = await make_tus(UPLOAD_EXPIRES_AFTER="1s", SWEEP_INTERVAL="0.1s")
    url = await tus.create(2**20)
    await tus.patch(url, 0, content_of(2**19))
    await until_smaller(tus.address, 2**19)

    answer = await tus.head(url)

    assert answer.status == 410
    assert "upload-offset" not in answer.words


async def test_t70_an_expired_partial_upload_is_gone(make_tus: MakeTus) -> None:
    """The Server SHOULD respond with the 404 Not Found or 410 Gone status. [T70, T100]"""
    tus = await make_tus(UPLOAD_EXPIRES_AFTER="1s")
    part = await tus.upload(b"hello", {"Upload-Concat": "partial"})
    await gone(tus, part)

    answer = await tus.post({"Upload-Concat": f"final;{tus.path(part)}"})

    assert answer.status in {400, 404, 410}
    assert "location" not in answer.words


async def test_t70_an_upload_lives_as_long_as_it_moves(make_tus: MakeTus) -> None:
    """UPLOAD_EXPIRES_AFTER: unfinished uploads, sliding. [T69, T70, design 1.3]"""
    tus = await make_tus(UPLOAD_EXPIRES_AFTER="1s")
    url = await tus.create(1000)
    started = asyncio.get_running_loop().time()

    offset = 0
    while asyncio.get_running_loop().time() < started + 1.5:
        answer = await tus.patch(url, offset, b"x")
        assert answer.status == 204
        offset += 1
        await asyncio.sleep(0.25)

    assert await tus.offset(url) == offset


async def test_t71_the_sweeper_frees_what_expired(make_tus: MakeTus) -> None:
    """The Server MAY remove unfinished uploads once they expire. [T71]"""
    tus = await make_tus(UPLOAD_EXPIRES_AFTER="1s", SWEEP_INTERVAL="0.2s")
    complete = await tus.upload(b"hello")
    url = await tus.create(2**20)
    await tus.patch(url, 0, content_of(2**19))

    await until_smaller(tus.address, 2**19)

    assert (await tus.head(url)).status in {404, 410}
    assert await tus.download(complete) == b"hello"
    assert await tus.address.contents() == [b"hello"]


async def test_t72_a_long_patch_does_not_expire(make_tus: MakeTus) -> None:
    """Expiry reached during a long PATCH: never delete a file being written. [T72]"""
    tus = await make_tus(UPLOAD_EXPIRES_AFTER="1s", SWEEP_INTERVAL="0.2s")
    content = content_of(1000)
    url = await tus.create(1000)

    async with begun_patch(tus, url, 0, 1000) as connection:
        for start in range(0, 1000, 200):
            await connection.send(content[start : start + 200])
            await asyncio.sleep(0.3)
        answer = await connection.head()

    assert (answer.status, answer.headers["Upload-Offset"]) == (204, "1000")
    assert await tus.download(url) == content
