"""A client of the soak: it asks any of the processes, and it vanishes in many ways."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from bench.soak.line import Answer, Line, NoAnswer
from bench.soak.tally import Tally

IDLE_SECONDS = 12.0
"""A connection is not used again after so long: the server closes idle ones after 25 s."""


CUT_SHARE = 0.08
"""So many of the requests are cut."""

SILENT_SHARE = 0.03
"""So many of the cuts are a silence that the server has to end."""

MOST_ATTEMPTS = 60
"""A request that is turned away is repeated so often at most."""

DONE = {200: ""}
LATE = "a request that was cut came late"
BROKEN = "the body broke off or fell silent"
BROKEN_OFF = {
    200: "",
    201: "",
    204: "",
    400: BROKEN,
    404: LATE,
    409: LATE,
    410: LATE,
    503: BROKEN,
}
"""What a client may hear that does not send all of a body."""


class GaveUp(Exception):
    """The server refuses for ever, or answered what nothing can follow."""


class Cut(Enum):
    """How a client vanishes in the middle of a request."""

    RESET = "RST in the body"
    CLOSE = "FIN in the body"
    HALF = "half the body, then gone"
    HALF_CLOSE = "FIN in the body, still reading"
    STALL = "stalled while taken over, then gone"
    SILENT = "silent until the server ends it"
    LOST = "gone before the answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request; `kind` is what it is counted as."""

    kind: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What all clients share: the ports, the counters, how patient the server is, in seconds of
    silence, and how many seconds a client rests before a request, on the average, until `until`
    (monotonic)."""

    ports: Sequence[int]
    tally: Tally
    body_timeout: float
    rest: float
    until: float
    chance: random.Random


class Client:
    """One user at one device. Each request goes to any of the processes."""

    def __init__(self, services: Services, *, user: str, token: str) -> None:
        self.user = user
        self.services = services
        self.tally = services.tally
        self.chance = services.chance
        self._authorization = {"Authorization": f"Bearer {token}"}
        self._tus = {"Tus-Resumable": "1.0.0", **self._authorization}
        self._idle: list[Line] = []
        self._lingering: set[asyncio.Task[None]] = set()

    def tus(
        self, kind: str, method: str, path: str, body: bytes = b"", **headers: str | int | None
    ) -> Request:
        """A request of the tus face; `upload_offset=0` becomes `Upload-Offset: 0`."""
        named = {
            name.replace("_", "-").title(): str(value)
            for name, value in headers.items()
            if value is not None
        }
        if body:
            named["Content-Type"] = "application/offset+octet-stream"
        return Request(
            kind=kind, method=method, path=path, headers={**self._tus, **named}, body=body
        )

    def rest(
        self, kind: str, method: str, path: str, body: bytes, content_type: str = "application/json"
    ) -> Request:
        """A request of the REST face."""
        headers = {**self._authorization, "Content-Type": content_type}
        return Request(kind=kind, method=method, path=f"/upload/{path}", headers=headers, body=body)

    async def ask(self, request: Request, expected: Mapping[int, str]) -> Answer:
        """Send a request and return its answer, which is counted. Raises `NoAnswer`, a broken
        promise: nobody cut this connection."""
        await self._rest()
        begun = time.monotonic()
        port = self.chance.choice(self.services.ports)
        line = self._idle_line(port) or await Line.open(port)
        try:
            await line.send(
                request.method, request.path, request.headers, request.body, len(request.body)
            )
            answer = await line.answer(request.method)
        except (NoAnswer, TimeoutError) as error:
            line.reset()
            self.tally.blame(f"{request.kind}: no answer ({error!r})")
            raise NoAnswer from error
        if answer.headers.get("connection", "").lower() == "close":
            line.close()
        else:
            self._idle.append(line)
        self.tally.note(request.kind, answer, expected, time.monotonic() - begun)
        return answer

    async def insist(self, request: Request, expected: Mapping[int, str]) -> Answer:
        """Ask until the answer is an expected one. Raises `GaveUp`, `NoAnswer`."""
        for _ in range(MOST_ATTEMPTS):
            answer = await self.ask(request, expected)
            if answer.status in expected:
                return answer
            if answer.status not in {423, 503}:
                break
            await self.pause()
        raise GaveUp(f"{request.kind} {request.path}: {answer.status} {answer.text[:100]}")

    def is_cut_now(self) -> bool:
        """Whether to vanish in the middle of the next request."""
        return self.chance.random() < CUT_SHARE

    def any_cut(self) -> Cut:
        """One of the ways to vanish; the one that takes long is seldom."""
        if self.chance.random() < SILENT_SHARE:
            return Cut.SILENT
        return self.chance.choice([how for how in Cut if how is not Cut.SILENT])

    async def cut(self, request: Request, how: Cut, expected: Mapping[int, str]) -> int:
        """Send a request and vanish; returns how many bytes of its body were sent.

        An answer that comes nevertheless must be an expected one. A stalled connection stays
        open while the client goes on elsewhere.
        """
        await self._rest()
        self.tally.cuts[how.value] += 1
        size = len(request.body)
        sent = {Cut.HALF: size // 2, Cut.LOST: size}.get(how, self.chance.randrange(size or 1))
        line = await Line.open(self.chance.choice(self.services.ports))
        await line.send(request.method, request.path, request.headers, request.body[:sent], size)
        match how:
            case Cut.RESET:
                await asyncio.sleep(self.chance.choice((0.0, 0.02, 0.2)))
                line.reset()
            case Cut.CLOSE | Cut.HALF | Cut.LOST:
                line.close()
            case Cut.HALF_CLOSE:
                line.half_close()
                await self._linger(line, request, expected, seconds=20.0)
            case Cut.SILENT:
                seconds = self.services.body_timeout + 60.0
                await self._linger(line, request, expected, seconds=seconds, must_end=True)
            case Cut.STALL:
                lingering = asyncio.create_task(
                    self._linger(line, request, expected, seconds=self.chance.uniform(0.2, 3.0))
                )
                self._lingering.add(lingering)
                lingering.add_done_callback(self._lingering.discard)
        return sent

    async def settle(self) -> None:
        """Wait until no stalled connection is left."""
        while self._lingering:
            await asyncio.gather(*self._lingering)

    async def leave(self) -> None:
        """Close everything."""
        await self.settle()
        for line in self._idle:
            line.close()
        self._idle.clear()

    async def pause(self) -> None:
        """A moment before something is tried again."""
        await asyncio.sleep(self.chance.uniform(0.05, 0.5))

    async def _rest(self) -> None:
        if time.monotonic() < self.services.until:
            await asyncio.sleep(self.chance.uniform(0.0, 2 * self.services.rest))

    def _idle_line(self, port: int) -> Line | None:
        """A connection to that process that is open, if there is one."""
        fresh = time.monotonic() - IDLE_SECONDS
        for line in [line for line in self._idle if line.used_at < fresh]:
            self._idle.remove(line)
            line.close()
        for line in self._idle:
            if line.port == port:
                self._idle.remove(line)
                return line
        return None

    async def _linger(
        self,
        line: Line,
        request: Request,
        expected: Mapping[int, str],
        *,
        seconds: float,
        must_end: bool = False,
    ) -> None:
        """Be silent until an answer comes, the server closes, or time is over; then go."""
        begun = time.monotonic()
        kind = f"{request.kind}, cut"
        try:
            answer = await line.answer(request.method, seconds=seconds)
        except NoAnswer:
            self.tally.answers[kind, 0, "closed without an answer to a body that broke off"] += 1
        except TimeoutError:
            if must_end:
                self.tally.blame(f"{kind}: the silent connection was open for {seconds:.0f} s")
        else:
            self.tally.note(kind, answer, expected, time.monotonic() - begun)
        finally:
            self.chance.choice((line.reset, line.close))()
