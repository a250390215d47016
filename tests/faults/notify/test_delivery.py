"""Events reach the main service, in order, whatever it answers."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web

from tests.conformance.rest.client import RestClient
from tests.conformance.tus.client import Tus, metadata
from tests.conftest import MakeServer
from tests.receiver import SECRET, Receiver, receiving, with_headers
from tests.servers import Address, free_port
from tusd_py.notify import backoff
from tusd_py.notify.file import NAME
from tusd_py.notify.letters import Letter, Letters

ALL = "created,progress,completed,terminated,expired"
OTHER_SECRET = "whsec_" + "QUJD" * 12


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are short, so that tests are."""
    monkeypatch.setattr(backoff, "FIRST", 0.05)


def letters_of(server: Address) -> list[Letter]:
    """What was not delivered."""
    letters = Letters(server.root / NAME)
    try:
        return letters.undelivered()
    finally:
        letters.close()


async def until_letters(server: Address, is_right: Callable[[list[Letter]], bool]) -> list[Letter]:
    """What was not delivered, once it is as it should be."""
    async with asyncio.timeout(15):
        while not is_right(letters := await asyncio.to_thread(letters_of, server)):  # noqa: ASYNC110 - no event crosses processes
            await asyncio.sleep(0.02)
    return letters


async def test_every_kind_of_event(
    http: aiohttp.ClientSession, make_server: MakeServer, receiver: Receiver
) -> None:
    """What can be switched on is told in its order, each with an id of its own."""
    server = await make_server(**receiver.settings, NOTIFY_EVENTS=ALL)
    tus = Tus(http=http, address=server)
    url = await tus.create(10, metadata(filename="a.txt", filetype="text/plain"))
    await receiver.until(1)
    await tus.patch(url, 0, b"hello")
    await receiver.until(2)
    await tus.patch(url, 5, b"world")
    await receiver.until(3)
    await tus.delete(url)
    told = await receiver.until(4)
    received = [each.data["received"] for each in told]

    assert receiver.types() == [
        *("upload.created", "upload.progress", "upload.completed", "upload.terminated")
    ]
    assert received == [0, 5, 10, 10]
    assert {each.data["size"] for each in told} == {10}
    assert [each.data["path"] is None for each in told] == [True, True, False, True]
    assert len({each.id for each in told}) == 4
    assert {each.payload["id"] for each in told} == {each.id for each in told}


async def test_an_upload_that_expires(
    http: aiohttp.ClientSession, make_server: MakeServer, receiver: Receiver
) -> None:
    """The end of an abandoned upload is told when the sweeper comes."""
    server = await make_server(
        **receiver.settings,
        NOTIFY_EVENTS="expired",
        UPLOAD_EXPIRES_AFTER="0.05s",
        SWEEP_INTERVAL="0.1s",
    )
    await Tus(http=http, address=server).create(10)
    [told] = await receiver.until(1)

    assert (told.type, told.data["received"]) == ("upload.expired", 0)


async def test_by_default_only_files_are_told(
    http: aiohttp.ClientSession, make_server: MakeServer, receiver: Receiver
) -> None:
    """Neither creation nor deletion nor a partial upload is told unless it is switched on."""
    server = await make_server(**receiver.settings)
    tus = Tus(http=http, address=server)
    await tus.delete(await tus.create(10))
    await tus.upload(b"part", {"Upload-Concat": "partial"})
    await tus.upload(b"whole", metadata(filename="b.txt"))
    [told] = await receiver.until(1)

    assert told.data["file_name"] == "b.txt"
    assert await until_letters(server, lambda all_: not all_) == []


async def test_partial_uploads_are_no_news(
    http: aiohttp.ClientSession, make_server: MakeServer, receiver: Receiver
) -> None:
    """What is only there to be concatenated is not told, whatever is switched on; its
    concatenation is."""
    server = await make_server(**receiver.settings, NOTIFY_EVENTS=ALL)
    tus = Tus(http=http, address=server)
    parts = [await tus.upload(b"part", {"Upload-Concat": "partial"}) for _ in range(2)]
    concat = {"Upload-Concat": f"final;{' '.join(parts)}"}
    await tus.send("POST", server.files, concat)
    told = await receiver.until(2)

    assert receiver.types() == ["upload.created", "upload.completed"]
    assert told[1].data["size"] == 8


async def test_it_is_down_at_first(http: aiohttp.ClientSession, make_server: MakeServer) -> None:
    """What happens while the main service is away reaches it when it comes."""
    port = free_port()
    late = Receiver(base=f"http://127.0.0.1:{port}")
    server = await make_server(**late.settings)
    tus = Tus(http=http, address=server)
    await tus.upload(b"one", metadata(filename="1.txt"))
    await tus.upload(b"two", metadata(filename="2.txt"))
    waiting = await until_letters(server, lambda all_: all(each.tries > 1 for each in all_))
    async with receiving(late, port=port):
        told = await late.until(2)

    assert {each.why for each in waiting} == {"no connection (Connection refused)"}
    assert {each.data["file_name"] for each in told} == {"1.txt", "2.txt"}


async def test_every_try_is_the_same(
    http: aiohttp.ClientSession, make_server: MakeServer, receiver: Receiver
) -> None:
    """After refusals of all kinds the event comes again, byte for byte and under its id, until it
    is taken; then no more."""
    receiver.answers = [500, with_headers(302, Location=receiver.url), 404, 401]
    server = await make_server(**receiver.settings)
    await Tus(http=http, address=server).upload(b"hello", metadata(filename="a.txt"))
    told = await receiver.until(5)
    left = await until_letters(server, lambda all_: not all_)

    assert len({each.body for each in told}) == len({each.id for each in told}) == 1
    assert (len(receiver.told), left) == (5, [])


async def test_order_of_an_upload(
    http: aiohttp.ClientSession, make_server: MakeServer, receiver: Receiver
) -> None:
    """While the first event of an upload is refused the next ones wait; another upload's do not."""
    refused: list[str] = []

    async def refuse_the_first(request: web.Request) -> web.Response:
        said = await request.json()
        is_first = said["data"]["file_name"] == "a.txt" and said["type"] == "upload.created"
        if is_first and len(refused) < 3:
            refused.append(said["id"])
            return web.Response(status=500)
        return web.Response()

    receiver.always = refuse_the_first
    server = await make_server(**receiver.settings, NOTIFY_EVENTS="created,completed,terminated")
    tus = Tus(http=http, address=server)
    first = await tus.upload(b"hello", metadata(filename="a.txt"))
    await tus.delete(first)
    await tus.upload(b"hello", metadata(filename="b.txt"))
    told = await receiver.until(8)
    of_first = [each.type for each in told if each.data["file_name"] == "a.txt"]

    assert of_first == [
        *["upload.created"] * 4,
        *("upload.completed", "upload.terminated"),
    ]
    assert len(refused) == 3


async def test_too_many_requests(
    http: aiohttp.ClientSession, make_server: MakeServer, receiver: Receiver
) -> None:
    """After 429 with Retry-After nothing at all is sent for so long; then all is."""
    times: list[float] = []

    async def once_too_many(_request: web.Request) -> web.Response:
        times.append(time.monotonic())
        if len(times) == 1:
            return web.Response(status=429, headers={"Retry-After": "1"})
        return web.Response()

    receiver.always = once_too_many
    server = await make_server(**receiver.settings)
    tus = Tus(http=http, address=server)
    await tus.upload(b"one", metadata(filename="1.txt"))
    await until_letters(server, lambda all_: [each.why for each in all_] == ["status 429"])
    await tus.upload(b"two", metadata(filename="2.txt"))
    await receiver.until(3)

    assert min(times[1:]) - times[0] > 0.9


async def test_gone(
    http: aiohttp.ClientSession, make_server: MakeServer, receiver: Receiver
) -> None:
    """410 makes a dead letter at once, and the others wait until an operator has a look; retried,
    all are sent."""
    receiver.answers = [410]
    server = await make_server(**receiver.settings)
    tus = Tus(http=http, address=server)
    await tus.upload(b"one", metadata(filename="1.txt"))
    [dead] = await until_letters(server, lambda all_: [each.state for each in all_] == ["dead"])
    await tus.upload(b"two", metadata(filename="2.txt"))
    [_, waiting] = await asyncio.to_thread(letters_of, server)
    while_paused = len(receiver.told)
    await asyncio.to_thread(retry_all, server)
    told = await receiver.until(3)

    assert (dead.why, dead.tries) == ("status 410", 1)
    assert (waiting.state, waiting.tries, while_paused) == ("pending", 0, 1)
    assert {each.data["file_name"] for each in told[1:]} == {"1.txt", "2.txt"}


def retry_all(server: Address) -> None:
    """Try everything again."""
    letters = Letters(server.root / NAME)
    letters.retry(None, datetime.now(UTC))
    letters.close()


async def test_giving_up(
    http: aiohttp.ClientSession, make_server: MakeServer, receiver: Receiver
) -> None:
    """What was refused for NOTIFY_GIVE_UP_AFTER is a dead letter, and the next event of its upload
    has its turn, and its time."""

    async def refuse_creation(request: web.Request) -> web.Response:
        is_creation = (await request.json())["type"] == "upload.created"
        return web.Response(status=500 if is_creation else 200)

    receiver.always = refuse_creation
    server = await make_server(
        **receiver.settings, NOTIFY_EVENTS="created,completed", NOTIFY_GIVE_UP_AFTER="0.3s"
    )
    await Tus(http=http, address=server).upload(b"hello", metadata(filename="a.txt"))
    [dead] = await until_letters(server, lambda all_: [each.state for each in all_] == ["dead"])
    await receiver.until(dead.tries + 1)

    assert (dead.type, dead.why) == ("upload.created", "status 500")
    assert dead.tries > 1
    assert receiver.types() == ["upload.created"] * dead.tries + ["upload.completed"]


async def test_many_at_once(
    http: aiohttp.ClientSession, make_server: MakeServer, receiver: Receiver
) -> None:
    """Forty files at once are told side by side, but never more than the bound; each once."""

    async def slow(_request: web.Request) -> web.Response:
        await asyncio.sleep(0.02)
        return web.Response()

    receiver.always = slow
    server = await make_server(**receiver.settings)
    tus = Tus(http=http, address=server)
    names = [f"{n}.txt" for n in range(40)]
    await asyncio.gather(*(tus.upload(b"x", metadata(filename=name)) for name in names))
    told = await receiver.until(40)
    await until_letters(server, lambda all_: not all_)

    assert sorted(str(each.data["file_name"]) for each in told) == sorted(names)
    assert 1 < receiver.most_at_once <= 16


async def test_progress_at_an_interval(
    http: aiohttp.ClientSession, make_server: MakeServer, receiver: Receiver
) -> None:
    """Of many requests in the interval the first is progress, and what is told of them is never
    tried twice."""
    receiver.always = 500
    server = await make_server(
        **receiver.settings, NOTIFY_EVENTS="progress", NOTIFY_PROGRESS_INTERVAL="1h"
    )
    tus = Tus(http=http, address=server)
    url = await tus.create(100)
    for offset in range(5):
        await tus.patch(url, offset, b"x")
    await receiver.until(1)
    left = await until_letters(server, lambda all_: not all_)

    assert [each.data["received"] for each in receiver.told] == [1]
    assert left == []


@pytest.mark.parametrize("known", [SECRET, OTHER_SECRET], ids=["new", "old"])
async def test_while_the_secret_is_replaced(
    http: aiohttp.ClientSession, make_server: MakeServer, known: str
) -> None:
    """With two secrets a main service that knows one of them verifies what it is told."""
    async with receiving(Receiver(secret=known)) as receiver:
        both = {**receiver.settings, "MAIN_SERVICE_NOTIFY_SECRET": f"{SECRET},{OTHER_SECRET}"}
        server = await make_server(**both)
        await Tus(http=http, address=server).upload(b"hello", metadata(filename="a.txt"))

        assert len(await receiver.until(1)) == 1


async def test_without_an_address_there_is_nothing(
    http: aiohttp.ClientSession, make_server: MakeServer
) -> None:
    """Who tells nobody has neither a file nor a thread for it."""
    server = await make_server(NOTIFY_EVENTS=ALL)
    await RestClient(http=http, server=server).uploaded(b"hello")
    names = {thread.name for thread in threading.enumerate()}

    assert "outbox" not in names
    assert [name for name in await server.store.everything() if "outbox" in name] == []


async def test_the_outbox_is_no_upload(
    http: aiohttp.ClientSession, make_server: MakeServer, receiver: Receiver
) -> None:
    """The sweeper and its quarantine leave the outbox alone, however old it is."""
    receiver.always = 500
    server = await make_server(**receiver.settings, SWEEP_INTERVAL="0.05s")
    await Tus(http=http, address=server).upload(b"hello", metadata(filename="a.txt"))
    names = [NAME, f"{NAME}-shm", f"{NAME}-wal"]
    for name in names:
        os.utime(server.root / name, (0, 0))
    before = await server.store.everything()
    await receiver.until(4)
    after = await server.store.everything()

    assert sorted(name.removeprefix("./") for name in after if "outbox" in name) == names
    assert before.keys() == after.keys()
