"""GET of a finished upload: ranges and conditions (RFC 9110, 13 and 14), a safe file name."""

import asyncio
import logging
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from aiohttp import web

from tusd_py.errors import UploadError
from tusd_py.interfaces import Content
from tusd_py.representation import disposition, safe_media_type
from tusd_py.upload import Upload
from tusd_py.web.errors import RangeNotSatisfiable
from tusd_py.web.outlet import outlet_of
from tusd_py.web.tus_headers import http_date

PIECE = 64 << 10
"""Bytes that a client must take in the time in which it may be idle."""

logger = logging.getLogger(__name__)

_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,19})-([0-9]{0,19})|-([0-9]{1,19}))[ \t]*", re.I)
Opened = AbstractAsyncContextManager[tuple[Upload, Content]]


async def send(
    request: web.Request,
    opened: Opened,
    *,
    idle: float,
    direct: int | None,
    met: Callable[[str], None],
) -> web.StreamResponse:
    """Answer a GET or HEAD with the bytes of a finished upload. If they are at least `direct` they
    go to the socket beside aiohttp, where that can be.

    The connection is cut when the client takes nothing for `idle` seconds, which `met` is told, or
    when the storage fails in the middle: a short answer must not look like a whole one.
    """
    async with opened as (upload, content):
        etag = f'"{upload.id}"'
        modified = upload.completion.at if upload.completion else upload.created_at
        headers = {
            "ETag": etag,
            "Last-Modified": http_date(modified),
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, no-cache",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Content-Disposition": disposition(upload.filename),
            "Content-Type": safe_media_type(upload.content_type),
        }
        if _is_unchanged(request, etag, modified):
            del headers["Content-Type"]
            return web.Response(status=304, headers=headers)
        span = _span(request, content.size, etag, modified)
        start, stop = span or (0, content.size)
        if span is not None:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size}"
        headers |= repr_digest(upload)
        response = web.StreamResponse(status=206 if span else 200, headers=headers)
        response.content_length = stop - start
        await response.prepare(request)
        try:
            if request.method != "HEAD":
                await _transfer(request, response, content, start, stop, idle, direct)
            await response.write_eof()
        except TimeoutError as error:
            met("body_timeout")
            raise _cut(request, upload, "The client took nothing for BODY_TIMEOUT.") from error
        except UploadError as error:
            raise _cut(request, upload, str(error)) from error
        return response


def repr_digest(upload: Upload) -> dict[str, str]:
    """Repr-Digest (RFC 9530, 3): the digest of the whole file, also beside a range of it."""
    if upload.completion is None or upload.completion.sha256 is None:
        return {}
    return {"Repr-Digest": f"sha-256=:{b64encode(upload.completion.sha256).decode()}:"}


async def _transfer(
    request: web.Request,
    response: web.StreamResponse,
    content: Content,
    start: int,
    stop: int,
    idle: float,
    direct: int | None,
) -> None:
    outlet = None
    if direct is not None and stop - start >= direct:
        outlet = await outlet_of(request, idle=idle, least=PIECE)
    if outlet is None:
        async for block in content.read(start, stop):
            for piece in _pieces(block):
                async with asyncio.timeout(idle):
                    await response.write(piece)
        return
    try:
        await content.send(outlet, start, stop)
    finally:
        outlet.close()


def _cut(request: web.Request, upload: Upload, why: str) -> ConnectionResetError:
    """Close at once; what is to be raised then."""
    logger.warning("download_cut", extra={"upload": upload.id, "why": why})
    if request.transport is not None:
        request.transport.abort()
    return ConnectionResetError("The download was cut.")


def _pieces(block: bytes) -> Iterator[memoryview]:
    """Pieces so small that a slow client takes each of them in time."""
    whole = memoryview(block)
    return (whole[start : start + PIECE] for start in range(0, len(block), PIECE))


def _is_unchanged(request: web.Request, etag: str, modified: datetime) -> bool:
    asked = request.headers.getall("If-None-Match", [])
    if asked:
        tags = _tags(asked)
        return "*" in tags or etag in tags
    since = request.if_modified_since
    return since is not None and modified.replace(microsecond=0) <= since


def _tags(lines: Sequence[str]) -> set[str]:
    return {tag.strip().removeprefix("W/") for line in lines for tag in line.split(",")}


def _span(request: web.Request, size: int, etag: str, modified: datetime) -> tuple[int, int] | None:
    """The bytes to send; None for all."""
    if not _is_range_valid(request, etag, modified):
        return None
    return span(request.headers.get("Range", ""), size)


def span(asked: str, size: int) -> tuple[int, int] | None:
    """The first byte that a Range asks for and the one after the last, of a file of `size` bytes.

    None is all of it: no Range, several ranges, or a form we do not know.
    Raises `RangeNotSatisfiable`.
    """
    match = _RANGE.fullmatch(asked.strip())
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, stop = max(0, size - int(suffix)), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    if start >= stop:
        raise RangeNotSatisfiable(size)
    return start, stop


def _is_range_valid(request: web.Request, etag: str, modified: datetime) -> bool:
    condition = request.headers.get("If-Range")
    if condition is None:
        return True
    return condition.strip() in {etag, http_date(modified)}
