"""What the page /docs is made of: the files it may serve, their headers, and no script."""

import re
import shutil
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.openapi.reading import DOCUMENT, objects
from tests.servers import Address
from tusd_py.web.openapi.page import BUNDLE, STATIC, page_handlers


def page_of(static: Path) -> web.Application:
    """An application that has the page with these files only."""
    app = web.Application()
    for path, handler in page_handlers(objects(DOCUMENT["paths"]), static).items():
        app.router.add_get(path, handler)
    return app


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files of the page as in a clone of the repository."""
    ignored = shutil.ignore_patterns(BUNDLE, f"{BUNDLE}.gz")
    return Path(shutil.copytree(STATIC, tmp_path / "static", ignore=ignored))


@pytest.fixture
def plain_page(clone: Path) -> web.Application:
    """The page without Scalar."""
    return page_of(clone)


@pytest.fixture
def whole_page(clone: Path) -> web.Application:
    """The page with something in the place of Scalar."""
    (clone / BUNDLE).write_text("plain")
    (clone / f"{BUNDLE}.gz").write_bytes(b"packed")
    return page_of(clone)


@pytest.mark.parametrize("path", ["/docs", "/docs/docs.js", "/docs/docs.css"])
async def test_headers(server: Address, http: aiohttp.ClientSession, path: str) -> None:
    """The page is checked on each visit, may ask this server only, runs scripts of files only, and
    is not shown inside of another page."""
    async with http.get(f"{server.base}{path}") as response:
        await response.read()
    policy = dict(
        each.strip().split(" ", 1)
        for each in response.headers["Content-Security-Policy"].split(";")
    )

    assert response.status == 200
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "http" not in str(policy)


@pytest.mark.parametrize(
    "path",
    ["/docs/docs.html", "/docs/scalar.LICENSE", "/docs/..%2fpage.py", "/docs/%2e%2e/page.py"],
)
async def test_only_listed_files(server: Address, path: str) -> None:
    """A path that is not a file of the page is a 404, wherever it points."""
    reply = await server.raw(
        f"GET {path} HTTP/1.1\r\nHost: docs\r\nConnection: close\r\n\r\n".encode()
    )

    assert reply.startswith(b"HTTP/1.1 404 ")


async def test_all_is_named_relative_to_the_page(whole_page: web.Application) -> None:
    """The page names its files relative to itself, so that a prefix before it does no harm, and
    each of them is there."""
    async with TestClient(TestServer(whole_page)) as client:
        text = await (await client.get("/docs")).text()
        named = re.findall(r'(?:src|href)="([^"]+)"', text)
        files = [name for name in named if name.startswith("docs/")]
        statuses = [(await client.get(f"/{name}")).status for name in files]

    assert sorted(set(named) - set(files)) == ["data:,", "openapi.json"]
    assert files == ["docs/docs.css", "docs/scalar.js", "docs/docs.js"]
    assert statuses == [200] * 3
    assert not re.search(r"<script(?! src=)|\son\w+=|\sstyle=|\{\{", text)


async def test_page_without_the_script(plain_page: web.Application) -> None:
    """Where Scalar was not fetched the page lists the requests, leads to the document, and says
    how to get it."""
    async with TestClient(TestServer(plain_page)) as client:
        text = await (await client.get("/docs")).text()
        missing = await client.get("/docs/scalar.js")

    assert missing.status == 404
    assert "<script" not in text
    assert "<noscript" not in text
    assert 'href="openapi.json"' in text
    assert "<code>make page</code>" in text
    assert "<code>DELETE /upload/file</code> Remove an upload or a file" in text
    assert "OPTIONS" not in text


@pytest.mark.parametrize(
    ("accepted", "expected"), [("gzip, deflate", b"packed"), ("identity", b"plain")]
)
async def test_script_is_sent_packed(
    whole_page: web.Application, accepted: str, expected: bytes
) -> None:
    """Who takes gzip gets the file that was packed beforehand, and an ETag to ask again with."""
    async with TestClient(TestServer(whole_page), auto_decompress=False) as client:
        headers = {"Accept-Encoding": accepted}
        response = await client.get("/docs/scalar.js", headers=headers)
        body = await response.read()
        again = await client.get(
            "/docs/scalar.js", headers={**headers, "If-None-Match": response.headers["ETag"]}
        )

    assert body == expected
    assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert again.status == 304


async def test_address_with_a_slash_leads_to_the_page(
    server: Address, http: aiohttp.ClientSession
) -> None:
    """/docs/ leads to /docs, relative to itself."""
    async with http.get(f"{server.base}/docs/", allow_redirects=False) as response:
        await response.read()

    assert response.status == 308
    assert response.headers["Location"] == "../docs"
