"""The REST face described: /openapi.json for programs, /docs for people."""

import json
from collections.abc import Mapping
from functools import cache

from aiohttp import web

from tusd_py.web.errors import Handler
from tusd_py.web.openapi.document import document
from tusd_py.web.openapi.page import PAGE, page_handlers
from tusd_py.web.openapi.schemas import Json
from tusd_py.web.origin import PublicAddress
from tusd_py.web.plain import reading

DOCUMENT = "/openapi.json"
_SERVER = "//server/"
"""Stands in the text of the document for the address of the server."""


def openapi_routes(tus_base_path: str, address: PublicAddress | None) -> Mapping[str, Handler]:
    """Path -> handler, of the document and of the page. `address` tells how clients see this
    server; without it the document names the server by the path it is mounted at."""

    async def described(request: web.Request) -> web.StreamResponse:
        mounted_at = request.path.removesuffix(DOCUMENT)
        server = (mounted_at or "/") if address is None else address.url(request, mounted_at)
        before, after = _text(tus_base_path)
        return web.Response(
            text=f"{before}{json.dumps(server)}{after}",
            content_type="application/json",
            headers={"Cache-Control": "no-cache"},
        )

    handlers = {DOCUMENT: _read(described)}
    if not tus_base_path.startswith(f"{PAGE}/"):  # else uploads are at that address
        for path, handler in page_handlers(_paths(tus_base_path)).items():
            handlers[path] = _read(handler)
    return handlers


def _read(handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await reading(request, handler)

    return answer


@cache
def _text(tus_base_path: str) -> tuple[str, str]:
    """The document before and after the address of the server."""
    text = json.dumps(document(server=_SERVER, tus_base_path=tus_base_path))
    before, _, after = text.partition(json.dumps(_SERVER))
    return before, after


def _paths(tus_base_path: str) -> Json:
    paths = document(server=_SERVER, tus_base_path=tus_base_path)["paths"]
    assert isinstance(paths, dict)
    return paths
