"""One HTTP/1.1 connection of a client that can vanish in the middle of a request."""

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass

ANSWER_SECONDS = 90.0
"""No answer takes longer, whatever the load."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class NoAnswer(Exception):
    """The connection ended before an answer came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server said; the names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body, or the message of a body in JSON."""
        if self.headers.get("content-type", "").startswith("application/json"):
            return str(json.loads(self.body).get("message", ""))
        return self.body.decode("utf-8", "replace").strip()

    @property
    def offset(self) -> int:
        """Upload-Offset; -1 without one."""
        return int(self.headers.get("upload-offset", "-1"))

    @property
    def path(self) -> str:
        """The path of Location."""
        return "/" + self.headers["location"].split("/", 3)[3]


class Line:
    """One connection to the server that listens on `port` of 127.0.0.1."""

    def __init__(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.port = port
        self.used_at = time.monotonic()
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "Line":
        """Connect."""
        async with asyncio.timeout(ANSWER_SECONDS):
            return cls(port, *await asyncio.open_connection("127.0.0.1", port))

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, size: int
    ) -> None:
        """Send a request with a body of `size` bytes, of which `body` is what is sent of it.

        That the server closes meanwhile is no error: it may have answered before.
        """
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if size or method in {"POST", "PATCH"}:
            lines.append(f"Content-Length: {size}")
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    async def answer(self, method: str, *, seconds: float = ANSWER_SECONDS) -> Answer:
        """The final answer. Raises `NoAnswer`, or `TimeoutError` after some seconds."""
        try:
            async with asyncio.timeout(seconds):
                found = await self._read(method)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise NoAnswer(type(error).__name__) from error
        self.used_at = time.monotonic()
        return found

    def half_close(self) -> None:
        """Say that nothing more will be sent (FIN), and go on reading."""
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    def close(self) -> None:
        """Close after what was sent has gone out (FIN)."""
        self._writer.close()

    def reset(self) -> None:
        """Break the connection (RST); what is on its way is lost."""
        line: socket.socket = self._writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._writer.transport.abort()

    async def _read(self, method: str) -> Answer:
        status = 0
        while status < 200:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")
            status = int(first.split(" ", 2)[1])
        pairs = (line.partition(":") for line in lines if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = b""
        if method != "HEAD" and status not in {204, 304}:
            body = await self._reader.readexactly(int(headers["content-length"]))
        return Answer(status=status, headers=headers, body=body)
