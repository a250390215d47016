"""GET of a finished upload: ranges, conditions, a safe name and a safe type."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import ClientError, ClientResponse, web
from aiohttp.test_utils import TestClient

from tests.core import NEW, USER, Core
from tests.uploads import UPLOAD, completed
from tusd_py.errors import StorageError, UploadError
from tusd_py.interfaces import Content, Outlet
from tusd_py.upload import Upload
from tusd_py.web.download import send
from tusd_py.web.errors import answering
from tusd_py.web.tus_headers import http_date

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]
DATA = b"0123456789"


class Served:
    """A finished upload behind one address."""

    def __init__(self, upload: Upload, client: Client) -> None:
        self.upload = upload
        self.etag = f'"{upload.id}"'
        assert upload.completion is not None
        self.modified = upload.completion.at
        self._client = client

    async def get(self, **headers: str) -> tuple[ClientResponse, bytes]:
        """The answer to GET, and its body."""
        return await self.ask("GET", **headers)

    async def ask(self, method: str, **headers: str) -> tuple[ClientResponse, bytes]:
        """The answer to a request, and its body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self._client.request(method, "/", headers=named)
        return response, await response.read()


@pytest.fixture(params=[1, None], ids=["beside aiohttp", "through aiohttp"])
def direct(request: pytest.FixtureRequest) -> int | None:
    """Which way the bytes take."""
    param: int | None = request.param
    return param


@pytest.fixture
async def make_served(
    aiohttp_client: MakeClient, direct: int | None
) -> AsyncIterator[Callable[..., Awaitable[Served]]]:
    """Serves one upload."""

    async def make(data: bytes = DATA, content_type: str | None = "audio/mpeg") -> Served:
        core = Core()
        upload = await core.finished(data, replace(NEW, content_type=content_type))

        async def handle(request: web.Request) -> web.StreamResponse:
            content = core.service.open(USER, upload.id)
            return await send(request, content, idle=5.0, direct=direct, met=print)

        def refuse(_request: web.Request, error: UploadError, status: int) -> web.Response:
            return web.Response(status=status, text=str(error))

        async def answer(request: web.Request) -> web.StreamResponse:
            return await answering(request, handle, refuse)

        app = web.Application()
        app.router.add_route("*", "/", answer)
        return Served(upload, await aiohttp_client(app))

    yield make


@pytest.fixture
async def served(make_served: Callable[..., Awaitable[Served]]) -> Served:
    """Ten bytes of audio."""
    return await make_served()


async def test_all_bytes(served: Served) -> None:
    """Without conditions the whole file comes, and what it is."""
    response, body = await served.get()

    assert (response.status, body) == (200, DATA)
    assert response.headers["Content-Length"] == "10"
    assert response.headers["Content-Type"] == "audio/mpeg"
    assert response.headers["ETag"] == served.etag
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["Last-Modified"] == http_date(served.modified)


async def test_nothing_runs_in_a_browser(served: Served) -> None:
    """What a user uploaded is downloaded, not shown, sniffed or run."""
    response, _ = await served.get()

    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Disposition"].startswith("attachment;")
    assert "sandbox" in response.headers["Content-Security-Policy"]
    assert response.headers["Cache-Control"].startswith("private")


@pytest.mark.parametrize(
    ("value", "expected", "content_range"),
    [
        ("bytes=0-4", b"01234", "bytes 0-4/10"),
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=5-", b"56789", "bytes 5-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-99", DATA, "bytes 0-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
        ("bytes=9-9", b"9", "bytes 9-9/10"),
        ("bytes= 2-3 ", b"23", "bytes 2-3/10"),
        ("Bytes=2-3", b"23", "bytes 2-3/10"),
        (f"bytes=5-{'9' * 19}", b"56789", "bytes 5-9/10"),
    ],
)
async def test_a_range(served: Served, value: str, expected: bytes, content_range: str) -> None:
    """One range gives 206 with those bytes (RFC 9110, 14)."""
    response, body = await served.get(Range=value)

    assert (response.status, body) == (206, expected)
    assert response.headers["Content-Range"] == content_range
    assert response.headers["Content-Length"] == str(len(expected))


@pytest.mark.parametrize("value", ["bytes=10-", "bytes=10-11", "bytes=99-100", "bytes=-0"])
async def test_a_range_beyond_the_end(served: Served, value: str) -> None:
    """A range without a byte of the file is 416, and the size is told."""
    response, body = await served.get(Range=value)

    assert response.status == 416
    assert response.headers["Content-Range"] == "bytes */10"
    assert DATA not in body


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-2",
        "bytes=a-b",
        "bytes=1-2,4-5",
        "bytes=-1-2",
        "bytes=+1-2",
        "bytes=\u0661-\u0662",
        "bytes=0x1-2",
        f"bytes=0-{'9' * 20}",
        "items=0-4",
        "0-4",
    ],
)
async def test_a_range_that_is_none_is_ignored(served: Served, value: str) -> None:
    """Several ranges, other units and what cannot be read give all bytes."""
    response, body = await served.get(Range=value)

    assert (response.status, body) == (200, DATA)
    assert "Content-Range" not in response.headers


async def test_an_empty_file(make_served: Callable[..., Awaitable[Served]]) -> None:
    """An empty file is no bytes, and has no range."""
    served = await make_served(b"")
    response, body = await served.get()
    ranged, _ = await served.get(Range="bytes=0-")

    assert (response.status, body, response.headers["Content-Length"]) == (200, b"", "0")
    assert ranged.status == 416


async def test_if_range_with_our_etag(served: Served) -> None:
    """The range counts when the file is the one the client knows."""
    for known in (served.etag, http_date(served.modified)):
        response, body = await served.get(Range="bytes=0-1", If_Range=known)

        assert (response.status, body) == (206, b"01")


async def test_if_range_with_another(served: Served) -> None:
    """Else all bytes come: of another version, of a weak tag, of another time."""
    earlier = http_date(served.modified - timedelta(seconds=1))
    for known in ('"other"', f"W/{served.etag}", earlier, "nonsense"):
        response, body = await served.get(Range="bytes=0-1", If_Range=known)

        assert (response.status, body) == (200, DATA)


async def test_what_the_client_has_is_not_sent_again(served: Served) -> None:
    """If-None-Match and If-Modified-Since give 304 without a body."""
    conditions = [
        {"If_None_Match": served.etag},
        {"If_None_Match": f'"other", W/{served.etag}'},
        {"If_None_Match": "*"},
        {"If_Modified_Since": http_date(served.modified)},
        {"If_Modified_Since": http_date(served.modified + timedelta(days=1))},
    ]
    for condition in conditions:
        response, body = await served.get(**condition)

        assert (response.status, body) == (304, b"")
        assert response.headers["ETag"] == served.etag


async def test_what_the_client_does_not_have_is_sent(served: Served) -> None:
    """If-None-Match counts before If-Modified-Since, and other tags do not match."""
    since = http_date(served.modified)
    conditions = [
        {"If_None_Match": '"other"'},
        {"If_None_Match": '"other"', "If_Modified_Since": since},
        {"If_Modified_Since": http_date(served.modified - timedelta(seconds=1))},
        {"If_Modified_Since": "nonsense"},
    ]
    for condition in conditions:
        response, body = await served.get(**condition)

        assert (response.status, body) == (200, DATA)


async def test_a_large_file(make_served: Callable[..., Awaitable[Served]]) -> None:
    """Size is no matter."""
    data = bytes(range(256)) * 20_000
    served = await make_served(data)
    _, body = await served.get()
    _, part = await served.get(Range="bytes=1000000-4000000")

    assert body == data
    assert part == data[1_000_000:4_000_001]


class Broken:
    """See `Content`: a file that cannot be read to its end."""

    size = 3 << 20

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """See `Content.read`."""
        yield bytes(1 << 20)
        raise StorageError("The disk cannot be read.")

    async def send(self, outlet: Outlet, start: int, stop: int) -> None:
        """See `Content.send`."""
        os.write(outlet.fd, bytes(1000))
        raise StorageError("The disk cannot be read.")


class Endless:
    """See `Content`: more than any socket holds."""

    size = 1 << 40

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """See `Content.read`."""
        while True:
            yield bytes(1 << 20)

    async def send(self, outlet: Outlet, start: int, stop: int) -> None:
        """See `Content.send`."""
        while True:
            try:
                os.write(outlet.fd, bytes(1 << 20))
            except BlockingIOError:
                await outlet.writable()


@pytest.mark.parametrize(
    ("content", "expected"),
    [(Broken(), []), (Endless(), ["body_timeout"])],
    ids=["broken", "endless"],
)
async def test_a_short_answer_does_not_look_like_a_whole_one(
    content: Content,
    expected: list[str],
    direct: int | None,
    aiohttp_client: MakeClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The connection is cut when the storage fails, or the client takes nothing for a while, which
    is a limit."""
    upload = completed(UPLOAD)
    met: list[str] = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[Upload, Content]]:
        yield upload, content

    async def handle(request: web.Request) -> web.StreamResponse:
        return await send(request, opened(), idle=0.2, direct=direct, met=met.append)

    app = web.Application()
    app.router.add_get("/", handle)
    client = await aiohttp_client(app)
    response = await client.get("/")
    async with asyncio.timeout(5):
        while "download_cut" not in caplog.messages:  # noqa: ASYNC110 - a log tells nobody
            await asyncio.sleep(0.01)

    assert (response.status, met) == (200, expected)
    with pytest.raises(ClientError):
        await response.read()


async def test_head_has_no_body(served: Served) -> None:
    """HEAD tells the same without the bytes."""
    response, body = await served.ask("HEAD")

    assert (response.status, body) == (200, b"")
    assert response.headers["Content-Length"] == "10"


@pytest.mark.parametrize("claimed", ["text/html", "image/svg+xml", "no type", None])
async def test_what_could_run_is_just_bytes(
    make_served: Callable[..., Awaitable[Served]], claimed: str | None
) -> None:
    """A type that a browser would run, or that is none, is not told."""
    response, _ = await (await make_served(content_type=claimed)).get()

    assert response.headers["Content-Type"] == "application/octet-stream"
