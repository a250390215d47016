"""The store dies without a warning, and comes back."""

import asyncio

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient
from tests.conftest import MakeServer
from tests.faults.s3.scene import PART, Scene, content_of, file_of, record_of
from tests.faults.scene import statuses
from tests.faults.test_two_processes import RunningPatch
from tests.store_calls import Kind
from tests.store_proxy import Watch, store_proxy
from tests.weed import Weed


async def until_back(client: RestClient, upload_id: str) -> None:
    """Return when the store serves objects again, which it does somewhat later than it answers."""
    async with asyncio.timeout(40):
        while (await client.tus("HEAD", upload_id)).status == 423:  # noqa: ASYNC110 - no event crosses processes
            await asyncio.sleep(0.05)


async def test_store_killed_in_mid_upload(
    http: aiohttp.ClientSession, own_weed: Weed, make_server: MakeServer
) -> None:
    """A client of a store that was killed in mid-PATCH is told 503, HEAD 423 while it is away; when
    it is back no acknowledged byte is missing and the upload is finished."""
    bucket = own_weed.bucket("tests")
    await bucket.create()
    content = content_of(4 * PART)
    async with store_proxy(own_weed.port) as proxy:
        through = {"S3_ENDPOINT_URL": proxy.endpoint, "S3_PART_SIZE": "5MiB"}
        server = await make_server(**{**bucket.settings, **through})
        scene = Scene(client=RestClient(http=http, server=server), proxy=proxy, bucket=bucket)
        upload_id = await scene.created(len(content))
        await scene.sent(upload_id, 0, content[:PART], content[PART : PART + 100])
        begun = PART + 100
        running = await RunningPatch.begin(server, upload_id, begun, len(content) - begun)
        with proxy.rule(Watch(), Kind.PART, part=2) as stored:
            await running.send(content[begun : 3 * PART])
            await stored.happened()
        own_weed.kill()
        await running.send(content[3 * PART :])
        answer = await running.end()
        away = await scene.client.tus("HEAD", upload_id)
        ready = await scene.client.send("GET", "/readyz")
        await asyncio.to_thread(own_weed.start)
        await until_back(scene.client, upload_id)
        offset = await scene.gone_on(upload_id, content)

        assert statuses(answer) == [503]
        assert away.status == 423
        assert ready.status == 503
        assert offset >= begun
        assert await scene.is_stored(file_of(upload_id), content)
        await scene.assert_only(file_of(upload_id), record_of(upload_id))


@pytest.mark.parametrize("finished", [True, False])
async def test_store_killed_after_an_answer(
    http: aiohttp.ClientSession, own_weed: Weed, make_server: MakeServer, finished: bool
) -> None:
    """What was acknowledged, whole files and parts of them, is there when the store is back."""
    bucket = own_weed.bucket("tests")
    await bucket.create()
    content = content_of(2 * PART + 5)
    server = await make_server(**bucket.settings, S3_PART_SIZE="5MiB")
    client = RestClient(http=http, server=server)
    upload_id = await client.create({"Upload-Length": str(len(content))})
    sent = content if finished else content[:-5]
    answer = await client.patch(upload_id, 0, sent)
    own_weed.kill()
    await asyncio.to_thread(own_weed.start)
    await until_back(client, upload_id)
    offset = await client.offset(upload_id)
    if not finished:
        await client.patch(upload_id, offset, content[offset:])
    download = await client.tus("GET", upload_id)

    assert answer.status == 204
    assert offset == len(sent)
    assert download.body == content
