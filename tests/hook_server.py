"""A real HTTP server that hooks ask: it notes what it is asked, and answers what a test says."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from multidict import CIMultiDictProxy

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One question."""

    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def value(self) -> dict[str, object]:
        """The JSON."""
        value: dict[str, object] = json.loads(self.body)
        return value

    @property
    def kind(self) -> str:
        """Which hook it is."""
        return str(self.value["Type"])

    def part(self, *names: str) -> object:
        """What stands under these names in the event."""
        value: object = self.value["Event"]
        for name in names:
            assert isinstance(value, dict)
            value = value[name]
        return value


@dataclass(frozen=True, kw_only=True)
class Said:
    """One answer."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)


def said(**fields: object) -> Said:
    """An answer in JSON, as `said(RejectUpload=True)`."""
    return Said(body=json.dumps(fields).encode())


class HookServer:
    """Answers `{}` unless `answers` has another for a kind of hook: one, or several that are used
    up one after the other, the last one again and again. While `held` a hook gets no answer."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: dict[str, Said | list[Said]] = {}
        self.held: set[str] = set()
        self.url = ""
        self._changed = asyncio.Condition()

    def kinds(self) -> list[str]:
        """Which hooks were called, in order."""
        return [call.kind for call in self.calls]

    def of(self, kind: str) -> list[Call]:
        """The calls of one hook."""
        return [call for call in self.calls if call.kind == kind]

    async def called(self, kind: str, times: int = 1) -> list[Call]:
        """Wait until a hook was called so often."""
        async with asyncio.timeout(15), self._changed:
            await self._changed.wait_for(lambda: len(self.of(kind)) >= times)
        return self.of(kind)

    async def release(self, *kinds: str) -> None:
        """Let hooks that are held have their answer."""
        async with self._changed:
            self.held -= set(kinds)
            self._changed.notify_all()

    async def answer(self, request: web.Request) -> web.Response:
        """One question."""
        call = Call(headers=request.headers, body=await request.read())
        async with self._changed:
            self.calls.append(call)
            self._changed.notify_all()
            await self._changed.wait_for(lambda: call.kind not in self.held)
        spoken = self._next(call.kind)
        return web.Response(status=spoken.status, body=spoken.body, headers=spoken.headers)

    def _next(self, kind: str) -> Said:
        answers = self.answers.get(kind, Said())
        if isinstance(answers, Said):
            return answers
        return answers.pop(0) if len(answers) > 1 else answers[0]


@asynccontextmanager
async def hook_server() -> AsyncIterator[HookServer]:
    """A hook server on a port of its own."""
    hooks = HookServer()
    app = web.Application()
    app.router.add_post("/hooks", hooks.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    hooks.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks"
    try:
        yield hooks
    finally:
        await runner.cleanup()
