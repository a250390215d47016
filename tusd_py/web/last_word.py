"""What is said on a connection before it closes where no request can be answered."""

import asyncio
from datetime import UTC, datetime
from http import HTTPStatus

from tusd_py.web.tus_headers import VERSION, http_date

HEADERS = {
    "Server": "tusd_py",
    "Tus-Resumable": VERSION,
    "Access-Control-Allow-Origin": "*",
}
"""What every answer carries that no face gives."""

LINGER = 1.0
"""Seconds in which somebody who was turned away can read why."""

LINGERING = 32
"""So many connections may linger; their descriptors are beside those of `MAX_CONNECTIONS`."""


def last_word(status: HTTPStatus, text: str, *, retry_after: int | None = None) -> bytes:
    """A whole answer, after which the connection closes."""
    body = f"{text}\n".encode()
    lines = {
        **HEADERS,
        "Date": http_date(datetime.now(UTC)),
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **({} if retry_after is None else {"Retry-After": str(retry_after)}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode() + body


class Doorstep:
    """Where newcomers are turned away."""

    def __init__(self) -> None:
        self._lingering: set[asyncio.Transport] = set()

    def turn_away(self, transport: asyncio.Transport) -> None:
        """Tell a newcomer that there is no room, and close.

        What it sends is read for a while: the answer would be lost if the connection were closed
        over unread bytes.
        """
        transport.set_protocol(_TurnedAway(transport, self._lingering))
        transport.write(
            last_word(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The server has no room for another connection; try again in a second.",
                retry_after=1,
            )
        )
        if len(self._lingering) >= LINGERING:
            transport.close()
            return
        self._lingering.add(transport)
        transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER, transport.abort)

    def clear(self) -> None:
        """Close on all who linger."""
        for transport in self._lingering:
            transport.abort()


class _TurnedAway(asyncio.Protocol):
    """Drops what comes until the client closes."""

    def __init__(self, transport: asyncio.Transport, lingering: set[asyncio.Transport]) -> None:
        self._transport = transport
        self._lingering = lingering

    def connection_lost(self, exc: Exception | None) -> None:
        self._lingering.discard(self._transport)
