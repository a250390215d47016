"""post-receive: told while bytes come, and obeyed when it does not want more."""

import asyncio

import pytest

from tests.conformance.hooks.conftest import MakeSteered
from tests.conformance.hooks.faces import CONTENT, NAME, rest_of
from tests.conformance.tus.client import OCTETS, Tus, begun_patch, connected, metadata
from tests.hook_server import HookServer, Said, said

LOCAL = pytest.mark.parametrize("make_store", ["local"], indirect=True)
STOP = said(StopUpload=True, HTTPResponse={"StatusCode": 410, "Body": "enough"})


@pytest.fixture
async def tus(make_steered: MakeSteered) -> Tus:
    """User 42 of a server that tells what comes, often."""
    return await make_steered(HOOKS_PROGRESS_INTERVAL="0.1s")


async def require_gone(tus: Tus, url: str, content: bytes) -> None:
    """Nothing is left of the upload."""
    async with asyncio.timeout(10):
        while (await tus.head(url)).status != 410:  # noqa: ASYNC110 - a server tells nobody
            await asyncio.sleep(0.02)
    assert await tus.address.holding(content) == []
    assert await tus.listed() == []


@LOCAL
async def test_progress_is_told(tus: Tus, hooks: HookServer) -> None:
    """While a PATCH brings bytes the hook hears at each interval how many there are; when none
    came, it hears nothing."""
    url = await tus.create(100, metadata(filename=NAME))

    async with begun_patch(tus, url, 0, 100) as patch:
        await patch.send(b"x" * 10)
        await hooks.called("post-receive", 1)
        await patch.send(b"x" * 20)
        await hooks.called("post-receive", 2)
        await asyncio.sleep(0.3)
        silent = len(hooks.of("post-receive"))
        await patch.send(b"x" * 70)
        [answer] = await patch.answers()
    await hooks.called("post-receive", 3)

    assert (silent, answer.status) == (2, 204)
    offsets = [call.part("Upload", "Offset") for call in hooks.of("post-receive")]
    assert offsets == [10, 30, 100]
    assert hooks.of("post-receive")[0].part("HTTPRequest", "Method") == "PATCH"


async def test_a_stopped_patch(tus: Tus, hooks: HookServer) -> None:
    """StopUpload ends the running request with the hook's answer, and the upload with it."""
    hooks.answers["post-receive"] = STOP
    url = await tus.create(100, metadata(filename=NAME))

    async with begun_patch(tus, url, 0, 100) as patch:
        await patch.send(CONTENT)
        [answer] = await patch.answers()

    assert (answer.status, answer.body) == (410, b"enough")
    await require_gone(tus, url, CONTENT)
    [told] = await hooks.called("post-terminate")
    assert told.part("Upload", "ID") == url.rpartition("/")[2]
    assert "pre-terminate" not in hooks.kinds()


async def test_a_stopped_chunk(tus: Tus, hooks: HookServer) -> None:
    """Over REST a stop ends the request that brings a chunk, too; its default is a 400."""
    hooks.answers["post-receive"] = said(StopUpload=True)
    rest = rest_of(tus)
    upload_id = await rest.init()
    form = (
        b'--l\r\nContent-Disposition: form-data; name="upload_session_id"\r\n\r\n%s\r\n'
        b'--l\r\nContent-Disposition: form-data; name="chunk_index"\r\n\r\n%d\r\n'
        b'--l\r\nContent-Disposition: form-data; name="chunk"; filename="c"\r\n\r\n'
    ) % (upload_id.encode(), 0)
    headers = {
        "Content-Type": "multipart/form-data; boundary=l",
        "Content-Length": "1000000",
        "Tus-Resumable": None,
    }

    async with connected(tus.address) as connection:
        head = tus.wire("POST", f"{tus.address.base}/upload/chunk", headers)
        await connection.send(head + form + CONTENT * 10)
        [answer] = await connection.answers()

    assert answer.status == 400
    assert b'"code": "stopped"' in answer.body
    await require_gone(tus, tus.address.files + upload_id, CONTENT)


@LOCAL
async def test_a_stopped_chunk_before_its_turn(tus: Tus, hooks: HookServer) -> None:
    """The same holds for a chunk that waits for others."""
    hooks.answers["post-receive"] = STOP
    rest = rest_of(tus)
    upload_id = await rest.init()

    await rest.chunk(upload_id, 5, CONTENT)

    await require_gone(tus, tus.address.files + upload_id, CONTENT)


async def test_a_stopped_creation(tus: Tus, hooks: HookServer) -> None:
    """A creation that brings bytes is stopped like a PATCH, and leaves nothing."""
    hooks.answers["post-receive"] = STOP
    headers = {"Upload-Length": "100", "Content-Length": "100", "Content-Type": OCTETS}

    async with connected(tus.address) as connection:
        await connection.send(tus.wire("POST", tus.address.files, headers) + CONTENT)
        [answer] = await connection.answers()

    assert (answer.status, answer.body) == (410, b"enough")
    assert "Location" not in answer.headers
    assert await tus.address.holding(CONTENT) == []
    await hooks.called("post-terminate")


@LOCAL
async def test_small_requests_are_stopped_too(tus: Tus, hooks: HookServer) -> None:
    """A request that is over before the first interval is told when it ends; what the hook says
    then ends the upload for the requests that follow."""
    hooks.answers["post-receive"] = STOP
    url = await tus.create(100, metadata(filename=NAME))

    answer = await tus.patch(url, 0, CONTENT)

    assert answer.status == 204
    await require_gone(tus, url, CONTENT)
    await hooks.called("post-terminate")


@LOCAL
async def test_a_file_is_not_stopped(tus: Tus, hooks: HookServer) -> None:
    """A stop that comes after the last byte does not take the file away."""
    hooks.answers["post-receive"] = STOP
    hooks.held.add("post-receive")
    url = await tus.upload(CONTENT, metadata(filename=NAME))
    [told] = await hooks.called("post-receive")
    await hooks.release("post-receive")
    await hooks.called("post-finish")

    await asyncio.sleep(0.1)

    assert told.part("Upload", "Offset") == len(CONTENT)
    assert await tus.download(url) == CONTENT


@LOCAL
@pytest.mark.parametrize(
    "bad",
    [Said(status=500), Said(body=b"nonsense"), Said(body=b""), said(StopUpload="yes")],
    ids=["fails", "nonsense", "empty", "text"],
)
async def test_a_failing_hook_stops_nothing(tus: Tus, hooks: HookServer, bad: Said) -> None:
    """What is no answer is no stop: bytes come on."""
    hooks.answers["post-receive"] = bad
    url = await tus.create(2 * len(CONTENT), metadata(filename=NAME))

    async with begun_patch(tus, url, 0, 2 * len(CONTENT)) as patch:
        await patch.send(CONTENT)
        await hooks.called("post-receive")
        await patch.send(CONTENT)
        [answer] = await patch.answers()

    assert answer.status == 204
    assert await tus.download(url) == CONTENT * 2


@LOCAL
async def test_a_hanging_hook_delays_nothing(tus: Tus, hooks: HookServer) -> None:
    """Bytes do not wait for a hook that takes its time, and it is asked one thing at a time."""
    hooks.held.add("post-receive")
    url = await tus.create(2 * len(CONTENT), metadata(filename=NAME))

    async with begun_patch(tus, url, 0, 2 * len(CONTENT)) as patch:
        await patch.send(CONTENT)
        await hooks.called("post-receive")
        await patch.send(CONTENT)
        [answer] = await patch.answers()
    finished = await hooks.called("post-finish")

    assert (answer.status, len(finished)) == (204, 1)
    assert len(hooks.of("post-receive")) == 1
    await hooks.release("post-receive")
    [_, last] = await hooks.called("post-receive", 2)
    assert last.part("Upload", "Offset") == 2 * len(CONTENT)
