"""The page /docs in headless Chromium."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.conftest import MakeServer
from tests.e2e.chromium import running_chromium
from tests.e2e.javascript import run_script
from tests.openapi.reading import entry, operations
from tests.servers import Address
from tests.tokens import make_token
from tusd_py.web.openapi.page import BUNDLE, STATIC

pytestmark = pytest.mark.parametrize("make_store", ["local"], indirect=True)

PREFIX = "/a/prefix"
KEPT = {"Content-Encoding", "Content-Security-Policy", "Content-Type"}
SHOWN = [str(each.value["summary"]) for each in operations() if "x-scalar-ignore" not in each.value]
"""What the requests are called that the page shows."""

Visit = Callable[[str], Awaitable[dict[str, object]]]


@pytest.fixture
async def server(make_server: MakeServer) -> Address:
    """A server with the page."""
    if not (STATIC / BUNDLE).is_file():
        pytest.fail("the page is not there: run `make page`", pytrace=False)
    return await make_server()


@pytest.fixture
async def proxied(server: Address, http: aiohttp.ClientSession) -> AsyncIterator[str]:
    """Where the server is behind a proxy that adds a prefix and tells nobody."""

    async def pass_on(request: web.Request) -> web.Response:
        url = f"{server.base}{request.path.removeprefix(PREFIX)}"
        names = request.headers.keys() & {"Authorization", "Content-Type"}
        headers = {name: request.headers[name] for name in names}
        body = await request.read()
        async with http.request(request.method, url, data=body, headers=headers) as answer:
            names = answer.headers.keys() & KEPT
            kept = {name: answer.headers[name] for name in names}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    proxy = web.Application()
    proxy.router.add_route("*", f"{PREFIX}/{{path:.*}}", pass_on)
    async with TestServer(proxy) as front:
        yield str(front.make_url(PREFIX))


@pytest.fixture(scope="module")
def browser() -> Iterator[str]:
    """A browser for the tests of this page."""
    with running_chromium() as address:
        yield address


@pytest.fixture
def visit(browser: str) -> Visit:
    """Opens the page of the server at an address, and tries a request as the user 42."""

    async def run(base: str) -> dict[str, object]:
        task = {"url": f"{base}/docs", "token": make_token(), "requests": SHOWN}
        return await run_script("browser/docs.mjs", json.dumps(task), CHROMIUM_AT=browser)

    return run


@pytest.mark.parametrize("is_proxied", [False, True], ids=["direct", "prefix"])
async def test_page_shows_and_sends_requests(
    visit: Visit, server: Address, proxied: str, is_proxied: bool
) -> None:
    """Every request has its section, and one is sent from there with a token, which is not kept.
    No host but the server is asked for anything, and all is where the page is, also behind a
    prefix."""
    base = proxied if is_proxied else server.base

    seen = await visit(base)

    asked = seen["asked"]
    assert isinstance(asked, list)
    assert {url for url in asked if not url.startswith((f"{base}/", "data:", "blob:"))} == set()
    assert {f"{base}/{name}" for name in ("docs", "openapi.json", "upload/init")} <= set(asked)
    assert seen["shown"] == SHOWN
    assert entry(seen, "opened", "status") == 200
    assert entry(seen, "opened", "answer", "status") == "success"
    assert seen["keepsToken"] is False


async def test_script_brings_its_licence(server: Address, http: aiohttp.ClientSession) -> None:
    """Who gets a copy of Scalar gets its licence with it (MIT), and no name of a file that is not
    there."""
    headers = {"Accept-Encoding": "identity"}
    async with http.get(f"{server.base}/docs/{BUNDLE}", headers=headers) as response:
        script = await response.text()

    head = script[:2000]
    assert head.startswith("/*! Scalar ")
    assert "Copyright (c) 2023-present Scalar" in head
    assert "The above copyright notice and this permission notice shall be included" in head
    assert "//# sourceMappingURL=" not in script
