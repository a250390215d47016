"""Many small requests at once, by one thread over many sockets, as cheaply as Python can.

Requests are made beforehand and sent whole; of the answers no more is read than what is checked.
"""

import re
import select
import socket
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

SILENCE = 60.0
"""Seconds without any answer after which a server has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Bytes to be sent, and the status line that must answer."""

    head: bytes
    body: bytes = b""
    status: int


Talk = Generator[Request, bytes, None]
"""Requests, one after the other; the head of each answer comes back."""


def crowd(port: int, talks: Iterable[Talk]) -> None:
    """Hold all talks at once, each on a connection of its own; RuntimeError on a wrong answer."""
    with select.epoll() as poll:
        lines = [_Line(port, talk, poll) for talk in talks]
        try:
            waiting = {line.fileno: line for line in lines if line.start()}
            while waiting:
                ready = poll.poll(SILENCE)
                if not ready:
                    raise RuntimeError(f"{len(waiting)} connections got no answer for {SILENCE} s")
                for fileno, events in ready:
                    line = waiting.pop(fileno)
                    if line.go_on(events):
                        waiting[line.fileno] = line
        finally:
            for line in lines:
                line.close()


def field(head: bytes, name: bytes) -> bytes:
    """A field of the head of an answer; empty when it is not there."""
    found = re.search(rb"\r\n" + name + rb": *([^\r]*)", head, re.IGNORECASE)
    return found[1] if found else b""


class _Line:
    """A connection on which a talk goes on."""

    def __init__(self, port: int, talk: Talk, poll: select.epoll) -> None:
        self._port = port
        self._talk = talk
        self._poll = poll
        self._socket = self._connect()
        self._left = memoryview(b"")
        self._got = b""
        self._status = b""
        self._is_full = False

    @property
    def fileno(self) -> int:
        return self._socket.fileno()

    def start(self) -> bool:
        """Send the first request; False when there is none."""
        return self._send_next(None)

    def go_on(self, events: int) -> bool:
        """Do what can be done now; False when the talk is over."""
        if events & select.EPOLLOUT:
            self._send()
        if not events & ~select.EPOLLOUT:
            return True
        block = self._socket.recv(65536)
        if not block:
            raise RuntimeError(f"closed without an answer, after {self._got!r}")
        self._got += block
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found:
            return True
        if len(body) < int(field(head, b"content-length") or b"0"):
            return True
        if not head.startswith(self._status):
            raise RuntimeError(f"wanted {self._status!r}, got {self._got!r}")
        self._got = b""
        if field(head, b"connection").lower() == b"close":
            self.close()
            self._socket, self._is_full = self._connect(), False
        return self._send_next(head)

    def _send_next(self, answer: bytes | None) -> bool:
        try:
            request = next(self._talk) if answer is None else self._talk.send(answer)
        except StopIteration:
            self.close()
            return False
        self._status = b"HTTP/1.1 %d " % request.status
        self._left = memoryview(request.head + request.body)
        self._send()
        return True

    def _send(self) -> None:
        with suppress(BlockingIOError):
            self._left = self._left[self._socket.send(self._left) :]
        if bool(self._left) != self._is_full:
            self._is_full = not self._is_full
            self._poll.modify(
                self._socket, select.EPOLLIN | (select.EPOLLOUT if self._is_full else 0)
            )

    def _connect(self) -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self._port))
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        self._poll.register(opened, select.EPOLLIN)
        return opened

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()  # which the epoll learns by itself


def head_of(method: str, path: str, size: int, *fields: Mapping[str, str]) -> bytes:
    """The head of a request, as bytes."""
    full = {"Host": "127.0.0.1", "Content-Length": str(size)}
    for each in fields:
        full.update(each)
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", *(f"{key}: {full[key]}" for key in full), "", ""]
    ).encode()
