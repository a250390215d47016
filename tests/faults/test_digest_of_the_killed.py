"""Digests of files whose bytes came to processes that are no more, or to several."""

import hashlib
import random
import signal

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient
from tests.conformance.tus.client import Tus, metadata, stalled_patch
from tests.conftest import MakeProcess

MIB = 1 << 20
CONTENT = random.Random(5).randbytes(6 * MIB)
RIGHT = hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("setting", ["sha256", "none"])
async def test_kill_in_the_middle_of_a_patch(
    http: aiohttp.ClientSession, make_process: MakeProcess, setting: str
) -> None:
    """The next process reads what the dead one had acknowledged, also of an upload that claims."""
    process = await make_process(DIGEST=setting)
    tus = Tus(http=http, address=process.address)
    claims = metadata(sha256=RIGHT) if setting == "none" else {}
    url = await tus.create(len(CONTENT), claims)
    await tus.patch(url, 0, CONTENT[:MIB])
    async with stalled_patch(tus, url, MIB, len(CONTENT) - MIB, CONTENT[MIB : 4 * MIB]):
        await process.end(signal.SIGKILL)
    await process.start()
    offset = await tus.offset(url)
    answer = await tus.patch(url, offset, CONTENT[offset:])
    head = await tus.head(url)

    assert MIB <= offset <= 4 * MIB
    assert (answer.status, head.status) == (204, 200)
    assert head.headers["Repr-Digest"].startswith("sha-256=:")
    [upload] = await described(tus)
    assert upload["sha256"] == RIGHT


async def test_chunks_to_any_worker(http: aiohttp.ClientSession, make_process: MakeProcess) -> None:
    """Each chunk goes to whichever worker accepts its connection."""
    process = await make_process(DIGEST="sha256", WORKERS="3")
    rest = RestClient(http=http, server=process.address)
    upload_id = await rest.init()
    for index in range(12):
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as once:
            each = RestClient(http=once, server=process.address)
            piece = CONTENT[index * MIB // 2 : (index + 1) * MIB // 2]
            assert (await each.chunk(upload_id, index, piece)).status == 200
    answer = await rest.complete(upload_id, 12)

    assert answer.data["sha256"] == RIGHT


async def described(tus: Tus) -> list[dict[str, object]]:
    """The files of the user."""
    rest = RestClient(http=tus.http, server=tus.address)
    uploads = (await rest.listing()).json()["uploads"]
    assert isinstance(uploads, list)
    return uploads
