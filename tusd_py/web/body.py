"""The body of an HTTP request as a `Body`: not read early, never waited for in vain."""

import asyncio
import contextlib
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError

from tusd_py.block import MemoryBlock
from tusd_py.errors import (
    BodyError,
    BodyInterrupted,
    BodyMalformed,
    BodyStalled,
    BodyStopped,
    BodyTooSlow,
    UnsupportedMediaType,
    from_os,
)
from tusd_py.interfaces import Block, Hasher
from tusd_py.web.burst import Burst, BurstBlock
from tusd_py.web.connection import BrokenFraming, Connection

T = TypeVar("T")

RATE_WINDOW = 30.0
"""Seconds over which a body must bring its bytes, or the longest silence if that is longer."""


class RequestBody:
    """See `Body`. For the task of the request only.

    `idle` is the longest silence in seconds, `rate` the fewest bytes a second; 0 is any. The
    server has patience for a window of waiting: every byte gives 1/`rate` seconds of it back.
    Only waiting for the client spends it, neither storing nor the time before the body is asked
    for.

    What aiohttp has read is taken from it. The rest of a large body is then taken from the socket,
    if the connection allows that.

    A server that this one is a part of may let aiohttp inflate compressed bodies: then nobody knows
    what the client sent. Raises `UnsupportedMediaType` for them there.
    """

    def __init__(self, request: web.Request, *, idle: float, rate: int = 0) -> None:
        if "Content-Encoding" in request.headers and not isinstance(request.protocol, Connection):
            raise UnsupportedMediaType("Send the bytes without Content-Encoding.")
        self._request = request
        self._content = request.content
        self._burst: Burst | None = None
        self._left = 0
        self._idle = idle
        self._rate = rate
        self._window = max(idle, RATE_WINDOW)
        self._is_begun = False
        self._is_stopped = False
        self._silence = 0.0
        self._patience = self._window
        self._waited = 0.0
        self._waiting: asyncio.Timeout | None = None

    @property
    def size(self) -> int | None:
        """See `Body.size`."""
        return self._request.content_length if self._request.body_exists else 0

    async def read(self, pause: float | None = None) -> bytes | None:
        """See `Body.read`."""
        while (block := await self.arrive(pause)) is not None:
            data = block.take()
            if data or not block.most:
                return data
        return None

    async def arrive(
        self, pause: float | None = None, *, hashers: Sequence[Hasher] = ()
    ) -> Block | None:
        """See `Body.arrive`."""
        try:
            return await self._arrived(pause, hashers)
        except BodyError:
            if hashers and self._burst is not None:
                with contextlib.suppress(OSError):  # then they have not seen all, and know it
                    await self._burst.seen()
            raise

    async def _arrived(self, pause: float | None, hashers: Sequence[Hasher]) -> Block | None:
        if self._is_stopped and self._content.exception() is None:
            raise BodyStopped  # a client that has gone ends by itself: what it had sent is at hand
        if not self._is_begun and (first := self._begun()):
            return MemoryBlock(first, hashers)
        if self._burst is not None:
            return await self._rushed(self._burst, pause, hashers)
        if self._content.at_eof():
            return MemoryBlock(b"")
        data = self._at_hand() or await self._read(pause)
        return None if data is None else MemoryBlock(data, hashers)

    def stop(self) -> None:
        """See `Body.stop`."""
        self._is_stopped = True
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(0.0)

    def _begun(self) -> bytes:
        """Ask for the body if the client waits to be asked (RFC 9110, 10.1.1). What has come."""
        self._is_begun = True
        expects = self._request.headers.get("Expect", "").strip().lower() == "100-continue"
        transport = self._request.transport
        if expects and transport is not None and self._request.version >= (1, 1):
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._content.at_eof():
            return b""
        data = self._at_hand()
        connection = self._request.protocol
        if isinstance(connection, Connection):
            self._burst = connection.divert(self._request)
        if self._burst is not None:
            self._left = self._burst.rest
        return data

    def _at_hand(self) -> bytes:
        """What aiohttp holds of the body; with each piece it may go on with what it has not parsed.

        It hides its buffer behind what broke the body; `_read_nowait` is the way around
        (tests/unit/web/test_body.py fails when it is gone).
        """
        pieces: list[bytes] = []
        while piece := self._content._read_nowait(-1):
            pieces.append(piece)
        data = b"".join(pieces)
        self._note_bytes(len(data))
        return data

    async def _read(self, pause: float | None) -> bytes | None:
        """Wait until aiohttp has more."""
        try:
            data = await self._patiently(pause, self._content.readany())
        except (
            ClientError,
            ConnectionError,
            HttpProcessingError,
            web.RequestPayloadError,
        ) as error:
            data = self._at_hand()
            if data or self._content.is_eof():
                return data
            if isinstance(error, BrokenFraming):
                raise BodyMalformed from error
            raise BodyInterrupted from error
        self._note_bytes(len(data or b""))
        return data

    async def _rushed(
        self, burst: Burst, pause: float | None, hashers: Sequence[Hasher]
    ) -> Block | None:
        """Wait until the socket has more."""
        self._note_bytes(self._left - burst.rest)
        self._left = burst.rest
        if not burst.rest:
            burst.end()
            try:
                await burst.seen()
            except OSError as error:
                raise from_os(error) from error
            return MemoryBlock(b"")
        if burst.is_dry and not burst.is_broken:
            await self._patiently(pause, burst.ready())
            if burst.is_dry:
                return None
        if burst.is_broken:
            burst.end()
            raise BodyInterrupted
        return BurstBlock(burst, hashers)

    async def _patiently(self, pause: float | None, coming: Awaitable[T]) -> T | None:
        """Wait for the client; None when it was silent for `pause` seconds. Raises `BodyError` when
        it was so for too long."""
        patience = min(self._idle - self._silence, self._patience)
        limit = patience if pause is None else min(pause, patience)
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            async with asyncio.timeout(limit) as self._waiting:
                come = await coming
        except TimeoutError:
            self._note_silence(limit)
            return None
        finally:
            self._waiting = None
        self._waited = clock() - started
        return come

    def _note_silence(self, waited: float) -> None:
        if self._is_stopped:
            raise BodyStopped
        self._silence += waited
        self._patience -= waited
        if self._silence >= self._idle:
            raise BodyStalled
        if self._patience <= 0:
            raise BodyTooSlow

    def _note_bytes(self, size: int) -> None:
        if not size:
            return
        waited, self._waited = self._waited, 0.0
        self._silence = 0.0
        regained = size / self._rate if self._rate else self._window
        self._patience = min(self._window, self._patience - waited + regained)
