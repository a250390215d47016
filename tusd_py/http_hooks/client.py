"""Asks a hook by POST, again if need be, and refuses what is no answer."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from tusd_py import __version__
from tusd_py.hooks import (
    Admission,
    HookEvent,
    HookFailed,
    Hooks,
    Rejected,
    Reply,
    UploadStopped,
)
from tusd_py.http_hooks.answer import Answer, BadAnswer, answer
from tusd_py.http_hooks.question import Place, canonical, question, whole
from tusd_py.verdict import Hook

MAX_ANSWER = 64 << 10
"""Longest answer in bytes."""

MARGIN = 1.0
"""Seconds by which who waits for an answer is more patient than who asks."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpHookSettings:
    """Where hooks are asked, about what, and how patiently. `seconds` for all tries of a question
    together; `retries` after the first try, each `backoff` seconds after the one before. `forward`
    names header fields of clients that are sent along."""

    url: str
    enabled: frozenset[Hook]
    seconds: float
    retries: int
    backoff: float
    forward: tuple[str, ...] = ()


Sign = Callable[[str, datetime, bytes], dict[str, str]]
"""The header fields that sign a body: by an id, which stays over all tries, and the time of one."""


class _Unsuccessful(Exception):
    """A try without an answer; `str(error)` says why, in words for the log."""

    may_pass: bool = True


class _Refused(_Unsuccessful):
    may_pass = False


class HttpHooks(Hooks):
    """See `Hooks`. Whoever cannot be asked is taken to say no."""

    def __init__(
        self,
        settings: HttpHookSettings,
        session: aiohttp.ClientSession,
        place: Place,
        sign: Sign | None,
    ) -> None:
        self.patience = settings.seconds + MARGIN
        self._settings = settings
        self._session = session
        self._place = place
        self._proxy = _proxy(settings.url)
        self._sign = sign
        self._shown = frozenset(name.lower() for name in settings.forward)

    def wants(self, hook: Hook) -> bool:
        """See `Hooks.wants`."""
        return hook in self._settings.enabled

    async def pre_create(self, event: HookEvent) -> Admission | None:
        """See `Hooks.pre_create`."""
        said = await self._ask(Hook.PRE_CREATE, event)
        if said.rejects_upload:
            raise Rejected(reply=said.reply)
        return Admission(
            upload_id=said.upload_id, metadata=said.metadata, path=said.path, reply=said.reply
        )

    async def post_create(self, event: HookEvent) -> None:
        """See `Hooks.post_create`."""
        await self._tell(Hook.POST_CREATE, event)

    async def post_receive(self, event: HookEvent) -> None:
        """See `Hooks.post_receive`."""
        came = await self._sent(Hook.POST_RECEIVE, event)
        if came.data.strip():  # who only wants to know need not say that it knows
            said = _read(Hook.POST_RECEIVE, event, came)
            if said.stops:
                raise UploadStopped(reply=said.reply)

    async def pre_finish(self, event: HookEvent) -> Reply | None:
        """See `Hooks.pre_finish`."""
        said = await self._ask(Hook.PRE_FINISH, event)
        if said.rejects_upload:
            raise Rejected(reply=said.reply)
        return said.reply

    async def post_finish(self, event: HookEvent) -> None:
        """See `Hooks.post_finish`."""
        await self._tell(Hook.POST_FINISH, event)

    async def pre_terminate(self, event: HookEvent) -> Reply | None:
        """See `Hooks.pre_terminate`."""
        said = await self._ask(Hook.PRE_TERMINATE, event)
        if said.rejects_termination:
            raise Rejected(reply=said.reply)
        return said.reply

    async def post_terminate(self, event: HookEvent) -> None:
        """See `Hooks.post_terminate`."""
        await self._tell(Hook.POST_TERMINATE, event)

    async def _ask(self, hook: Hook, event: HookEvent) -> Answer:
        return _read(hook, event, await self._sent(hook, event))

    async def _tell(self, hook: Hook, event: HookEvent) -> None:
        await self._sent(hook, event)

    async def _sent(self, hook: Hook, event: HookEvent) -> "_Came":
        """Send a question until it is answered. Raises `HookFailed`."""
        body = question(hook, event, self._place, self._shown)
        headers = self._forwarded(event)
        message_id = f"msg_{uuid.uuid4().hex}"
        why = "no answer in time"
        try:
            async with asyncio.timeout(self._settings.seconds):
                for left in range(self._settings.retries, -1, -1):
                    try:
                        return await self._try(message_id, body, headers)
                    except _Unsuccessful as error:
                        why = str(error)
                        if not left or not error.may_pass:
                            break
                    await asyncio.sleep(self._settings.backoff)
        except TimeoutError as error:
            raise _failed(hook, event, why) from error
        raise _failed(hook, event, why)

    async def _try(self, message_id: str, body: bytes, headers: dict[str, str]) -> "_Came":
        if self._sign is not None:
            headers = headers | self._sign(message_id, datetime.now(UTC), body)
        try:
            async with self._session.post(
                self._settings.url,
                data=body,
                headers=headers,
                proxy=self._proxy,
                allow_redirects=False,
            ) as response:
                if not 200 <= response.status < 300:
                    kind = _Unsuccessful if response.status >= 500 else _Refused
                    raise kind(f"it answered {response.status}")
                return _Came(data=await _read_all(response), kind=response.content_type)
        except (aiohttp.ClientError, OSError) as error:
            raise _Unsuccessful(f"{type(error).__name__}") from error
        except ValueError as error:
            raise _Refused(f"{type(error).__name__}") from error

    def _forwarded(self, event: HookEvent) -> dict[str, str]:
        """The header fields of a question: some of the client's, and ours over them."""
        headers: dict[str, str] = {}
        client = {} if event.request is None else event.request.headers
        for name, values in client.items():
            if name.lower() in self._shown:
                headers[canonical(name)] = whole(", ".join(values))
        return headers | {"Content-Type": "application/json", "Accept-Encoding": "identity"}


@asynccontextmanager
async def open_http_hooks(
    settings: HttpHookSettings, place: Place, sign: Sign | None
) -> AsyncIterator[HttpHooks]:
    """Hooks that are asked at a URL, until the end of the block."""
    # No time-out of the client's own: at the same moment as ours it would swallow that.
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"tusd_py/{__version__}"},
    ) as session:
        yield HttpHooks(settings, session, place, sign)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Came:
    """What came back, and what it is said to be."""

    data: bytes
    kind: str


def _read(hook: Hook, event: HookEvent, came: _Came) -> Answer:
    """As tusd does: what is not said to be JSON is the page of somebody else."""
    try:
        if came.kind != "application/json":
            raise BadAnswer("the answer has not the type application/json")
        return answer(came.data)
    except BadAnswer as error:
        raise _failed(hook, event, str(error)) from error


async def _read_all(response: aiohttp.ClientResponse) -> bytes:
    data = b""
    async for block in response.content.iter_any():
        data += block
        if len(data) > MAX_ANSWER:
            raise _Refused(f"its answer is longer than {MAX_ANSWER} bytes")
    return data


def _failed(hook: Hook, event: HookEvent, why: str) -> HookFailed:
    extra = {"hook": hook.value, "upload": event.upload.id, "why": why}
    logger.error("hook_failed", extra=extra)
    return HookFailed()


def _proxy(url: str) -> str | None:
    """The proxy of the environment for that address (HTTP_PROXY, HTTPS_PROXY, NO_PROXY)."""
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return getproxies().get(parts.scheme)
