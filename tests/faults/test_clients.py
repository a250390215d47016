"""Clients that go, fall silent or break off in the middle of a body: what came counts, or nothing
does, and the upload ends with the right digest."""

import asyncio
import hashlib
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
import pytest

from tests.conformance.rest.client import FORM, RestClient, chunk_form
from tests.conformance.tus.client import (
    OCTETS,
    Answer,
    Connection,
    Tus,
    checksum,
    connected,
    content_of,
    parse,
)
from tests.conftest import MakeServer
from tests.servers import taken

DATA = content_of(200_000)
START = 1000
"""So many bytes are there before the request that fails."""

CUT = 120_000
"""So many bytes of its body the client sends."""

KINDS = ("patch", "patch with checksum", "creation", "creation with checksum", "chunk")


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request that brings the rest of DATA to `url`; a creation brings all of it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    url: str | None
    is_atomic: bool

    @property
    def begin(self) -> bytes:
        """As much of the body as the client sends: CUT bytes of DATA, and the form around them."""
        return self.body[: self.body.index(DATA[START : START + 100]) + CUT]

    @property
    def came(self) -> int:
        """The offset that follows when CUT bytes of the body came."""
        return START if self.is_atomic else START + CUT


@dataclass(frozen=True, kw_only=True)
class Client:
    """A user of both faces."""

    tus: Tus
    rest: RestClient

    async def prepared(self, kind: str) -> Request:
        """A request of a kind, on an upload that has its first bytes already."""
        rest = DATA[START:]
        octets = {"Content-Type": OCTETS}
        claimed = checksum("sha256", rest) if kind == "patch with checksum" else {}
        if kind.startswith("patch"):
            url = await self.tus.create(len(DATA))
            await self.tus.patch(url, 0, DATA[:START])
            headers = {**octets, **claimed, "Upload-Offset": str(START)}
            return Request(
                method="PATCH",
                path=url,
                headers=headers,
                body=rest,
                url=url,
                is_atomic=bool(claimed),
            )
        if kind == "chunk":
            upload_id = await self.rest.init()
            await self.rest.chunk(upload_id, 0, DATA[:START])
            return Request(
                method="POST",
                path=f"{self.tus.address.base}/upload/chunk",
                headers={**FORM},
                body=chunk_form(upload_id, 1, rest),
                url=self.tus.url(upload_id),
                is_atomic=True,
            )
        claimed = checksum("sha256", DATA) if kind == "creation with checksum" else {}
        return Request(
            method="POST",
            path=self.tus.address.files,
            headers={**octets, **claimed, "Upload-Length": str(len(DATA))},
            body=DATA,
            url=None,
            is_atomic=bool(claimed),
        )

    async def asked(self, connection: Connection, request: Request, *, chunked: bool) -> None:
        """Send the head; return when the server wants the body."""
        framing = (
            {"Transfer-Encoding": "chunked"}
            if chunked
            else {"Content-Length": str(len(request.body))}
        )
        headers = {**request.headers, **framing, "Expect": "100-continue"}
        await connection.send(self.tus.wire(request.method, request.path, headers))
        assert (await connection.head()).status == 100

    async def stored(self) -> list[str]:
        """The names of all that is stored."""
        return list(await self.tus.address.store.everything())

    async def resumed(self, request: Request) -> tuple[int, str]:
        """Do what a client does next; the offset it found, and the digest in the end."""
        offset, url = 0, request.url
        if url is None:  # it was not told where its upload would be
            url = await self.tus.upload(DATA)
        else:
            offset = await self.tus.offset(url)
            if request.headers.keys() == FORM.keys():
                upload_id = url.rpartition("/")[2]
                assert (await self.rest.chunk(upload_id, 1, DATA[START:])).status == 200
                assert (await self.rest.complete(upload_id, 2)).status == 200
            else:
                assert (await self.tus.patch(url, offset, DATA[offset:])).status == 204
        return offset, hashlib.sha256(await self.tus.download(url)).hexdigest()


@pytest.fixture
async def client(http: aiohttp.ClientSession, make_server: MakeServer) -> Client:
    """A user of a server."""
    address = await make_server(BODY_TIMEOUT="2s")
    return Client(tus=Tus(http=http, address=address), rest=RestClient(http=http, server=address))


async def until_refused(client: Client, code: str) -> None:
    """Return once the server has ended a request for that reason."""
    address = client.tus.address
    wanted = f'tusd_py_refusals_total{{code="{code}"}} 1.0'
    async with asyncio.timeout(10):
        while True:
            async with client.tus.http.get(f"{address.base}/metrics") as response:
                if wanted in (await response.text()).splitlines():
                    return
            await asyncio.sleep(0.01)


async def go(connection: Connection) -> None:
    """FIN: close as programs do that end."""
    connection.writer.close()


async def reset(connection: Connection) -> None:
    """RST: as a host does that has forgotten the connection."""
    line: socket.socket = connection.writer.get_extra_info("socket")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.abort()


async def half_close(connection: Connection) -> None:
    """Send no more, but wait for an answer: there is none to half a request."""
    connection.writer.write_eof()
    assert await connection.rest() == b""


def assert_closing(answer: Answer, status: int) -> None:
    """An answer after which the connection closes."""
    assert answer.status == status
    assert answer.headers["Connection"] == "close"


def pieces(data: bytes) -> Iterator[bytes]:
    """Bytes as they come over a network."""
    return (data[start : start + 7000] for start in range(0, len(data), 7000))


def assert_right(request: Request, offset: int, digest: str) -> None:
    """What counts is what came, or nothing of it; in the end the file is right."""
    assert offset == (0 if request.url is None else request.came)
    assert digest == hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", [go, reset, half_close])
async def test_a_body_that_breaks_off(
    client: Client, kind: str, fault: Callable[[Connection], Awaitable[None]]
) -> None:
    """Every byte that reached the server counts; of a body with a checksum and of a chunk none, and
    of a creation nothing is left."""
    request = await client.prepared(kind)
    before = await client.stored()
    async with connected(client.tus.address) as connection:
        await client.asked(connection, request, chunked=False)
        await connection.send(request.begin)
        await taken(connection.writer)
        await fault(connection)
        await until_refused(client, "body_interrupted")
        after = await client.stored()
        offset, digest = await client.resumed(request)

    assert after == before
    assert_right(request, offset, digest)


async def test_bodies_that_fall_silent(client: Client) -> None:
    """The same of clients that send less than Content-Length says, and wait: each is told."""
    requests = [await client.prepared(kind) for kind in KINDS]
    before = await client.stored()
    async with AsyncExitStack() as stack:
        answers = []
        for request in requests:
            connection = await stack.enter_async_context(connected(client.tus.address))
            await client.asked(connection, request, chunked=False)
            await connection.send(request.begin)
            answers.append(asyncio.create_task(connection.rest()))
        said = [parse(await answer) for answer in answers]
    after = await client.stored()
    ends = [await client.resumed(request) for request in requests]

    for [answer] in said:
        assert_closing(answer, 503)
    assert after == before
    for request, (offset, digest) in zip(requests, ends, strict=True):
        assert_right(request, offset, digest)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_told", [True, False], ids=["broken size", "no last chunk"])
async def test_a_chunked_body_that_breaks_off(client: Client, kind: str, is_told: bool) -> None:
    """The same of a body in chunked transfer coding: it ends with the last chunk only, and what is
    no size of a chunk is told at once."""
    request = await client.prepared(kind)
    before = await client.stored()
    async with connected(client.tus.address) as connection:
        await client.asked(connection, request, chunked=True)
        for piece in pieces(request.begin):
            await connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        await taken(connection.writer)
        if is_told:
            await connection.send(b"-5\r\nhello\r\n")
            [answer] = parse(await connection.rest())
            assert_closing(answer, 400)
        else:
            await go(connection)
        await until_refused(client, "bad_request" if is_told else "body_interrupted")
        after = await client.stored()
        offset, digest = await client.resumed(request)

    assert after == before
    assert_right(request, offset, digest)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_sends_no_more_gets_its_answer(client: Client, kind: str) -> None:
    """Who closes its side after the whole body still reads the other one."""
    request = await client.prepared(kind)
    headers = {**request.headers, "Content-Length": str(len(request.body))}
    async with connected(client.tus.address) as connection:
        head = client.tus.wire(request.method, request.path, headers)
        await connection.send(head + request.body)
        connection.writer.write_eof()
        [answer] = parse(await connection.rest())
    url = client.tus.url(answer.headers["Location"]) if request.url is None else request.url
    if kind == "chunk":
        await client.rest.complete(url.rpartition("/")[2], 2)

    assert answer.status == {"chunk": 200, "patch": 204, "creat": 201}[kind[:5]]
    assert await client.tus.download(url) == DATA
