"""A wire between a client and the server that a test can cut, or let answer for the server."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from tests.servers import Address

BLOCK = 64 * 1024


class Relay:
    """Carries bytes to `target`.

    `cuts` are numbers of bytes towards the server, each counted from the cut before, over all
    connections: the one that carries the last of them is cut there. `answers` are whole HTTP
    responses, given to the first connections in the server's place.
    """

    def __init__(self, target: Address, cuts: Iterable[int], answers: Iterable[bytes]) -> None:
        self._target = target
        self._cuts = list(cuts)
        self._answers = list(answers)
        self._since_cut = 0
        self._progress = asyncio.Condition()
        self.sent = 0  # bytes carried towards the server, over all connections
        self.port = 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def files(self) -> str:
        return f"{self.base}/files/"

    @property
    def is_spent(self) -> bool:
        """All cuts were made and all answers given."""
        return not self._cuts and not self._answers

    async def carried(self, size: int) -> None:
        """Wait until `size` bytes went towards the server."""
        async with asyncio.timeout(30), self._progress:
            await self._progress.wait_for(lambda: self.sent >= size)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        try:
            if self._answers:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answers.pop(0))
                await writer.drain()
                writer.write_eof()
                while await reader.read(BLOCK):
                    pass  # a client that is still sending shall see the answer
            else:
                await self._carry(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._target.port)
        back = asyncio.create_task(copy(upstream_reader, writer))
        try:
            while block := await reader.read(BLOCK):
                left = self._cuts[0] - self._since_cut if self._cuts else len(block)
                is_cut = bool(self._cuts) and len(block) >= left
                self.sent += min(left, len(block))
                self._since_cut += min(left, len(block))
                if is_cut:
                    del self._cuts[0]
                    self._since_cut = 0
                upstream.write(block[:left])
                await upstream.drain()
                async with self._progress:
                    self._progress.notify_all()
                if is_cut:
                    back.cancel()
                    await asyncio.wait([back])
                    upstream.write_eof()
                    await swallow(upstream_reader)  # the server has taken all that was carried
                    writer.transport.abort()
                    return
        finally:
            upstream.close()
            await asyncio.wait([back])


async def swallow(reader: asyncio.StreamReader) -> None:
    """Read to the end, a dead connection being one, for at most five seconds."""
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(5):
            while await reader.read(BLOCK):
                pass


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry answers back until either side closes."""
    with suppress(ConnectionError):
        while block := await reader.read(BLOCK):
            writer.write(block)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def relay(
    target: Address, *, cuts: Iterable[int] = (), answers: Iterable[bytes] = (), port: int = 0
) -> AsyncIterator[Relay]:
    """A relay that listens on a port of its own, or on the one that is given."""
    wire = Relay(target, cuts, answers)
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(wire.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


def answer(status: str, *headers: str) -> bytes:
    """A response without a body, `answer("503 Service Unavailable", "Retry-After: 0")`."""
    lines = [f"HTTP/1.1 {status}", "Content-Length: 0", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode()
