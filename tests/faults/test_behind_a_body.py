"""What comes behind a body that was taken whole, cut or given up, on its connection or not."""

import asyncio
import os
import re

import aiohttp
import pytest

from tests.conformance.tus.client import Tus
from tests.servers import Address

BODY = os.urandom(3 << 20)
HALF = len(BODY) // 2


@pytest.fixture
def client(http: aiohttp.ClientSession, server: Address) -> Tus:
    """A tus client of user 42."""
    return Tus(http=http, address=server)


def request(method: str, url: str, server: Address, *lines: str) -> bytes:
    """The head of a request, with token and version."""
    path = "/" + url.split("/", 3)[3]
    named = [f"{name}: {value}" for name, value in server.tus().items()]
    text = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", *named, *lines, "", ""])
    return text.encode()


def patch(url: str, server: Address, offset: int, size: int, *lines: str) -> bytes:
    """The head of a PATCH."""
    return request(
        "PATCH",
        url,
        server,
        f"Upload-Offset: {offset}",
        "Content-Type: application/offset+octet-stream",
        f"Content-Length: {size}",
        *lines,
    )


async def heads(reader: asyncio.StreamReader, count: int) -> list[tuple[int, str]]:
    """Status and Upload-Offset of so many answers without a body."""
    found = []
    async with asyncio.timeout(20):
        for _ in range(count):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            offset = re.search(r"Upload-Offset: (\d+)", head)
            found.append((int(head[9:12]), offset[1] if offset else ""))
    return found


async def test_a_connection_goes_on_behind_large_bodies(client: Tus, server: Address) -> None:
    """Requests follow each other on one connection, whichever way their bodies took."""
    url = await client.create(len(BODY))
    reader, writer = await asyncio.open_connection(server.host, server.port)
    answers = []
    for start, stop in ((0, HALF), (HALF, HALF + 5), (HALF + 5, len(BODY))):
        writer.write(patch(url, server, start, stop - start) + BODY[start:stop])
        answers += await heads(reader, 1)
        writer.write(request("HEAD", url, server))
        answers += await heads(reader, 1)
    writer.close()

    offsets = [str(offset) for offset in (HALF, HALF + 5, len(BODY))]
    assert answers == [answer for offset in offsets for answer in ((204, offset), (200, offset))]
    assert await server.contents() == [BODY]


async def test_requests_that_come_behind_a_body_are_answered(client: Tus, server: Address) -> None:
    """Pipelined requests (RFC 9112, 9.3.2): each body ends where its length says."""
    url = await client.create(len(BODY))
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(
        patch(url, server, 0, HALF)
        + BODY[:HALF]
        + request("HEAD", url, server)
        + patch(url, server, HALF, len(BODY) - HALF)
        + BODY[HALF:]
        + request("HEAD", url, server)
    )
    answers = await heads(reader, 4)
    writer.close()

    half, whole = str(HALF), str(len(BODY))
    assert answers == [(204, half), (200, half), (204, whole), (200, whole)]
    assert await server.contents() == [BODY]


async def test_an_unwanted_request_behind_a_body_is_not_part_of_it(
    client: Tus, server: Address
) -> None:
    """Bytes behind a body that are no request are refused, and the body stays whole."""
    url = await client.create(HALF)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(patch(url, server, 0, HALF) + BODY[:HALF] + b"no request\r\n\r\n")
    answers = await heads(reader, 2)
    writer.close()

    assert answers == [(204, str(HALF)), (400, "")]
    assert await server.contents() == [BODY[:HALF]]


@pytest.mark.parametrize("size", [20, 60_000, len(BODY)])
async def test_the_end_of_the_connection_may_come_with_the_body(
    client: Tus, server: Address, size: int
) -> None:
    """Whoever sends all and shuts down for writing at once gets an answer, then the end."""
    url = await client.create(size)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(patch(url, server, 0, size) + BODY[:size])
    writer.write_eof()
    answers = await heads(reader, 1)
    async with asyncio.timeout(10):
        rest = await reader.read()
    writer.close()

    assert answers == [(204, str(size))]
    assert rest == b""


async def test_the_answer_to_a_body_given_up_is_seen(client: Tus, server: Address) -> None:
    """Somebody else wants the upload: the client reads 503 and that the connection ends."""
    url = await client.create(len(BODY))
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(patch(url, server, 0, len(BODY)) + BODY[:HALF])
    await writer.drain()
    offset = await client.offset(url)
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.read()
    writer.close()

    assert head.startswith(b"HTTP/1.1 503")
    assert b"connection: close" in head.lower()
    assert 0 <= offset <= HALF


async def test_a_refused_body_leaves_the_connection_to_its_answer(
    client: Tus, server: Address
) -> None:
    """A checksum that is wrong is told on the connection, which goes on: the body was taken."""
    url = await client.create(HALF)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    wrong = "Upload-Checksum: crc32 AAAAAA=="
    writer.write(patch(url, server, 0, HALF, wrong) + BODY[:HALF] + request("HEAD", url, server))
    answers = await heads(reader, 1)
    answers += [(status, offset) for status, offset in await _behind_text(reader)]
    writer.close()

    assert answers == [(460, ""), (200, "0")]


async def _behind_text(reader: asyncio.StreamReader) -> list[tuple[int, str]]:
    """The answer that comes behind the one line of a refusal."""
    async with asyncio.timeout(10):
        await reader.readline()
    return await heads(reader, 1)


async def test_cut_bodies_leave_no_descriptor(client: Tus, server: Address) -> None:
    """Sockets and files are closed, however a body ends."""
    url = await client.create(len(BODY))
    await _cut(client, url, server)
    before = _descriptors()
    for _ in range(5):
        await _cut(client, url, server)
    async with asyncio.timeout(10):
        while (after := _descriptors()) > before:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)

    assert after <= before


async def _cut(client: Tus, url: str, server: Address) -> None:
    """Send a part of a body, and vanish."""
    offset = await client.offset(url)
    _, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(patch(url, server, offset, len(BODY) - offset) + BODY[offset : offset + 100_000])
    await writer.drain()
    writer.transport.abort()
    async with asyncio.timeout(10):
        while await client.offset(url) == offset:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
