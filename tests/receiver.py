"""A main service that is told of uploads: a real HTTP server that notes what comes, verifies it
with the library of Standard Webhooks, and answers as a test says."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, kw_only=True)
class Told:
    """One request that came, and verified: its headers and its body."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def payload(self) -> dict[str, object]:
        """The whole JSON."""
        payload: dict[str, object] = json.loads(self.body)
        return payload

    @property
    def type(self) -> object:
        return self.payload["type"]

    @property
    def data(self) -> Mapping[str, object]:
        """What is said of the upload."""
        data = self.payload["data"]
        assert isinstance(data, dict)
        return data


@dataclass(kw_only=True)
class Receiver:
    """Answers the next of `answers`, a status or a function, or `always` when there are no more.
    What it is told with a wrong signature is 500 and not noted."""

    secret: str = SECRET
    told: list[Told] = field(default_factory=list)
    answers: list[int | Answer] = field(default_factory=list)
    always: int | Answer = 204
    base: str = ""
    at_once: int = 0
    most_at_once: int = 0
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"{self.base}/events"

    @property
    def settings(self) -> dict[str, str]:
        """What a server needs to know of it."""
        return {"MAIN_SERVICE_NOTIFY_URL": self.url, "MAIN_SERVICE_NOTIFY_SECRET": self.secret}

    def types(self) -> list[object]:
        """The types of what came, in order."""
        return [each.type for each in self.told]

    async def until(self, count: int, seconds: float = 20.0) -> list[Told]:
        """What came, once there is so much of it."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: len(self.told) >= count)
        return self.told

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note a request, and answer it."""
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        Webhook(self.secret.partition(",")[0]).verify(body, headers)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        async with self._news:
            self.told.append(Told(headers=headers, body=body))
            self._news.notify_all()
        answer = self.answers.pop(0) if self.answers else self.always
        try:
            return web.Response(status=answer) if isinstance(answer, int) else await answer(request)
        finally:
            self.at_once -= 1


def with_headers(status: int, **headers: str) -> Answer:
    """Answer so; `Retry_After` is `Retry-After`."""

    async def answer(_request: web.Request) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, headers=named)

    return answer


@asynccontextmanager
async def receiving(
    receiver: Receiver | None = None, *, port: int = 0, context: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """A receiver that listens on 127.0.0.1; its answers that are not over in the end are cut."""
    receiver = receiver or Receiver()
    app = web.Application()
    app.router.add_post("/events", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=context)
    await site.start()
    scheme = "https" if context else "http"
    receiver.base = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()
