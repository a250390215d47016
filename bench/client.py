"""A client that costs nearly nothing: blocking sockets, file bytes sent by the kernel."""

import base64
import hashlib
import mmap
import os
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit

OFFSET_STREAM = {"Content-Type": "application/offset+octet-stream"}
SILENCE = 120
"""Seconds after which a server that neither reads nor writes has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Bytes of the file `path`, which is open as `fd`."""

    path: Path
    fd: int
    at: int
    size: int

    def part(self, at: int, size: int) -> "Slice":
        """Some bytes of these bytes."""
        if at + size > self.size:
            raise ValueError(f"{at} + {size} of {self.size} bytes")
        return Slice(path=self.path, fd=self.fd, at=self.at + at, size=size)

    def read(self) -> bytes:
        """All of them."""
        return os.pread(self.fd, self.size, self.at)


Body = bytes | Slice


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response; the names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def require(self, status: int, **headers: str) -> None:
        """RuntimeError unless status and headers are so; `_` in a name stands for `-`."""
        wanted = {name.replace("_", "-"): value for name, value in headers.items()}
        got = {name: self.headers.get(name) for name in wanted}
        if self.status != status or got != wanted:
            raise RuntimeError(
                f"wanted {status} {wanted}, got {self.status} {got}: {self.body[:300]!r}"
            )


@dataclass(slots=True, kw_only=True)
class Client:
    """One connection to a server, opened again when the server has closed it."""

    port: int
    headers: Mapping[str, str]
    _socket: socket.socket | None = field(default=None, init=False)
    _rest: bytes = field(default=b"", init=False)

    def request(self, method: str, path: str, headers: Mapping[str, str], *body: Body) -> Answer:
        """Send a request and return what is answered."""
        self.begin(method, path, headers, sum(size_of(each) for each in body))
        for each in body:
            self.send(each)
        return self.answer()

    def begin(self, method: str, path: str, headers: Mapping[str, str], size: int) -> None:
        """Send the head of a request with `size` bytes of body."""
        fields = {
            "Host": f"127.0.0.1:{self.port}",
            "Content-Length": str(size),
            **self.headers,
            **headers,
        }
        lines = [f"{method} {path} HTTP/1.1", *(f"{key}: {fields[key]}" for key in fields)]
        self._connected().sendall("\r\n".join([*lines, "", ""]).encode())

    def send(self, body: Body) -> None:
        """Send bytes of the body; an answer that comes instead is a RuntimeError."""
        connection = self._connected()
        try:
            if isinstance(body, bytes):
                connection.sendall(body)
            else:
                _send_slice(connection, body)
        except (BrokenPipeError, ConnectionResetError) as error:
            with suppress(OSError):
                raise RuntimeError(f"answered before the body was sent: {self.answer()}") from error
            raise

    def download(
        self, path: str, headers: Mapping[str, str], take: Callable[[memoryview], object]
    ) -> int:
        """GET a file of known size, give its bytes to `take`, and return how many came."""
        self.begin("GET", path, headers, 0)
        answer = self._head()
        answer.require(200)
        size = int(answer.headers["content-length"])
        take(memoryview(self._rest))
        left, self._rest = size - len(self._rest), b""
        buffer = memoryview(bytearray(1 << 20))
        while left:
            got = self._connected().recv_into(buffer[: min(left, len(buffer))])
            if not got:
                raise ConnectionError(f"{left} bytes did not come")
            take(buffer[:got])
            left -= got
        self._close_if_told(answer)
        return size

    def answer(self) -> Answer:
        """Read the answer."""
        answer = self._head()
        if answer.headers.get("transfer-encoding", "").lower() == "chunked":
            body = self._read_chunks()
        else:
            body = self._read_bytes(int(answer.headers.get("content-length", "0")))
        self._close_if_told(answer)
        return replace(answer, body=body)

    def _head(self) -> Answer:
        head = self._read_until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        return Answer(status=int(first.split()[1]), headers=headers, body=b"")

    def _close_if_told(self, answer: Answer) -> None:
        if answer.headers.get("connection", "").lower() == "close":
            self.close()

    def receive(self, size: int) -> bytes:
        """Read so many bytes, which are no answer in HTTP."""
        return self._read_bytes(size)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._rest = b""
            self._socket = socket.create_connection(("127.0.0.1", self.port))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A time-out of the kernel: one of Python's would make sendfile non-blocking.
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                self._socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", SILENCE, 0))
        return self._socket

    def _read_chunks(self) -> bytes:
        body = b""
        while size := int(self._read_until(b"\r\n"), 16):
            body += self._read_bytes(size)
            self._read_until(b"\r\n")
        self._read_until(b"\r\n")
        return body

    def _read_until(self, mark: bytes) -> bytes:
        while mark not in self._rest:
            self._rest += self._receive()
        found, _, self._rest = self._rest.partition(mark)
        return found

    def _read_bytes(self, size: int) -> bytes:
        while len(self._rest) < size:
            self._rest += self._receive()
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def _receive(self) -> bytes:
        try:
            block = self._connected().recv(65536)
        except BlockingIOError as error:
            raise TimeoutError(f"no answer for {SILENCE} s") from error
        if not block:
            raise ConnectionError("the server closed the connection without an answer")
        return block


@contextmanager
def client(port: int, headers: Mapping[str, str]) -> Iterator[Client]:
    """A client that is closed at the end."""
    opened = Client(port=port, headers=headers)
    try:
        yield opened
    finally:
        opened.close()


def create(
    client: Client,
    length: int | None,
    *body: Body,
    metadata: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> str:
    """Create a tus upload, with its bytes if they are given, and return its path.

    Without a length the header fields must say what it is made of.
    """
    pairs = (f"{key} {_base64(value)}" for key, value in (metadata or {}).items())
    fields = {
        **({"Upload-Length": str(length)} if length is not None else {}),
        **({"Upload-Metadata": ",".join(pairs)} if metadata else {}),
        **(OFFSET_STREAM if body else {}),
        **(headers or {}),
    }
    answer = client.request("POST", "/files/", fields, *body)
    if body:
        answer.require(201, upload_offset=str(sum(size_of(each) for each in body)))
    else:
        answer.require(201)
    return urlsplit(answer.headers["location"]).path


def patch(client: Client, path: str, offset: int, body: Body) -> None:
    """Append to a tus upload; RuntimeError unless all of it was taken."""
    answer = client.request("PATCH", path, patch_headers(offset), body)
    answer.require(204, upload_offset=str(offset + size_of(body)))


def patch_headers(offset: int) -> dict[str, str]:
    """The header fields of a PATCH."""
    return {**OFFSET_STREAM, "Upload-Offset": str(offset)}


def size_of(body: Body) -> int:
    """How many bytes these are."""
    return len(body) if isinstance(body, bytes) else body.size


@cache
def sha256(part: Slice) -> str:
    """The digest of bytes of the input file, in hex."""
    start = part.at - part.at % mmap.ALLOCATIONGRANULARITY
    length = part.at + part.size - start
    with (
        mmap.mmap(part.fd, length, prot=mmap.PROT_READ, offset=start) as mapped,
        memoryview(mapped) as view,
        view[part.at - start :] as wanted,
    ):
        return hashlib.sha256(wanted).hexdigest()


@contextmanager
def random_file(folder: Path, size: int) -> Iterator[Slice]:
    """A file of random bytes, in memory where there is room, else in `folder`."""
    path = _roomy(folder, size) / f"bench-{os.getpid()}-{token_hex(4)}.bin"
    try:
        with path.open("w+b") as file:
            for at in range(0, size, 2**20):
                file.write(os.urandom(min(2**20, size - at)))
            file.flush()
            yield Slice(path=path, fd=file.fileno(), at=0, size=size)
    finally:
        path.unlink(missing_ok=True)


def timed() -> "Stopwatch":
    """A watch that runs from now."""
    return Stopwatch(begun=time.perf_counter())


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopwatch:
    """Seconds since `begun`."""

    begun: float

    def seconds(self) -> float:
        return time.perf_counter() - self.begun


def _send_slice(connection: socket.socket, part: Slice) -> None:
    sent = 0
    while sent < part.size:
        sent += os.sendfile(connection.fileno(), part.fd, part.at + sent, part.size - sent)


def _roomy(folder: Path, size: int) -> Path:
    memory = Path("/dev/shm")
    if memory.is_dir():
        room = os.statvfs(memory)
        available = re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())
        if (
            room.f_bavail * room.f_frsize > 2 * size
            and available is not None
            and int(available[1]) * 2**10 > 4 * size
        ):
            return memory
    return folder


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
