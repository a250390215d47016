"""A client comes back while its old connection, dead or alive, still holds the upload."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from tests.conformance.rest.client import FORM, RestClient, chunk_form
from tests.conformance.tus.client import (
    Connection,
    Tus,
    begun_patch,
    checksum,
    connected,
    content_of,
)
from tests.servers import Address, taken

DATA = content_of(100_000)
START = 1000
CUT = 60_000
SOON = 5.0
"""Seconds that a newcomer may wait on the slowest machine: a request that is not asked to let go
holds an upload for BODY_TIMEOUT, a minute, and a lock is waited for two seconds, then refused."""

KINDS = ("patch", "patch with checksum", "chunk")


@pytest.fixture
def tus(http: aiohttp.ClientSession, server: Address) -> Tus:
    """A user of the tus face."""
    return Tus(http=http, address=server)


@pytest.fixture
def rest(http: aiohttp.ClientSession, server: Address) -> RestClient:
    """The same user at the REST face."""
    return RestClient(http=http, server=server)


async def begun(tus: Tus, rest: RestClient, kind: str) -> str:
    """The URL of an upload that has its first bytes."""
    if kind == "chunk":
        upload_id = await rest.init()
        assert (await rest.chunk(upload_id, 0, DATA[:START])).status == 200
        return tus.url(upload_id)
    url = await tus.create(len(DATA))
    assert (await tus.patch(url, 0, DATA[:START])).status == 204
    return url


@asynccontextmanager
async def silent(tus: Tus, kind: str, url: str) -> AsyncIterator[Connection]:
    """A request that got CUT bytes over and then nothing more, not even its end."""
    body = DATA[START:]
    if kind == "chunk":
        form = chunk_form(url.rpartition("/")[2], 1, body)
        lines = {**FORM, "Content-Length": str(len(form))}
        async with connected(tus.address) as connection:
            head = tus.wire("POST", f"{tus.address.base}/upload/chunk", lines)
            await connection.send(head + form[:CUT])
            await taken(connection.writer)
            yield connection
        return
    claimed = checksum("sha256", body) if kind == "patch with checksum" else {}
    async with begun_patch(tus, url, START, len(body), claimed) as connection:
        await connection.send(body[:CUT])
        await taken(connection.writer)
        yield connection


@pytest.mark.parametrize("kind", KINDS)
async def test_a_dead_connection_is_taken_over(tus: Tus, rest: RestClient, kind: str) -> None:
    """Nobody waits for a connection of which no end was seen: its request is asked to let go at
    once, what came counts, and the client goes on."""
    clock = asyncio.get_running_loop().time
    url = await begun(tus, rest, kind)
    async with silent(tus, kind, url) as dead:
        since = clock()
        offset = await tus.offset(url)
        if kind == "chunk":
            again = (await rest.chunk(url.rpartition("/")[2], 1, DATA[START:])).status
            assert (await rest.complete(url.rpartition("/")[2], 2)).status == 200
        else:
            again = (await tus.patch(url, offset, DATA[offset:])).status
        took = clock() - since
        farewell = (await dead.answers())[-1]

    assert offset == (START + CUT if kind == "patch" else START)
    assert again in {200, 204}
    assert took < SOON
    assert farewell.status == 503
    assert farewell.headers["Connection"] == "close"
    digest = hashlib.sha256(await tus.download(url)).hexdigest()
    assert digest == hashlib.sha256(DATA).hexdigest()


async def test_head_during_a_running_patch(tus: Tus) -> None:
    """HEAD returns an offset that the next PATCH can use, however fast the running one sends."""
    data = content_of(2_000_000)
    url = await tus.create(len(data))
    offset = 0
    answers = []
    for _ in range(8):
        async with begun_patch(tus, url, offset, len(data) - offset) as running:
            await running.send(data[offset : offset + 1000])
            await taken(running.writer)
            sending = asyncio.create_task(send_on(running, data[offset + 1000 :]))
            told = await tus.offset(url)
            answers.append(await tus.patch(url, told, data[told : told + 1000]))
            sending.cancel()
        assert told >= offset + 1000
        offset = told + 1000
    await tus.patch(url, offset, data[offset:])

    assert [answer.status for answer in answers] == [204] * 8
    assert await tus.download(url) == data


async def send_on(connection: Connection, data: bytes) -> None:
    """Send until the connection closes, not so fast that all of it is sent before that."""
    with suppress(ConnectionError):
        for start in range(0, len(data), 5000):
            await connection.send(data[start : start + 5000])
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("kind", KINDS)
async def test_delete_ends_a_running_request(tus: Tus, rest: RestClient, kind: str) -> None:
    """DELETE waits for nobody, and leaves nothing but the note that the upload was there."""
    clock = asyncio.get_running_loop().time
    url = await begun(tus, rest, kind)
    upload_id = url.rpartition("/")[2]
    if kind == "chunk":
        assert (await rest.chunk(upload_id, 5, DATA)).status == 200
    async with silent(tus, kind, url) as running:
        since = clock()
        gone = await tus.delete(url)
        took = clock() - since
        farewell = (await running.answers())[-1]
        running.abort()
    after = await tus.head(url)

    assert gone.status == 204
    assert took < SOON
    assert farewell.status == 503
    assert after.status == 410
    assert await tus.address.holding(DATA[:START]) == []
    assert left_of(tus.address.root, upload_id) == [f"{upload_id}.info"]


def left_of(root: Path, upload_id: str) -> list[str]:
    """All that is still called by the name of an upload, or lies below such a name."""
    return sorted(path.name for path in root.rglob("*") if upload_id in str(path))
