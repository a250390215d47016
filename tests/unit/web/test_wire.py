"""Wires: who waits for a socket is told, and nobody else for long."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from tusd_py.web.wire import Wire


@pytest.fixture
async def line() -> AsyncIterator[tuple[socket.socket, socket.socket, Wire]]:
    """A client's end, a server's end, and the wire of that."""
    client, server = socket.socketpair()
    client.setblocking(False)
    server.setblocking(False)
    wire = Wire(server.fileno())
    try:
        yield client, server, wire
    finally:
        wire.close()
        client.close()
        server.close()


Line = tuple[socket.socket, socket.socket, Wire]


async def soon(wire: Wire) -> None:
    """What is readable in a moment."""
    async with asyncio.timeout(10):
        await wire.readable()


async def test_bytes_are_told_and_counted(line: Line) -> None:
    """Before they come there are none."""
    client, _, wire = line
    before = wire.waiting()
    client.send(b"hello")
    await soon(wire)

    assert (before, wire.waiting()) == (0, 5)


async def test_each_wait_is_told(line: Line) -> None:
    """However often, and also what comes while nobody waits; once in vain, at most."""
    client, server, wire = line
    for number in range(20):
        client.send(b"hello")
        if number % 2:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await soon(wire)
        server.recv(100)

    in_vain = 0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            while True:
                await wire.readable()
                in_vain += 1
    assert in_vain <= 1


async def test_the_end_is_told(line: Line) -> None:
    """The socket is readable then, though there is nothing to read."""
    client, _, wire = line
    client.close()
    await soon(wire)

    assert wire.waiting() == 0


async def test_who_is_not_waited_for_is_not_told_again(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop does not turn for bytes that nobody takes."""
    client, server, wire = line
    told: list[None] = []
    tell = wire._told

    def counted() -> None:
        told.append(None)
        tell()

    monkeypatch.setattr(wire, "_told", counted)
    client.send(b"hello")
    await soon(wire)
    await asyncio.sleep(0.05)
    left_alone = len(told)
    server.recv(100)
    client.send(b"again")
    await soon(wire)

    assert left_alone <= 3
    assert len(told) > left_alone


async def test_who_waits_can_be_woken(line: Line) -> None:
    """Nothing came; the next wait is as the first."""
    client, _, wire = line
    waiting = asyncio.create_task(soon(wire))
    await asyncio.sleep(0)
    wire.wake()
    await waiting
    empty = wire.waiting()
    client.send(b"hello")
    await soon(wire)

    assert empty == 0


async def test_a_closed_wire_is_not_watched(line: Line) -> None:
    """Its number may be that of another socket soon, which the loop can watch then."""
    client, server, _ = line
    wire = Wire(server.fileno())
    client.send(b"hello")
    await soon(wire)
    wire.close()
    loop = asyncio.get_running_loop()

    assert not loop.remove_reader(wire.fd)
