"""The real server, without its faces: it hands the one request it gets over to the test."""

import asyncio
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from termios import FIONREAD

from aiohttp import web

from tests.servers import settings
from tusd_py.app import METRICS
from tusd_py.config import load_config
from tusd_py.metrics import Metrics
from tusd_py.server import start
from tusd_py.web.errors import refuse_expectation

DIRECT = {False: {"DIRECT_IO_SIZE": "unlimited"}, True: {"DIRECT_IO_SIZE": "1"}}
"""The two ways of a body, as settings."""


@dataclass(frozen=True, kw_only=True)
class HandedOver:
    """A request as a handler gets it, and the client's end of the connection."""

    request: web.Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """The client sends."""
        self.writer.write(data)
        await self.writer.drain()

    async def hang_up(self) -> None:
        """The client goes away; returns once the server has noticed, if it was in the middle."""
        self.writer.close()
        await self.writer.wait_closed()
        async with asyncio.timeout(5):
            while self._is_reading and not self.request.content.is_eof():  # noqa: ASYNC110 - aiohttp tells nobody
                await asyncio.sleep(0.005)

    async def arrived(self, size: int) -> None:
        """Return once the server holds so many bytes of the body, read or not."""
        async with asyncio.timeout(5):
            while self.request.content.total_bytes + self._in_the_system < size:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)

    @property
    def _is_reading(self) -> bool:
        """Whether aiohttp looks at the connection, so that it would see its end."""
        transport = self.request.transport
        return transport is not None and transport.is_reading()

    @property
    def _in_the_system(self) -> int:
        """Bytes that came and that nobody took from the socket yet."""
        transport = self.request.transport
        if transport is None or transport.is_reading():
            return 0
        count = array("i", [0])
        ioctl(transport.get_extra_info("socket").fileno(), FIONREAD, count)
        return count[0]


@asynccontextmanager
async def handed_over(head: bytes, *, is_direct: bool = False) -> AsyncIterator[HandedOver]:
    """Send the head of a request, and perhaps more; what the handler got. It answers 200.

    With `is_direct` every body is taken from the socket, past aiohttp; else none is.
    """
    requests = asyncio.Queue[web.Request]()
    is_over = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        requests.put_nowait(request)
        await is_over.wait()
        return web.Response()

    app = web.Application()
    app[METRICS] = Metrics()
    app.router.add_route("*", "/", handle, expect_handler=refuse_expectation)
    config = load_config(
        {}, settings(Path("/nowhere"), SHUTDOWN_TIMEOUT="0.1s", **DIRECT[is_direct]), None
    )
    server = await start(app, config)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(head)
        async with asyncio.timeout(5):
            request = await requests.get()
        yield HandedOver(request=request, reader=reader, writer=writer)
    finally:
        is_over.set()
        writer.close()
        await server.stop()


def head(*lines: str, version: str = "1.1") -> bytes:
    """The head of a POST."""
    text = "".join(f"{line}\r\n" for line in ("Host: test", *lines))
    return f"POST / HTTP/{version}\r\n{text}\r\n".encode()
