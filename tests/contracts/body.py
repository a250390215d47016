"""What `Body` promises, as functions."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import pytest

from tusd_py.errors import BodyInterrupted, BodyStopped
from tusd_py.interfaces import Block, Body, Hasher

Whole = Callable[[bytes], AbstractAsyncContextManager[Body]]
"""Makes a body of which all bytes are on their way."""


@dataclass(frozen=True, kw_only=True)
class ArrivingBody:
    """A body, and the client that sends it; `finish` returns what it still had to send."""

    body: Body
    send: Callable[[bytes], Awaitable[None]]
    finish: Callable[[], Awaitable[bytes]]
    break_off: Callable[[], Awaitable[None]]


WholePromise = Callable[[Whole], Awaitable[None]]
ArrivingPromise = Callable[[ArrivingBody], Awaitable[None]]
WHOLE_PROMISES: list[WholePromise] = []
ARRIVING_PROMISES: list[ArrivingPromise] = []


def whole_promise(function: WholePromise) -> WholePromise:
    """Make a function part of the contract of every body."""
    WHOLE_PROMISES.append(function)
    return function


def arriving_promise(function: ArrivingPromise) -> ArrivingPromise:
    """Make a function part of the contract of bodies that are read while they arrive."""
    ARRIVING_PROMISES.append(function)
    return function


async def read_to_end(body: Body) -> bytes:
    """All bytes."""
    blocks = []
    async with asyncio.timeout(5):
        while block := await body.read():
            blocks.append(block)
    assert block == b""
    return b"".join(blocks)


async def read_size(body: Body, size: int) -> bytes:
    """The next bytes, as many as are known to come."""
    data = b""
    async with asyncio.timeout(5):
        while len(data) < size:
            data += await body.read() or b""
    return data


async def blocks(body: Body, hashers: Sequence[Hasher] = ()) -> AsyncIterator[Block]:
    """All blocks, but for the end."""
    async with asyncio.timeout(5):
        while (block := await body.arrive(hashers=hashers)) is not None and block.most:
            yield block


async def taken(body: Body, pause: float | None = None) -> bytes | None:
    """The bytes of the next block that has some; None after a pause."""
    async with asyncio.timeout(10):
        while (block := await body.arrive(pause)) is not None:
            if data := block.take():
                return data
    return None


@whole_promise
async def all_bytes_come_in_order(whole: Whole) -> None:
    """`read` gives all bytes as they were sent, and no empty block before the end."""
    data = bytes(range(256)) * 2000
    async with whole(data) as body:
        received = await read_to_end(body)

    assert received == data


@whole_promise
async def an_empty_body_ends_at_once(whole: Whole) -> None:
    r"""`b""` at the end, also when it comes first."""
    async with whole(b"") as body:
        received = await body.read()

    assert received == b""


@whole_promise
async def the_end_stays_the_end(whole: Whole) -> None:
    r"""After the end every `read` is `b""`."""
    async with whole(b"hello") as body:
        await read_to_end(body)

        assert await body.read() == b""
        assert await body.read(0.01) == b""


@whole_promise
async def the_size_is_right_or_not_known(whole: Whole) -> None:
    """`size` is all bytes, or None; reading does not change it."""
    async with whole(b"hello") as body:
        before = body.size
        await read_to_end(body)

        assert before in {5, None}
        assert body.size == before


@whole_promise
async def a_stopped_body_is_not_read(whole: Whole) -> None:
    """`stop` lets a later `read` raise `BodyStopped`, every time."""
    async with whole(b"hello") as body:
        body.stop()
        body.stop()

        for _ in range(2):
            with pytest.raises(BodyStopped):
                await body.read()


@whole_promise
async def a_body_can_be_stopped_in_the_middle(whole: Whole) -> None:
    """`stop` ends a body of which something was read already."""
    async with whole(bytes(3_000_000)) as body:
        first = await body.read()
        body.stop()

        assert first
        with pytest.raises(BodyStopped):
            await body.read()


@whole_promise
async def all_blocks_come_in_order(whole: Whole) -> None:
    """`arrive` gives all bytes as they were sent, and what is at the end has none."""
    data = bytes(range(256)) * 2000
    received = b""
    async with whole(data) as body:
        async for block in blocks(body):
            most = block.most
            piece = block.take()
            received += piece

            assert most > 0
            assert len(piece) <= most
        end = await body.arrive()

    assert received == data
    assert end is not None
    assert (end.most, end.take()) == (0, b"")


@whole_promise
async def blocks_go_into_a_file(whole: Whole) -> None:
    """Each to its place; those who compute digests see all of it, in order."""
    data = bytes(range(256)) * 2000
    hashers = (hashlib.sha256(), hashlib.md5(usedforsecurity=False))
    size = 0
    with tempfile.TemporaryFile() as file:
        file.write(b"before")
        async with whole(data) as body:
            async for block in blocks(body, hashers):
                size += await asyncio.to_thread(block.into, file.fileno(), 6 + size)
        file.seek(0)
        written = file.read()

    assert size == len(data)
    assert written == b"before" + data
    assert [each.digest() for each in hashers] == [
        hashlib.sha256(data).digest(),
        hashlib.md5(data, usedforsecurity=False).digest(),
    ]


@whole_promise
async def a_block_that_cannot_be_written_says_so(whole: Whole) -> None:
    """`into` raises what writing raises."""
    async with whole(b"hello") as body:
        block = await body.arrive()

        assert block is not None
        with tempfile.TemporaryDirectory() as folder:
            fd = os.open(folder, os.O_RDONLY)  # nobody writes into a folder
            try:
                with pytest.raises(OSError, match="Bad file"):
                    await asyncio.to_thread(block.into, fd, 0)
            finally:
                os.close(fd)


@arriving_promise
async def a_pause_between_blocks_is_told(arriving: ArrivingBody) -> None:
    """`arrive` returns None when no bytes came for `pause` seconds; then it goes on."""
    await arriving.send(b"one")
    received = [await taken(arriving.body), await taken(arriving.body, 0.05)]
    await arriving.send(b"two")
    received.append(await taken(arriving.body, 5.0))
    rest = await arriving.finish()

    assert received == [b"one", None, b"two"]
    assert b"".join([block.take() async for block in blocks(arriving.body)]) == rest


@arriving_promise
async def blocks_that_came_before_the_break_are_given(arriving: ArrivingBody) -> None:
    """`BodyInterrupted` comes after all bytes that reached the server, and stays."""
    data = bytes(range(250)) * 100
    await arriving.send(data)
    received = await taken(arriving.body) or b""
    await arriving.break_off()
    async with asyncio.timeout(5):
        while len(received) < len(data):
            received += await taken(arriving.body) or b""

    assert received == data
    for _ in range(2):
        with pytest.raises(BodyInterrupted):
            await taken(arriving.body)


@arriving_promise
async def stop_wakes_who_waits_for_a_block(arriving: ArrivingBody) -> None:
    """`stop` lets a waiting `arrive` raise `BodyStopped`, and every later one."""
    await arriving.send(b"one")
    first = await taken(arriving.body)
    waiting = asyncio.create_task(taken(arriving.body, 60.0))
    await asyncio.sleep(0)
    arriving.body.stop()

    assert first == b"one"
    for arriving_again in (waiting, taken(arriving.body)):
        with pytest.raises(BodyStopped):
            async with asyncio.timeout(5):
                await arriving_again


@arriving_promise
async def a_pause_is_told(arriving: ArrivingBody) -> None:
    """`read` returns None when no bytes came for `pause` seconds; then it goes on."""
    await arriving.send(b"one")
    received = [await arriving.body.read(), await arriving.body.read(0.05)]
    await arriving.send(b"two")
    received.append(await arriving.body.read(5.0))
    rest = await arriving.finish()

    assert received == [b"one", None, b"two"]
    assert await read_to_end(arriving.body) == rest


@arriving_promise
async def a_reader_is_woken_by_bytes(arriving: ArrivingBody) -> None:
    """A waiting `read` returns as soon as bytes come."""
    reading = asyncio.create_task(read_to_end(arriving.body))
    for block in (b"a", b"b", b"c"):
        await arriving.send(block)
        await asyncio.sleep(0)
    rest = await arriving.finish()

    assert await reading == b"abc" + rest


@arriving_promise
async def what_came_before_the_break_is_returned(arriving: ArrivingBody) -> None:
    """`BodyInterrupted` comes after all bytes that reached the server, and stays."""
    data = bytes(range(250)) * 100
    await arriving.send(data)
    first = await arriving.body.read()
    await arriving.break_off()
    rest = await read_size(arriving.body, len(data) - len(first or b""))

    assert (first or b"") + rest == data
    for _ in range(2):
        with pytest.raises(BodyInterrupted):
            await arriving.body.read()


@arriving_promise
async def a_break_wakes_the_reader(arriving: ArrivingBody) -> None:
    """A waiting `read` raises `BodyInterrupted` when the client goes away."""
    reading = asyncio.create_task(arriving.body.read())
    await asyncio.sleep(0)
    await arriving.break_off()

    with pytest.raises(BodyInterrupted):
        await reading


@arriving_promise
async def stop_wakes_the_reader(arriving: ArrivingBody) -> None:
    """`stop` lets a waiting `read` raise `BodyStopped`."""
    await arriving.send(b"one")
    first = await arriving.body.read()
    reading = asyncio.create_task(arriving.body.read())
    await asyncio.sleep(0)
    arriving.body.stop()

    with pytest.raises(BodyStopped):
        async with asyncio.timeout(5):
            await reading
    assert first == b"one"


@arriving_promise
async def stop_never_raises(arriving: ArrivingBody) -> None:
    """A newcomer and the shutdown may both stop a body, one right after the other."""
    reading = asyncio.create_task(arriving.body.read())
    for _ in range(4):
        await asyncio.sleep(0)
        arriving.body.stop()

    with pytest.raises(BodyStopped):
        await reading


@arriving_promise
async def a_reader_with_patience_can_be_stopped(arriving: ArrivingBody) -> None:
    """`stop` does not wait for the end of a pause."""
    reading = asyncio.create_task(arriving.body.read(60.0))
    await asyncio.sleep(0)
    arriving.body.stop()

    with pytest.raises(BodyStopped):
        async with asyncio.timeout(5):
            await reading
