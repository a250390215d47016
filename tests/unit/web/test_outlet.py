"""Downloads that go to the socket beside aiohttp: the bytes are the same, and so are the limits."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from tests.conformance.tus.client import Tus, content_of
from tests.conftest import MakeServer
from tests.outlets import taken
from tusd_py.web.outlet import UNSENT, ClientOutlet, outlet_of

DATA = content_of(3_000_000)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def asked(handler: Handler) -> AsyncIterator[socket.socket]:
    """A client that holds little, and has sent a request to a server of this one handler."""
    loop = asyncio.get_running_loop()
    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 << 10)
            line.setblocking(False)
            await loop.sock_connect(line, runner.addresses[0])
            await loop.sock_sendall(line, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            yield line
    finally:
        await runner.cleanup()


@asynccontextmanager
async def outlet_to_a_slow_client(
    idle: float = 10.0, least: int = 1
) -> AsyncIterator[tuple[ClientOutlet, socket.socket, web.Request]]:
    """An outlet, its client that holds little, and the request."""
    opened: asyncio.Future[tuple[ClientOutlet, web.Request]]
    opened = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 1 << 30
        await response.prepare(request)
        outlet = await outlet_of(request, idle=idle, least=least)
        assert outlet is not None
        try:
            opened.set_result((outlet, request))
            await over.wait()
        finally:
            outlet.close()
        return response

    async with asked(handle) as line, asyncio.timeout(20):
        outlet, request = await opened
        yield outlet, line, request
        over.set()


def fill(fd: int) -> int:
    """Write until there is no room; how many bytes that was."""
    size = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            size += os.write(fd, bytes(64 << 10))
    return size


async def taking(line: socket.socket, waiting: asyncio.Task[None]) -> None:
    """Take all that comes until somebody need not wait any more."""
    while not waiting.done():
        with contextlib.suppress(BlockingIOError):
            line.recv(64 << 10)
        await asyncio.sleep(0.001)


# --- on a real server


@pytest.fixture
async def tus(http: aiohttp.ClientSession, make_server: MakeServer) -> Tus:
    """User 42 of a server that sends all downloads so."""
    return Tus(http=http, address=await make_server(DIRECT_IO_SIZE="1"))


async def test_what_aiohttp_must_do_for_it(tus: Tus) -> None:
    """Head, body and nothing else go over the wire, and the next request on the connection is
    answered behind them, though aiohttp saw no byte of the body."""
    url = await tus.upload(DATA)
    get = tus.wire("GET", url, {})
    last = tus.wire("GET", url, {"Range": "bytes=-7", "Connection": "close"})
    answer = await tus.address.raw(get + get + last)
    heads, bodies = [], []
    for size in (len(DATA), len(DATA), 7):
        head, _, rest = answer.partition(b"\r\n\r\n")
        heads.append((head[:12], f"\r\nContent-Length: {size}\r\n".encode() in head))
        bodies.append(rest[:size])
        answer = rest[size:]

    assert heads == [(f"HTTP/1.1 {status}".encode(), True) for status in (200, 200, 206)]
    assert bodies == [DATA, DATA, DATA[-7:]]
    assert answer == b""


async def test_http_1_0(tus: Tus) -> None:
    """A client of HTTP/1.0 gets the whole file, and the connection ends behind it."""
    url = await tus.upload(DATA)
    answer = await tus.address.raw(tus.wire("GET", url, {}).replace(b"HTTP/1.1", b"HTTP/1.0"))
    _, _, body = answer.partition(b"\r\n\r\n")

    assert body == DATA


async def test_descriptors_are_given_back(tus: Tus) -> None:
    """A download leaves no file open, taken whole or not."""
    url = await tus.upload(DATA)
    await tus.download(url)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        _, writer = await asyncio.open_connection(tus.address.host, tus.address.port)
        writer.write(tus.wire("GET", url, {}))
        await writer.drain()
        writer.transport.abort()
        await tus.download(url)
    async with asyncio.timeout(10):
        while len(os.listdir("/proc/self/fd")) > before:  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(0.01)

    assert len(os.listdir("/proc/self/fd")) <= before


# --- the outlet


async def test_what_was_written_before_is_not_overtaken() -> None:
    """Where bytes wait in the buffer of the transport there is no outlet."""
    found: asyncio.Future[ClientOutlet | None] = asyncio.get_running_loop().create_future()

    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.set_write_buffer_limits(high=1 << 30)
        request.transport.write(bytes(16 << 20))
        found.set_result(await outlet_of(request, idle=5.0, least=1))
        request.transport.abort()
        return web.Response()

    async with asked(handle), asyncio.timeout(10):
        outlet = await found

    assert outlet is None


async def test_the_system_holds_little_for_a_client_that_takes_nothing() -> None:
    """Of a file that nobody takes `UNSENT` bytes wait, and some blocks beyond them."""
    async with outlet_to_a_slow_client() as (outlet, _, _):
        size = fill(outlet.fd)

    assert 0 < size < UNSENT + (512 << 10)


async def test_a_client_that_takes_nothing() -> None:
    """It is given up after a while."""
    async with outlet_to_a_slow_client(idle=0.1) as (outlet, _, _):
        fill(outlet.fd)
        with pytest.raises(TimeoutError):
            await outlet.writable()


async def test_a_client_that_takes_a_little_at_a_time() -> None:
    """It is not given up, though the system sees no room for long."""
    loop = asyncio.get_running_loop()
    async with outlet_to_a_slow_client(idle=0.8) as (outlet, line, _):
        fill(outlet.fd)
        waiting = asyncio.create_task(outlet.writable())
        start = loop.time()
        while loop.time() < start + 1.2:
            await taken(line, 10_000)
            await asyncio.sleep(0.05)
        is_waiting = not waiting.done()
        await taking(line, waiting)
        await waiting

    assert is_waiting


async def test_a_client_that_takes_too_little_at_a_time() -> None:
    """Less than the least it must take is as good as nothing."""
    async with outlet_to_a_slow_client(idle=0.3, least=200_000) as (outlet, line, _):
        fill(outlet.fd)
        waiting = asyncio.create_task(outlet.writable())
        await taken(line, 100_000)
        await asyncio.wait([waiting], timeout=0.45)
        await taking(line, waiting)
        with pytest.raises(TimeoutError):
            await waiting


async def test_a_client_that_goes_while_it_is_waited_for() -> None:
    """Waiting ends, and writing fails."""
    async with outlet_to_a_slow_client() as (outlet, line, _):
        fill(outlet.fd)
        waiting = asyncio.create_task(outlet.writable())
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        line.close()
        with contextlib.suppress(ConnectionError):
            await waiting
        with pytest.raises(ConnectionError):
            fill(outlet.fd)


async def test_a_connection_that_the_server_gave_up() -> None:
    """Its outlet is never writable again, though the socket lives as long as the outlet."""
    async with outlet_to_a_slow_client() as (outlet, line, request):
        fill(outlet.fd)
        assert request.transport is not None
        request.transport.abort()
        waiting = asyncio.create_task(outlet.writable())
        await taking(line, waiting)
        with pytest.raises(ConnectionResetError):
            await waiting
