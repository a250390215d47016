"""One try to deliver a message: a POST to the main service, and what its answer means."""

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from tusd_py import __version__
from tusd_py.notify.backoff import MOST
from tusd_py.notify.signing import Signer

AT_ONCE = 16
"""So many tries of one process at once."""

TO_READ = 64 << 10
"""An answer of up to so many bytes is read, so that its connection can be used again."""

TO_READ_FOR = 0.2
"""Seconds for that. The status alone counts, and it is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`why` it was not delivered, None if it was. `is_gone`: the receiver never wants it.
    `leave_alone`: seconds in which it wants nothing at all; `retry_after`: not this message."""

    why: str | None = None
    is_gone: bool = False
    leave_alone: float | None = None
    retry_after: float | None = None


class Webhook:
    """Delivers to one address. See `open`."""

    def __init__(self, session: aiohttp.ClientSession, url: str, signer: Signer) -> None:
        self._session = session
        self._url = url
        self._signer = signer

    @staticmethod
    @asynccontextmanager
    async def open(url: str, signer: Signer, within: float) -> AsyncIterator["Webhook"]:
        """Deliver to `url`, which has so many seconds for its answer. Certificates are verified;
        proxies are those of the environment (HTTPS_PROXY, NO_PROXY)."""
        session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=within),
            connector=aiohttp.TCPConnector(limit=AT_ONCE),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=True,
            headers={"User-Agent": f"tusd_py/{__version__}"},
        )
        async with session:
            yield Webhook(session, url, signer)

    async def post(self, message_id: str, body: bytes) -> Outcome:
        """Try once. Whatever the receiver does, this ends in time and raises nothing."""
        headers = self._signer.headers(message_id, datetime.now(UTC), body)
        try:
            async with self._session.post(
                self._url,
                data=body,
                headers={"Content-Type": "application/json", **headers},
                allow_redirects=False,
            ) as response:
                await _finish(response)
                return outcome(response.status, response.headers.get("Retry-After"))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return Outcome(why=_why(error))


def outcome(status: int, retry_after: str | None) -> Outcome:
    """What a status means (Standard Webhooks, Delivery success and failure)."""
    if 200 <= status < 300:
        return Outcome()
    why = f"status {status}"
    if status == 410:
        return Outcome(why=why, is_gone=True, leave_alone=MOST)
    seconds = _seconds(retry_after)
    if status in {429, 503} and seconds is not None:
        return Outcome(why=why, leave_alone=seconds, retry_after=seconds)
    return Outcome(why=why, retry_after=seconds)


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After, seconds or a date, as seconds from now; an hour at most."""
    if retry_after is None:
        return None
    value = retry_after.strip()
    if re.fullmatch(r"[0-9]{1,10}", value):
        return min(float(value), MOST)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max(0.0, (at - datetime.now(UTC)).total_seconds()), MOST)


async def _finish(response: aiohttp.ClientResponse) -> None:
    """Read the answer if it is short and there, else close the connection."""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with asyncio.timeout(TO_READ_FOR):
            left = TO_READ
            while left > 0:
                block = await response.content.read(left)
                if not block:
                    return
                left -= len(block)
    response.close()


def _why(error: Exception) -> str:
    """In our words: what an exception says may quote the address, with a password in it."""
    match error:
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not valid"
        case aiohttp.ClientSSLError():
            return "it does not speak TLS as it should"
        case aiohttp.ClientConnectorError():
            return f"no connection ({_reason(error.os_error)})"
        case aiohttp.ServerDisconnectedError():
            return "it closed the connection without an answer"
        case _:
            return f"no answer ({type(error).__name__})"


def _reason(error: OSError) -> str:
    """What the system says; asyncio puts the address into it."""
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or type(error).__name__
    return os.strerror(error.errno)
