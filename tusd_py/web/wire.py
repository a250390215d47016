"""The socket of a plain TCP connection, used beside asyncio: its descriptor, when it is ready.

A duplicate of the descriptor is watched, because an event loop refuses to watch one that belongs to
a transport. Both are the same socket: whoever reads here must have paused reading there.
"""

import asyncio
import os
from collections.abc import Callable

from aiohttp import web


class Wire:
    """A duplicate of a connection's socket. `close` it, always: else it outlives the connection."""

    def __init__(self, fd: int) -> None:
        self.fd = os.dup(fd)
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] | None = None
        self._unwatch: Callable[[int], object] = self._loop.remove_reader

    def close(self) -> None:
        """Close the duplicate. No thread uses it any more."""
        self.wake()
        os.close(self.fd)

    async def readable(self) -> None:
        """Return when there are bytes to take, the client sent its end, or the connection broke."""
        await self._wait(self._loop.add_reader, self._loop.remove_reader)

    async def writable(self) -> None:
        """Return when there is room for bytes, or the connection broke."""
        await self._wait(self._loop.add_writer, self._loop.remove_writer)

    def wake(self) -> None:
        """Let who waits go on, ready or not."""
        ready, self._ready = self._ready, None
        if ready is None:
            return
        self._unwatch(self.fd)  # before it is closed, or else the loop goes on watching the socket
        if not ready.done():
            ready.set_result(None)

    async def _wait(
        self,
        watch: Callable[[int, Callable[[], None]], object],
        unwatch: Callable[[int], object],
    ) -> None:
        ready = self._ready = self._loop.create_future()
        self._unwatch = unwatch
        watch(self.fd, self.wake)
        try:
            await ready
        finally:
            self.wake()


def wire_of(request: web.BaseRequest) -> Wire | None:
    """The socket of a request; None where bytes are not sent as they are (TLS), or it is gone."""
    transport = request.transport
    if transport is None or transport.is_closing() or transport.get_extra_info("ssl_object"):
        return None
    sock = transport.get_extra_info("socket")
    return None if sock is None or sock.fileno() < 0 else Wire(sock.fileno())
