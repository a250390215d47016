"""The page for people at /docs: Scalar, which reads the document in the browser.

It is served from here and asks no other host: its policy allows this origin only. Scalar sets
styles as it runs, which needs 'unsafe-inline' for styles; with nothing to load from elsewhere they
can do no more than look wrong. Scripts are those of two files.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

import aiofiles
from aiohttp import web

from tusd_py.web.errors import Handler

PAGE = "/docs"

STATIC = Path(__file__).parent / "static"
BUNDLE = "scalar.js"
"""Made from an npm package (tools/api-docs.sh), so it may be absent; the page says so."""

_PIECE = 64 << 10

# The allow-list: a file that is not named here is not served.
_CONTENT_TYPES = {
    "docs.css": "text/css",
    "docs.js": "text/javascript",
    BUNDLE: "text/javascript",
}

_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def page_handlers(requests: Mapping[str, object], static: Path = STATIC) -> Mapping[str, Handler]:
    """Path -> handler, of the page and of what it loads; files are looked at when they are asked
    for the first time. `requests` are the paths of the document, which the page lists where Scalar
    cannot run."""
    handlers = {PAGE: _page(requests, static), f"{PAGE}/": _without_slash}
    for name, content_type in _CONTENT_TYPES.items():
        handlers[f"{PAGE}/{name}"] = _file(static / name, content_type)
    return handlers


def _page(requests: Mapping[str, object], static: Path) -> Handler:
    made: list[str] = []

    async def handler(_request: web.Request) -> web.StreamResponse:
        if not made:
            made.append(await asyncio.to_thread(_text, requests, static))
        return web.Response(text=made[0], content_type="text/html", headers=_HEADERS)

    return handler


def _text(requests: Mapping[str, object], static: Path) -> str:
    template = (static / "docs.html").read_text()
    is_built = (static / BUNDLE).is_file()
    text = template.replace("{{requests}}", _list(requests))
    opened, closed = ("<noscript>", "</noscript>") if is_built else ("", "")
    text = text.replace("{{plain}}", opened).replace("{{/plain}}", closed)
    return text.replace("{{scripts}}", _SCRIPTS if is_built else _NOT_BUILT)


_SCRIPTS = """\
<script src="docs/scalar.js" defer></script>
  <script src="docs/docs.js" defer></script>"""

_NOT_BUILT = """\
<p class="hint">This server was installed without the interactive page. In a clone of its
  repository <code>make page</code> fetches it, which needs npm; <code>make run</code> does so by
  itself.</p>"""


def _list(requests: Mapping[str, object]) -> str:
    """The requests as the items of a list in HTML."""
    items = []
    for path, methods in requests.items():
        assert isinstance(methods, dict)
        items += [
            f"<li><code>{method.upper()} {escape(path)}</code> {escape(each['summary'])}</li>"
            for method, each in methods.items()
            if not each.get("x-scalar-ignore")
        ]
    return "\n      ".join(items)


async def _without_slash(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=308, headers={"Location": f"..{PAGE}"})


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    """A file as it was when it was asked for first; `size` in bytes."""

    path: Path
    size: int
    etag: str


def _look_at(path: Path) -> _File | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return _File(path=path, size=found.st_size, etag=f"{found.st_mtime_ns:x}-{found.st_size:x}")


def _both(path: Path) -> tuple[_File | None, _File | None]:
    """A file, and the one beside it that was compressed before."""
    return _look_at(path), _look_at(path.with_name(f"{path.name}.gz"))


def _file(path: Path, content_type: str) -> Handler:
    """Serves a file, or its compressed one."""
    seen: list[tuple[_File | None, _File | None]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        if not seen:
            seen.append(await asyncio.to_thread(_both, path))
        whole, compressed = seen[0]
        if whole is None:
            return web.Response(status=404, text="There is nothing at this address.\n")
        is_packed = "gzip" in request.headers.get("Accept-Encoding", "").lower()
        file = compressed if compressed is not None and is_packed else whole
        encoding = {"Content-Encoding": "gzip"} if file is compressed else {}
        tag = {"ETag": f'"{file.etag}"', "Vary": "Accept-Encoding"}
        if any(each.value in {"*", file.etag} for each in request.if_none_match or ()):
            return web.Response(status=304, headers=_HEADERS | tag)
        length = {"Content-Length": str(file.size)}
        return web.Response(
            body=_pieces(file.path),
            content_type=content_type,
            charset="utf-8",
            headers=_HEADERS | tag | encoding | length,
        )

    return handler


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    """A file in pieces, so that none of it waits in memory for a slow client."""
    async with aiofiles.open(path, "rb") as file:
        while piece := await file.read(_PIECE):
            yield piece
