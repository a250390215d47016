"""A server dies between two steps of finishing an upload: bytes, then event, then flag."""

import asyncio
import hashlib
import json
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient
from tests.conftest import MakeServer
from tests.faults.kill.conftest import Mortal
from tests.faults.kill.dying_server import Moment
from tests.faults.kill.scene import age, until_gone
from tests.faults.kill.server import MortalServer
from tests.servers import Address

FILE_ID = 7
NAME = "report.pdf"
EARLIER = b"an earlier report"
CONTENT = random.Random(7).randbytes(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Orphan:
    """An upload whose server died when it finished it, and that server; `earlier` is the upload
    whose file lay at its place before."""

    dead: MortalServer
    upload_id: str
    earlier: str

    def completions(self, log: pytest.LogCaptureFixture) -> list[str]:
        """The ids in all events of completion, of the dead server and of the living one."""
        lived = [
            str(vars(record)["upload"])
            for record in log.records
            if record.getMessage() == "upload_completed"
        ]
        found = [*self.dead.events("upload_completed"), *lived]
        return [upload_id for upload_id in found if upload_id != self.earlier]


@pytest.fixture
async def user(
    http: aiohttp.ClientSession, make_server: MakeServer, caplog: pytest.LogCaptureFixture
) -> RestClient:
    """A user of a server whose sweeper passes once, when nothing is there."""
    caplog.set_level(logging.INFO, "tusd_py")
    return RestClient(http=http, server=await make_server(SWEEP_INTERVAL="1h"))


async def orphaned(user: RestClient, mortal: Mortal, moment: Moment, face: str) -> Orphan:
    """Finish an upload at a place where another lies, at a second server that dies then."""
    earlier = await user.uploaded(EARLIER, file_id=FILE_ID, name=NAME)
    dying = mortal(
        MortalServer(
            root=user.server.root,
            module="tests.faults.kill.dying_server",
            arguments=(moment.value,),
            overrides={"SWEEP_INTERVAL": "1h"},
        )
    )
    await dying.start()
    there = RestClient(http=user.http, server=dying.address)
    upload_id = await user.init(FILE_ID, NAME)
    with pytest.raises(aiohttp.ClientError):
        await FINISHING[face](there, upload_id)
    await dying.death()
    return Orphan(dead=dying, upload_id=upload_id, earlier=earlier)


async def patch(user: RestClient, upload_id: str) -> None:
    """Finish an upload with a PATCH."""
    await user.patch(upload_id, 0, CONTENT, {"Upload-Length": str(len(CONTENT))})


async def complete(user: RestClient, upload_id: str) -> None:
    """Finish an upload over REST."""
    await user.chunk(upload_id, 1, CONTENT[100_000:])
    await user.chunk(upload_id, 0, CONTENT[:100_000])
    await user.complete(upload_id, 2, FILE_ID)


FINISHING: dict[str, Callable[[RestClient, str], Awaitable[None]]] = {
    "PATCH": patch,
    "complete": complete,
}


async def require_finished(user: RestClient, orphan: Orphan, log: pytest.LogCaptureFixture) -> None:
    """The file is there, once, and whole; its completion was told, to who looks at ids once; the
    earlier upload gave way."""
    server = user.server
    completions = orphan.completions(log)

    assert await server.finished() == {f"42/{FILE_ID}/{NAME}": len(CONTENT)}
    assert await server.sha256("42", FILE_ID, NAME) == DIGEST
    assert await user.files() == [server.location("42", FILE_ID, NAME)]
    assert 1 <= len(completions) <= 2
    assert set(completions) == {orphan.upload_id}
    assert (await user.tus("HEAD", orphan.earlier)).status == 410
    assert (await user.tus("GET", orphan.earlier)).status == 410
    assert (await user.tus("GET", orphan.upload_id)).body == CONTENT
    assert not any(name.endswith(".data") for name in await server.store.everything())


@pytest.mark.parametrize("moment", Moment, ids=lambda moment: moment.value)
async def test_sweeper_finishes_what_a_death_left(
    user: RestClient,
    mortal: Mortal,
    make_server: MakeServer,
    caplog: pytest.LogCaptureFixture,
    moment: Moment,
) -> None:
    """After a crash between bytes, event and flag the sweeper of the next start finishes the
    upload, and removes what was left half-written an hour ago; before that the file at its place
    is the earlier one or the new one, whole."""
    face = "complete" if moment in {Moment.AFTER_CLAIM, Moment.BEFORE_FLAG} else "PATCH"
    orphan = await orphaned(user, mortal, moment, face)
    between = await user.server.file("42", FILE_ID, NAME)
    half_written = await asyncio.to_thread(age, user.server.root)
    await make_server()
    await until_complete(user.server, orphan.upload_id)
    for path in half_written:
        await until_gone(path)

    assert between in {EARLIER, CONTENT}
    await require_finished(user, orphan, caplog)


@pytest.mark.parametrize(
    ("moment", "asked"),
    [
        (Moment.AFTER_CLAIM, "HEAD"),
        (Moment.AFTER_MOVE, "HEAD"),
        (Moment.AFTER_EVENT, "HEAD"),
        (Moment.AFTER_MOVE, "PATCH"),
        (Moment.AFTER_MOVE, "complete"),
    ],
    ids=lambda each: each.value if isinstance(each, Moment) else each,
)
async def test_request_finishes_what_a_death_left(
    user: RestClient,
    mortal: Mortal,
    caplog: pytest.LogCaptureFixture,
    moment: Moment,
    asked: str,
) -> None:
    """Whoever asks for the upload before the sweeper comes finishes it: HEAD, the PATCH or the
    complete whose answer was lost, sent again."""
    orphan = await orphaned(user, mortal, moment, "PATCH")
    match asked:
        case "HEAD":
            answer = await user.tus("HEAD", orphan.upload_id)
        case "PATCH":
            answer = await user.patch(orphan.upload_id, len(CONTENT), b"")
        case _:
            answer = await user.complete(orphan.upload_id, 1, FILE_ID)

    assert answer.status in {200, 204}
    await require_finished(user, orphan, caplog)


async def until_complete(server: Address, upload_id: str) -> None:
    """Return when the record of an upload says that it is complete."""
    record = server.root / "uploads" / "42" / f"{upload_id}.info"
    async with asyncio.timeout(10):
        while "completion" not in json.loads(await asyncio.to_thread(record.read_bytes)):  # noqa: ASYNC110 - no event crosses processes
            await asyncio.sleep(0.01)
