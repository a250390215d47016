"""What the demo page is made of: the files it may serve, and their headers."""

import re

import aiohttp
import pytest

from tests.conftest import MakeServer
from tests.servers import Address


@pytest.fixture
async def page_server(make_server: MakeServer) -> Address:
    """A server that serves the demo page."""
    return await make_server(DEMO="true")


@pytest.mark.decided_early
@pytest.mark.parametrize("name", ["", "demo/demo.css", "demo/demo.js", "demo/favicon.svg"])
async def test_page_headers(page_server: Address, http: aiohttp.ClientSession, name: str) -> None:
    """The page and its parts are checked on each visit and may load from this server only."""
    async with http.get(f"{page_server.base}/{name}") as response:
        headers = response.headers

    assert response.status == 200
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "unsafe" not in headers["Content-Security-Policy"]


@pytest.mark.decided_early
@pytest.mark.parametrize(
    "path",
    ["/demo/", "/demo/index.html", "/demo/__init__.py", "/demo/..%2f__init__.py", "/demo/%2e%2e/"],
)
async def test_only_listed_files(page_server: Address, path: str) -> None:
    """A path that is not a file of the page is a 404, wherever it points."""
    reply = await page_server.raw(
        f"GET {path} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n".encode()
    )

    assert reply.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("path", ["/", "/demo/demo.js"])
async def test_no_page_without_demo(
    server: Address, http: aiohttp.ClientSession, path: str
) -> None:
    """A server that was not asked for the demo page has none."""
    async with http.get(f"{server.base}{path}") as response:
        status = response.status

    assert status == 404


@pytest.mark.parametrize(
    ("base_path", "endpoint"), [("/files/", "files/"), ("/api/uploads/", "api/uploads/")]
)
async def test_page_uploads_to_the_tus_base_path(
    make_server: MakeServer, http: aiohttp.ClientSession, base_path: str, endpoint: str
) -> None:
    """The page uploads to TUS_BASE_PATH, relative to itself so that a proxy may add a prefix."""
    server = await make_server(DEMO="true", TUS_BASE_PATH=base_path)

    async with http.get(f"{server.base}/") as response:
        page = await response.text()

    assert f'data-tus-endpoint="{endpoint}"' in page
    assert "{{" not in page


async def test_page_loads_only_its_own_files(
    page_server: Address, http: aiohttp.ClientSession
) -> None:
    """Each file the page names is served; none comes from another host, none is inline."""
    async with http.get(f"{page_server.base}/") as response:
        page = await response.text()
    named = set(re.findall(r'(?:src|href)="([^"#]+)"', page)) - {"demo/tus.min.js"}

    statuses = {}
    for name in named:
        async with http.get(f"{page_server.base}/{name}") as response:
            statuses[name] = response.status

    assert statuses == dict.fromkeys(["demo/demo.css", "demo/demo.js", "demo/favicon.svg"], 200)
    assert "<style" not in page
    assert not re.search(r"<script(?! src=)|\son\w+=|\sstyle=", page)
