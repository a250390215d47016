"""Bytes that the disk lost, as after a power failure: the server says so, the upload goes on."""

import os
from pathlib import Path

import aiohttp

from tests.conformance.rest.client import RestClient
from tests.servers import Address

OCTETS = {"Content-Type": "application/offset+octet-stream"}
DATA = bytes(range(250))


def cut(root: Path, upload_id: str, size: int) -> None:
    """Let the disk have the first bytes of an upload only."""
    os.truncate(root / "uploads" / "42" / f"{upload_id}.data", size)


async def test_a_patched_upload_goes_on_from_what_is_left(
    server: Address, http: aiohttp.ClientSession
) -> None:
    """HEAD tells an offset from which the upload can go on, never one without its bytes."""
    created = await http.post(server.files, headers={**server.tus(), "Upload-Length": "250"})
    url = created.headers["Location"]
    patch = {**server.tus(), **OCTETS}
    await http.patch(url, data=DATA[:200], headers={**patch, "Upload-Offset": "0"})
    cut(server.root, url.rpartition("/")[2], 150)
    head = await http.head(url, headers=server.tus())
    last = await http.patch(url, data=DATA[150:], headers={**patch, "Upload-Offset": "150"})
    whole = await http.get(url, headers=server.auth())

    assert head.headers["Upload-Offset"] == "150"
    assert last.status == 204
    assert await whole.read() == DATA


async def test_a_session_goes_on_from_its_last_whole_chunk(
    server: Address, http: aiohttp.ClientSession
) -> None:
    """A chunk counts as a whole or not at all, also when the disk lost a part of it."""
    rest = RestClient(http=http, server=server)
    upload_id = await rest.init()
    for index in range(2):
        await rest.chunk(upload_id, index, DATA[index * 100 : index * 100 + 100])
    cut(server.root, upload_id, 150)
    refused = await rest.complete(upload_id, 3)
    again = [
        (await rest.chunk(upload_id, index, DATA[index * 100 : index * 100 + 100])).status
        for index in (2, 1, 0)
    ]
    done = await rest.complete(upload_id, 3)

    assert refused.json()["missing"] == [1, 2]
    assert again == [200, 200, 200]
    assert await server.file("42", 123, "audio.mp3") == DATA
    assert done.status == 200
