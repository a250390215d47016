"""A proxy in front of an S3 store that knows the calls, notes them all, and disturbs those that a
test chooses.

Heads go through byte for byte: what the caller signed, its Host too, is what the store sees.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import Enum

from tests.store_calls import BLOCK, Call, Head, Kind, body_of, call_of

SHOWN = 64 << 10
"""Bodies up to so many bytes are noted: records are among them, parts are not."""


class Where(Enum):
    """The moment of a disturbance."""

    BEFORE = "before the store hears of the call"
    MIDDLE = "when the store has half of the body"
    AFTER = "when the store has answered, before the caller learns of it"
    ANSWER = "when the caller has half of the body of the answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """The proxy takes the whole request and answers it in the store's place."""

    status: int
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Both connections are reset."""

    where: Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The call waits until the rule is released."""

    where: Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Nothing is done to the call."""


Action = Refuse | Cut | Hold | Watch
SLOW_DOWN = Refuse(status=503, code="SlowDown")
LOST_ANSWER = Cut(where=Where.AFTER)


class Rule:
    """What happens to some calls, at most `times` of them; `calls` are those it happened to."""

    def __init__(self, action: Action, matches: Callable[[Call], bool], times: int | None) -> None:
        self.action = action
        self.calls: list[Call] = []
        self.held: list[Call] = []
        self._matches = matches
        self._times = times
        self._released = asyncio.Event()
        self._changed = asyncio.Condition()

    def takes(self, call: Call) -> bool:
        """Whether it is the rule for this call; then it counts."""
        is_over = self._times is not None and len(self.calls) >= self._times
        if is_over or not self._matches(call):
            return False
        self.calls.append(call)
        return True

    def release(self) -> None:
        """Let go what is held, and hold nothing any more."""
        self._released.set()

    async def holding(self, count: int = 1) -> None:
        """Return once so many calls are held."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: len(self.held) >= count)

    async def happened(self, count: int = 1) -> None:
        """Return once it applied to so many calls that are over."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(
                lambda: sum(call.ended is not None for call in self.calls) >= count
            )

    async def hold(self, call: Call) -> None:
        """Keep a call waiting."""
        self.held.append(call)
        await self.note()
        await self._released.wait()
        self.held.remove(call)

    async def note(self) -> None:
        """Tell those who wait for this rule that something happened."""
        async with self._changed:
            self._changed.notify_all()


class StoreProxy:
    """Carries calls to the store that listens on 127.0.0.1:`port`; listens on one of its own."""

    def __init__(self, port: int) -> None:
        self.calls: list[Call] = []
        self.port = 0
        self._store = port
        self._rules: list[Rule] = []
        self._count = 0

    @property
    def endpoint(self) -> str:
        """What a server under test is told instead of the store's own address."""
        return f"http://127.0.0.1:{self.port}"

    def of(self, *kinds: Kind) -> list[Call]:
        """The calls of some kinds, in the order they began in."""
        return [call for call in self.calls if call.kind in kinds]

    def begin_anew(self) -> None:
        """Forget the calls so far."""
        self.calls.clear()

    @contextmanager
    def rule(
        self,
        action: Action,
        *kinds: Kind,
        part: int | None = None,
        key: Callable[[str], bool] = lambda _key: True,
        also: Callable[[Call], bool] = lambda _call: True,
        times: int | None = None,
    ) -> Iterator[Rule]:
        """Do that to all calls, or to those of some kinds, of a part number, or with such a key;
        to the first ones only with `times`. An earlier rule goes before a later one."""
        wanted = kinds or tuple(Kind)

        def matches(call: Call) -> bool:
            is_part = part is None or call.part == part
            return call.kind in wanted and is_part and key(call.key) and also(call)

        rule = Rule(action, matches, times)
        self._rules.append(rule)
        try:
            yield rule
        finally:
            self._rules.remove(rule)
            rule.release()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        async with contextlib.AsyncExitStack() as stack:
            connection = _Connection(self, _Wire(reader, writer), stack)
            stack.callback(writer.close)
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await connection.carry_one():
                    pass

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the store."""
        return await asyncio.open_connection("127.0.0.1", self._store, limit=BLOCK)

    def begun(self, head: Head) -> tuple[Call, Rule | None]:
        """Note a call, and find the rule for it."""
        call = call_of(head, self._next())
        self.calls.append(call)
        rule = next((rule for rule in self._rules if rule.takes(call)), None)
        return call, rule

    def end(self, call: Call, status: int | None) -> None:
        """Note the end of a call."""
        if call.ended is None:
            call.ended, call.status = self._next(), status

    def _next(self) -> int:
        self._count += 1
        return self._count


@dataclass(frozen=True, slots=True)
class _Wire:
    """One end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def abort(self) -> None:
        self.writer.transport.abort()


@dataclass(slots=True)
class _Connection:
    """A caller's connection, and the one to the store that belongs to it."""

    _proxy: StoreProxy
    _caller: _Wire
    _stack: contextlib.AsyncExitStack
    _store: _Wire | None = field(default=None)

    async def carry_one(self) -> bool:
        """Carry a call and its answer; tells whether the connection can carry another one."""
        head = await Head.read(self._caller.reader)
        call, rule = self._proxy.begun(head)
        try:
            if rule is not None and isinstance(rule.action, Refuse):
                await self._refuse(head, call, rule.action)
                return True
            await self._disturb(Where.BEFORE, call, rule)
            return await self._carry(head, call, rule)
        finally:
            self._proxy.end(call, None)
            if rule is not None:
                await rule.note()

    async def _refuse(self, head: Head, call: Call, action: Refuse) -> None:
        if "expect" in head.fields:
            await self._caller.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        async for _ in body_of(self._caller.reader, head.length or 0):
            pass
        self._proxy.end(call, action.status)
        text = f"<Error><Code>{action.code}</Code><Message>by the proxy</Message></Error>"
        body = '<?xml version="1.0" encoding="UTF-8"?>' + text
        lines = [
            f"HTTP/1.1 {action.status} {action.code}",
            "Content-Type: application/xml",
            f"Content-Length: {len(body)}",
        ]
        answer = "\r\n".join([*lines, "", "" if call.kind is Kind.HEAD else body])
        await self._caller.send(answer.encode())

    async def _carry(self, head: Head, call: Call, rule: Rule | None) -> bool:
        if self._store is None:
            self._store = _Wire(*await self._proxy.dial())
            self._stack.callback(self._store.writer.close)
        await self._store.send(head.raw)
        sending = asyncio.create_task(self._send_body(self._store, head, call, rule))
        try:
            is_last = await self._answer(self._store, head, call, rule)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return call.size == (head.length or 0) and not is_last

    async def _send_body(self, store: _Wire, head: Head, call: Call, rule: Rule | None) -> None:
        length = head.length or 0
        is_disturbed = False
        try:
            async for block in body_of(self._caller.reader, length):
                if not is_disturbed and call.size + len(block) > length // 2:
                    is_disturbed = True
                    await self._disturb(Where.MIDDLE, call, rule)
                call.size += len(block)
                if length <= SHOWN:
                    call.body += block
                await store.send(block)
        except ConnectionError:
            store.abort()  # or it waits for the rest
            raise

    async def _answer(self, store: _Wire, head: Head, call: Call, rule: Rule | None) -> bool:
        """Pass the answer on; tells whether the store closes the connection after it."""
        answer = await Head.read(store.reader)
        while answer.status < 200:
            await self._caller.send(answer.raw)
            answer = await Head.read(store.reader)
        is_empty = head.first.startswith("HEAD ") or answer.status in {204, 304}
        blocks = body_of(store.reader, 0 if is_empty else answer.length)
        if rule is not None:
            body = b"".join([block async for block in blocks])
            await self._disturb(Where.AFTER, call, rule)
            half = len(body) // 2
            await self._caller.send(answer.raw + body[:half])
            await self._disturb(Where.ANSWER, call, rule)
            self._proxy.end(call, answer.status)
            await self._caller.send(body[half:])
            return answer.is_last
        self._proxy.end(call, answer.status)
        await self._caller.send(answer.raw)
        async for block in blocks:
            await self._caller.send(block)
        return answer.is_last

    async def _disturb(self, where: Where, call: Call, rule: Rule | None) -> None:
        match rule:
            case Rule(action=Hold(where=moment)) if moment is where:
                await rule.hold(call)
            case Rule(action=Cut(where=moment)) if moment is where:
                self._caller.abort()
                if self._store is not None:
                    self._store.abort()
                raise ConnectionResetError


@asynccontextmanager
async def store_proxy(port: int, *, room: int | None = None) -> AsyncIterator[StoreProxy]:
    """A proxy in front of the store that listens on that port.

    With `room` the system keeps at most about so many bytes for it that it did not read yet.
    """
    proxy = StoreProxy(port)
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(proxy.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    listener = socket.create_server(("127.0.0.1", 0))
    if room is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    server = await asyncio.start_server(connected, sock=listener, limit=BLOCK)
    proxy.port = listener.getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
