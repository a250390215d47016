"""A request whose body goes out at a known rate, by a client that remembers what it sent when."""

import asyncio
import bisect
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.conformance.tus.client import Answer, parse
from tests.servers import Address

PIECE = 64 << 10
"""So many bytes are handed to the network at once."""


@dataclass(kw_only=True)
class Sending:
    """One request on a connection of its own.

    `offered` bytes of the body may have reached the server. `rate` is in bytes a second; None is
    as fast as it goes.
    """

    body: bytes
    rate: float | None = None
    offered: int = 0
    _times: list[float] = field(default_factory=list)
    _totals: list[int] = field(default_factory=list)

    async def request(
        self, address: Address, method: str, path: str, fields: Mapping[str, str]
    ) -> Answer | None:
        """Send the request; returns the final answer, None when the server died before it."""
        lines = {
            "Host": f"{address.host}:{address.port}",
            "Connection": "close",
            "Content-Length": str(len(self.body)),
            **fields,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        came = bytearray()
        with contextlib.suppress(ConnectionError):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.transport.set_write_buffer_limits(0)
            try:
                async with asyncio.TaskGroup() as group:
                    answering = group.create_task(_read(reader, came))
                    writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode())
                    await self._send(writer, answering)
            finally:
                writer.transport.abort()
        if b"\r\n\r\n" not in came:
            return None
        *_, answer = parse(bytes(came))
        return answer

    def sent_at(self, position: int) -> float | None:
        """When the byte at a position was handed to the network; None when it never was."""
        number = bisect.bisect_right(self._totals, position)
        return self._times[number] if number < len(self._times) else None

    def sent_before(self, moment: float) -> int:
        """How many bytes had been handed to the network at a moment."""
        number = bisect.bisect_right(self._times, moment)
        return self._totals[number - 1] if number else 0

    async def _send(self, writer: asyncio.StreamWriter, answering: asyncio.Task[None]) -> None:
        """Send the body, unless an answer comes before its end."""
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while self.offered < len(self.body) and not answering.done():
                piece = self.body[self.offered : self.offered + PIECE]
                self.offered += len(piece)
                writer.write(piece)
                await writer.drain()
                self._times.append(time.monotonic())
                self._totals.append(self.offered)
                if self.rate is not None:
                    ahead = began + self.offered / self.rate - time.monotonic()
                    await asyncio.wait([answering], timeout=max(0.0, ahead))


async def _read(reader: asyncio.StreamReader, came: bytearray) -> None:
    with contextlib.suppress(ConnectionError):
        while block := await reader.read(PIECE):
            came += block
