"""The socket of a plain TCP connection, used beside asyncio: its descriptor, when it is ready.

A duplicate of the descriptor is watched, because an event loop refuses to watch one that belongs to
a transport. Both are the same socket: whoever reads here must have paused reading there.
"""

import array
import asyncio
import fcntl
import os
import termios
from collections.abc import Callable

from aiohttp import web


class Wire:
    """A duplicate of a connection's socket. `close` it, always: else it outlives the connection."""

    def __init__(self, fd: int) -> None:
        self.fd = os.dup(fd)
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] | None = None
        self._unwatch: Callable[[int], object] | None = None

    def close(self) -> None:
        """Close the duplicate. No thread uses it any more."""
        self.wake()
        os.close(self.fd)

    def waiting(self) -> int:
        """Bytes that can be read now."""
        count = array.array("i", [0])
        fcntl.ioctl(self.fd, termios.FIONREAD, count)
        return count[0]

    async def readable(self) -> None:
        """Return when there are bytes to take, the client sent its end, or the connection broke.
        Now and then there is nothing: it was taken already."""
        await self._wait(self._loop.add_reader, self._loop.remove_reader)

    async def writable(self) -> None:
        """Return when there is room for bytes, or the connection broke."""
        await self._wait(self._loop.add_writer, self._loop.remove_writer)

    def wake(self) -> None:
        """Let who waits go on, ready or not. The socket is not watched any more."""
        self._rest()
        self._tell()

    async def _wait(
        self,
        watch: Callable[[int, Callable[[], None]], object],
        unwatch: Callable[[int], object],
    ) -> None:
        """The socket is watched on after it: to begin and to end that costs more than to read a
        few bytes."""
        ready = self._ready = self._loop.create_future()
        if self._unwatch is None:
            watch(self.fd, self._told)
            self._unwatch = unwatch
        try:
            await ready
        finally:
            if self._ready is ready:
                self._ready = None

    def _told(self) -> None:
        """It is ready. When nobody waits for it the loop is not to tell so again and again."""
        if self._ready is None:
            self._rest()
        self._tell()

    def _tell(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None and not ready.done():
            ready.set_result(None)

    def _rest(self) -> None:
        """Watch no more: before the descriptor is closed, or else the loop goes on watching."""
        unwatch, self._unwatch = self._unwatch, None
        if unwatch is not None:
            unwatch(self.fd)


def wire_of(request: web.BaseRequest) -> Wire | None:
    """The socket of a request; None where bytes are not sent as they are (TLS), or it is gone."""
    transport = request.transport
    if transport is None or transport.is_closing() or transport.get_extra_info("ssl_object"):
        return None
    sock = transport.get_extra_info("socket")
    return None if sock is None or sock.fileno() < 0 else Wire(sock.fileno())
