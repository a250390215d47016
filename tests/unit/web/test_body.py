"""RequestBody: what it takes from aiohttp, and when it asks for more."""

import asyncio
import inspect
import os
import threading
from pathlib import Path

import pytest
from aiohttp import StreamReader

from tests.handed_over import HandedOver, handed_over, head
from tusd_py.errors import (
    BodyInterrupted,
    BodyMalformed,
    BodyStalled,
    BodyStopped,
    BodyTooSlow,
)
from tusd_py.server import READ_BUFFER
from tusd_py.web.body import RequestBody

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


async def came_back(arrival: HandedOver) -> bytes:
    """What the client has received so far."""
    try:
        async with asyncio.timeout(0.1):
            return await arrival.reader.read(1000)
    except TimeoutError:
        return b""


def test_aiohttp_still_has_what_salvage_needs() -> None:
    """`StreamReader._read_nowait(-1)` is private: when it goes, `RequestBody` must change."""
    parameters = list(inspect.signature(StreamReader._read_nowait).parameters)

    assert parameters == ["self", "n"]


async def test_salvage_works_behind_an_exception() -> None:
    """aiohttp still gives its buffer away after `set_exception`, where the public API raises."""
    async with handed_over(head("Content-Length: 10")) as arrival:
        await arrival.send(b"hello")
        await arrival.arrived(5)
        content = arrival.request.content
        content.set_exception(ConnectionResetError())

        with pytest.raises(ConnectionResetError):
            content.read_nowait()
        assert content._read_nowait(-1) == b"hello"


async def test_buffered_bytes_are_saved() -> None:
    """What reached us before the connection broke is returned, however much was unread."""
    data = bytes(range(256)) * (READ_BUFFER // 256)
    async with handed_over(head(f"Content-Length: {len(data) * 4}")) as arrival:
        body = RequestBody(arrival.request, idle=5.0)
        await arrival.send(data)
        await arrival.arrived(len(data))
        await arrival.hang_up()
        received = await body.read()

        assert received == data
        with pytest.raises(BodyInterrupted):
            await body.read()


async def test_a_body_that_was_whole_is_whole() -> None:
    """A client that leaves after its last byte has sent everything."""
    async with handed_over(head("Content-Length: 5")) as arrival:
        body = RequestBody(arrival.request, idle=5.0)
        await arrival.send(b"hello")
        await arrival.arrived(5)
        await arrival.hang_up()

        assert [await body.read(), await body.read()] == [b"hello", b""]


async def test_a_broken_chunk_is_the_end() -> None:
    """Chunked coding that breaks ends the body at once; what came before it counts."""
    async with handed_over(head("Transfer-Encoding: chunked")) as arrival:
        body = RequestBody(arrival.request, idle=5.0)
        await arrival.send(b"5\r\nhello\r\n")
        first = await body.read()
        await arrival.send(b"nonsense\r\n")

        assert first == b"hello"
        with pytest.raises(BodyMalformed):
            await body.read()


# --- 100-continue


async def test_the_body_is_asked_for_at_the_first_read() -> None:
    """100 Continue is sent when the first read comes, not before."""
    async with handed_over(head("Content-Length: 5", "Expect: 100-continue")) as arrival:
        body = RequestBody(arrival.request, idle=5.0)
        before = await came_back(arrival)
        reading = asyncio.create_task(body.read())
        asked = await arrival.reader.readexactly(len(CONTINUE))
        await arrival.send(b"hello")

        assert (before, asked) == (b"", CONTINUE)
        assert await reading == b"hello"


async def test_the_body_is_asked_for_once() -> None:
    """Further reads ask no more."""
    async with handed_over(head("Content-Length: 10", "Expect: 100-Continue")) as arrival:
        body = RequestBody(arrival.request, idle=5.0)
        await arrival.send(b"hello")
        await body.read()
        await body.read(0.01)

        assert await came_back(arrival) == CONTINUE


async def test_a_client_that_does_not_wait_is_not_asked() -> None:
    """Without `Expect` there is no interim answer."""
    async with handed_over(head("Content-Length: 10")) as arrival:
        await RequestBody(arrival.request, idle=5.0).read(0.01)

        assert await came_back(arrival) == b""


async def test_an_old_client_is_not_asked() -> None:
    """HTTP/1.0 has no interim answers (RFC 9110, 15.2)."""
    request = head("Content-Length: 10", "Expect: 100-continue", version="1.0")
    async with handed_over(request) as arrival:
        await RequestBody(arrival.request, idle=5.0).read(0.01)

        assert await came_back(arrival) == b""


# --- size


@pytest.mark.parametrize(
    ("line", "size"),
    [("Content-Length: 5", 5), ("Content-Length: 0", 0), ("Transfer-Encoding: chunked", None)],
)
async def test_size(line: str, size: int | None) -> None:
    """The size is what Content-Length says; a chunked body does not say."""
    async with handed_over(head(line)) as arrival:
        assert RequestBody(arrival.request, idle=5.0).size == size


async def test_a_request_without_a_body_has_size_0() -> None:
    """Neither Content-Length nor chunks: no body."""
    async with handed_over(head()) as arrival:
        body = RequestBody(arrival.request, idle=5.0)

        assert body.size == 0
        assert await body.read() == b""


# --- silence


async def test_silence_has_an_end() -> None:
    """After BODY_TIMEOUT without a byte the body is `BodyStalled`."""
    async with handed_over(head("Content-Length: 10")) as arrival:
        body = RequestBody(arrival.request, idle=0.1)
        await arrival.send(b"hello")
        first = await body.read()

        assert first == b"hello"
        with pytest.raises(BodyStalled):
            await body.read()


async def test_silence_is_summed_over_pauses() -> None:
    """Pauses do not prolong the patience of the server."""
    async with handed_over(head("Content-Length: 10")) as arrival:
        body = RequestBody(arrival.request, idle=0.1)
        pauses = [await body.read(0.03) for _ in range(3)]

        assert pauses == [None, None, None]
        with pytest.raises(BodyStalled):
            await body.read(0.03)


async def test_every_byte_renews_the_patience() -> None:
    """It is silence that is measured, not the total time."""
    async with handed_over(head("Content-Length: 10")) as arrival:
        body = RequestBody(arrival.request, idle=0.2)
        received = []
        for _ in range(5):
            assert await body.read(0.1) is None
            await arrival.send(b"x")
            received.append(await body.read(0.1))

        assert received == [b"x"] * 5


async def test_an_unread_body_is_not_silent() -> None:
    """Time that the server needs for itself does not count against the client."""
    async with handed_over(head("Content-Length: 5")) as arrival:
        body = RequestBody(arrival.request, idle=0.05)
        await asyncio.sleep(0.1)
        await arrival.send(b"hello")
        await arrival.arrived(5)

        assert await body.read() == b"hello"


async def test_what_a_client_had_sent_counts_though_somebody_waits() -> None:
    """It has gone, and another request wants the upload before all of it was read: there is
    nothing to wait for."""
    async with handed_over(head("Content-Length: 10")) as arrival:
        body = RequestBody(arrival.request, idle=10.0)
        await arrival.send(b"hello")
        await arrival.arrived(5)
        await arrival.hang_up()
        body.stop()
        data = await body.read()
        with pytest.raises(BodyInterrupted):
            await body.read()

    assert data == b"hello"


async def test_stop_before_silence_ends() -> None:
    """A stopped body is stopped, not stalled."""
    async with handed_over(head("Content-Length: 5")) as arrival:
        body = RequestBody(arrival.request, idle=0.05)
        reading = asyncio.create_task(body.read())
        await asyncio.sleep(0)
        body.stop()

        with pytest.raises(BodyStopped):
            await reading


# --- rate


@pytest.fixture
def short_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate is measured over the longest silence."""
    monkeypatch.setattr("tusd_py.web.body.RATE_WINDOW", 0.1)


async def dribbled(arrival: HandedOver, body: RequestBody, piece: bytes, count: int) -> bytes:
    """What a body gives when its bytes come in pieces, each of them late."""
    received = b""
    for _ in range(count):
        assert await body.read(0.05) is None
        await arrival.send(piece)
        received += await body.read() or b""
    return received


@pytest.mark.usefixtures("short_window")
async def test_a_body_that_dribbles_has_an_end() -> None:
    """Who never falls silent, but sends too few bytes, is `BodyTooSlow`; what came was given."""
    async with handed_over(head("Content-Length: 100")) as arrival:
        body = RequestBody(arrival.request, idle=0.4, rate=100)
        received = b""
        with pytest.raises(BodyTooSlow):
            while True:
                received += await dribbled(arrival, body, b"x", 1)

        assert 2 <= len(received) <= 20
        assert set(received) == set(b"x")


@pytest.mark.usefixtures("short_window")
async def test_a_body_that_is_fast_enough_goes_on() -> None:
    """Bytes give patience back, so a body may take any time in all."""
    async with handed_over(head("Content-Length: 100000")) as arrival:
        body = RequestBody(arrival.request, idle=0.3, rate=1000)
        received = await dribbled(arrival, body, bytes(10_000), 10)

        assert len(received) == 100_000


@pytest.mark.usefixtures("short_window")
async def test_without_a_rate_only_silence_counts() -> None:
    """MIN_TRANSFER_RATE=0 switches the limit off."""
    async with handed_over(head("Content-Length: 10")) as arrival:
        body = RequestBody(arrival.request, idle=0.3, rate=0)
        received = await dribbled(arrival, body, b"x", 10)

        assert received == b"x" * 10


@pytest.mark.usefixtures("short_window")
async def test_only_waiting_for_the_client_counts() -> None:
    """Neither the time before the body is asked for nor slow storage makes a client slow."""
    async with handed_over(head("Content-Length: 4", "Expect: 100-continue")) as arrival:
        body = RequestBody(arrival.request, idle=0.3, rate=100)
        received = b""
        for _ in range(4):
            await asyncio.sleep(0.2)
            await arrival.send(b"x")
            await arrival.arrived(len(received) + 1)
            received += await body.read() or b""

        assert received == b"xxxx"
        assert await body.read() == b""


async def test_the_longest_silence_is_in_the_window() -> None:
    """A client that was fast may be silent for BODY_TIMEOUT, however few bytes that makes."""
    async with handed_over(head("Content-Length: 10")) as arrival:
        body = RequestBody(arrival.request, idle=0.2, rate=1 << 30)
        await arrival.send(b"hello")
        first = await body.read()

        assert first == b"hello"
        with pytest.raises(BodyStalled) as stalled:
            await body.read()
    assert stalled.value.limit == "body_timeout"


async def test_a_compressed_body_stays_compressed() -> None:
    """Content-Encoding is stored as sent: offsets count transferred bytes."""
    async with handed_over(head("Content-Length: 5", "Content-Encoding: gzip")) as arrival:
        body = RequestBody(arrival.request, idle=5.0)
        await arrival.send(b"hello")

        assert await body.read() == b"hello"


class SlowHasher:
    """See `Hasher`: takes its time, until it is told to go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.size = 0

    def update(self, data: bytes | memoryview, /) -> None:
        """See `Hasher.update`."""
        assert self.go_on.wait(10)
        self.size += len(data)


@pytest.mark.parametrize("is_stopped", [True, False], ids=["stopped", "broken"])
async def test_digests_are_whole_when_a_body_breaks(tmp_path: Path, *, is_stopped: bool) -> None:
    """Who computes digests, in threads, has seen all that was taken when the error is raised."""
    hasher, size = SlowHasher(), 0
    fd = os.open(tmp_path / "data", os.O_RDWR | os.O_CREAT)
    async with handed_over(head("Content-Length: 300000"), is_direct=True) as arrival:
        body = RequestBody(arrival.request, idle=5.0)
        await arrival.send(b"x" * 200_000)
        asyncio.get_running_loop().call_later(0.2, hasher.go_on.set)
        while size < 200_000:
            block = await body.arrive(hashers=(hasher,))
            assert block is not None
            size += await asyncio.to_thread(block.into, fd, size)
        if is_stopped:
            body.stop()
        else:
            await arrival.hang_up()
        with pytest.raises(BodyStopped if is_stopped else BodyInterrupted):
            while block := await body.arrive(hashers=(hasher,)):
                assert not await asyncio.to_thread(block.into, fd, size)
    os.close(fd)

    assert hasher.size == size == 200_000
