"""Hooks and processes that die on each other."""

import asyncio
import signal
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.conformance.tus.client import Tus, content_of, metadata
from tests.conftest import MakeProcess, MakeServer
from tests.hook_server import HookServer, Said, hook_server

CONTENT = content_of(1000)


@pytest.fixture
async def hooks() -> AsyncIterator[HookServer]:
    """A hook server that agrees to all."""
    async with hook_server() as server:
        yield server


async def test_killed_while_a_hook_thinks(
    make_process: MakeProcess, hooks: HookServer, http: aiohttp.ClientSession
) -> None:
    """kill -9 between the last byte and the consent: the next process asks again, and the file is
    there once it agrees, not before."""
    process = await make_process(
        HOOKS_HTTP_URL=hooks.url, HOOKS_ENABLED_EVENTS="pre-finish", SWEEP_INTERVAL="0.2s"
    )
    tus = Tus(http=http, address=process.address)
    url = await tus.create(len(CONTENT), metadata(filename="a"))
    hooks.held.add("pre-finish")
    patching = asyncio.create_task(tus.patch(url, 0, CONTENT))
    await hooks.called("pre-finish")
    await process.end(signal.SIGKILL)
    with pytest.raises(aiohttp.ClientError):
        await patching
    before = await tus.address.finished()
    await process.start()
    await hooks.called("pre-finish", 2)
    while_asked = await tus.address.finished()

    await hooks.release("pre-finish")
    async with asyncio.timeout(10):
        while (head := await tus.head(url)).status == 423:  # noqa: ASYNC110 - a server tells nobody
            await asyncio.sleep(0.05)

    assert (before, while_asked) == ({}, {})
    assert head.headers["Upload-Offset"] == str(len(CONTENT))
    assert await tus.download(url) == CONTENT


async def test_two_workers_ask_once(
    make_process: MakeProcess, hooks: HookServer, http: aiohttp.ClientSession
) -> None:
    """Whichever of two workers has a request asks, and nobody asks twice; when the server leaves,
    hooks that failed to hear something are told again first."""
    process = await make_process(
        WORKERS="2",
        HOOKS_HTTP_URL=hooks.url,
        HOOKS_ENABLED_EVENTS="pre-create,pre-finish,post-finish",
        HOOKS_HTTP_BACKOFF="0.5s",
        SHUTDOWN_TIMEOUT="100s",  # of which hooks have four
    )
    tus = Tus(http=http, address=process.address)
    hooks.answers["post-finish"] = [*[Said(status=500)] * 12, Said()]

    urls = await asyncio.gather(*[tus.upload(CONTENT) for _ in range(12)])
    await hooks.called("post-finish", 12)

    assert await process.end() == 0
    ids = {url.rpartition("/")[2] for url in urls}
    assert len(hooks.of("pre-create")) == len(ids) == 12
    for kind, times in (("pre-finish", 1), ("post-finish", 2)):
        asked = [str(call.part("Upload", "ID")) for call in hooks.of(kind)]
        assert sorted(asked) == sorted([*ids] * times)
    assert len(await tus.address.finished()) == 12


@pytest.mark.parametrize("dies", ["at once", "in its answer"])
async def test_a_hook_that_hangs_up(
    make_server: MakeServer, http: aiohttp.ClientSession, dies: str
) -> None:
    """A hook whose connection breaks is tried again, then it is a refusal; the server serves on."""
    tries = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        if dies == "in its answer":
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
            )
            await writer.drain()
        writer.transport.abort()

    dead = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with dead:
        address = await make_server(
            HOOKS_HTTP_URL=f"http://127.0.0.1:{dead.sockets[0].getsockname()[1]}/",
            HOOKS_HTTP_BACKOFF="0",
            HOOKS_HTTP_RETRY="2",
        )
        tus = Tus(http=http, address=address)

        answer = await tus.post({"Upload-Length": "5"})

    assert (answer.status, tries) == (503, 3)
    assert (await tus.send("OPTIONS", address.files)).status == 200


async def test_no_secret_of_a_hook_is_logged(
    make_server: MakeServer,
    hooks: HookServer,
    http: aiohttp.ClientSession,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither what a hook is told nor what it says, nor the password in its address, is in the
    log."""
    caplog.set_level("DEBUG")
    hooks.answers["pre-create"] = [
        Said(body=b'{"HTTPResponse": "hush-1"}'),
        Said(body=b'{"ChangeFileInfo": {"ID": "hush-2"}}'),
        Said(status=403, body=b"hush-3"),
    ]
    url = hooks.url.replace("http://", "http://user:hush-4@")
    address = await make_server(
        HOOKS_HTTP_URL=url, MAIN_SERVICE_NOTIFY_SECRET=f"whsec_{'hush5' * 8}"
    )
    tus = Tus(http=http, address=address)

    statuses = [
        (await tus.post({"Upload-Length": "5", **metadata(filename="hush-6")})).status
        for _ in range(3)
    ]

    text = "".join(str(vars(line)) for line in caplog.records if line.name.startswith("tusd_py"))
    assert statuses == [503] * 3
    assert text.count("hook_") >= 3
    assert "hush" not in text
    assert tus.address.auth()["Authorization"].split()[1] not in text
