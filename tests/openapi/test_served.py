"""/openapi.json as it is served."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.conftest import MakeServer
from tests.openapi.reading import entry, operations
from tests.servers import Address, settings
from tusd_py.app import create_app
from tusd_py.config import load_config


async def document_at(http: aiohttp.ClientSession, base: str, **headers: str) -> dict[str, object]:
    """The document that a server gives."""
    async with http.get(f"{base}/openapi.json", headers=headers) as response:
        found: dict[str, object] = await response.json()

    assert response.status == 200
    return found


def server_of(document: dict[str, object]) -> str:
    """The one server that a document names."""
    servers = document["servers"]
    assert isinstance(servers, list)
    [server] = servers
    return str(server["url"])


async def test_anybody_may_read_it(server: Address, http: aiohttp.ClientSession) -> None:
    """It needs no token, is JSON, is asked for again each time, and pages of any origin may read
    it."""
    headers = {"Origin": "https://viewer.example"}
    async with http.get(f"{server.base}/openapi.json", headers=headers) as response:
        await response.json()

    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_it_is_only_read(
    server: Address, http: aiohttp.ClientSession, path: str, method: str
) -> None:
    """Other methods are 405 with what is allowed."""
    async with http.request(method, f"{server.base}{path}") as response:
        await response.read()

    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/docs/docs.js"])
async def test_head(server: Address, http: aiohttp.ClientSession, path: str) -> None:
    """HEAD has the headers of GET."""
    async with http.get(f"{server.base}{path}") as whole:
        content = await whole.read()
    async with http.head(f"{server.base}{path}") as response:
        pass

    assert response.status == 200
    assert response.headers["Content-Type"] == whole.headers["Content-Type"]
    assert response.headers["Content-Length"] == str(len(content))


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/docs/", "/docs/docs.js"])
async def test_it_can_be_switched_off(
    make_server: MakeServer, http: aiohttp.ClientSession, path: str
) -> None:
    """API_DOCS=false: there is neither document nor page."""
    server = await make_server(API_DOCS="false")

    async with http.get(f"{server.base}{path}") as response:
        await response.read()

    assert response.status == 404


PROXIED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "e.org", "X-Forwarded-Prefix": "/up"}


@pytest.mark.parametrize(
    ("setting", "headers", "expected"),
    [
        ({}, {}, "/"),
        ({}, PROXIED, "/"),
        ({"PUBLIC_URL": "https://e.org/up"}, {}, "https://e.org/up"),
        ({"TRUSTED_PROXIES": "127.0.0.0/8"}, PROXIED, "https://e.org/up"),
        ({"TRUSTED_PROXIES": "10.0.0.0/8"}, {**PROXIED, "Host": "h.org"}, "http://h.org"),
    ],
    ids=["plain", "untrusted", "public", "trusted", "another"],
)
async def test_server_is_where_clients_see_it(
    make_server: MakeServer,
    http: aiohttp.ClientSession,
    setting: dict[str, str],
    headers: dict[str, str],
    expected: str,
) -> None:
    """The document names the server as PUBLIC_URL or a trusted proxy does; else by its path, which
    a client reads relative to the document."""
    server = await make_server(**setting)

    document = await document_at(http, server.base, **headers)

    assert server_of(document) == expected


@pytest.mark.parametrize(
    ("setting", "expected"),
    [({}, "/uploads"), ({"PUBLIC_URL": "https://e.org"}, "https://e.org/uploads")],
    ids=["plain", "public"],
)
async def test_mounted_under_a_prefix(
    tmp_path: Path, http: aiohttp.ClientSession, setting: dict[str, str], expected: str
) -> None:
    """As a part of another application the document names the path that it is mounted at."""
    config = load_config({}, settings(tmp_path, **setting), None)
    whole = web.Application()
    whole.add_subapp("/uploads/", await asyncio.to_thread(create_app, config))

    async with TestServer(whole) as outer:
        base = str(outer.make_url("/uploads"))
        document = await document_at(http, base)
        async with http.get(f"{base}/docs/", allow_redirects=True) as page:
            await page.read()

    assert server_of(document) == expected
    assert (page.status, page.url.path) == (200, "/uploads/docs")


async def test_tus_face_is_pointed_to(make_server: MakeServer, http: aiohttp.ClientSession) -> None:
    """The prose names the address of the tus face, also another one."""
    server = await make_server(TUS_BASE_PATH="/big/files/")

    text = str(entry(await document_at(http, server.base), "info", "description"))

    assert "`/big/files/`" in text
    assert "GET /big/files/{upload_session_id}" in text


async def test_uploads_may_be_at_the_address_of_the_page(
    make_server: MakeServer, http: aiohttp.ClientSession
) -> None:
    """TUS_BASE_PATH=/docs/ is the tus face, and there is no page."""
    server = await make_server(TUS_BASE_PATH="/docs/")
    headers = {**server.tus(), "Upload-Length": "0"}

    async with http.post(f"{server.base}/docs/", headers=headers) as response:
        await response.read()

    assert response.status == 201


@pytest.mark.parametrize("path", sorted({each.path for each in operations()}))
async def test_methods_are_those_that_the_server_knows(
    server: Address, http: aiohttp.ClientSession, path: str
) -> None:
    """The methods of an address are those that it names in Allow."""
    described = {each.method for each in operations() if each.path == path}

    async with http.request("PROPFIND", f"{server.base}{path}") as response:
        await response.read()

    assert response.status == 405
    assert set(response.headers["Allow"].split(", ")) == described
