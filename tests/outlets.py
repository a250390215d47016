"""A client's end of a connection, for tests of what is sent to an `Outlet`."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager


class SocketOutlet:
    """See `Outlet`. With `deaf` its client never makes room again: `writable` raises it."""

    def __init__(self, line: socket.socket, deaf: Exception | None) -> None:
        self._line = line
        self._deaf = deaf

    @property
    def fd(self) -> int:
        """See `Outlet.fd`."""
        return self._line.fileno()

    async def writable(self) -> None:
        """See `Outlet.writable`."""
        if self._deaf is not None:
            raise self._deaf
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self.fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self.fd)


@contextmanager
def connected(deaf: Exception | None = None) -> Iterator[tuple[SocketOutlet, socket.socket]]:
    """An outlet that holds little, and the socket of its client."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for line in (ours, theirs):
            line.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 << 10)
        yield SocketOutlet(ours, deaf), theirs


async def taken(line: socket.socket, size: int) -> bytes:
    """The next bytes that a client gets; fewer at the end."""
    data = bytearray()
    async with asyncio.timeout(20):
        while len(data) < size:
            block = await asyncio.get_running_loop().sock_recv(line, size - len(data))
            if not block:
                break
            data += block
    return bytes(data)
