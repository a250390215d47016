"""Bursts: from a socket into a file, by threads that never wait for the client."""

import asyncio
import fcntl
import functools
import hashlib
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tusd_py.interfaces import Hasher
from tusd_py.web import burst as bursts
from tusd_py.web import pump as pumps
from tusd_py.web.burst import FEW, Burst, BurstBlock
from tusd_py.web.pump import MOST, Pump
from tusd_py.web.wire import Wire

DATA = bytes(range(256)) * 1200  # 300 KiB


@dataclass(kw_only=True)
class Line:
    """A client's end of a connection, and a burst at the other."""

    client: socket.socket
    server: socket.socket
    pump: Pump
    burst: Burst
    ends: list[int] = field(default_factory=list)

    async def send(self, data: bytes) -> None:
        """The client sends."""
        await asyncio.get_running_loop().sock_sendall(self.client, data)

    async def moved_into(self, fd: int, position: int = 0, hashers: tuple[Hasher, ...] = ()) -> int:
        """Move what comes until the body is over, or broken."""
        size = 0
        async with asyncio.timeout(10):
            while self.burst.rest and not self.burst.is_broken:
                if self.burst.is_dry:
                    await self.burst.ready()
                block = BurstBlock(self.burst, hashers)
                size += await asyncio.to_thread(block.into, fd, position + size)
        return size


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    """A burst of the size of `DATA`."""
    with line_of(len(DATA)) as made:
        yield made


@contextmanager
def line_of(rest: int) -> Iterator[Line]:
    """A burst of `rest` bytes, none of which has come."""
    client, server = socket.socketpair()
    client.setblocking(False)
    server.setblocking(False)
    pump = Pump()
    ends: list[int] = []
    burst = Burst(Wire(server.fileno()), rest, pump, lambda: ends.append(burst.rest))
    try:
        yield Line(client=client, server=server, pump=pump, burst=burst, ends=ends)
    finally:
        burst.end()
        pump.close()
        client.close()
        server.close()


def descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("is_seen", [False, True])
async def test_bytes_go_into_the_file(line: Line, tmp_path: Path, is_seen: bool) -> None:
    """All bytes reach their place, and only they; a digest sees them all, in order."""
    digest = hashlib.sha256()
    sending = asyncio.create_task(line.send(DATA))
    with (tmp_path / "a").open("w+b") as file:
        size = await line.moved_into(file.fileno(), 5, (digest,) if is_seen else ())
        await line.burst.seen()
    await sending

    assert size == len(DATA)
    assert (tmp_path / "a").read_bytes() == bytes(5) + DATA
    assert (digest.digest() == hashlib.sha256(DATA).digest()) == is_seen


@pytest.mark.parametrize("is_seen", [False, True])
async def test_what_comes_behind_stays_in_the_socket(tmp_path: Path, is_seen: bool) -> None:
    """Bytes behind the body are those of the next request."""
    with line_of(5) as line, (tmp_path / "a").open("w+b") as file:
        await line.send(b"helloGET / HTTP/1.1")
        await line.moved_into(file.fileno(), 0, (hashlib.sha256(),) if is_seen else ())

        assert line.server.recv(100) == b"GET / HTTP/1.1"
    assert (tmp_path / "a").read_bytes() == b"hello"


async def test_taken_bytes_stop_at_the_end_of_the_body() -> None:
    """So they do when they are taken into memory."""
    with line_of(5) as line:
        await line.send(b"hello again")
        await line.burst.ready()
        data = BurstBlock(line.burst, ()).take()

        assert data == b"hello"
        assert line.server.recv(100) == b" again"


async def test_files_that_take_no_splice_get_the_bytes(line: Line, tmp_path: Path) -> None:
    """A file opened to append refuses splice(2) after bytes are in the pipe: none is lost."""
    sending = asyncio.create_task(line.send(DATA))
    fd = os.open(tmp_path / "a", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        size = await line.moved_into(fd)
    finally:
        os.close(fd)
    await sending

    assert size == len(DATA)
    assert (tmp_path / "a").read_bytes() == DATA


async def test_a_system_without_splice_is_no_hindrance(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where splice(2) is not allowed bytes go through memory."""

    def refused(*_arguments: object, **_named: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "splice", refused)
    sending = asyncio.create_task(line.send(DATA))
    with (tmp_path / "a").open("w+b") as file:
        size = await line.moved_into(file.fileno())
    await sending

    assert size == len(DATA)
    assert (tmp_path / "a").read_bytes() == DATA


async def test_a_failed_write_leaves_nothing_for_others(tmp_path: Path) -> None:
    """Bytes that could not be written do not turn up in the next file."""
    (tmp_path / "a").touch()
    with line_of(100) as line:
        await line.send(b"of somebody else")
        await line.burst.ready()
        with (tmp_path / "a").open("rb") as file, pytest.raises(OSError, match="Bad file"):
            line.burst.into(file.fileno(), 0, MOST, ())
        await line.send(b"mine")
        await line.burst.ready()
        with (tmp_path / "b").open("w+b") as file:
            line.burst.into(file.fileno(), 0, MOST, ())

    assert (tmp_path / "b").read_bytes() == b"mine"


async def test_one_call_moves_a_bounded_number_of_bytes(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However fast the client is, others have their turn."""
    for module in (bursts, pumps):
        monkeypatch.setattr(module, "MOST", 1000)
    with suppress(BlockingIOError):
        line.client.send(DATA)
    await line.burst.ready()
    with (tmp_path / "a").open("w+b") as file:
        block = BurstBlock(line.burst, ())

        assert block.most == 1000
        assert block.into(file.fileno(), 0) == 1000
        assert not line.burst.is_dry


async def test_a_block_goes_into_the_file_in_steps(line: Line, tmp_path: Path) -> None:
    """No more at once than is asked for; when none is left who computes a digest has seen all."""
    digest = hashlib.sha256()
    sent = DATA[:100_000]
    await line.send(sent)
    await line.burst.ready()
    sizes: list[int] = []
    with (tmp_path / "a").open("w+b") as file:
        block = BurstBlock(line.burst, (digest,))
        while size := await asyncio.to_thread(block.into, file.fileno(), sum(sizes), 70_000):
            sizes.append(size)

    assert max(sizes) <= 70_000
    assert (tmp_path / "a").read_bytes() == sent
    assert digest.digest() == hashlib.sha256(sent).digest()
    assert line.burst.is_dry


async def test_nothing_is_moved_when_nothing_is_asked_for(line: Line, tmp_path: Path) -> None:
    """It only waits until who computes a digest has seen what was moved."""
    digest = hashlib.sha256()
    await line.send(DATA[:200_000])
    await line.burst.ready()
    with (tmp_path / "a").open("w+b") as file:
        block = BurstBlock(line.burst, (digest,))
        size = await asyncio.to_thread(block.into, file.fileno(), 0, 100_000)
        nothing = await asyncio.to_thread(block.into, file.fileno(), size, 0)

    assert (size > 0, nothing) == (True, 0)
    assert digest.digest() == hashlib.sha256(DATA[:size]).digest()
    assert line.burst.rest == len(DATA) - size


async def test_steps_end_when_they_take_long(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow medium keeps nobody waiting; the first step is always made."""
    await line.send(DATA[:50_000])
    await line.burst.ready()
    monkeypatch.setattr(bursts, "LONG", 0.0)
    with (tmp_path / "a").open("w+b") as file:
        block = BurstBlock(line.burst, ())
        sizes = [block.into(file.fileno(), 0, 1000), block.into(file.fileno(), 1000, 1000)]

    assert sizes == [1000, 0]
    assert not line.burst.is_dry


async def test_the_break_comes_after_what_came(line: Line, tmp_path: Path) -> None:
    """All that lies in the system's buffers counts, also when the client is gone."""
    await line.send(DATA[:10_000])
    line.client.close()
    with (tmp_path / "a").open("w+b") as file:
        size = await line.moved_into(file.fileno())

    assert size == 10_000
    assert line.burst.is_broken


async def test_the_end_wakes_who_waits(line: Line) -> None:
    """Whoever waits for bytes hears that there will be none."""
    waiting = asyncio.create_task(line.burst.ready())
    await asyncio.sleep(0)
    line.burst.end()
    async with asyncio.timeout(5):
        await waiting

    assert line.burst.is_broken
    assert line.ends == [len(DATA)]


async def test_after_the_end_nothing_is_taken(line: Line, tmp_path: Path) -> None:
    """The socket belongs to others then."""
    await line.send(b"hello")
    line.burst.end()
    line.burst.end()
    with (tmp_path / "a").open("w+b") as file:
        moved = line.burst.into(file.fileno(), 0, MOST, ())

    assert (moved, line.burst.take(MOST)) == (0, b"")
    assert line.server.recv(100) == b"hello"
    assert line.ends == [len(DATA)]


class Held:
    """A digest that takes until it is let go."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.may_go_on = threading.Event()

    def update(self, _data: bytes | memoryview, /) -> None:
        """See `Hasher.update`."""
        self.has_begun.set()
        self.may_go_on.wait(10)


async def test_a_socket_in_use_is_not_closed(line: Line, tmp_path: Path) -> None:
    """The descriptor lasts as long as a thread uses it: its number may be another's at once."""
    held = Held()
    await line.send(b"hello")
    await line.burst.ready()
    with (tmp_path / "a").open("w+b") as file:
        line.burst.into(file.fileno(), 0, MOST, ())  # makes a pipe, which is kept
        await line.send(b"again")
        await line.burst.ready()
        before = descriptors()
        moving = asyncio.create_task(
            asyncio.to_thread(line.burst.into, file.fileno(), 0, MOST, (held,))
        )
        await asyncio.to_thread(held.has_begun.wait, 10)
        line.burst.end()
        during = descriptors()
        held.may_go_on.set()
        moved = await moving

    assert moved == 5
    assert during == before
    assert descriptors() == before - 2


async def test_only_the_loop_watches_no_more(line: Line, tmp_path: Path) -> None:
    """Also when a thread is done with the socket just then: it closes it after that."""
    held = Held()
    wire = line.burst._wire
    await line.send(b"hello")
    await line.burst.ready()
    seen: list[int] = []

    def unwatch(fd: int) -> None:
        held.may_go_on.set()
        until = time.monotonic() + 0.05
        while time.monotonic() < until:
            pass
        with suppress(OSError):  # it is closed
            fcntl.fcntl(fd, fcntl.F_GETFD)
            seen.append(threading.get_ident())

    with (tmp_path / "a").open("w+b") as file:
        into = functools.partial(line.burst.into, file.fileno(), 0, MOST, (held,))
        moving = asyncio.create_task(asyncio.to_thread(into))
        await asyncio.to_thread(held.has_begun.wait, 10)
        wire.wake()
        wire._unwatch = unwatch
        line.burst.end()
        await moving

    assert seen == [threading.get_ident()]


async def test_nothing_is_left_open(tmp_path: Path) -> None:
    """Neither bursts that ended nor the pump keep descriptors."""
    await asyncio.to_thread(int)
    before = descriptors()
    for number in range(5):
        with line_of(len(DATA)) as line, (tmp_path / "a").open("w+b") as file:
            sending = asyncio.create_task(line.send(DATA[: 1000 * number]))
            await sending
            line.client.close()
            await line.moved_into(file.fileno())

    assert descriptors() == before


async def test_without_a_pipe_bytes_come_through_memory(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has too many files open goes on with what it has."""

    def refused(_flags: int) -> tuple[int, int]:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe2", refused)
    await line.send(b"hello")
    await line.burst.ready()
    with (tmp_path / "a").open("w+b") as file:
        moved = line.burst.into(file.fileno(), 0, MOST, ())

    assert moved == 5
    assert (tmp_path / "a").read_bytes() == b"hello"


class Ticks:
    """A clock that goes on by some seconds each time it is looked at."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._now = 0.0

    def monotonic(self) -> float:
        """See `time.monotonic`."""
        self._now += self.seconds
        return self._now


@pytest.mark.parametrize("can_splice", [True, False])
async def test_a_slow_medium_ends_the_call(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_splice: bool
) -> None:
    """Nobody waits for megabytes: each call takes fewer bytes at once, and more when it is fast."""
    ticks = Ticks(0.03)
    monkeypatch.setattr(pumps, "time", ticks)
    monkeypatch.setattr(pumps, "LEAST", 1000)
    line.pump._can_splice = can_splice
    sending = asyncio.create_task(line.send(DATA))
    await line.burst.ready()
    line.burst.step = 4000
    sizes: list[int] = []
    with (tmp_path / "a").open("w+b") as file:
        for _ in range(4):
            sizes.append(line.burst.into(file.fileno(), sum(sizes), MOST, ()))
        least = line.burst.step
        ticks.seconds = 0.0
        await line.moved_into(file.fileno(), sum(sizes))
    await sending

    assert sizes == [4000, 2000, 1000, 1000]
    assert least == 1000
    assert line.burst.step > least
    assert (tmp_path / "a").read_bytes() == DATA


async def test_a_block_gives_a_bounded_number_of_bytes_to_memory(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever keeps what is taken in memory needs little of it; the others come with the next."""
    monkeypatch.setattr(bursts, "PIECE", 1000)
    monkeypatch.setattr(bursts, "AT_ONCE", 3000)
    monkeypatch.setattr(bursts, "LONG", 60.0)
    with suppress(BlockingIOError):
        line.client.send(DATA)
    await line.burst.ready()
    block = BurstBlock(line.burst, ())
    sizes = [len(block.take()) for _ in range(4)]

    assert sizes == [1000, 1000, 1000, 0]
    assert BurstBlock(line.burst, ()).take() == DATA[3000:4000]


async def test_few_bytes_are_a_small_block(line: Line) -> None:
    """Whoever takes them knows that it is not much, and may keep it in memory."""
    await line.send(b"a drop")
    await line.burst.ready()
    block = BurstBlock(line.burst, ())

    assert block.most == FEW
    assert (block.take(), block.take()) == (b"a drop", b"")
    assert line.burst.is_dry


async def test_many_bytes_are_a_large_block(line: Line) -> None:
    """Threads are for them."""
    await line.send(DATA[: FEW + 1])
    await line.burst.ready()

    assert BurstBlock(line.burst, ()).most == len(DATA)


async def test_the_end_of_a_connection_is_seen_when_nothing_is_taken(line: Line) -> None:
    """No thread is needed for that; it is not the end of the body."""
    line.client.close()
    await line.burst.ready()
    block = BurstBlock(line.burst, ())

    assert block.most == FEW
    assert block.take() == b""
    assert line.burst.is_broken


@pytest.mark.parametrize("is_in_memory", [True, False])
async def test_a_small_block_stays_small(line: Line, tmp_path: Path, is_in_memory: bool) -> None:
    """What comes after it was made is left for the next one."""
    await line.send(b"a drop")
    await line.burst.ready()
    block = BurstBlock(line.burst, ())
    await line.send(DATA[:FEW])
    with (tmp_path / "a").open("w+b") as file:
        size = len(block.take()) if is_in_memory else block.into(file.fileno(), 0)
    rest = BurstBlock(line.burst, ()).take()

    assert (size, len(rest)) == (FEW, len(b"a drop"))
    assert not block.take()
