"""A server with something to lose, and the proof afterwards that nothing was lost."""

import asyncio
import contextlib
import re
from dataclasses import dataclass

import aiohttp

from tests.conformance.rest.client import RestClient
from tests.faults.snapshot import Snapshot
from tests.servers import Address

ID = b"11111111-1111-4111-8111-111111111111"
"""Stands in a request for the unfinished upload of the scene; as long as any id."""

AUTH = b"Authorization: Bearer @"
"""Stands in a request for the valid token of the scene."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A server with a finished file, and an unfinished upload of five bytes and a waiting chunk."""

    rest: RestClient
    unfinished: str
    finished: str
    snapshot: Snapshot

    @classmethod
    async def prepare(cls, http: aiohttp.ClientSession, server: Address) -> "Scene":
        """Upload what can be lost."""
        rest = RestClient(http=http, server=server)
        finished = await rest.uploaded(b"precious", file_id=1, name="keep.txt")
        unfinished = await rest.init(2, "later.txt")
        assert (await rest.chunk(unfinished, 0, b"hello")).status == 200
        assert (await rest.chunk(unfinished, 2, b"world")).status == 200
        return cls(
            rest=rest,
            unfinished=unfinished,
            finished=finished,
            snapshot=Snapshot.take(server.root),
        )

    async def send(self, request: bytes, *, eof: bool = False) -> bytes:
        """Send bytes, with ID and AUTH filled in, and return what comes back.

        Returns when the server closes, or has answered and fallen silent. Raises `TimeoutError`
        when it does neither.
        """
        token = self.rest.server.auth()["Authorization"].encode()
        ready = request.replace(ID, self.unfinished.encode())
        ready = ready.replace(AUTH, b"Authorization: " + token)
        reader, writer = await asyncio.open_connection(self.rest.server.host, self.rest.server.port)
        answer = b""
        try:
            async with asyncio.timeout(10):
                with contextlib.suppress(ConnectionError):
                    writer.write(ready)
                    await writer.drain()
                    if eof:
                        writer.write_eof()
                with contextlib.suppress(ConnectionError):
                    while block := await _read(reader, is_answered=bool(statuses(answer))):
                        answer += block
        finally:
            writer.close()
        return answer

    async def assert_nothing_lost(self) -> None:
        """The server lives, works, holds what it held, and left nothing outside its folder."""
        rest = self.rest
        async with rest.http.get(f"{rest.server.base}/healthz") as response:
            assert response.status == 200
        await rest.uploaded(b"good ", b"upload", file_id=3, name="good.txt")

        assert await rest.server.file("42", 3, "good.txt") == b"good upload"
        assert await rest.offset(self.unfinished) == 5
        assert await rest.server.file("42", 1, "keep.txt") == b"precious"
        assert rest.server.location("42", 1, "keep.txt") in await rest.files()
        assert self.snapshot.escaped() == []


async def _read(reader: asyncio.StreamReader, *, is_answered: bool) -> bytes:
    """The next bytes; none when the server closed, or rests after an answer."""
    try:
        async with asyncio.timeout(0.3 if is_answered else None):
            return await reader.read(65536)
    except TimeoutError:
        if is_answered:
            return b""
        raise


def statuses(answer: bytes) -> list[int]:
    """The status of every final answer in what came back."""
    found = re.findall(rb"(?:^|\n)?HTTP/1\.[01] ([2-9][0-9]{2})[ \r]", answer)
    return [int(status) for status in found]


def assert_refused_or_done(answer: bytes) -> None:
    """No answer is a 5xx, and every refusal has a one-line reason."""
    assert [status for status in statuses(answer) if status >= 500] == []
    for part in re.split(rb"(?=HTTP/1\.[01] [2-9])", answer):
        head, _, body = part.partition(b"\r\n\r\n")
        if re.match(rb"HTTP/1\.[01] 4", head) and b"Content-Length: 0" not in head:
            assert b"Traceback" not in body
            assert b"\n" not in body.strip(), body
