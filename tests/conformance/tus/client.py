"""A tus client for tests: it sends what a test says and shows what came back."""

import asyncio
import base64
import hashlib
import io
import random
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from tests.servers import Address, taken

OCTETS = "application/offset+octet-stream"

Headers = Mapping[str, str | None]
"""Header lines of a request; None takes away a line that is sent by default."""

Body = bytes | AsyncIterator[bytes]
"""Bytes go with Content-Length, an iterator goes with chunked transfer-encoding."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the server said."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def words(self) -> set[str]:
        """Names of the header lines, in small letters."""
        return {name.lower() for name in self.headers}

    @property
    def sameness(self) -> tuple[int, str, list[tuple[str, str]], bytes]:
        """All that a client can tell two answers apart by, but the clock and the request id."""
        own = {"date", "x-request-id"}
        lines = sorted((k.lower(), v) for k, v in self.headers.items() if k.lower() not in own)
        return self.status, self.reason, lines, self.body


@dataclass(frozen=True, kw_only=True)
class Tus:
    """One user of one server. `extra` goes with every request."""

    http: aiohttp.ClientSession
    address: Address
    user: str = "42"
    extra: Headers = field(default_factory=dict)

    def of(self, user: str) -> "Tus":
        """Another user of the same server."""
        return replace(self, user=user)

    def url(self, location: str) -> str:
        """The URL that a Location means to a client of the creation URL."""
        return str(URL(self.address.files).join(URL(location, encoded=True)))

    def path(self, url: str) -> str:
        """The path of a URL, as a request line has it."""
        return URL(url, encoded=True).raw_path_qs

    def lines(self, headers: Headers) -> dict[str, str]:
        """The header lines of a request: token and version, changed by `headers`."""
        merged = CIMultiDict[str | None](self.address.tus(self.user))
        merged.update({**self.extra})
        merged.update({**headers})
        return {name: value for name, value in merged.items() if value is not None}

    async def send(
        self, method: str, url: str, headers: Headers | None = None, body: Body | None = None
    ) -> Answer:
        """Any request; only what the test says is in it."""
        async with self.http.request(
            method,
            URL(url, encoded=True),
            headers=self.lines(headers or {}),
            data=io.BytesIO(body) if isinstance(body, bytes) else body,
            skip_auto_headers=["Content-Type"],
            allow_redirects=False,
        ) as response:
            return Answer(
                status=response.status,
                reason=response.reason or "",
                headers=response.headers,
                body=await response.read(),
            )

    async def post(self, headers: Headers, body: Body | None = None) -> Answer:
        """POST to the creation URL."""
        return await self.send("POST", self.address.files, headers, body)

    async def patch(
        self, url: str, offset: int, body: Body, headers: Headers | None = None
    ) -> Answer:
        """PATCH with the right media type."""
        own = {"Content-Type": OCTETS, "Upload-Offset": str(offset)}
        return await self.send("PATCH", url, {**own, **(headers or {})}, body)

    async def head(self, url: str, headers: Headers | None = None) -> Answer:
        """HEAD."""
        return await self.send("HEAD", url, headers)

    async def get(self, url: str, headers: Headers | None = None) -> Answer:
        """GET, as a browser would send it: without Tus-Resumable."""
        return await self.send("GET", url, {"Tus-Resumable": None, **(headers or {})})

    async def delete(self, url: str, headers: Headers | None = None) -> Answer:
        """DELETE."""
        return await self.send("DELETE", url, headers)

    async def create(self, length: int | None, headers: Headers | None = None) -> str:
        """The URL of a new, empty upload; None defers the length."""
        size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
        answer = await self.post({**size, **(headers or {})})
        assert answer.status == 201, answer
        return self.url(answer.headers["Location"])

    async def upload(self, content: bytes, headers: Headers | None = None) -> str:
        """The URL of a new upload that has all its bytes."""
        url = await self.create(len(content), headers)
        answer = await self.patch(url, 0, content)
        assert answer.status == 204, answer
        return url

    async def offset(self, url: str) -> int:
        """The offset that HEAD tells."""
        answer = await self.head(url)
        assert answer.status == 200, answer
        return int(answer.headers["Upload-Offset"])

    async def download(self, url: str) -> bytes:
        """The content of a complete upload."""
        answer = await self.get(url)
        assert answer.status == 200, answer
        return answer.body

    async def listed(self) -> list[str]:
        """Paths of the user's finished files, as the REST face lists them."""
        headers = self.address.auth(self.user)
        async with self.http.get(f"{self.address.base}/upload/files", headers=headers) as response:
            assert response.status == 200, response
            answer: dict[str, list[str]] = await response.json()
            return answer["files"]

    def wire(self, method: str, url: str, headers: Headers, *doubles: tuple[str, str]) -> bytes:
        """The head of a request as bytes; `doubles` are lines in addition to those."""
        lines = {"Host": f"{self.address.host}:{self.address.port}", **self.lines(headers)}
        text = "".join(f"{name}: {value}\r\n" for name, value in [*lines.items(), *doubles])
        return f"{method} {self.path(url)} HTTP/1.1\r\n{text}\r\n".encode()

    async def raw(
        self, method: str, url: str, headers: Headers, *doubles: tuple[str, str], body: bytes = b""
    ) -> list[Answer]:
        """The answers to one request on a connection of its own, interim ones too."""
        async with connected(self.address) as connection:
            with suppress(ConnectionError):
                await connection.send(self.wire(method, url, headers, *doubles) + body)
            answers = await connection.answers()
            await connection.hang_up()
            return answers


def parse(stream: bytes) -> list[Answer]:
    """The answers in all that came over a connection, interim ones too."""
    answers = []
    while stream:
        head, _, stream = stream.partition(b"\r\n\r\n")
        answer = _parse_head(head)
        bodyless = answer.status < 200 or answer.status in {204, 304}
        size = 0 if bodyless else int(answer.headers.get("Content-Length", len(stream)))
        answers.append(replace(answer, body=stream[:size]))
        stream = stream[size:]
    return answers


def _parse_head(head: bytes) -> Answer:
    first, *lines = head.decode("latin-1").split("\r\n")
    _, status, reason = f"{first} ".split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = CIMultiDict((name, value.strip()) for name, _, value in pairs)
    return Answer(status=int(status), reason=reason.strip(), headers=headers, body=b"")


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A connection that a test keeps open, to see when things happen on it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Hand bytes to the network."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Answer:
        """The next head of an answer; its body is left unread."""
        async with asyncio.timeout(10):
            return _parse_head((await self.reader.readuntil(b"\r\n\r\n"))[:-4])

    async def answers(self) -> list[Answer]:
        """Interim answers and the final one, which must not be one to HEAD."""
        answers = [await self.head()]
        while answers[-1].status < 200:
            answers.append(await self.head())
        size = 0 if answers[-1].status == 204 else int(answers[-1].headers["Content-Length"])
        async with asyncio.timeout(10):
            body = await self.reader.readexactly(size)
        return [*answers[:-1], replace(answers[-1], body=body)]

    async def rest(self, within: float = 10.0) -> bytes:
        """All that comes until the server closes; a reset is an end, too."""
        came = bytearray()
        async with asyncio.timeout(within):
            try:
                while block := await self.reader.read(65536):
                    came += block
            except ConnectionError:
                pass
        return bytes(came)

    async def hang_up(self) -> None:
        """Close our side and wait until the server has noticed."""
        with suppress(ConnectionError):
            self.writer.write_eof()
        await self.rest()

    def abort(self) -> None:
        """Close without a word."""
        self.writer.transport.abort()


@asynccontextmanager
async def connected(address: Address) -> AsyncIterator[Connection]:
    """A new connection; it is cut at the end."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        yield Connection(reader=reader, writer=writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def begun_patch(
    tus: Tus, url: str, offset: int, size: int, headers: Headers | None = None
) -> AsyncIterator[Connection]:
    """A PATCH of `size` bytes whose headers the server has accepted; the body may follow."""
    own = {
        "Content-Type": OCTETS,
        "Upload-Offset": str(offset),
        "Content-Length": str(size),
        "Expect": "100-continue",
    }
    async with connected(tus.address) as connection:
        await connection.send(tus.wire("PATCH", url, {**own, **(headers or {})}))
        answer = await connection.head()
        assert answer.status == 100, answer
        yield connection


@asynccontextmanager
async def stalled_patch(
    tus: Tus, url: str, offset: int, size: int, sent: bytes
) -> AsyncIterator[Connection]:
    """A PATCH of `size` bytes that fell silent after `sent`, which the server has taken."""
    async with begun_patch(tus, url, offset, size) as connection:
        await connection.send(sent)
        await taken(connection.writer)
        yield connection


async def broken_post(tus: Tus, headers: Headers, content: bytes) -> Answer:
    """The answer to a creation whose chunked body breaks after bytes that the server has taken."""
    own = {"Transfer-Encoding": "chunked", "Expect": "100-continue", **headers}
    async with connected(tus.address) as connection:
        await connection.send(tus.wire("POST", tus.address.files, own))
        assert (await connection.head()).status == 100
        await connection.send(b"%x\r\n%s\r\n" % (len(content), content))
        await taken(connection.writer)
        await connection.send(b"-1\r\n")
        return (await connection.answers())[-1]


async def until_smaller(address: Address, size: int, within: float = 10.0) -> None:
    """Return as soon as less than `size` bytes are stored; fails after `within` seconds."""
    async with asyncio.timeout(within):
        while await address.size() >= size:  # noqa: ASYNC110 - storages tell nobody
            await asyncio.sleep(0.01)


def filenames(names: Iterable[str]) -> list[str]:
    """The last part of every name."""
    return [name.rpartition("/")[2] for name in names]


async def pieces(*blocks: bytes) -> AsyncIterator[bytes]:
    """A body whose length nobody knows before its end."""
    for block in blocks:
        yield block


def chunked(*blocks: bytes) -> bytes:
    """A whole body in chunked transfer-encoding."""
    coded = b"".join(b"%x\r\n%s\r\n" % (len(block), block) for block in blocks)
    return coded + b"0\r\n\r\n"


def metadata(**values: str | bytes) -> dict[str, str]:
    """An Upload-Metadata line."""
    pairs = (f"{name} {base64_of(value)}".strip() for name, value in values.items())
    return {"Upload-Metadata": ",".join(pairs)}


def base64_of(value: str | bytes) -> str:
    """Base64 of bytes, or of text in UTF-8."""
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def checksum(algorithm: str, content: bytes) -> dict[str, str]:
    """A true Upload-Checksum line."""
    if algorithm == "crc32":
        digest = zlib.crc32(content).to_bytes(4, "big")
    else:
        digest = hashlib.new(algorithm, content, usedforsecurity=False).digest()
    return {"Upload-Checksum": f"{algorithm} {base64_of(digest)}"}


def content_of(size: int) -> bytes:
    """`size` bytes that show it when one is lost, doubled or moved."""
    return random.Random(size).randbytes(size)
