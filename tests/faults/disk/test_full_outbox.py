"""A disk that gets full when files are announced: what was not noted is not complete, and nothing
is told twice.

The servers run in the namespace of the disk: SQLite asks the system for the real path of its file.
"""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

import aiohttp
import pytest
from aiohttp import web

from tests.conformance.rest.client import RestClient
from tests.conformance.tus.client import Tus, metadata
from tests.conftest import MakeProcess
from tests.receiver import Receiver
from tests.servers import ServerProcess
from tests.small_disk import SmallDisk, Trouble, program

StartServer = Callable[..., "asyncio.Future[ServerProcess]"]


@pytest.fixture
async def start(make_process: MakeProcess, disk: SmallDisk) -> StartServer:
    """Starts a server on the small disk."""

    async def one(**overrides: str) -> ServerProcess:
        enter = [program("nsenter"), "--target", str(disk.holder), "--mount"]
        if "--user" in disk.flags:
            enter += ["--user", "--preserve-credentials"]
        return await make_process(
            disk.mounted_at / "data", under=tuple(enter), MIN_FREE_DISK="0", **overrides
        )

    return one  # type: ignore[return-value]  # a coroutine function is awaited all the same


async def test_no_room_for_the_event(
    http: aiohttp.ClientSession, start: StartServer, receiver: Receiver, disk: SmallDisk
) -> None:
    """However little room is left, an upload is complete and will be told, or it is refused and
    neither; once there is room all are complete, and each was told once."""
    server = (await start(**receiver.settings, SWEEP_INTERVAL="1h")).address
    tus = Tus(http=http, address=server)
    await tus.upload(b"first", metadata(filename="first.txt"))
    outcomes: dict[str, tuple[int, bool]] = {}
    for pages in range(14):
        url = await tus.create(10, metadata(filename=f"{pages}.txt"))
        await tus.patch(url, 0, b"nine byte")
        with disk.trouble(Trouble.SPACE, pages):
            answer = await tus.patch(url, 9, b"s")
            is_listed = f"/{pages}.txt" in str(await tus.listed())
        outcomes[url] = answer.status, is_listed
    for url in outcomes:
        offset = await tus.offset(url)
        await tus.patch(url, offset, b"nine bytes"[offset:])
    contents = [await tus.download(url) for url in outcomes]
    told = await receiver.until(15)

    assert set(outcomes.values()) == {(204, True), (507, False)}
    assert contents == [b"nine bytes"] * 14
    assert len({each.id for each in told}) == len(receiver.told) == 15


async def test_a_full_disk_at_the_start(
    http: aiohttp.ClientSession, start: StartServer, receiver: Receiver, disk: SmallDisk
) -> None:
    """A server starts on a full disk, where no outbox can be made: what is there can be had, files
    are not complete, and once there is room they are, and are told."""
    first = await start()
    url = await Tus(http=http, address=first.address).upload(b"1", metadata(filename="1.txt"))
    waiting = await Tus(http=http, address=first.address).create(1, metadata(filename="2.txt"))
    await first.end()
    with disk.trouble(Trouble.SPACE):
        second = await start(**receiver.settings)
        tus = Tus(http=http, address=second.address)
        content = await tus.download(tus.address.files + url.rpartition("/")[2])
    own = tus.address.files + waiting.rpartition("/")[2]
    done = await tus.patch(own, 0, b"2")
    [told] = await receiver.until(1)

    assert (content, done.status) == (b"1", 204)
    assert told.data["file_name"] == "2.txt"


async def test_what_was_delivered_is_not_told_again(
    http: aiohttp.ClientSession, start: StartServer, receiver: Receiver, disk: SmallDisk
) -> None:
    """While it cannot be noted that the main service has an event it is not told again; when there
    is room it is noted."""
    server = (await start(**receiver.settings, NOTIFY_WAIT="0")).address
    rest = RestClient(http=http, server=server)
    with ExitStack() as stack:

        async def fill(_request: web.Request) -> web.Response:
            stack.enter_context(disk.trouble(Trouble.SPACE))
            return web.Response()

        receiver.answers = [fill]
        upload_id = await rest.init()
        await rest.chunk(upload_id, 0, b"hello")
        await rest.complete(upload_id, 1)
        await receiver.until(1)
        meanwhile = (await rest.complete(upload_id, 1)).json()["message"]
    async with asyncio.timeout(10):
        while "notified" not in str((await rest.complete(upload_id, 1)).json()["message"]):  # noqa: ASYNC110 - no event crosses processes
            await asyncio.sleep(0.05)

    assert meanwhile == "File upload completed, notification queued."
    assert len(receiver.told) == 1
