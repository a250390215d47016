"""One server with several workers: every promise holds across them, whichever ends and however."""

import asyncio
import os
import re
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.conformance.tus.client import OCTETS, Answer, Connection, Tus, connected, content_of
from tests.conftest import MakeProcess, MakeServer
from tests.servers import ServerProcess, name_of

pytestmark = pytest.mark.parametrize("make_store", ["local"], indirect=True)

EXPIRED = 'tusd_py_swept_total{deed="expired"}'


async def until(condition: Callable[[], bool]) -> None:
    """Return once it is so."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - no event crosses processes
            await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass(kw_only=True)
class Crew:
    """A server with two workers, and user 42 of it."""

    process: ServerProcess
    tus: Tus

    @property
    def pid(self) -> int:
        """The parent."""
        assert self.process.process is not None
        return self.process.process.pid

    @property
    def workers(self) -> list[int]:
        """The process ids of the workers that run."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [pid for pid in map(int, children.split()) if is_alive(pid)]

    async def connect(self, worker: int, stack: AsyncExitStack) -> Connection:
        """A connection to that worker; the kernel chooses, so it may take a few."""
        async with asyncio.timeout(20):
            while True:
                connection = await stack.enter_async_context(connected(self.tus.address))
                if await self._server_of(connection) == worker:
                    return connection
                connection.abort()

    async def ask(
        self, worker: int, method: str, url: str, headers: dict[str, str], body: bytes = b""
    ) -> Answer:
        """A request to that worker, and its answer."""
        async with AsyncExitStack() as stack:
            connection = await self.connect(worker, stack)
            lines = {"Connection": "close", **headers}
            await connection.send(self.tus.wire(method, url, lines) + body)
            if method == "HEAD":
                return await connection.head()
            return (await connection.answers())[-1]

    async def patch(self, worker: int, url: str, offset: int, body: bytes) -> int:
        """The status of a PATCH to that worker."""
        headers = {"Upload-Offset": str(offset), "Content-Length": str(len(body))}
        return (
            await self.ask(worker, "PATCH", url, {"Content-Type": OCTETS, **headers}, body)
        ).status

    async def begin_patch(
        self, worker: int, url: str, offset: int, size: int, body: bytes, stack: AsyncExitStack
    ) -> Connection:
        """A PATCH of `size` bytes that has begun at that worker, and brought some."""
        connection = await self.connect(worker, stack)
        headers = {"Upload-Offset": str(offset), "Content-Length": str(size)}
        headers |= {"Content-Type": OCTETS, "Expect": "100-continue"}
        await connection.send(self.tus.wire("PATCH", url, headers))
        assert (await connection.head()).status == 100
        await connection.send(body)
        return connection

    async def _server_of(self, connection: Connection) -> int:
        """The worker at the other end, once it has accepted."""
        async with asyncio.timeout(20):
            while (worker := self._holder_of(connection)) is None:  # noqa: ASYNC110 - sockets tell nobody
                await asyncio.sleep(0.01)
        return worker

    def _holder_of(self, connection: Connection) -> int | None:
        """The worker that has the other socket of a connection open (proc(5))."""
        line = connection.writer.get_extra_info("socket")
        theirs, ours = name_of(line.getpeername()), name_of(line.getsockname())
        rows = map(str.split, Path("/proc/net/tcp").read_text().splitlines())
        sockets = {f"socket:[{row[9]}]" for row in rows if row[1:3] == [theirs, ours]}
        return next((worker for worker in self.workers if sockets & _open_in(worker)), None)


def _open_in(pid: int) -> set[str]:
    """What a process has open."""
    found = set()
    with suppress(FileNotFoundError):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                found.add(os.readlink(fd))
    return found


async def crew_of(make_process: MakeProcess, http: aiohttp.ClientSession, **overrides: str) -> Crew:
    """A server with two workers that serve."""
    process = await make_process(WORKERS="2", **overrides)
    crew = Crew(process=process, tus=Tus(http=http, address=process.address))
    await until(lambda: len(crew.workers) == 2)
    return crew


def counted(answer: Answer, name: str) -> float:
    """A counter of /metrics."""
    found = re.search(rf"^{re.escape(name)} ([0-9.]+)$", answer.body.decode(), re.M)
    assert found is not None, name
    return float(found[1])


async def test_any_worker_goes_on_with_any_upload(
    make_process: MakeProcess, http: aiohttp.ClientSession
) -> None:
    """PATCHes go on at the other worker at once; HEAD there takes over a PATCH that runs here, and
    its bytes stay."""
    crew = await crew_of(make_process, http)
    first, second = crew.workers
    pieces = [content_of(10_000 + number) for number in range(4)]
    url = await crew.tus.create(sum(map(len, pieces)))
    statuses, offset = [], 0
    for worker, piece in zip((first, second) * 2, pieces, strict=True):
        statuses.append(await crew.patch(worker, url, offset, piece))
        offset += len(piece)
    held = await crew.tus.create(1000)
    async with AsyncExitStack() as stack:
        running = await crew.begin_patch(first, held, 0, 1000, b"hello", stack)
        head = await crew.ask(second, "HEAD", held, {})
        [given_up] = await running.answers()

    assert statuses == [204] * 4
    assert await crew.tus.download(url) == b"".join(pieces)
    assert (head.status, head.headers["Upload-Offset"]) == (200, "5")
    assert given_up.status == 503


async def test_a_killed_worker_is_replaced(
    make_process: MakeProcess, http: aiohttp.ClientSession, capfd: pytest.CaptureFixture[str]
) -> None:
    """Requests to the others go on. What the dead one had answered stays, what counted as at work
    there no longer does, and no counter goes back."""
    crew = await crew_of(make_process, http, MAX_REQUESTS_PER_USER="2")
    first, second = crew.workers
    urls = [await crew.tus.create(10) for _ in range(2)]
    metrics = f"{crew.tus.address.base}/metrics"
    async with AsyncExitStack() as stack:
        for url, worker in zip(urls, (first, second), strict=True):
            assert await crew.patch(worker, url, 0, b"hello") == 204
        await crew.begin_patch(first, urls[0], 5, 5, b"", stack)
        going_on = await crew.begin_patch(second, urls[1], 5, 5, b"", stack)
        refused = [(await crew.ask(each, "GET", urls[0], {})).status for each in (first, second)]
        os.kill(first, signal.SIGKILL)
        await until(lambda: first not in crew.workers and len(crew.workers) == 2)
        [newcomer] = set(crew.workers) - {second}
        allowed = [(await crew.ask(each, "GET", urls[0], {})).status for each in (second, newcomer)]
        told = [await crew.ask(each, "GET", metrics, {}) for each in (second, newcomer)]
        await going_on.send(b"world")
        [answer] = await going_on.answers()
    offset = await crew.tus.offset(urls[0])

    assert refused == [429] * 2
    assert 429 not in allowed
    name = 'tusd_py_limit_hits_total{limit="max_requests_per_user"}'
    assert [counted(each, name) for each in told] == [2.0] * 2
    assert answer.status == 204
    assert offset == 5
    assert f"worker_died worker=0 pid={first} how=SIGKILL" in capfd.readouterr().err


async def test_somebody_always_sweeps(
    make_process: MakeProcess, http: aiohttp.ClientSession
) -> None:
    """Who replaces the worker that swept goes on with it."""
    crew = await crew_of(make_process, http, SWEEP_INTERVAL="0.1s", UPLOAD_EXPIRES_AFTER="0.2s")
    first, second = crew.workers
    os.kill(first, signal.SIGKILL)
    await until(lambda: first not in crew.workers and len(crew.workers) == 2)
    await crew.tus.create(10)
    metrics = f"{crew.tus.address.base}/metrics"
    async with asyncio.timeout(20):
        while not (expired := counted(await crew.ask(second, "GET", metrics, {}), EXPIRED)):  # noqa: ASYNC110 - it is asked
            await asyncio.sleep(0.05)

    assert expired == 1


async def test_limits_hold_for_all_workers_together(
    make_process: MakeProcess, http: aiohttp.ClientSession
) -> None:
    """So many requests as the rate allows are let through, whichever worker they reach, and also
    after one was killed. Each tells the same counters."""
    crew = await crew_of(make_process, http, RATE_LIMIT="4/h")
    first, second = crew.workers
    files = f"{crew.tus.address.base}/upload/files"
    metrics = f"{crew.tus.address.base}/metrics"
    asked = [(await crew.ask(each, "GET", files, {})).status for each in (first, second) * 3]
    told = [await crew.ask(each, "GET", metrics, {}) for each in (first, second)]
    os.kill(second, signal.SIGKILL)
    await until(lambda: second not in crew.workers and len(crew.workers) == 2)
    asked_then = [(await crew.ask(each, "GET", files, {})).status for each in crew.workers]

    assert asked == [200] * 4 + [429] * 2
    for name in ('refusals_total{code="rate_limited"}', 'limit_hits_total{limit="rate_limit"}'):
        assert [counted(each, f"tusd_py_{name}") for each in told] == [2.0] * 2
    assert asked_then == [429] * 2


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("whom", ["parent", "group"])
async def test_a_signal_ends_all_workers_in_order(
    whom: str,
    loop: str,
    make_process: MakeProcess,
    make_server: MakeServer,
    http: aiohttp.ClientSession,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Each stores what its requests brought and answers them; also when the signal comes to every
    process, as from a terminal or systemd, which is not a second signal."""
    under = ("setsid",) if whom == "group" else ()
    process = await make_process(under=under, WORKERS="2", EVENT_LOOP=loop)
    crew = Crew(process=process, tus=Tus(http=http, address=process.address))
    await until(lambda: len(crew.workers) == 2)
    urls = [await crew.tus.create(10) for _ in range(2)]
    async with AsyncExitStack() as stack:
        running = [
            await crew.begin_patch(worker, url, 0, 10, b"hello", stack)
            for worker, url in zip(crew.workers, urls, strict=True)
        ]
        workers = crew.workers
        if whom == "group":
            os.killpg(crew.pid, signal.SIGTERM)
        code = await process.end(signal.SIGTERM if whom == "parent" else signal.SIGCONT)
        answers = [(await each.answers())[-1] for each in running]
    root = process.root
    later = Tus(http=http, address=await make_server(root))
    offsets = [await later.offset(later.url(crew.tus.path(url))) for url in urls]

    assert code == 0
    assert [answer.status for answer in answers] == [503] * 2
    assert offsets == [5, 5]
    assert not any(map(is_alive, workers))
    said = capfd.readouterr().err
    assert f"workers=2 loop={loop}" in said
    assert re.findall(r" info (listening|leaving|stopped)\b", said) == [
        *("listening", "leaving", "stopped")
    ]
    assert "Traceback" not in said


async def test_a_worker_that_is_told_to_leave_is_replaced(
    make_process: MakeProcess, http: aiohttp.ClientSession
) -> None:
    """It stores what its requests brought, and another one takes its place."""
    crew = await crew_of(make_process, http)
    first, second = crew.workers
    url = await crew.tus.create(10)
    async with AsyncExitStack() as stack:
        running = await crew.begin_patch(first, url, 0, 10, b"hello", stack)
        os.kill(first, signal.SIGTERM)
        [answer] = await running.answers()
    await until(lambda: first not in crew.workers and len(crew.workers) == 2)
    [newcomer] = set(crew.workers) - {second}

    assert answer.status == 503
    assert await crew.patch(newcomer, url, 5, b"world") == 204


async def test_nobody_outlives_a_killed_parent(
    make_process: MakeProcess, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """The workers leave as after a signal, and take with them what was only for them."""
    crew = await crew_of(make_process, http)
    workers = crew.workers
    counters = [Path(name) for name in _open_in(workers[0]) if name.startswith("/dev/shm/tusd")]
    url = await crew.tus.create(10)
    async with AsyncExitStack() as stack:
        running = await crew.begin_patch(workers[0], url, 0, 10, b"hello", stack)
        await crew.process.end(signal.SIGKILL)
        [answer] = await running.answers()
    await until(lambda: not any(map(is_alive, workers)))

    assert answer.status == 503
    assert counters
    assert not any(map(Path.exists, counters))


async def test_a_second_signal_leaves_nothing_behind(
    make_process: MakeProcess, http: aiohttp.ClientSession
) -> None:
    """Who does not want to wait for a client that sends nothing has the same clean end."""
    crew = await crew_of(make_process, http)
    workers = crew.workers
    counters = [Path(name) for name in _open_in(workers[0]) if name.startswith("/dev/shm/tusd")]
    os.kill(workers[0], signal.SIGSTOP)  # which would not leave in time
    os.kill(crew.pid, signal.SIGTERM)
    await until(lambda: not is_alive(workers[1]))
    await crew.process.end(signal.SIGINT)
    await until(lambda: not any(map(is_alive, workers)))

    assert counters
    assert not any(map(Path.exists, counters))
