"""The answer of POST /upload/complete tells whether the main service heard of the file."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from tests.conformance.rest.client import RestClient, told
from tests.conftest import MakeServer
from tests.receiver import Receiver

NOTIFIED = "File upload completed and main service notified."
QUEUED = "File upload completed, notification queued."
PLAIN = "File upload completed."


@pytest.fixture
async def rest(
    http: aiohttp.ClientSession, make_server: MakeServer, receiver: Receiver
) -> RestClient:
    """User 42 at a server that tells the receiver."""
    server = await make_server(**receiver.settings)
    return RestClient(http=http, server=server)


async def message_of(rest: RestClient, upload_id: str, file_id: int = 123) -> object:
    """What `complete` says; its status is 200 always."""
    answer = await rest.complete(upload_id, 1, file_id)
    assert answer.status == 200
    return answer.json()["message"]


async def test_notified(rest: RestClient, receiver: Receiver) -> None:
    """The main service has taken the event before the answer is given, with the same path; asked
    again, it is not told again. [design 1.4]"""
    upload_id = await rest.init(123, "audio.mp3")
    await rest.chunk(upload_id, 0, b"hello")
    answer = await rest.complete(upload_id, 1, 123)
    again = await rest.complete(upload_id, 1, 123)
    [heard] = receiver.told

    assert answer.json()["message"] == again.json()["message"] == NOTIFIED
    assert heard.type == "upload.completed"
    assert heard.data["path"] == told(answer)
    assert heard.data["upload_id"] == upload_id
    assert (heard.data["user_id"], heard.data["main_service_file_id"]) == ("42", 123)
    assert (heard.data["file_name"], heard.data["size"]) == ("audio.mp3", 5)


async def test_queued_then_notified(
    http: aiohttp.ClientSession, make_server: MakeServer, receiver: Receiver
) -> None:
    """While the main service does not take it the answer says so, with the same status; once it
    did, the same request says so, too."""
    receiver.answers = [500]
    server = await make_server(**receiver.settings, NOTIFY_WAIT="0")
    rest = RestClient(http=http, server=server)
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"hello")
    messages = [await message_of(rest, upload_id)]
    await receiver.until(2)
    async with asyncio.timeout(10):
        while messages[-1] != NOTIFIED:
            messages.append(await message_of(rest, upload_id))

    assert set(messages) == {QUEUED, NOTIFIED}
    assert messages[0] == QUEUED


async def test_told_by_a_patch(rest: RestClient, receiver: Receiver) -> None:
    """`complete` on an upload that a PATCH completed says what became of that event."""
    upload_id = await rest.init()
    await rest.patch(upload_id, 0, b"hello", {"Upload-Length": "5"})
    await receiver.until(1)

    assert await message_of(rest, upload_id) == NOTIFIED
    assert receiver.types() == ["upload.completed"]


async def test_the_wait_ends(
    http: aiohttp.ClientSession, make_server: MakeServer, receiver: Receiver
) -> None:
    """A main service that does not answer keeps a client waiting for NOTIFY_WAIT, and nobody else:
    the upload is not locked meanwhile."""
    release = asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    receiver.always = slow
    server = await make_server(**receiver.settings, NOTIFY_WAIT="20s")
    rest = RestClient(http=http, server=server)
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"hello")
    completing = asyncio.create_task(message_of(rest, upload_id))
    await receiver.until(1)
    head = await rest.tus("HEAD", upload_id)
    content = await rest.tus("GET", upload_id)
    deleted = await rest.delete(upload_id)
    was_waiting = not completing.done()
    release.set()

    assert (head.status, content.body, deleted.status) == (200, b"hello", 200)
    assert was_waiting
    assert await completing == NOTIFIED


async def test_nobody_to_tell(rest: RestClient, make_server: MakeServer) -> None:
    """Without an address, or where completions are not told, the file is just complete; so it is
    when the event of another server is not known."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"hello")
    without = RestClient(http=rest.http, server=await make_server(rest.server.root))

    assert await message_of(without, upload_id) == PLAIN
    assert await message_of(rest, upload_id) == PLAIN
