"""The wall clock jumps by a day, between two lives of a server and in the middle of one."""

import asyncio
import hashlib
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp
import pytest

from tests.conformance.rest.client import FORM, RestClient, chunk_form
from tests.conformance.tus.client import Tus, begun_patch, connected
from tests.faults.kill.clock import DAY, AnyTime, FakeClock
from tests.faults.kill.conftest import Mortal
from tests.faults.kill.scene import until_gone
from tests.faults.kill.server import MortalServer
from tests.servers import taken

HALF = random.Random(1).randbytes(200_000)
OTHER_HALF = random.Random(2).randbytes(200_000)
WHOLE = hashlib.sha256(HALF + OTHER_HALF).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Uploads:
    """What a user has at a server by a fake clock: a finished file, half of an upload, a session
    with a chunk that waits."""

    server: MortalServer
    clock: FakeClock
    http: aiohttp.ClientSession
    finished: str
    half: str
    session: str

    @property
    def rest(self) -> RestClient:
        """The user at the REST face."""
        return RestClient(http=self.http, server=AnyTime.of(self.server.address))

    @property
    def tus(self) -> Tus:
        """The user at the tus face."""
        return Tus(http=self.http, address=AnyTime.of(self.server.address))

    def url(self, upload_id: str) -> str:
        """The URL of an upload."""
        return f"{AnyTime.of(self.server.address).files}{upload_id}"

    async def restart(self, days: int) -> None:
        """Kill the server and start it by a clock that is off by so many days."""
        await self.server.kill()
        self.clock.jump(days)
        await self.server.start()

    async def resume(self) -> list[str | None]:
        """Send the other halves; the digests of the two files."""
        assert (await self.rest.patch(self.half, len(HALF), OTHER_HALF)).status == 204
        assert (await self.rest.chunk(self.session, 0, HALF)).status == 200
        assert (await self.rest.complete(self.session, 2, 3)).status == 200
        at = self.server.address
        return [await at.sha256("42", self.half, self.half), await at.sha256("42", 3, "c.bin")]

    async def until_swept(self) -> None:
        """Return when the sweeper has passed: twice it found what is stale at any clock."""
        then = time.time() - 5 * DAY
        for _ in range(2):
            stale = self.server.root / "uploads" / "42" / "stale.tmp"
            await asyncio.to_thread(_touch, stale, then)
            await until_gone(stale)


MakeUploads = Callable[..., Awaitable[Uploads]]


@pytest.fixture
def make_uploads(http: aiohttp.ClientSession, mortal: Mortal, tmp_path: Path) -> MakeUploads:
    """Uploads at a server whose clock is off by so many days:
    `await make_uploads(-1, BODY_TIMEOUT="1s")`."""

    async def make(days: int, **overrides: str) -> Uploads:
        clock = FakeClock(file=tmp_path / "clock")
        clock.jump(days)
        settings = {"SWEEP_INTERVAL": "0.1s", "UPLOAD_EXPIRES_AFTER": "12h", **overrides}
        server = mortal(
            MortalServer(root=tmp_path / "data", overrides=settings, environ=clock.environ)
        )
        await server.start()
        user = RestClient(http=http, server=AnyTime.of(server.address))
        half = await user.create({"Upload-Length": str(len(HALF + OTHER_HALF))})
        session = await user.init(3, "c.bin")
        assert (await user.patch(half, 0, HALF)).status == 204
        assert (await user.chunk(session, 1, OTHER_HALF)).status == 200
        finished = await user.uploaded(b"done", file_id=1)
        return Uploads(
            server=server, clock=clock, http=http, finished=finished, half=half, session=session
        )

    return make


async def test_restart_a_day_later(make_uploads: MakeUploads) -> None:
    """A day later unfinished uploads are expired, told of once, and cleaned away; finished files
    are as they were."""
    uploads = await make_uploads(-1)
    await uploads.restart(0)
    for upload_id in (uploads.half, uploads.session):
        await until_gone(uploads.server.root / "uploads" / "42" / f"{upload_id}.data")
        await until_gone(uploads.server.root / "uploads" / "42" / f"{upload_id}.chunks")
    await uploads.until_swept()
    heads = [await uploads.tus.head(uploads.url(id)) for id in (uploads.half, uploads.session)]

    assert {head.status for head in heads} == {410}
    assert sorted(uploads.server.events("upload_expired")) == sorted(
        [uploads.half, uploads.session]
    )
    assert await uploads.rest.files() == [uploads.server.address.location("42", 1, "audio.mp3")]
    assert await uploads.tus.download(uploads.url(uploads.finished)) == b"done"
    assert await uploads.rest.uploaded(b"new", file_id=2)


async def test_restart_a_day_earlier(make_uploads: MakeUploads) -> None:
    """By a clock that went back a day nothing is deleted, and every upload goes on."""
    uploads = await make_uploads(0)
    await uploads.restart(-1)
    await uploads.until_swept()
    digests = await uploads.resume()

    assert digests == [WHOLE, WHOLE]
    assert uploads.server.events("upload_expired") == []
    assert len(await uploads.rest.files()) == 3
    assert await uploads.tus.download(uploads.url(uploads.finished)) == b"done"


@pytest.mark.parametrize(("before", "after"), [(-1, 0), (0, -1)], ids=["forward", "back"])
async def test_jump_in_the_middle_of_a_patch(
    make_uploads: MakeUploads, before: int, after: int
) -> None:
    """A PATCH that runs goes on when the clock jumps: it is not expired and its client is not
    taken for silent."""
    uploads = await make_uploads(before)
    url = uploads.url(uploads.half)
    async with begun_patch(uploads.tus, url, len(HALF), len(OTHER_HALF)) as connection:
        await connection.send(OTHER_HALF[:50_000])
        await taken(connection.writer)
        uploads.clock.jump(after)
        await until_at(uploads, after)
        await uploads.until_swept()
        await connection.send(OTHER_HALF[50_000:])
        answers = await connection.answers()

    assert [answer.status for answer in answers] == [204]
    at = uploads.server.address
    assert await at.sha256("42", uploads.half, uploads.half) == WHOLE
    assert uploads.server.events("upload_expired") == ([uploads.session] if after > before else [])


async def test_jump_in_the_middle_of_a_chunk(make_uploads: MakeUploads) -> None:
    """A chunk that comes before its turn, and slowly, is not taken for what a dead process left
    when the clock jumps."""
    uploads = await make_uploads(0, UPLOAD_EXPIRES_AFTER="7d")
    session = await uploads.rest.init(4, "d.bin")
    form = chunk_form(session, 1, OTHER_HALF)
    fields = {**AnyTime.of(uploads.server.address).auth(), **FORM, "Content-Length": str(len(form))}
    async with connected(uploads.server.address) as connection:
        url = f"{uploads.server.address.base}/upload/chunk"
        await connection.send(uploads.tus.wire("POST", url, fields) + form[:50_000])
        await taken(connection.writer)
        uploads.clock.jump(+1)
        await until_at(uploads, +1)
        await uploads.until_swept()
        await connection.send(form[50_000:])
        (answer,) = await connection.answers()
    first = await uploads.rest.chunk(session, 0, HALF)
    completion = await uploads.rest.complete(session, 2, 4)

    assert (answer.status, first.status, completion.status) == (200, 200, 200)
    assert await uploads.server.address.sha256("42", 4, "d.bin") == WHOLE


async def test_silence_is_measured_by_a_clock_that_does_not_jump(
    make_uploads: MakeUploads,
) -> None:
    """A silent client is given up in time, though the clock went back a day meanwhile; what it had
    sent is kept."""
    uploads = await make_uploads(0, BODY_TIMEOUT="1s")
    url = uploads.url(uploads.half)
    async with begun_patch(uploads.tus, url, len(HALF), len(OTHER_HALF)) as connection:
        await connection.send(OTHER_HALF[:50_000])
        await taken(connection.writer)
        uploads.clock.jump(-1)
        began = time.monotonic()
        ending = await connection.rest(within=60)
        took = time.monotonic() - began

    assert ending.startswith(b"HTTP/1.1 503")
    assert took < 30
    assert await uploads.tus.offset(url) == len(HALF) + 50_000


async def until_at(uploads: Uploads, days: int) -> None:
    """Return when the server lives by that clock: its answers tell."""
    async with asyncio.timeout(20):
        while abs(await hours_off(uploads) - days * 24) > 1:  # noqa: ASYNC110 - clocks tell nobody
            await asyncio.sleep(0.01)


async def hours_off(uploads: Uploads) -> float:
    """By how many hours the clock of the server is off."""
    answer = await uploads.tus.head(uploads.url(uploads.finished))
    return (parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()) / 3600


def _touch(path: Path, then: float) -> None:
    path.touch()
    os.utime(path, (then, then))
