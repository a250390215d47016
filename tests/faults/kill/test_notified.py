"""Servers die around a notification: it is told all the same, under its id, and by one only."""

import asyncio
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.conformance.rest.client import RestClient
from tests.conformance.tus.client import Tus, metadata
from tests.conftest import MakeServer
from tests.faults.kill.conftest import Mortal
from tests.faults.kill.dying_server import Moment
from tests.faults.kill.server import MortalServer
from tests.receiver import Receiver
from tusd_py.notify.file import NAME as OUTBOX

NAME = "a.txt"
CONTENT = b"ten bytes."


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The data folder of all servers of a test."""
    return tmp_path / "data"


async def refuse_to_end(_request: web.Request) -> web.Response:
    """No answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def test_death_between_outbox_and_delivery(
    http: aiohttp.ClientSession,
    mortal: Mortal,
    make_server: MakeServer,
    receiver: Receiver,
    root: Path,
) -> None:
    """A server that dies when the event is in its outbox, but before the record says that the
    upload is complete: the next one delivers it and finishes the upload, and tells it once."""
    dying = mortal(
        MortalServer(
            root=root,
            module="tests.faults.kill.dying_server",
            arguments=(Moment.AFTER_EVENT.value,),
            overrides={**receiver.settings, "SWEEP_INTERVAL": "1h"},
        )
    )
    await dying.start()
    tus = Tus(http=http, address=dying.address)
    url = await tus.create(len(CONTENT), metadata(filename=NAME))
    with pytest.raises(aiohttp.ClientError):
        await tus.patch(url, 0, CONTENT)
    await dying.death()
    before = len(receiver.told)
    kept = await asyncio.to_thread(rows_of, root)
    await asyncio.to_thread(let_go, root)
    server = await make_server(root, **receiver.settings, SWEEP_INTERVAL="0.1s")
    rest = RestClient(http=http, server=server)
    upload_id = url.rpartition("/")[2]
    [told] = await receiver.until(1)
    head = await rest.tus("HEAD", upload_id)

    assert (before, [upload for upload, _ in kept]) == (0, [upload_id])
    assert told.data["upload_id"] == upload_id
    assert head.headers["Upload-Offset"] == str(len(CONTENT))
    assert (await rest.tus("GET", upload_id)).body == CONTENT
    assert len(receiver.told) == 1


async def test_death_between_delivery_and_note(
    http: aiohttp.ClientSession,
    mortal: Mortal,
    make_server: MakeServer,
    receiver: Receiver,
    root: Path,
) -> None:
    """A server that dies when the main service has the event, but before it noted that, tells it
    again in its next life: the same bytes under the same id."""
    server = mortal(MortalServer(root=root, overrides=receiver.settings))

    async def kill(_request: web.Request) -> web.Response:
        server.strike()
        return web.Response()

    receiver.answers = [kill]
    await server.start()
    await upload(Tus(http=http, address=server.address))
    await server.death()
    await asyncio.to_thread(let_go, root)
    await make_server(root, **receiver.settings)
    first, second = await receiver.until(2)

    assert (first.id, first.body) == (second.id, second.body)
    assert first.headers["webhook-timestamp"] <= second.headers["webhook-timestamp"]


async def test_death_while_another_lives(
    http: aiohttp.ClientSession,
    mortal: Mortal,
    make_server: MakeServer,
    receiver: Receiver,
    root: Path,
) -> None:
    """What a server held when it was killed another one on the same folder delivers within a few
    seconds, and not before: as long as the first lived, it was its own."""
    receiver.answers = [refuse_to_end]
    await make_server(root, **receiver.settings)
    server = mortal(MortalServer(root=root, overrides=receiver.settings))
    await server.start()
    await upload(Tus(http=http, address=server.address))
    await receiver.until(1)
    await asyncio.sleep(0.2)
    while_alive = len(receiver.told)
    await server.kill()
    first, second = await receiver.until(2, seconds=15)

    assert while_alive == 1
    assert (first.id, first.body) == (second.id, second.body)


async def test_two_workers_tell_each_file_once(
    http: aiohttp.ClientSession, mortal: Mortal, receiver: Receiver, root: Path
) -> None:
    """Whichever worker completes an upload, and however slow the main service is: one delivery."""

    async def slow(_request: web.Request) -> web.Response:
        await asyncio.sleep(0.05)
        return web.Response()

    receiver.always = slow
    server = mortal(MortalServer(root=root, overrides={**receiver.settings, "WORKERS": "2"}))
    await server.start()
    tus = Tus(http=http, address=server.address)
    await asyncio.gather(*(tus.upload(CONTENT, metadata(filename=f"{n}.txt")) for n in range(40)))
    told = await receiver.until(40)
    ended = await stopped(server)

    assert ended == 0
    assert len({each.id for each in told}) == len(receiver.told) == 40


async def test_leaving_lets_a_delivery_arrive(
    http: aiohttp.ClientSession,
    mortal: Mortal,
    make_server: MakeServer,
    receiver: Receiver,
    root: Path,
) -> None:
    """What is on its way at SIGTERM may arrive, and is not told again by the next server; what
    does not arrive in time is let go, and told by the next server at once."""
    begun = asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        begun.set()
        await asyncio.sleep(0.3)
        return web.Response()

    receiver.answers = [slow, refuse_to_end]
    overrides = {**receiver.settings, "SHUTDOWN_TIMEOUT": "10s"}
    server = mortal(MortalServer(root=root, overrides=overrides))
    await server.start()
    tus = Tus(http=http, address=server.address)
    await tus.upload(CONTENT, metadata(filename="1.txt"))
    await begun.wait()
    await tus.upload(CONTENT, metadata(filename="2.txt"))
    await receiver.until(2)
    ended = await stopped(server)
    left = await asyncio.to_thread(rows_of, root)
    await make_server(root, **receiver.settings)
    told = await receiver.until(3)

    assert ended == 0
    assert [holder for _, holder in left] == [None]
    assert told[1].id == told[2].id != told[0].id


def rows_of(root: Path) -> list[tuple[str, str | None]]:
    """The uploads of the events that wait in an outbox, and who holds each."""
    with closing(sqlite3.connect(root / OUTBOX)) as connection:
        query = "SELECT upload, holder FROM event WHERE state = 'pending' ORDER BY seq"
        return connection.execute(query).fetchall()


def let_go(root: Path) -> None:
    """Let the seconds be over for which a dead server held its events."""
    with closing(sqlite3.connect(root / OUTBOX)) as connection, connection:
        connection.execute("UPDATE event SET held_until = 0")


async def stopped(server: MortalServer) -> int:
    """The exit code of a server after SIGTERM."""
    os.kill(server.pid, signal.SIGTERM)
    return await server.death()


async def upload(tus: Tus) -> str:
    """Upload a file; returns its address."""
    return await tus.upload(CONTENT, metadata(filename=NAME))
