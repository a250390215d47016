"""Clients that open connections and dribble, and users who hold all they can get: others do not
feel them."""

import asyncio
import hashlib
import re
import statistics
from contextlib import AsyncExitStack

import aiohttp
import pytest

from tests.conformance.rest.client import FORM, RestClient, chunk_form
from tests.conformance.rest.client import Answer as RestAnswer
from tests.conformance.tus.client import (
    OCTETS,
    Answer,
    Connection,
    Tus,
    connected,
    content_of,
    parse,
    stalled_patch,
)
from tests.conftest import MakeServer

LORISES = 500
NORMAL = 50
DATA = content_of(150_000)
PIECE = 50_000
HEADER_TIMEOUT = BODY_TIMEOUT = 4.0
PATIENCE = 60.0
"""Seconds after which a connection that should have been closed fails the test."""


async def dribble(connection: Connection, beginning: bytes) -> int:
    """Send a byte every second until the server closes; the status of what it said."""
    answering = asyncio.create_task(connection.rest(within=PATIENCE))
    connection.writer.write(beginning)
    while not answering.done():
        connection.writer.write(b"1")
        await asyncio.wait([answering], timeout=1.0)
    [answer] = parse(await answering)
    return answer.status


async def upload(tus: Tus) -> tuple[str, float]:
    """Upload DATA in pieces; the digest of what is there then, and how many seconds it took."""
    loop = asyncio.get_running_loop()
    since = loop.time()
    url = await tus.create(len(DATA))
    for start in range(0, len(DATA), PIECE):
        assert (await tus.patch(url, start, DATA[start : start + PIECE])).status == 204
    took = loop.time() - since
    return hashlib.sha256(await tus.download(url)).hexdigest(), took


async def uploads(tus: Tus) -> tuple[set[str], float]:
    """Let all normal clients upload at once; the digests and the median of their times."""
    done = await asyncio.gather(*(upload(tus.of(f"normal-{n}")) for n in range(NORMAL)))
    return {digest for digest, _ in done}, statistics.median(took for _, took in done)


@pytest.mark.usefixtures("many_files")
async def test_normal_clients_are_unaffected(
    make_server: MakeServer,
    http: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """500 connections that dribble heads and bodies close in time, while 50 clients upload."""
    monkeypatch.setattr("tusd_py.web.body.RATE_WINDOW", BODY_TIMEOUT)
    address = await make_server(HEADER_TIMEOUT=f"{HEADER_TIMEOUT}", BODY_TIMEOUT=f"{BODY_TIMEOUT}")
    tus = Tus(http=http, address=address)
    loris = tus.of("loris")
    head = b"GET /healthz HTTP/1.1\r\nHost: test\r\nX: "
    creation = {"Content-Type": OCTETS, "Upload-Length": "99999", "Content-Length": "99999"}
    body = loris.wire("POST", address.files, creation)
    session = await RestClient(http=http, server=address, user="loris").init()
    form = {**FORM, "Content-Length": "99999"}
    chunk = loris.wire("POST", f"{address.base}/upload/chunk", form)
    chunks = [
        chunk + chunk_form(session, index, bytes(10)).partition(bytes(10))[0]
        for index in range(1, LORISES // 4 + 1)  # none waits for another: they come before 0
    ]
    _, before = await uploads(tus)
    async with AsyncExitStack() as stack:
        dribbling = [
            asyncio.create_task(
                dribble(await stack.enter_async_context(connected(address)), beginning)
            )
            for chunk in chunks
            for beginning in (head, body, head, chunk)
        ]
        digests, meanwhile = await uploads(tus)
        were_there = sum(not each.done() for each in dribbling)
        said = await asyncio.gather(*dribbling)
    staged = await address.holding(b"1111")
    print(f"median of {NORMAL} uploads: {before:.3f} s, with {LORISES} dribbling {meanwhile:.3f} s")

    assert digests == {hashlib.sha256(DATA).hexdigest()}
    assert were_there > 0
    assert said == [408, 503] * (LORISES // 2)
    assert [name for name in staged if ".chunk" in name] == []
    assert await met(tus, "header_timeout") == LORISES // 2
    assert await met(tus, "min_transfer_rate") > LORISES // 4


async def met(tus: Tus, limit: str) -> int:
    """How often a limit was met, as /metrics tells it."""
    async with tus.http.get(f"{tus.address.base}/metrics") as response:
        text = await response.text()
    found = re.search(rf'limit_hits_total{{limit="{limit}"}} ([0-9]+)', text)
    assert found is not None, text
    return int(found[1])


async def test_one_user_leaves_room_for_others(
    make_server: MakeServer, http: aiohttp.ClientSession
) -> None:
    """A user who holds MAX_REQUESTS_PER_USER stalled requests gets 429 for one more, on both faces,
    can ask and delete, and is nothing to others; a request that ends makes room for the next."""
    address = await make_server(MAX_REQUESTS_PER_USER="8")
    greedy = Tus(http=http, address=address, user="greedy")
    rest = RestClient(http=http, server=address, user="greedy")
    urls = [await greedy.create(10) for _ in range(10)]
    async with AsyncExitStack() as stack:
        stalled = [
            await stack.enter_async_context(stalled_patch(greedy, url, 0, 10, b"hello"))
            for url in urls[:8]
        ]
        refused: list[Answer | RestAnswer] = [
            await greedy.patch(urls[8], 0, b"hello"),
            await greedy.post({"Upload-Length": "5"}),
            await rest.send("GET", "/upload/files"),
        ]
        head = await greedy.head(urls[8])
        options = await greedy.send("OPTIONS", address.files)
        gone: list[Answer | RestAnswer] = [
            await greedy.delete(urls[9]),
            await rest.delete(urls[8].rpartition("/")[2]),
        ]
        digest, _ = await upload(greedy.of("modest"))
        await stalled[0].send(b"world")
        done = (await stalled[0].answers())[-1]
        next_one = await greedy.post({"Upload-Length": "5"})

    assert [answer.status for answer in refused] == [429] * 3
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
    assert refused[2].body.startswith(b'{"status": "error", "code": "too_many_requests"')
    assert (head.status, options.status) == (200, 200)
    assert [answer.status for answer in gone] == [204, 200]
    assert digest == hashlib.sha256(DATA).hexdigest()
    assert (done.status, next_one.status) == (204, 201)
    assert await met(greedy, "max_requests_per_user") == 3
