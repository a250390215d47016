"""Connections: how many, for how long without a request, and what those are told who must go."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.conformance.metrics import limits_met
from tests.conformance.tus.client import (
    Answer,
    Connection,
    Tus,
    connected,
    parse,
    stalled_patch,
)
from tests.conftest import MakeServer
from tests.servers import Address, settings
from tests.stores import Folder
from tusd_py.app import METRICS as METRICS_KEY
from tusd_py.config import load_config
from tusd_py.metrics import Metrics
from tusd_py.server import start
from tusd_py.web.last_word import LINGERING

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"
METRICS = b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n"


async def asked(connection: Connection, request: bytes = HEALTH) -> Answer:
    """The answer to a request on a connection that stays."""
    await connection.send(request)
    return (await connection.answers())[-1]


async def met(connection: Connection, limit: str) -> int:
    """How often a limit was met, as /metrics tells it."""
    text = (await asked(connection, METRICS)).body.decode()
    found = re.search(rf'limit_hits_total{{limit="{limit}"}} ([0-9]+)', text)
    assert found is not None, text
    return int(found[1])


@asynccontextmanager
async def deaf(address: Address) -> AsyncIterator[socket.socket]:
    """A connection of a client with room for a few KiB of answers."""
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.setblocking(False)
        await asyncio.get_running_loop().sock_connect(line, (address.host, address.port))
        yield line


async def until_served(address: Address) -> int:
    """Return as soon as a newcomer finds room; how many were turned away."""
    refusals = 0
    async with asyncio.timeout(20):
        while True:
            async with connected(address) as newcomer:
                if (await asked(newcomer)).status == 200:
                    return refusals
            refusals += 1
            await asyncio.sleep(0.05)


LARGE = bytes(16 << 20)


@asynccontextmanager
async def serving(root: Path, **overrides: str) -> AsyncIterator[Address]:
    """A server without faces whose answers are larger than any socket holds."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=LARGE)

    async def download(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(LARGE))})
        await response.prepare(request)
        transport = request.transport
        assert transport is not None
        while not transport.get_write_buffer_size():  # less is left than asyncio complains of
            transport.write(LARGE[: 32 << 10])
        return response

    async def healthy(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application()
    app[METRICS_KEY] = Metrics()
    app.router.add_get("/answer", answer)
    app.router.add_get("/download", download)

    async def measured(_request: web.Request) -> web.Response:
        data, _ = await app[METRICS_KEY].exposition()
        return web.Response(body=data)

    app.router.add_get("/healthz", healthy)
    app.router.add_get("/metrics", measured)
    config = load_config({}, settings(root, **overrides), None)
    server = await start(app, config)
    try:
        yield Address(host="127.0.0.1", port=server.port, root=root, store=Folder(root=root))
    finally:
        await server.stop()


# --- how many


async def test_the_longest_idle_connection_makes_room(make_server: MakeServer) -> None:
    """When the server is full a newcomer takes the place of who has been idle the longest, be it
    after an answer or in the middle of a head."""
    address = await make_server(MAX_CONNECTIONS="3")
    async with AsyncExitStack() as stack:
        members = []
        for _ in range(5):
            members.append(await stack.enter_async_context(connected(address)))
            assert (await asked(members[-1])).status == 200
            if len(members) == 2:
                await members[1].send(HEALTH[:10])
                assert (await asked(members[0])).status == 200
        gone = [await members[1].rest(), await members[0].rest()]
        left = [(await asked(member)).status for member in members[2:]]
        hits = await met(members[-1], "max_connections")

    assert gone == [b"", b""]
    assert left == [200, 200, 200]
    assert hits == 2


async def test_a_newcomer_is_told_when_all_are_busy(
    make_server: MakeServer, http: aiohttp.ClientSession
) -> None:
    """Nobody at work is disturbed: the newcomer gets a whole 503 that says when to come again, also
    while it sends a body."""
    address = await make_server(MAX_CONNECTIONS="2")
    tus = Tus(http=http, address=address)
    urls = [await tus.create(10) for _ in range(2)]
    async with (
        stalled_patch(tus, urls[0], 0, 10, b"hello") as patch,
        stalled_patch(tus, urls[1], 0, 10, b"hello"),
    ):
        async with connected(address) as newcomer:
            head = b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4000000\r\n\r\n"
            await newcomer.send(head + bytes(4_000_000))
            [answer] = parse(await newcomer.rest())
        await patch.send(b"world")
        done = (await patch.answers())[-1]
        await until_served(address)
        async with connected(address) as newcomer:
            hits = await met(newcomer, "max_connections")

    assert answer.status == 503
    assert answer.headers["Connection"] == "close"
    assert answer.headers["Retry-After"] == "1"
    assert answer.body.endswith(b".\n")
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    assert done.status == 204
    assert hits >= 1


async def test_a_request_behind_another_keeps_its_place(
    make_server: MakeServer, http: aiohttp.ClientSession
) -> None:
    """Once its turn has come, nobody disturbs it."""
    address = await make_server(MAX_CONNECTIONS="1")
    tus = Tus(http=http, address=address)
    url = await tus.create(10)
    own = {
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": "0",
        "Content-Length": "10",
        "Expect": "100-continue",
    }
    async with connected(address) as connection:
        await connection.send(HEALTH + tus.wire("PATCH", url, own))
        statuses = [(await connection.head()).status]
        assert await connection.reader.readexactly(3) == b"ok\n"
        statuses.append((await connection.head()).status)
        async with connected(address) as newcomer:
            [refusal] = parse(await newcomer.rest())
        await connection.send(b"helloworld")
        statuses.append((await connection.head()).status)

    assert statuses == [200, 100, 204]
    assert refusal.status == 503


async def test_a_crowd_of_newcomers_is_told(
    make_server: MakeServer, http: aiohttp.ClientSession
) -> None:
    """Each gets its answer, also when more of them come than may linger."""
    address = await make_server(MAX_CONNECTIONS="1")
    tus = Tus(http=http, address=address)
    url = await tus.create(10)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(stalled_patch(tus, url, 0, 10, b"hello"))
        newcomers = [
            await stack.enter_async_context(connected(address)) for _ in range(LINGERING + 10)
        ]
        answers = [parse(await newcomer.rest()) for newcomer in newcomers]

    assert [[answer.status for answer in each] for each in answers] == [[503]] * len(newcomers)


# --- how long without a request


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_head_must_end_in_time(make_server: MakeServer, is_new: bool) -> None:
    """HEADER_TIMEOUT is for the whole head: a byte now and then does not help. It ends with 408."""
    address = await make_server(HEADER_TIMEOUT="0.5s")
    async with connected(address) as connection:
        if not is_new:
            assert (await asked(connection)).status == 200
        await connection.send(HEALTH[:-4])
        answering = asyncio.create_task(connection.rest())
        async with asyncio.timeout(20):
            while not answering.done():
                connection.writer.write(b"x")
                await asyncio.wait([answering], timeout=0.1)
        [answer] = parse(await answering)
    async with connected(address) as another:
        hits = await met(another, "header_timeout")

    assert answer.status == 408
    assert answer.headers["Connection"] == "close"
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert hits == 1


@pytest.mark.parametrize("cut", [None, 3, len(HEALTH) - 1, len(HEALTH) + 3])
async def test_a_head_behind_a_request_must_end_in_time(
    make_server: MakeServer, cut: int | None
) -> None:
    """Part of a head that came with the request ahead of it has HEADER_TIMEOUT, too, not the time
    of a connection at rest."""
    address = await make_server(HEADER_TIMEOUT="0.2s")
    sent = HEALTH + HEALTH[:-2]
    async with connected(address) as connection:
        for part in (sent[:cut], sent[cut:]) if cut is not None else (sent,):
            await connection.send(part)
            await asyncio.sleep(0.01)
        answers = parse(await connection.rest())
    async with connected(address) as another:
        hits = await met(another, "header_timeout")

    assert [answer.status for answer in answers] == [200, 408]
    assert hits == 1


async def test_a_client_that_says_nothing_is_told_nothing(make_server: MakeServer) -> None:
    """A new connection without a byte closes after HEADER_TIMEOUT."""
    address = await make_server(HEADER_TIMEOUT="0.2s")
    async with connected(address) as connection:
        rest = await connection.rest()
    async with connected(address) as another:
        hits = await met(another, "header_timeout")

    assert (rest, hits) == (b"", 1)


async def test_a_connection_at_rest_has_more_time(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HEADER_TIMEOUT does not run between two requests, nor the time between them in a head."""
    monkeypatch.setattr("tusd_py.server.KEEP_ALIVE", 1.0)
    loop = asyncio.get_running_loop()
    address = await make_server(HEADER_TIMEOUT="0.4s")
    slow = await make_server(HEADER_TIMEOUT="60s")
    async with connected(address) as silent, connected(slow) as late:
        assert (await asked(silent)).status == 200
        started = loop.time()
        assert (await asked(late)).status == 200
        await late.send(HEALTH[:10])
        rest = await silent.rest()
        waited = loop.time() - started
        await asyncio.sleep(0.3)
        answer = await asked(late, HEALTH[10:])
    async with connected(address) as another:
        hits = await met(another, "header_timeout")

    assert (rest, hits) == (b"", 0)
    assert waited > 0.9
    assert answer.status == 200


@pytest.mark.parametrize(
    "last",
    [
        *[[HEALTH[:cut], HEALTH[cut:]] for cut in range(len(HEALTH) - 3, len(HEALTH))],
        [b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc"],
    ],
    ids=["cut_at_3", "cut_at_2", "cut_at_1", "body"],
)
async def test_requests_that_ended_are_no_head(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch, last: list[bytes]
) -> None:
    """After requests that came at once, the last in two pieces or with a body, the connection is at
    rest."""
    monkeypatch.setattr("tusd_py.server.KEEP_ALIVE", 0.5)
    address = await make_server(HEADER_TIMEOUT="0.2s")
    async with connected(address) as connection:
        await connection.send(HEALTH + last[0])
        first = (await connection.answers())[-1].status
        await connection.send(b"".join(last[1:]))
        answers = parse(await connection.rest())

    assert first == 200
    assert len(answers) == 1
    assert answers[0].status in {200, 404}


async def test_a_refused_body_is_no_head(make_server: MakeServer) -> None:
    """What is still sent of a body that was refused does not lead to a second answer."""
    address = await make_server(HEADER_TIMEOUT="0.5s")
    async with connected(address) as connection:
        await connection.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n")
        first = (await connection.answers())[-1]
        for _ in range(5):
            await connection.send(b"x")
            await asyncio.sleep(0.2)
        connection.writer.write_eof()
        rest = await connection.rest()

    assert first.status == 404
    assert rest == b""


# --- answers that nobody takes


async def received(line: socket.socket) -> int:
    """Read all that comes until the server closes; how many bytes they are."""
    count = 0
    with contextlib.suppress(ConnectionError):
        while block := await asyncio.get_running_loop().sock_recv(line, 1 << 20):
            count += len(block)
    return count


async def until_met(address: Address, limit: str) -> dict[str, int]:
    """Return as soon as a limit was met: all that were."""
    async with asyncio.timeout(20):
        while limit not in (limits := await limits_met(address)):  # noqa: ASYNC110 - as it is told
            await asyncio.sleep(0.05)
    return limits


async def test_who_takes_no_answer_makes_room(tmp_path: Path) -> None:
    """Clients that ask and ask and read nothing keep nobody out: a newcomer finds room at once, not
    after BODY_TIMEOUT."""
    loop = asyncio.get_running_loop()
    much = HEALTH.replace(b"/healthz", b"/answer") * 20
    limits = {"MAX_CONNECTIONS": "4", "BODY_TIMEOUT": "60s"}
    async with serving(tmp_path, **limits) as address, AsyncExitStack() as stack:
        deaf_ones = [await stack.enter_async_context(deaf(address)) for _ in range(4)]
        for line in deaf_ones:
            await loop.sock_sendall(line, much)
            assert await loop.sock_recv(line, 10)
            await loop.sock_sendall(line, much)
        refusals = await until_served(address)
        limits_then = await limits_met(address)

    assert refusals == 0
    assert limits_then["max_connections"] > 0


async def test_who_asks_much_at_once_makes_room(make_server: MakeServer) -> None:
    """Clients with hundreds of requests on their way keep nobody out: a newcomer finds room before
    all those are answered."""
    loop = asyncio.get_running_loop()
    address = await make_server(MAX_CONNECTIONS="8")
    async with AsyncExitStack() as stack:
        for _ in range(8):
            line = await stack.enter_async_context(deaf(address))
            await loop.sock_sendall(line, HEALTH * 300)
        refusals = await until_served(address)
        async with connected(address) as newcomer:
            hits = await met(newcomer, "max_connections")

    assert refusals == 0
    assert hits > 0


@pytest.mark.parametrize("path", ["/answer", "/download"])
async def test_what_nobody_takes_is_cut(path: str, tmp_path: Path) -> None:
    """A client that asks and reads nothing is cut after BODY_TIMEOUT, which is counted."""
    loop = asyncio.get_running_loop()
    async with serving(tmp_path, BODY_TIMEOUT="0.5s") as address, deaf(address) as line:
        await loop.sock_sendall(line, HEALTH.replace(b"/healthz", path.encode()))
        limits = await until_met(address, "body_timeout")
        count = await received(line)

    assert limits == {"body_timeout": 1}
    assert 0 < count < len(LARGE)


async def test_a_download_that_nobody_takes_is_cut(
    make_server: MakeServer, http: aiohttp.ClientSession
) -> None:
    """A download has BODY_TIMEOUT for each piece, which is counted."""
    address = await make_server(BODY_TIMEOUT="0.5s")
    tus = Tus(http=http, address=address)
    url = await tus.upload(LARGE)
    async with deaf(address) as line:
        await asyncio.get_running_loop().sock_sendall(line, tus.wire("GET", url, {}))
        limits = await until_met(address, "body_timeout")
        count = await received(line)

    assert limits == {"body_timeout": 1}
    assert 0 < count < len(LARGE)
