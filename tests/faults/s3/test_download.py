"""Finished files: what the store says of them, and how they are fetched."""

import asyncio

import aiohttp
import pytest
from yarl import URL

from tests.conformance.rest.client import Answer
from tests.conformance.tus.client import metadata
from tests.faults.s3.conftest import MakeScene
from tests.faults.s3.scene import PART, Scene, content_of, file_of, is_file, is_same
from tests.store_calls import Call, Kind
from tests.store_proxy import Cut, Hold, Where

NAME = "Zwei%20Töne ?#+&.mp3"


async def fetched(http: aiohttp.ClientSession, url: str) -> tuple[int, dict[str, str], bytes]:
    """What anybody gets who has only the URL."""
    async with http.get(URL(url, encoded=True)) as response:
        return response.status, dict(response.headers), await response.read()


async def named(scene: Scene, content: bytes, **pairs: str) -> str:
    """The id of a finished upload with metadata."""
    fields = {"Upload-Length": str(len(content)), **metadata(**pairs)}
    upload_id = await scene.client.create(fields)
    await scene.sent(upload_id, 0, content)
    return upload_id


# --- what the store says


@pytest.mark.parametrize("size", [100, 2 * PART + 1], ids=["small", "large"])
async def test_object_describes_itself(scene: Scene, size: int) -> None:
    """Content-Type comes from the client's `filetype`, Content-Disposition has the file name, user
    metadata what the client said, as far as it is ASCII."""
    pairs = {"filename": NAME, "filetype": "audio/mpeg", "album": "Blue", "artist": "Björk"}
    upload_id = await named(scene, content_of(size), **pairs)
    stored = await scene.bucket.stored(f"42/{upload_id}/{NAME}")

    assert stored is not None
    assert stored.size == size
    assert stored.content_type == "audio/mpeg"
    assert stored.disposition is not None
    assert stored.disposition.startswith('attachment; filename="')
    assert stored.disposition.endswith("filename*=UTF-8''Zwei%2520T%C3%B6ne%20%3F#+&.mp3")
    assert stored.metadata == {
        "upload-id": upload_id,
        "filetype": "audio/mpeg",
        "album": "Blue",
    }


async def test_metadata_that_does_not_fit(scene: Scene) -> None:
    """S3 takes 2 KB: an upload that says more is stored without it."""
    upload_id = await named(scene, b"x", filename="a.txt", story="x" * 3000)
    stored = await scene.bucket.stored(f"42/{upload_id}/a.txt")

    assert stored is not None
    assert stored.metadata == {"upload-id": upload_id}


async def test_metadata_just_as_large_as_stores_take(scene: Scene) -> None:
    """Exactly 2 KB work."""
    upload_id = "x" * 36
    own = len("upload-id") + len(upload_id) + len("filename") + len("a.txt") + len("story")
    upload_id = await named(scene, b"x", filename="a.txt", story="x" * (2048 - own))
    stored = await scene.bucket.stored(f"42/{upload_id}/a.txt")

    assert stored is not None
    assert len(stored.metadata["story"]) == 2048 - own


# --- URLs


async def test_plain_urls(scene: Scene) -> None:
    """`file_path_on_upload_service` and the list are {endpoint}/{bucket}/{key}, percent-encoded."""
    upload_id = await scene.client.init(7, NAME)
    await scene.client.chunk(upload_id, 0, b"hello")
    completed = await scene.client.complete(upload_id, 1, 7)
    url = f"{scene.proxy.endpoint}/tests/42/7/Zwei%2520T%C3%B6ne%20%3F%23%2B%26.mp3"

    assert completed.data["file_path_on_upload_service"] == url
    assert await scene.client.files() == [url]


async def test_presigned_urls(http: aiohttp.ClientSession, make_scene: MakeScene) -> None:
    """S3_URL_STYLE=presigned gives URLs that anybody can fetch; a stranger who changes them gets
    nothing."""
    scene = await make_scene(S3_URL_STYLE="presigned")
    upload_id = await scene.client.init(7, NAME)
    await scene.client.chunk(upload_id, 0, b"hello")
    completed = await scene.client.complete(upload_id, 1, 7)
    [listed] = await scene.client.files()
    urls = [str(completed.data["file_path_on_upload_service"]), str(listed)]
    answers = [await fetched(http, url) for url in urls]
    bare, _, _ = await fetched(http, urls[0].split("?")[0])
    other, _, _ = await fetched(http, urls[0].replace("/42/7/", "/42/8/"))

    assert [(status, body) for status, _, body in answers] == [(200, b"hello")] * 2
    assert all(fields["Content-Disposition"].startswith("attachment") for _, fields, _ in answers)
    assert (bare, other) == (403, 403)


async def test_presigned_urls_expire(http: aiohttp.ClientSession, make_scene: MakeScene) -> None:
    """A presigned URL lives as long as S3_URL_EXPIRES says."""
    scene = await make_scene(S3_URL_STYLE="presigned", S3_URL_EXPIRES="1s")
    upload_id = await scene.client.uploaded(b"hello")
    [url] = await scene.client.files()
    async with asyncio.timeout(5):
        while (await fetched(http, str(url)))[0] == 200:  # noqa: ASYNC110 - time passes
            await asyncio.sleep(0.1)
    status, _, body = await fetched(http, str(url))

    assert status == 403
    assert b"hello" not in body
    assert await scene.client.files() != [url]
    assert (await scene.client.tus("GET", upload_id)).body == b"hello"


# --- the tus face


async def get(scene: Scene, upload_id: str, **fields: str) -> Answer:
    """GET, without following."""
    server = scene.client.server
    async with scene.client.http.get(
        f"{server.files}{upload_id}", headers={**server.auth(), **fields}, allow_redirects=False
    ) as response:
        return Answer(status=response.status, headers=response.headers, body=await response.read())


async def test_download_is_redirected(http: aiohttp.ClientSession, make_scene: MakeScene) -> None:
    """S3_DOWNLOAD=redirect answers 302 to a URL that anybody can fetch for a while; our own still
    wants the token."""
    scene = await make_scene(S3_DOWNLOAD="redirect")
    pairs = {"filename": NAME, "filetype": "text/html"}
    upload_id = await named(scene, b"<script>", **pairs)
    answer = await get(scene, upload_id)
    status, fields, body = await fetched(http, answer.headers["Location"])
    async with http.get(f"{scene.client.server.files}{upload_id}") as response:
        without_token = response.status
    foreign = await get(scene, upload_id, **scene.client.server.auth("43"))

    assert (answer.status, answer.body) == (302, b"")
    assert "no-store" in answer.headers["Cache-Control"]
    assert (status, body) == (200, b"<script>")
    assert fields["Content-Type"] == "application/octet-stream"
    assert fields["Content-Disposition"].startswith("attachment")
    assert (without_token, foreign.status) == (401, 404)


async def test_redirect_of_what_is_not_there(make_scene: MakeScene) -> None:
    """There is no URL of an upload that is not finished, or of which the file is gone."""
    scene = await make_scene(S3_DOWNLOAD="redirect")
    unfinished = await scene.created(10)
    gone = await scene.created(1)
    await scene.sent(gone, 0, b"x")
    await scene.bucket.delete(file_of(gone))
    statuses = [(await get(scene, each)).status for each in (unfinished, gone)]

    assert 302 not in statuses
    assert statuses[1] in {404, 410}


RANGES = [
    ("bytes=0-0", 0, 1),
    ("bytes=100-", 100, None),
    (f"bytes={PART - 1}-{PART}", PART - 1, PART + 1),
    ("bytes=-7", -7, None),
]


async def test_ranges_are_streamed(scene: Scene) -> None:
    """GET streams from the store, and asks it only for the range."""
    content = content_of(2 * PART + 9)
    upload_id = await scene.created(len(content))
    await scene.sent(upload_id, 0, content)
    answers = [await get(scene, upload_id, Range=span) for span, _, _ in RANGES]
    whole = await get(scene, upload_id)

    assert [answer.status for answer in answers] == [206] * len(RANGES)
    for answer, (_, start, stop) in zip(answers, RANGES, strict=True):
        assert is_same(answer.body, content[start:stop])
    assert is_same(whole.body, content)
    assert (await get(scene, upload_id, Range=f"bytes={len(content)}-")).status == 416


def is_content(call: Call) -> bool:
    """Whether a call reads a finished file, as it was when its download began."""
    return is_file(call.key) and call.is_conditional


async def test_download_goes_on_where_a_connection_breaks(scene: Scene) -> None:
    """A connection to the store that breaks in the middle of a download is none to the client."""
    content = content_of(2 * PART + 9)
    upload_id = await scene.created(len(content))
    await scene.sent(upload_id, 0, content)
    with scene.proxy.rule(Cut(where=Where.ANSWER), Kind.GET, also=is_content, times=3) as rule:
        answer = await get(scene, upload_id)

    assert len(rule.calls) == 3
    assert is_same(answer.body, content)


async def test_download_that_cannot_go_on_is_cut(scene: Scene) -> None:
    """A short answer never looks like a whole one."""
    content = content_of(PART)
    upload_id = await scene.created(len(content))
    await scene.sent(upload_id, 0, content)
    with scene.proxy.rule(Cut(where=Where.ANSWER), Kind.GET, also=is_content) as rule:
        with pytest.raises(aiohttp.ClientError):
            await get(scene, upload_id)
        count = len(rule.calls)

    assert count > 1
    assert is_same((await get(scene, upload_id)).body, content)


async def test_file_replaced_in_mid_download(scene: Scene) -> None:
    """When a file is replaced while its download has to go on over another connection, the client
    is cut off; it never gets a mixture."""
    first, second = content_of(PART), content_of(PART + 1)
    upload_id = await scene.client.uploaded(first, file_id=7)
    rule = scene.proxy.rule
    with (
        rule(Cut(where=Where.ANSWER), Kind.GET, also=is_content, times=1),
        rule(Hold(where=Where.BEFORE), Kind.GET, also=is_content, times=1) as second_try,
    ):
        downloading = asyncio.create_task(get(scene, upload_id))
        await second_try.holding()
        await scene.client.uploaded(second, file_id=7)
        second_try.release()
        with pytest.raises(aiohttp.ClientError):
            await downloading
    after = await get(scene, upload_id)

    assert after.status in {404, 410}
    assert await scene.is_stored("42/7/audio.mp3", second)
