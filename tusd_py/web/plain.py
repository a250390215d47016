"""The addresses beside the faces: health, and nowhere."""

import asyncio

from aiohttp import web

from tusd_py.errors import NoSpace, StorageError, Trouble, UploadError
from tusd_py.service import UploadService
from tusd_py.web.errors import REASON, Handler, MethodNotAllowed, NoSuchAddress, answering

LEAVING: web.AppKey[asyncio.Event] = web.AppKey("leaving", asyncio.Event)
"""Set from the signal on: load balancers shall send nobody here any more."""


async def alive(request: web.Request) -> web.StreamResponse:
    """/healthz: the process answers."""

    async def answer(request: web.Request) -> web.StreamResponse:
        _require_reading(request)
        return web.Response(text="ok\n")

    return await answering(request, answer, _refusal)


async def ready(
    request: web.Request, service: UploadService, leaving: asyncio.Event
) -> web.StreamResponse:
    """/readyz: new requests are welcome, and the storage takes bytes."""

    async def answer(request: web.Request) -> web.StreamResponse:
        _require_reading(request)
        if leaving.is_set():
            raise Trouble("The server is about to leave.")
        try:
            await service.storage.check()
        except NoSpace as error:
            raise StorageError(str(error)) from error
        return web.Response(text="ok\n")

    return await answering(request, answer, _refusal)


async def measured(request: web.Request, exposition: tuple[bytes, str]) -> web.StreamResponse:
    """/metrics: counters, and the media type they are written in."""
    data, media_type = exposition

    async def answer(request: web.Request) -> web.StreamResponse:
        _require_reading(request)
        return web.Response(body=data, headers={"Content-Type": media_type})

    return await answering(request, answer, _refusal)


async def reading(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What a handler gives to GET and HEAD; other methods are 405."""

    async def answer(request: web.Request) -> web.StreamResponse:
        _require_reading(request)
        return await handler(request)

    return await answering(request, answer, _refusal)


async def nowhere(request: web.Request) -> web.StreamResponse:
    """Any other address."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        raise NoSuchAddress

    return await answering(request, answer, _refusal)


def _require_reading(request: web.Request) -> None:
    if request.method not in {"GET", "HEAD"}:
        raise MethodNotAllowed(("GET", "HEAD"))


def _refusal(_request: web.Request, error: UploadError, status: int) -> web.Response:
    return web.Response(status=status, reason=REASON.get(status), text=f"{error}\n")
