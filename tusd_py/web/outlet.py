"""A client's socket as an `Outlet`: bytes of a download go to it beside aiohttp, from a thread.

aiohttp does not know of this use. It relies on the following, and the tests of tests/unit/web/
test_outlet.py fail when it is no more so: `StreamResponse.prepare` hands the head to the transport
at once; `drain` of the request's writer lets it be sent, all of it where the limit of the
transport's buffer is 0 (`Connection`); aiohttp then writes nothing to the transport before the
response is at its end; and `write_eof` neither misses the bytes that did not pass through it nor
sends any.
"""

import asyncio
import fcntl
import socket
import struct
import termios

from aiohttp import web

from tusd_py.web.wire import Wire, wire_of

UNSENT = 1 << 20
"""Bytes that the system holds for a client beyond those that it has room for. They are pages of the
file; without a limit it would take up to 4 MiB (tcp_wmem, tcp(7))."""

_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)


class ClientOutlet:
    """See `Outlet`. `writable` raises `TimeoutError` when the client takes less than `least` bytes
    in `idle` seconds, and `ConnectionResetError` when the server gave the connection up."""

    def __init__(self, request: web.Request, wire: Wire, *, idle: float, least: int) -> None:
        self._request = request
        self._wire = wire
        self._idle = idle
        self._least = least

    @property
    def fd(self) -> int:
        """See `Outlet.fd`."""
        return self._wire.fd

    def close(self) -> None:
        """Let go of the socket. Always, and when no thread uses it any more."""
        self._wire.close()

    async def writable(self) -> None:
        """See `Outlet.writable`."""
        while not await self._has_room():
            pass
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("The connection was closed.")

    async def _has_room(self) -> bool:
        """Wait for room; False when there is none yet, but the client took something: the system
        calls a socket writable when much of what it holds is gone."""
        waiting = self._waiting()
        try:
            async with asyncio.timeout(self._idle):
                await self._wire.writable()
        except TimeoutError:
            if waiting - self._waiting() < self._least:
                raise
            return False
        return True

    def _waiting(self) -> int:
        """Bytes that the client has not taken (tcp(7), SIOCOUTQ)."""
        count: int = struct.unpack("i", fcntl.ioctl(self.fd, termios.TIOCOUTQ, bytes(4)))[0]
        return count


async def outlet_of(request: web.Request, *, idle: float, least: int) -> ClientOutlet | None:
    """The socket behind a request whose answer was prepared. All that came before was sent.

    None where bytes are not sent as they are (TLS), or the socket is gone. Raises `TimeoutError`
    when the client takes less than `least` bytes in `idle` seconds.
    """
    async with asyncio.timeout(idle):
        await request.writer.drain()
    wire = wire_of(request)
    if wire is None:
        return None
    transport = request.transport
    if transport is None or transport.get_write_buffer_size():
        wire.close()
        return None
    line: socket.socket = transport.get_extra_info("socket")
    line.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, UNSENT)
    return ClientOutlet(request, wire, idle=idle, least=least)
