"""Two servers on one folder sweep it all the time: nothing is ended twice, nothing is lost."""

import asyncio
import hashlib
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient
from tests.conformance.tus.client import Connection, Tus, begun_patch, metadata
from tests.faults.kill.clock import AnyTime, FakeClock
from tests.faults.kill.conftest import Mortal
from tests.faults.kill.dying_server import Moment
from tests.faults.kill.server import MortalServer
from tests.servers import taken

DICE = random.Random(4)
HALVES = (DICE.randbytes(150_000), DICE.randbytes(150_000))


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two servers on one folder, which live by one clock, and a user of each."""

    servers: tuple[MortalServer, MortalServer]
    clock: FakeClock
    users: tuple[RestClient, RestClient]

    def events(self, name: str) -> list[str]:
        """The ids of the uploads in all events of that name, of both."""
        return sorted(upload_id for server in self.servers for upload_id in server.events(name))

    def tus(self, number: int) -> Tus:
        """The user of one of them, at its tus face."""
        user = self.users[number]
        return Tus(http=user.http, address=user.server)


@pytest.fixture
async def pair(http: aiohttp.ClientSession, mortal: Mortal, tmp_path: Path) -> Pair:
    """Servers that sweep ten times a second."""
    clock = FakeClock(file=tmp_path / "clock")
    clock.jump(-1)
    first, second = (
        mortal(
            MortalServer(
                root=tmp_path / "data",
                overrides={"SWEEP_INTERVAL": "0.1s", "UPLOAD_EXPIRES_AFTER": "12h"},
                environ=clock.environ,
            )
        )
        for _ in range(2)
    )
    await asyncio.gather(first.start(), second.start())
    users = (
        RestClient(http=http, server=AnyTime.of(first.address)),
        RestClient(http=http, server=AnyTime.of(second.address)),
    )
    return Pair(servers=(first, second), clock=clock, users=users)


async def test_uploads_expire_and_finish_under_two_sweepers(pair: Pair) -> None:
    """While two sweepers end what expired, each exactly once, the PATCHes that run at both servers
    and the uploads that begin then become files, each exactly once and whole."""
    idle = [await abandoned(pair.users[number % 2], number) for number in range(12)]
    async with AsyncExitStack() as stack:
        running: dict[str, Connection] = {}
        for number in range(6):
            tus = pair.tus(number % 2)
            url = await tus.create(300_000, metadata(filename=f"running-{number}"))
            patch = begun_patch(tus, url, 0, 300_000)
            running[url] = connection = await stack.enter_async_context(patch)
            await connection.send(HALVES[0])
            await taken(connection.writer)
        pair.clock.jump(0)
        begun = await asyncio.gather(*(upload(pair.users, number) for number in range(10)))
        await until_gone(pair.servers[0].root, idle)
        for connection in running.values():
            await connection.send(HALVES[1])
        answers = [(await connection.answers())[-1].status for connection in running.values()]
    finished = [*begun, *(url.rpartition("/")[2] for url in running)]

    assert answers == [204] * 6
    assert pair.events("upload_expired") == sorted(idle)
    assert pair.events("upload_completed") == sorted(finished)
    assert await asyncio.to_thread(digests, pair.servers[0].root) == [digest()] * 16
    assert [len(await user.files()) for user in pair.users] == [16, 16]
    assert await asyncio.to_thread(left, pair.servers[0].root) == []


async def test_two_sweepers_finish_what_a_death_left_once(
    http: aiohttp.ClientSession, mortal: Mortal, tmp_path: Path
) -> None:
    """What a third server left full and unfinished is finished once, when two start at once."""
    root = tmp_path / "data"
    dying = mortal(
        MortalServer(
            root=root,
            module="tests.faults.kill.dying_server",
            arguments=(Moment.AFTER_MOVE.value,),
        )
    )
    await dying.start()
    user = RestClient(http=http, server=dying.address)
    upload_id = await user.create({"Upload-Length": "300000"})
    with pytest.raises(aiohttp.ClientError):
        await user.patch(upload_id, 0, b"".join(HALVES))
    await dying.death()
    servers = [
        mortal(MortalServer(root=root, overrides={"SWEEP_INTERVAL": "0.05s"})) for _ in range(2)
    ]
    await asyncio.gather(*(server.start() for server in servers))
    await until_told(servers, upload_id)
    heads = [
        await RestClient(http=http, server=server.address).offset(upload_id) for server in servers
    ]
    told = [*dying.events("upload_completed"), *servers[0].events("upload_completed")]

    assert heads == [300_000, 300_000]
    assert [*told, *servers[1].events("upload_completed")] == [upload_id]
    assert await asyncio.to_thread(digests, root) == [digest()]


async def abandoned(user: RestClient, number: int) -> str:
    """Begin an upload and leave it: with bytes, or with a chunk that waits."""
    if number % 3:
        upload_id = await user.create({"Upload-Length": "300000"})
        assert (await user.patch(upload_id, 0, HALVES[0])).status == 204
        return upload_id
    upload_id = await user.init(1000 + number)
    assert (await user.chunk(upload_id, 1, HALVES[1])).status == 200
    return upload_id


async def upload(users: Sequence[RestClient], number: int) -> str:
    """Upload a file, at both servers in turn."""
    here, there = users[number % 2], users[(number + 1) % 2]
    upload_id = await here.init(number, "a.bin")
    assert (await there.chunk(upload_id, 1, HALVES[1])).status == 200
    assert (await here.chunk(upload_id, 0, HALVES[0])).status == 200
    assert (await there.complete(upload_id, 2, number)).status == 200
    return upload_id


async def until_gone(root: Path, upload_ids: Sequence[str]) -> None:
    """Return when none of these uploads has a byte left."""
    async with asyncio.timeout(30):
        while await asyncio.to_thread(  # noqa: ASYNC110 - files tell nobody
            lambda: [path for path in left(root) if path.stem in upload_ids]
        ):
            await asyncio.sleep(0.02)


async def until_told(servers: Sequence[MortalServer], upload_id: str) -> None:
    """Return when one of these servers has told of a completion."""
    async with asyncio.timeout(30):
        while not any(  # noqa: ASYNC110 - no event crosses processes
            upload_id in server.events("upload_completed") for server in servers
        ):
            await asyncio.sleep(0.02)


def left(root: Path) -> list[Path]:
    """The bytes of all uploads that are no files."""
    return [path for path in (root / "uploads").rglob("*") if path.suffix in {".data", ".chunks"}]


def digests(root: Path) -> list[str]:
    """The SHA-256 of every finished file."""
    files = [path for path in (root / "final").rglob("*") if path.is_file()]
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


def digest() -> str:
    """The SHA-256 that every file of these tests must have."""
    return hashlib.sha256(b"".join(HALVES)).hexdigest()
