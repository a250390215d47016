"""A connection: how long a client may take, and what it is told when its request is not HTTP.

aiohttp reads on for a while after an answer to a request whose body was not read. It does not see
that the client went, or that the server is about to leave, nor does it tell a body whose framing
broke, how long a head takes, or whether an answer is ever read. `_current_request`,
`_task_handler`, `_messages`, `_waiter`, `_upgraded` and `_handle_request` are the way to tell
(tests/faults/test_lingering.py, tests/unit/web/test_body.py and tests/unit/web/test_connection.py
fail when they are gone).
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from tusd_py.web.burst import Burst
from tusd_py.web.crowd import Crowd
from tusd_py.web.last_word import HEADERS, Doorstep, last_word
from tusd_py.web.naming import HEADER
from tusd_py.web.pump import Pump
from tusd_py.web.watch import Watch
from tusd_py.web.wire import wire_of

RECEIVE_SIZE = 64 << 10
"""Bytes that are taken from a socket at once."""

_HEAD_END = b"\r\n\r\n"

NEVER = 1e9
"""Seconds for aiohttp's own timer, which would cut a head that came late; ours knows heads."""

_WHY = {
    400: "The head of the request is not valid HTTP, or a field of it is too long.",
    500: "The server failed; it has logged why.",
}


class BrokenFraming(web.RequestPayloadError):
    """What is left in the content of a request whose chunked coding broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds a client may take: for the `head` of a request, `between` an answer and the next
    request, and until it has taken an `answer`."""

    head: float
    between: float
    answer: float


class Connection(web.RequestHandler):
    """One connection. Its errors are one line of ours: aiohttp's quote the head, and log it, and
    a token may be in it."""

    def __init__(
        self,
        *args: object,
        crowd: Crowd,
        doorstep: Doorstep,
        patience: Patience,
        met: Callable[[str], None],
        watch: Watch,
        pump: Pump,
        direct: int | None,
        **kwargs: object,
    ) -> None:
        super().__init__(*args, keepalive_timeout=NEVER, **kwargs)  # type: ignore[arg-type]
        self._crowd = crowd
        self._doorstep = doorstep
        self._patience = patience
        self._met = met
        self._watch = watch
        self._pump = pump
        self._direct = direct
        self._burst: Burst | None = None
        self._deadline: float | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._is_head_due = True
        self._is_answering = False
        self._has_part_of_head = False
        self._body: StreamReader = EMPTY_PAYLOAD  # of the last request that came
        self._end = b""  # of what came
        self._has_ended = False
        self._owes_answer = False
        self._line: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # TCP
        """See aiohttp. asyncio would take four times as much at once: bytes that lie in memory, for
        every client that sends faster than is stored. And it would call an answer sent that lies
        in its buffer: then nobody would see that the client does not take it."""
        if self._crowd.is_full:
            self._met("max_connections")
        if not self._crowd.enter(self):
            self._doorstep.turn_away(transport)
            return
        self._line = transport  # aiohttp forgets it before all of an answer is sent
        super().connection_made(transport)
        if hasattr(transport, "max_size"):
            transport.max_size = RECEIVE_SIZE
        transport.set_write_buffer_limits(high=0)
        self._allow(self._patience.head)

    def data_received(self, data: bytes) -> None:
        """See aiohttp, which keeps what broke a body for the next request: tell the body."""
        is_between = self._is_between_requests()
        self._receive(data)
        if self._messages:
            self._crowd.begin(self)
            self._deadline = self._deadline if self._is_answering else None
        elif is_between and data and not self._is_head_due:
            self._is_head_due = True
            self._allow(self._patience.head)
        request = self._current_request
        if request is None or not self._messages or request.content.is_eof():
            return
        if not isinstance(self._messages[-1][0], RawRequestMessage):
            request.content.set_exception(BrokenFraming("The chunked coding is broken."))

    def eof_received(self) -> bool:  # type: ignore[override] # aiohttp never keeps it open
        """See asyncio. aiohttp closes; but who has sent all may still wait for the answer."""
        self._has_ended = self._owes_answer and self._body.is_eof()
        return self._has_ended

    def connection_lost(self, exc: BaseException | None) -> None:
        """See aiohttp; nothing more is read for an answer that was given."""
        self._crowd.leave(self)
        self._end_burst()
        self._line = None
        self._body = EMPTY_PAYLOAD
        if self._alarm is not None:
            self._alarm.cancel()
        lingering = self._task_handler if self._current_request is None else None
        super().connection_lost(exc)
        if lingering is not None:
            lingering.cancel()

    def divert(self, request: web.BaseRequest) -> Burst | None:
        """Take the rest of a body from the socket from now on, past aiohttp, which holds nothing of
        it any more. None where that is not possible, or the rest is small.

        When the burst ends aiohttp goes on: behind the body, or, if it was not taken whole, in the
        middle of it, where it only looks for the end of the connection.
        """
        size, content = request.content_length, request.content
        if self._direct is None or size is None or "Transfer-Encoding" in request.headers:
            return None
        if request is not self._current_request:
            return None
        rest = size - content.total_bytes
        if not rest or rest < self._direct or self._upgraded or content.exception() is not None:
            return None
        wire = wire_of(request)
        if wire is None or self.transport is None:
            return None
        self.transport.pause_reading()
        self._end = b""
        self._burst = Burst(wire, rest, self._pump, functools.partial(self._go_on, content))
        return self._burst

    def _go_on(self, content: StreamReader) -> None:
        """Let aiohttp read again."""
        burst, self._burst = self._burst, None
        if self.transport is None or self.transport.is_closing() or burst is None:
            return
        if burst.is_cut:
            self.transport.close()
            return
        if burst.rest:
            self.transport.resume_reading()
            return
        self._parser = HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
        )
        content.feed_eof()

    def _end_burst(self) -> None:
        if self._burst is not None:
            self._burst.end()

    async def _handle_request(
        self,
        request: web.BaseRequest,
        start_time: float | None,
        request_handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    ) -> tuple[web.StreamResponse, bool]:
        """See aiohttp. Only now has a request that came behind another a claim to its place."""
        self._crowd.go_on(self)
        return await super()._handle_request(request, start_time, request_handler)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """See aiohttp; returns when the client has taken the answer, or took too long for it."""
        if self._burst is not None:
            if self._burst.rest:
                resp.force_close()
            self._burst.end()
        if self._crowd.is_leaving or (self._has_ended and not self._messages):
            resp.force_close()
        self._crowd.wait(self)
        self._is_answering = True
        self._allow(self._patience.answer)
        try:
            finished = await super().finish_response(request, resp, start_time)
            await request.writer.drain()
        except ConnectionError:
            self.drop()
            return resp, True
        finally:
            self._is_answering = False
            self._deadline = None
        if self._line is None:
            return resp, True
        if self._messages:
            # aiohttp may have found it behind an upgrade only now
            _, self._body = self._messages[-1]
            return finished
        self._owes_answer = False
        self._is_head_due = self._has_part_of_head
        self._allow(self._patience.head if self._is_head_due else self._patience.between)
        self._crowd.rest(self)
        return finished

    def leave(self) -> None:
        """Close the connection unless a request is being answered."""
        if self._current_request is None and self.transport is not None:
            self.transport.close()

    def drop(self) -> None:
        """Close the connection at once, whatever was not sent yet."""
        if self._line is not None:
            self._line.abort()

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
        text = f"{_WHY.get(status, _WHY[500])}\n"
        headers = {**HEADERS, HEADER: self._watch.unhandled(request, status)}
        response = web.Response(status=status, text=text, headers=headers)
        response.force_close()
        return response

    def _receive(self, data: bytes) -> None:
        """Let aiohttp read, and see whether a head has begun behind the last request.

        aiohttp does not tell. Where the last request has a body that ended in these bytes, it is
        taken that nothing came behind it.
        """
        is_body_due = not self._body.is_eof()
        count = len(self._messages)
        super().data_received(data)
        self._end = (self._end + data[-len(_HEAD_END) :])[-len(_HEAD_END) :]
        if len(self._messages) > count:
            self._owes_answer = True
            self._body = self._messages[-1][1]
            if self._body is not EMPTY_PAYLOAD:
                self._has_part_of_head = False
            elif data:
                self._has_part_of_head = self._end != _HEAD_END
        elif data:
            self._has_part_of_head = not (is_body_due or self._upgraded)

    def _is_between_requests(self) -> bool:
        """Whether aiohttp waits for the next request, not for what it will not read."""
        return self._waiter is not None and not self._waiter.done()

    def _allow(self, seconds: float) -> None:
        """Give the client so much time. One alarm serves many requests; a later deadline finds it
        when it rings."""
        self._deadline = self._loop.time() + seconds
        if self._alarm is None or self._alarm.when() > self._deadline:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = self._loop.call_at(self._deadline, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._deadline is None or self._line is None:
            return
        if self._loop.time() < self._deadline:
            self._alarm = self._loop.call_at(self._deadline, self._ring)
        elif self._is_answering:
            self._met("body_timeout")
            self.drop()
        elif self.transport is None:
            return
        elif self._is_between_requests():
            self._give_up()
        else:
            self._allow(self._patience.between)

    def _give_up(self) -> None:
        assert self.transport is not None
        if self._is_head_due:
            self._met("header_timeout")
        if self._has_part_of_head:
            self.transport.write(
                last_word(
                    HTTPStatus.REQUEST_TIMEOUT, "The head of the request did not end in time."
                )
            )
        if self.transport.get_write_buffer_size():
            self.drop()
        self.force_close()
