"""The demo page: a folder of static files, read once and served by name."""

from collections.abc import Awaitable, Callable
from html import escape
from pathlib import Path

from aiohttp import web

_STATIC = Path(__file__).parent / "static"

# The allow-list: a file that is not named here is not served.
_CONTENT_TYPES = {
    "index.html": "text/html",
    "demo.css": "text/css",
    "favicon.svg": "image/svg+xml",
    "access.js": "text/javascript",
    "demo.js": "text/javascript",
    "files_view.js": "text/javascript",
    "format.js": "text/javascript",
    "rest_upload.js": "text/javascript",
    "server.js": "text/javascript",
    "transfer.js": "text/javascript",
    "transfer_view.js": "text/javascript",
    "tus_upload.js": "text/javascript",
    "unfinished.js": "text/javascript",
    "tus.min.js": "text/javascript",  # built from npm, so it may be absent; the page says so
}

_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; object-src 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_Handler = Callable[[web.Request], Awaitable[web.Response]]


def demo_routes(tus_base_path: str = "/files/") -> list[web.RouteDef]:
    """Routes of the page at `/` and of what it loads from `/demo/`.

    The files are read here, so call it before the server listens; `tus_base_path` is written
    into the page as the address it uploads to.
    """
    routes = []
    for name, content_type in _CONTENT_TYPES.items():
        path = _STATIC / name
        if not path.is_file():
            continue
        content = path.read_bytes()
        if name == "index.html":
            # Relative, so that the page also works behind a proxy that adds a prefix.
            content = content.replace(b"{{tus}}", escape(tus_base_path.lstrip("/")).encode())
            routes.append(web.get("/", _serve(content, content_type)))
        else:
            routes.append(web.get(f"/demo/{name}", _serve(content, content_type)))
    return routes


def _serve(content: bytes, content_type: str) -> _Handler:
    async def handler(request: web.Request) -> web.Response:
        charset = None if content_type == "image/svg+xml" else "utf-8"
        return web.Response(
            body=content, content_type=content_type, charset=charset, headers=_HEADERS
        )

    return handler
