"""The body of an HTTP request as a `Body`: not read early, never waited for in vain."""

import asyncio

from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError

from tusd_py.errors import (
    BodyInterrupted,
    BodyMalformed,
    BodyStalled,
    BodyStopped,
    BodyTooSlow,
)

RATE_WINDOW = 30.0
"""Seconds over which a body must bring its bytes, or the longest silence if that is longer."""


class BrokenFraming(web.RequestPayloadError):
    """What `Connection` leaves in the content of a request whose chunked coding broke."""


class RequestBody:
    """See `Body`. For the task of the request only.

    `idle` is the longest silence in seconds, `rate` the fewest bytes a second; 0 is any. The
    server has patience for a window of waiting: every byte gives 1/`rate` seconds of it back.
    Only waiting for the client spends it, neither storing nor the time before the body is asked
    for.
    """

    def __init__(self, request: web.Request, *, idle: float, rate: int = 0) -> None:
        self._request = request
        self._content = request.content
        self._idle = idle
        self._rate = rate
        self._window = max(idle, RATE_WINDOW)
        self._is_begun = False
        self._is_stopped = False
        self._silence = 0.0
        self._patience = self._window
        self._waiting: asyncio.Timeout | None = None

    @property
    def size(self) -> int | None:
        """See `Body.size`."""
        return self._request.content_length if self._request.body_exists else 0

    async def read(self, pause: float | None = None) -> bytes | None:
        """See `Body.read`."""
        if self._is_stopped:
            raise BodyStopped
        if not self._is_begun:
            self._begin()
        patience = min(self._idle - self._silence, self._patience)
        limit = patience if pause is None else min(pause, patience)
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            async with asyncio.timeout(limit) as self._waiting:
                block = await self._content.readany()
        except TimeoutError:
            self._note_silence(limit)
            return None
        except (
            ClientError,
            ConnectionError,
            HttpProcessingError,
            web.RequestPayloadError,
        ) as error:
            return self._rest(error)
        finally:
            self._waiting = None
        self._note_bytes(len(block), clock() - started)
        return block

    def stop(self) -> None:
        """See `Body.stop`."""
        self._is_stopped = True
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(0.0)

    def _begin(self) -> None:
        """Ask for the body if the client waits to be asked (RFC 9110, 10.1.1)."""
        self._is_begun = True
        expects = self._request.headers.get("Expect", "").strip().lower() == "100-continue"
        transport = self._request.transport
        if expects and transport is not None and self._request.version >= (1, 1):
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _note_silence(self, waited: float) -> None:
        if self._is_stopped:
            raise BodyStopped
        self._silence += waited
        self._patience -= waited
        if self._silence >= self._idle:
            raise BodyStalled
        if self._patience <= 0:
            raise BodyTooSlow

    def _note_bytes(self, size: int, waited: float) -> None:
        self._silence = 0.0
        regained = size / self._rate if self._rate else self._window
        self._patience = min(self._window, self._patience - waited + regained)

    def _rest(self, error: Exception) -> bytes:
        """What reached us before the body broke; then its end, or what broke it.

        aiohttp hides its buffer behind the exception; `_read_nowait` is the way around
        (tests/unit/web/test_body.py fails when it is gone).
        """
        block: bytes = self._content._read_nowait(-1)
        if block or self._content.is_eof():
            return block
        if isinstance(error, BrokenFraming):
            raise BodyMalformed from error
        raise BodyInterrupted from error
