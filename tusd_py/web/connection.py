"""A connection: what is said to a client whose request is not HTTP, and when nobody waits for it.

aiohttp reads on for a while after an answer to a request whose body was not read. It does not see
that the client went, or that the server is about to leave, nor does it tell a body whose framing
broke. `_current_request`, `_task_handler` and `_messages` are the way to tell
(tests/faults/test_lingering.py and tests/unit/web/test_body.py fail when they are gone).
"""

import asyncio

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage

from tusd_py.web.body import BrokenFraming
from tusd_py.web.tus_headers import VERSION

RECEIVE_SIZE = 64 << 10
"""Bytes that are taken from a socket at once."""

_WHY = {
    400: "The head of the request is not valid HTTP, or a field of it is too long.",
    500: "The server failed; it has logged why.",
}


class Connection(web.RequestHandler):
    """One connection. Its errors are one line of ours: aiohttp's quote the head, and log it, and
    a token may be in it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See aiohttp. asyncio would take four times as much at once: bytes that lie in memory, for
        every client that sends faster than is stored."""
        super().connection_made(transport)
        if hasattr(transport, "max_size"):
            transport.max_size = RECEIVE_SIZE

    def data_received(self, data: bytes) -> None:
        """See aiohttp, which keeps what broke a body for the next request: tell the body."""
        super().data_received(data)
        request = self._current_request
        if request is None or not self._messages or request.content.is_eof():
            return
        if not isinstance(self._messages[-1][0], RawRequestMessage):
            request.content.set_exception(BrokenFraming("The chunked coding is broken."))

    def connection_lost(self, exc: BaseException | None) -> None:
        """See aiohttp; nothing more is read for an answer that was given."""
        lingering = self._task_handler if self._current_request is None else None
        super().connection_lost(exc)
        if lingering is not None:
            lingering.cancel()

    def leave(self) -> None:
        """Close the connection unless a request is being answered."""
        if self._current_request is None and self.transport is not None:
            self.transport.close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """See aiohttp; the connection closes after the answer."""
        if request.writer.output_size > 0:
            raise ConnectionError("An answer had begun already.")
        if status != 400:
            self.logger.error("unhandled", exc_info=exc)
        response = web.Response(status=status, text=f"{_WHY.get(status, _WHY[500])}\n")
        response.headers["Server"] = "tusd_py"
        response.headers["Tus-Resumable"] = VERSION
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.force_close()
        return response
