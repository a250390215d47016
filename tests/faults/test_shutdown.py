"""SIGTERM and SIGINT: who is told what, in which order, and that the process leaves in time."""

import asyncio
import hashlib
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.conformance.rest.client import FORM, RestClient, chunk_form
from tests.conformance.rest.client import Answer as RestAnswer
from tests.conformance.tus.client import (
    OCTETS,
    Answer,
    Connection,
    Tus,
    checksum,
    connected,
    content_of,
    stalled_patch,
)
from tests.conftest import MakeProcess
from tests.servers import Address, ServerProcess, settings

SIZE = 300_000
TOLD = 1000
PIECE = 2000

signals = pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])


async def state(http: aiohttp.ClientSession, address: Address) -> int:
    """The status of /readyz."""
    async with http.get(f"{address.base}/readyz") as response:
        return response.status


async def until_leaving(http: aiohttp.ClientSession, address: Address) -> None:
    """Return once /readyz says that the server is about to leave."""
    async with asyncio.timeout(20):
        while await state(http, address) != 503:  # noqa: ASYNC110 - it is asked
            await asyncio.sleep(0.02)


def signalled(process: ServerProcess, signum: signal.Signals = signal.SIGTERM) -> float:
    """Send a signal; when it was sent."""
    assert process.process is not None
    process.process.send_signal(signum)
    return time.monotonic()


async def left(process: ServerProcess) -> int:
    """The exit code, once the process has left."""
    assert process.process is not None
    async with asyncio.timeout(30):
        return await process.process.wait()


@asynccontextmanager
async def deaf_download(tus: Tus, url: str) -> AsyncIterator[None]:
    """A running GET by a client that reads nothing but the beginning."""
    loop = asyncio.get_running_loop()
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.setblocking(False)
        await loop.sock_connect(line, (tus.address.host, tus.address.port))
        await loop.sock_sendall(line, tus.wire("GET", url, {}))
        assert (await loop.sock_recv(line, 12)).endswith(b" 200")
        yield


# --- under load


@dataclass(kw_only=True)
class Sender:
    """A throttled client at work on an upload: of `data` it has got `told` bytes over before."""

    connection: Connection
    kind: str
    head: bytes
    body: bytes
    data: bytes
    told: int
    url: str
    sent: int = 0

    async def run(self) -> Answer:
        """Send until there is an answer; return it."""
        answering = asyncio.create_task(self.connection.answers())
        await self.connection.send(self.head)
        while not answering.done():
            piece = self.body[self.sent : self.sent + PIECE]
            self.connection.writer.write(piece)
            self.sent += len(piece)
            await asyncio.wait([answering], timeout=0.02)
        return (await answering)[-1]


async def begin(tus: Tus, rest: RestClient, kind: str, connection: Connection) -> Sender:
    """A client that has an upload of its own, and part of it over."""
    data = content_of(SIZE)
    url, told, body = tus.address.files, 0, data
    headers = {"Content-Type": OCTETS}
    if kind == "post":
        headers |= {"Upload-Length": str(SIZE)}
    elif kind == "chunk":
        upload_id = await rest.init()
        assert (await rest.chunk(upload_id, 0, data[:TOLD])).status == 200
        url, told, body = tus.url(upload_id), TOLD, chunk_form(upload_id, 1, data[TOLD:])
        headers = {**FORM}
    else:
        url, told, body = await tus.create(SIZE), TOLD, data[TOLD:]
        assert (await tus.patch(url, 0, data[:TOLD])).headers["Upload-Offset"] == str(TOLD)
        headers |= {"Upload-Offset": str(TOLD)}
        headers |= checksum("sha256", body) if kind == "checksum" else {}
    path = f"{tus.address.base}/upload/chunk" if kind == "chunk" else url
    headers |= {"Content-Length": str(len(body))}
    return Sender(
        connection=connection,
        kind=kind,
        head=tus.wire("POST" if kind in {"post", "chunk"} else "PATCH", path, headers),
        body=body,
        data=data,
        told=told,
        url=url,
    )


async def resume(tus: Tus, rest: RestClient, sender: Sender) -> tuple[int, str]:
    """Do what a client does after a 503; from where it went on, and the digest in the end."""
    url, offset = sender.url, 0
    if sender.kind == "post":  # nobody told it where its upload is
        url = await tus.upload(sender.data)
    else:
        offset = await tus.offset(url)
        rest_of_it = sender.data[offset:]
        if sender.kind == "chunk":
            upload_id = url.rpartition("/")[2]
            assert (await rest.chunk(upload_id, 1, rest_of_it)).status == 200
            assert (await rest.complete(upload_id, 2)).status == 200
        else:
            assert (await tus.patch(url, offset, rest_of_it)).status == 204
    return offset, hashlib.sha256(await tus.download(url)).hexdigest()


@signals
async def test_a_signal_under_load(
    signum: signal.Signals,
    make_process: MakeProcess,
    http: aiohttp.ClientSession,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Every running append is answered 503 on a connection that closes; what was answered before is
    there after a restart, and each upload ends with the right digest."""
    process = await make_process(SHUTDOWN_TIMEOUT="15s")
    tus = Tus(http=http, address=process.address)
    rest = RestClient(http=http, server=process.address)
    async with AsyncExitStack() as stack:
        at_work = [
            await begin(tus, rest, kind, await stack.enter_async_context(connected(tus.address)))
            for kind in ("patch", "checksum", "post", "chunk") * 5
        ]
        running = [asyncio.create_task(each.run()) for each in at_work]
        async with asyncio.timeout(30):
            while min(each.sent for each in at_work) < 10 * PIECE:  # noqa: ASYNC110 - as they send
                await asyncio.sleep(0.01)
        since = signalled(process, signum)
        answers = await asyncio.gather(*running)
        code = await left(process)
        took = time.monotonic() - since
    await process.start()
    ends = [await resume(tus, rest, each) for each in at_work]

    assert {answer.status for answer in answers} == {503}
    assert {answer.headers["Connection"].lower() for answer in answers} == {"close"}
    assert code == 0
    assert took < 15
    assert "Traceback" not in capfd.readouterr().err
    assert {digest for _, digest in ends} == {hashlib.sha256(content_of(SIZE)).hexdigest()}
    for sender, (offset, _) in zip(at_work, ends, strict=True):
        assert offset > TOLD if sender.kind == "patch" else offset == sender.told


# --- in which order


async def test_newcomers_are_told_while_the_rest_ends(
    make_process: MakeProcess, http: aiohttp.ClientSession
) -> None:
    """While something still runs the listener accepts: who brings bytes gets 503 and is asked to
    close, HEAD is answered, and /readyz says 503."""
    process = await make_process(SHUTDOWN_TIMEOUT="20s")
    tus = Tus(http=http, address=process.address)
    rest = RestClient(http=http, server=process.address)
    large = await tus.upload(content_of(16 << 20))
    url = await tus.create(10)
    session = await rest.init()
    async with deaf_download(tus, large):
        signalled(process)
        await until_leaving(http, process.address)
        refused: list[Answer | RestAnswer] = [
            await tus.patch(url, 0, b"hello"),
            await tus.post({"Upload-Length": "5"}),
            await tus.post({"Upload-Length": "5", "Content-Type": OCTETS}, b"hello"),
            await rest.chunk(session, 0, b"hello"),
            await rest.post("/upload/init", {"main_service_file_id": 1, "original_file_name": "a"}),
        ]
        head = await tus.head(url)
        ready = await state(http, process.address)
        signalled(process)
        await left(process)

    assert [answer.status for answer in refused] == [503] * 5
    assert {answer.headers["Connection"] for answer in refused} == {"close"}
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
    assert (head.status, head.headers["Upload-Offset"]) == (200, "0")
    assert head.headers["Connection"] == "close"
    assert ready == 503


async def test_normal_service_goes_on_for_a_while(
    make_process: MakeProcess, http: aiohttp.ClientSession
) -> None:
    """For SHUTDOWN_DELAY only /readyz changes: load balancers look elsewhere first."""
    process = await make_process(SHUTDOWN_DELAY="2s", SHUTDOWN_TIMEOUT="20s")
    tus = Tus(http=http, address=process.address)
    url = await tus.create(10)
    async with stalled_patch(tus, url, 0, 10, b"hello") as patch:
        since = signalled(process)
        await until_leaving(http, process.address)
        await patch.send(b"world")
        answer = (await patch.answers())[-1]
        downloads = [await tus.download(each) for each in (url, await tus.upload(b"hello"))]
        code = await left(process)
        took = time.monotonic() - since

    assert answer.status == 204
    assert code == 0
    assert took >= 2
    assert downloads == [b"helloworld", b"hello"]


@signals
@pytest.mark.parametrize("delay", ["0s", "60s"], ids=["draining", "delayed"])
async def test_a_second_signal_leaves_at_once(
    signum: signal.Signals,
    delay: str,
    make_process: MakeProcess,
    http: aiohttp.ClientSession,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Who does not want to wait for what still runs sends the signal again."""
    process = await make_process(SHUTDOWN_DELAY=delay, SHUTDOWN_TIMEOUT="60s")
    tus = Tus(http=http, address=process.address)
    url = await tus.upload(content_of(16 << 20))
    async with deaf_download(tus, url):
        signalled(process, signum)
        await until_leaving(http, process.address)
        since = signalled(process, signum)
        code = await left(process)
        took = time.monotonic() - since

    assert code == 128 + signum
    assert took < 10
    assert "Traceback" not in capfd.readouterr().err


# --- in time


@pytest.mark.usefixtures("many_files")
async def test_nobody_holds_a_server_up(
    make_process: MakeProcess, http: aiohttp.ClientSession, capfd: pytest.CaptureFixture[str]
) -> None:
    """Clients that never read, stalled bodies, heads without an end and many idle connections: the
    exit code is 0, within SHUTDOWN_TIMEOUT."""
    process = await make_process(SHUTDOWN_TIMEOUT="5s")
    tus = Tus(http=http, address=process.address)
    large = await tus.upload(content_of(16 << 20))
    async with AsyncExitStack() as stack:
        for _ in range(3):
            url = await tus.create(10)
            await stack.enter_async_context(deaf_download(tus, large))
            await stack.enter_async_context(stalled_patch(tus, url, 0, 10, b"hello"))
        for number in range(1500):
            idle = await stack.enter_async_context(connected(process.address))
            if number % 3:
                await idle.send(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"[: number % 40])
        since = signalled(process)
        code = await left(process)
        took = time.monotonic() - since

    assert code == 0
    assert took < 8
    said = capfd.readouterr().err
    assert "stopped" in said
    assert "Traceback" not in said


STUCK = """
import asyncio, time
from aiohttp import web
from tusd_py.app import METRICS
from tusd_py.config import load_config
from tusd_py.metrics import Metrics
from tusd_py.server import serve
import os

async def block(request):
    print("blocked", flush=True)
    await asyncio.to_thread(time.sleep, 60)

app = web.Application()
app[METRICS] = Metrics()
app.router.add_get("/", block)
config = load_config({}, os.environ, None)
asyncio.run(serve(app, config, lambda port: print(port, flush=True)))
"""


async def test_a_disk_that_hangs_does_not_hold_a_server_up(tmp_path: Path) -> None:
    """A call that never returns cannot be ended; the process leaves without it, in time."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STUCK),
        env={"PATH": "/usr/bin:/bin", **settings(tmp_path, SHUTDOWN_TIMEOUT="1s")},
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        port = int(await process.stdout.readline())
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert await process.stdout.readline() == b"blocked\n"
        process.terminate()
        _, err = await process.communicate()
    writer.close()

    assert process.returncode == 0
    assert b"cut_short" in err
    assert b"Traceback" not in err
