"""The server as a part of another aiohttp application, which runs it as it runs its own pages."""

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.conformance.rest.client import RestClient
from tests.conformance.tus.client import (
    OCTETS,
    Tus,
    begun_patch,
    connected,
    content_of,
    metadata,
    pieces,
)
from tests.embedding import MountedAddress, Program, program
from tests.servers import settings, taken
from tusd_py.app import create_app, open_service
from tusd_py.config import Config, load_config
from tusd_py.errors import Unauthorized
from tusd_py.hooks import Hooks
from tusd_py.setting_types import Backend, SettingError

CONTENT = content_of(3 << 20)


async def _nobody(_request: web.Request) -> str:
    raise Unauthorized("Nobody may come in.")


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Program]:
    """A program with uploads."""
    async with program(tmp_path / "data") as one:
        yield one


@pytest.fixture
def tus(http: aiohttp.ClientSession, running: Program) -> Tus:
    """User 42."""
    return Tus(http=http, address=running.address)


async def test_addresses_have_the_prefix(tus: Tus) -> None:
    """Location is where the program has mounted the uploads, and all requests work there: large
    bodies, chunked ones, a download, a range, a deletion."""
    url = await tus.create(len(CONTENT), metadata(filename="a.bin"))
    first = await tus.patch(url, 0, CONTENT[: 2 << 20])
    second = await tus.patch(url, 2 << 20, pieces(CONTENT[2 << 20 :]))

    assert url.startswith(f"{tus.address.base}/files/")
    assert (first.status, second.status) == (204, 204)
    assert await tus.download(url) == CONTENT
    ranged = await tus.get(url, {"Range": "bytes=5-9"})
    assert (ranged.status, ranged.body) == (206, CONTENT[5:10])
    assert (await tus.delete(url)).status == 204
    assert (await tus.head(url)).status == 410


async def test_concatenation_below_a_prefix(tus: Tus) -> None:
    """Parts are named by the addresses that the server gave."""
    parts = [await tus.upload(data, {"Upload-Concat": "partial"}) for data in (b"one", b"two")]

    answer = await tus.post({"Upload-Concat": f"final;{' '.join(parts)}"})

    assert answer.status == 201
    assert await tus.download(tus.url(answer.headers["Location"])) == b"onetwo"


async def test_rest_below_a_prefix(http: aiohttp.ClientSession, running: Program) -> None:
    """The REST face is at /upload/ below the prefix."""
    rest = RestClient(http=http, server=running.address)

    upload_id = await rest.uploaded(b"one", b"two")

    assert await running.address.finished() == {"42/123/audio.mp3": 6}
    assert (await rest.delete(upload_id)).status == 200
    assert (await rest.send("GET", "/upload/nothing")).status == 404


async def test_the_program_keeps_its_own(tus: Tus, running: Program) -> None:
    """Its pages, its 404, its middlewares and its signals are as they were; they see the requests
    of the uploads like others."""
    root = f"http://127.0.0.1:{running.address.port}"
    pages = [await tus.send("GET", f"{root}{path}") for path in ("/page", "/upload/files", "/")]
    inside = await tus.send("GET", f"{running.address.base}/nothing")
    options = await tus.send("OPTIONS", running.address.files, {"Origin": "https://e.org"})

    assert [page.status for page in pages] == [200, 404, 404]
    assert (pages[0].body, inside.body) == (b"a page", b"Nothing is served at this address.\n")
    assert "Access-Control-Allow-Origin" not in pages[0].headers
    assert "Tus-Resumable" not in pages[0].headers
    assert options.headers["Access-Control-Allow-Origin"] == "*"
    assert options.headers["Tus-Version"] == "1.0.0"
    assert {page.headers["X-Program"] for page in (*pages, inside, options)} == {"ours"}
    assert running.seen[-1] == "OPTIONS /uploads/files/"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_health_below_a_prefix(tus: Tus, path: str) -> None:
    """Probes work without the server program, too."""
    assert (await tus.send("GET", f"{tus.address.base}{path}")).status == 200


async def test_errors_below_a_prefix(tus: Tus) -> None:
    """Refusals have the form of their face, and the headers that browsers need."""
    answer = await tus.head(f"{tus.address.files}no-such-upload", {"Origin": "https://e.org"})
    unknown = await tus.send("PUT", tus.address.files)

    assert (answer.status, unknown.status) == (404, 405)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Tus-Resumable"] == "1.0.0"


async def test_deeply_mounted(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """An application in an application in an application."""
    async with program(tmp_path / "data", prefix="/a/b/c") as deep:
        tus = Tus(http=http, address=deep.address)

        url = await tus.upload(b"hello")

        assert url.startswith(f"http://127.0.0.1:{deep.address.port}/a/b/c/files/")
        assert await tus.download(url) == b"hello"


async def test_public_url(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """PUBLIC_URL stands before the path at which the uploads are mounted."""
    config = Config(local_temp_chunk_path=tmp_path, public_url="https://example.org/app")
    async with program(tmp_path, config=config) as one:
        answer = await Tus(http=http, address=one.address).post({"Upload-Length": "5"})

    assert answer.headers["Location"].startswith("https://example.org/app/uploads/files/")


async def test_a_path_with_escapes(tmp_path: Path) -> None:
    """A path whose addresses would not be found again is refused at the start."""
    with pytest.raises(SettingError, match="plain characters"):
        async with program(tmp_path, prefix="/up loads"):
            pass


async def test_an_interrupted_patch_keeps_its_bytes(tus: Tus, running: Program) -> None:
    """A client that vanishes loses nothing that came, without the connections of our server."""
    url = await tus.create(1000)

    async with begun_patch(tus, url, 0, 1000) as patch:
        await patch.send(b"x" * 300)
        await taken(patch.writer)

    assert await tus.offset(url) == 300


async def test_shutdown_keeps_what_came(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """When the program ends, a running PATCH commits; the next program goes on with it."""
    async with program(tmp_path, patience=10) as one:
        tus = Tus(http=http, address=one.address)
        url = await tus.create(1000)
        async with begun_patch(tus, url, 0, 1000) as patch:
            await patch.send(b"x" * 300)
            await taken(patch.writer)
            await one.runner.cleanup()
    upload_id = url.rpartition("/")[2]

    async with program(tmp_path) as again:
        other = Tus(http=http, address=again.address)

        assert await other.offset(again.address.files + upload_id) == 300


async def test_compressed_bodies_are_refused(tus: Tus) -> None:
    """aiohttp inflates bodies where nobody told it not to; then offsets would lie."""
    data = gzip.compress(b"hello")
    url = await tus.create(len(data))

    answer = await tus.patch(url, 0, data, {"Content-Encoding": "gzip"})

    assert answer.status == 415
    assert await tus.offset(url) == 0


# --- authentication ---------------------------------------------------------------------------


def refusing(make: Callable[[], Exception]) -> object:
    """An authentication that raises."""

    def authenticate(_request: web.Request) -> str:
        raise make()

    return authenticate


async def coroutine(_request: web.Request) -> str:
    """An authentication that waits."""
    return "alice"


def plain(_request: web.Request) -> str:
    """An authentication that does not."""
    return "alice"


def awaitable(request: web.Request) -> Awaitable[str]:
    """An authentication that gives something to wait for."""
    return coroutine(request)


@pytest.mark.parametrize("authenticate", [coroutine, plain, awaitable])
async def test_who_asks(tmp_path: Path, http: aiohttp.ClientSession, authenticate: object) -> None:
    """The program's own function says whose uploads these are, on both faces; tokens count for
    nothing."""
    async with program(tmp_path, authenticate=authenticate) as one:  # type: ignore[arg-type]
        tus = Tus(http=http, address=one.address)
        await tus.upload(b"hello", metadata(filename="a", main_service_file_id="1"))

        assert await one.address.finished() == {"alice/1/a": 5}
        assert len(await tus.listed()) == 1


async def test_an_integer_is_a_user(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """Ids of databases are integers."""
    async with program(tmp_path, authenticate=lambda _: 7) as one:  # type: ignore[arg-type, return-value]
        await Tus(http=http, address=one.address).upload(b"hello", metadata(filename="a"))

        assert [name.split("/")[0] for name in await one.address.finished()] == ["7"]


NOBODY = {
    "ours": (refusing(lambda: Unauthorized("Who are you?")), 401),
    "theirs": (refusing(lambda: web.HTTPForbidden(headers={"X-Why": "no"}, text="no")), 403),
    "none": (lambda _: None, 401),
    "climbs": (lambda _: "../root", 401),
    "dot": (lambda _: ".tusd", 401),
    "empty": (lambda _: "", 401),
    "true": (lambda _: True, 500),
    "list": (lambda _: ["alice"], 500),
    "bug": (refusing(lambda: KeyError("session")), 500),
}


@pytest.mark.parametrize(("authenticate", "status"), NOBODY.values(), ids=NOBODY)
async def test_nobody(
    tmp_path: Path, http: aiohttp.ClientSession, authenticate: object, status: int
) -> None:
    """Who is not known creates nothing and lists nothing, whatever the function does; after a body
    that nobody reads no other request is taken."""
    async with program(tmp_path, authenticate=authenticate) as one:  # type: ignore[arg-type]
        tus = Tus(http=http, address=one.address)
        listed = await tus.send("GET", f"{one.address.base}/upload/files")
        head = {"Upload-Length": "9999", "Content-Length": "9999", "Content-Type": OCTETS}
        async with connected(one.address) as connection:
            await connection.send(tus.wire("POST", one.address.files, head) + b"some")
            answer = await connection.head()

        assert (answer.status, listed.status) == (status, status)
        assert answer.headers["Connection"] == "close"
        assert answer.headers.get("X-Why") == ("no" if status == 403 else None)
        assert await one.address.finished() == {}


def test_tokens_need_their_settings() -> None:
    """Without an authentication of its own a program has to say how tokens are verified."""
    with pytest.raises(SettingError, match=r"MAIN_SERVICE_JWT_PUBLIC_KEY.*authenticate"):
        create_app(Config())


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        (Config(main_service_notify_url="http://127.0.0.1:9/"), "MAIN_SERVICE_NOTIFY_SECRET"),
        (Config(storage_backend=Backend.S3), "S3_BUCKET_NAME"),
        (Config(storage_backend=Backend.S3, s3_bucket_name="uploads"), "S3_ENDPOINT_URL"),
        (
            Config(
                storage_backend=Backend.S3,
                s3_bucket_name="uploads",
                s3_endpoint_url="http://127.0.0.1:9",
                s3_access_key="AKIA",
            ),
            "S3_SECRET_KEY",
        ),
    ],
    ids=["notify", "bucket", "endpoint", "key"],
)
async def test_settings_that_need_each_other(tmp_path: Path, config: Config, missing: str) -> None:
    """A program's settings are checked together, as those of the command are."""
    config = replace(config, local_temp_chunk_path=tmp_path)

    with pytest.raises(SettingError, match=f"^{missing} is missing: "):
        create_app(config, authenticate=_nobody)
    with pytest.raises(SettingError, match=f"^{missing} is missing: "):
        async with open_service(config):
            pass


async def test_one_kind_of_hooks(tmp_path: Path) -> None:
    """Hooks of the program and hooks at a URL at once would leave one of them unheard."""
    config = load_config({}, settings(tmp_path, HOOKS_HTTP_URL="http://127.0.0.1:9/"), None)

    with pytest.raises(SettingError, match="HOOKS_HTTP_URL"):
        create_app(config, hooks=Hooks())


def test_a_mounted_address_is_below_its_prefix(tmp_path: Path, running: Program) -> None:
    """The clients of these tests talk to the uploads of the program."""
    assert isinstance(running.address, MountedAddress)
    assert running.address.files.endswith("/uploads/files/")
