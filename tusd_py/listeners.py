"""The sockets on which a server listens: one for each worker, all at one address."""

import errno
import socket
from collections.abc import Iterator

Address = tuple[
    socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
]


BACKLOG = 1024
"""So many connections may wait to be accepted."""


class AddressUnavailable(Exception):
    """Nothing can listen there. `str(error)` is one line that tells what to do."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        reason = "is in use" if error.errno == errno.EADDRINUSE else "cannot be listened on"
        super().__init__(f"{host}:{port} {reason}; choose another HOST or PORT (--port).")


class Listeners:
    """For each of so many workers its own socket at each address of `host`: the first worker's
    listen already, all others when their worker does.

    The kernel spreads connections over them (SO_REUSEPORT, socket(7)). They outlive the workers:
    who connects while one is being replaced waits for the next. Raises `AddressUnavailable`.
    """

    def __init__(self, host: str, port: int, workers: int) -> None:
        self.sockets: list[list[socket.socket]] = [[] for _ in range(workers)]
        try:
            for family, address in _addresses(host, port):
                first = _bound(family, address, is_shared=False)
                self.sockets[0].append(first)
                first.listen(BACKLOG)  # from now on no other server gets the address
                first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                for others in self.sockets[1:]:
                    others.append(_bound(family, first.getsockname(), is_shared=True))
        except OSError as error:
            self.close()
            raise AddressUnavailable(host, port, error) from error

    @property
    def port(self) -> int:
        """The port of the first address."""
        port: int = self.sockets[0][0].getsockname()[1]
        return port

    def keep(self, worker: int) -> list[socket.socket]:
        """The sockets of a worker; those of all others are closed, in this process."""
        own, self.sockets[worker] = self.sockets[worker], []
        self.close()
        return own

    def close(self) -> None:
        """Close all, in this process; who connects then is refused unless a worker listens."""
        for each in self._all():
            each.close()

    def _all(self) -> Iterator[socket.socket]:
        for sockets in self.sockets:
            yield from sockets


def _addresses(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _bound(family: socket.AddressFamily, address: object, *, is_shared: bool) -> socket.socket:
    """As asyncio binds."""
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)  # type: ignore[arg-type]  # as getaddrinfo gave it
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made
