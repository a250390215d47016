"""Very many uploads that are open at once, each with a few bytes now and then."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench.client import patch_headers
from bench.speed.crowd import Request, Talk, crowd, head_of
from bench.speed.crowd import field as field_of
from bench.speed.servers import Endpoint

DROP = b"\0" * 1024
"""What each upload gets once a second."""

LENGTH = 1 << 30
TURNS = 100
"""Every hundredth of a second is the turn of every hundredth upload."""


@dataclass(slots=True, kw_only=True)
class _Line:
    """The connection of an open upload, and how many bytes of it were sent."""

    user: int
    path: str
    socket: socket.socket
    sent: int = field(default=0)


@contextmanager
def trickling(server: Endpoint, uploads: int) -> Iterator[None]:
    """Keep so many PATCHes open, and a drop in each once a second.

    RuntimeError afterwards unless the server has every byte of them.
    """
    lines = [_open(server, user, path) for user, path in _created(server, uploads)]
    is_over = threading.Event()

    def drip() -> None:
        turn = 0
        while not is_over.wait(1 / TURNS):
            for line in lines[turn % TURNS :: TURNS]:
                with suppress(BlockingIOError):  # the server does not read at the moment
                    line.sent += line.socket.send(DROP)
            turn += 1

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        yield
    finally:
        is_over.set()
        dripping.join()
        for line in lines:
            line.socket.close()
    _require_offsets(server, lines)


def _created(server: Endpoint, uploads: int) -> list[tuple[int, str]]:
    numbers = iter(range(uploads))
    found: list[tuple[int, str]] = []

    def talk() -> Talk:
        for user in numbers:
            head = head_of(
                "POST", "/files/", 0, server.headers(user), {"Upload-Length": str(LENGTH)}
            )
            answer = yield Request(head=head, status=201)
            found.append((user, urlsplit(field_of(answer, b"location").decode()).path))

    crowd(server.port, [talk() for _ in range(16)])
    return found


def _open(server: Endpoint, user: int, path: str) -> _Line:
    line = socket.create_connection(("127.0.0.1", server.port))
    line.sendall(head_of("PATCH", path, LENGTH, server.headers(user), patch_headers(0)))
    line.setblocking(False)
    return _Line(user=user, path=path, socket=line)


def _require_offsets(server: Endpoint, lines: list[_Line]) -> None:
    waiting = iter(lines)

    def talk() -> Talk:
        for line in waiting:
            headers = server.headers(line.user)
            answer = yield Request(head=head_of("HEAD", line.path, 0, headers), status=200)
            offset = int(field_of(answer, b"upload-offset"))
            if offset != line.sent:
                raise RuntimeError(f"{line.path}: sent {line.sent} bytes, the offset is {offset}")
            yield Request(head=head_of("DELETE", line.path, 0, headers), status=204)

    crowd(server.port, [talk() for _ in range(16)])
