"""Uploads of a tusd go on at a server of ours, at the addresses that their clients know."""

import asyncio
import hashlib
import io
import random
from pathlib import Path

import aiohttp
import pytest
from tusclient.client import TusClient

from tests.e2e.test_node_client import requests, upload
from tests.servers import Address
from tests.tusd_folder import NAMES, TusdFolder, fates, import_tusd

pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")

MIB = 2**20
CONTENT = random.Random(6).randbytes(3 * MIB + 17)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def tusd(tmp_path: Path) -> TusdFolder:
    """The folder of a tusd, empty yet."""
    (tmp_path / "tusd").mkdir()
    return TusdFolder(root=tmp_path / "tusd")


async def test_clients_go_on_where_they_were_at_tusd(
    server: Address, http: aiohttp.ClientSession, tusd: TusdFolder, tmp_path: Path
) -> None:
    """Under a running server: tuspy and tus-js-client resume at their old addresses, finished
    uploads are downloaded and listed, parts are concatenated, and tusd's folder is as it was."""
    finished = tusd.upload(CONTENT, metadata={**NAMES, "main_service_file_id": "7"})
    for_tuspy = tusd.upload(CONTENT[: 2 * MIB], length=len(CONTENT))
    for_node = tusd.upload(CONTENT[:MIB], is_deferred=False, length=len(CONTENT), version=1)
    parts = [
        tusd.upload(CONTENT[:MIB], metadata={"user": "42"}, is_partial=True),
        tusd.upload(CONTENT[MIB:-1], length=len(CONTENT) - MIB, is_partial=True),
    ]
    before = tusd.contents()
    (tmp_path / "a.bin").write_bytes(CONTENT)

    done = await import_tusd(tusd.root, server, "--user-from", "user")
    client = TusClient(server.files, headers=server.auth())
    resumed = await asyncio.to_thread(
        client.uploader, file_stream=io.BytesIO(CONTENT), url=f"{server.files}{for_tuspy}"
    )
    begin = resumed.offset
    await asyncio.to_thread(resumed.upload)
    told = await upload(
        server.files, tmp_path / "a.bin", options={"uploadUrl": f"{server.files}{for_node}"}
    )
    patch = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(2 * MIB + 16)}
    async with http.patch(
        f"{server.files}{parts[1]}", headers={**server.tus(), **patch}, data=CONTENT[-1:]
    ) as response:
        assert response.status == 204, await response.text()
    urls = " ".join(f"{server.files}{part}" for part in parts)
    joined = {"Upload-Concat": f"final;{urls}", "Upload-Metadata": "filename YS5iaW4="}
    async with http.post(server.files, headers={**server.tus(), **joined}) as response:
        final = response.headers["Location"]
    digests = []
    for url in (f"{server.files}{finished}", f"{server.files}{for_tuspy}", told["url"], final):
        async with http.get(str(url), headers=server.auth()) as response:
            digests.append(hashlib.sha256(await response.read()).hexdigest())

    assert (done.code, done.stdout.splitlines()[-1]) == (
        0,
        "1 finished, 2 unfinished, 2 partial, 0 known, 0 gone, 0 superseded, 0 failed",
    ), done.stderr
    assert begin == 2 * MIB
    assert [each["offset"] for each in requests(told, "PATCH")] == [str(MIB)]
    assert digests == [DIGEST] * 4
    assert await server.sha256("42", 7, "audio.mp3") == DIGEST
    assert tusd.contents() == before


async def test_a_session_is_named_as_tusd_spelled_it(
    server: Address, http: aiohttp.ClientSession, tusd: TusdFolder
) -> None:
    """REST knows the spelling without dashes, too: a deferred upload takes chunks, is completed
    and deleted under tusd's id."""
    session = tusd.upload(b"tusd's, ", is_deferred=True)
    await import_tusd(tusd.root, server, "--user", "42")
    auth = server.auth()
    form = {"upload_session_id": session, "chunk_index": "1", "chunk": "ours"}
    end = {"upload_session_id": session, "total_chunks": 2, "main_service_file_id": 9}

    statuses = []
    async with http.post(
        f"{server.base}/upload/chunk", data=multipart(form), headers=auth
    ) as response:
        statuses.append(response.status)
    async with http.post(f"{server.base}/upload/complete", json=end, headers=auth) as response:
        statuses.append(response.status)
        path = (await response.json())["data"]["file_path_on_upload_service"]
    content = await server.fetch(path)
    async with http.delete(
        f"{server.base}/upload/file", json={"upload_session_id": session}, headers=auth
    ) as response:
        statuses.append(response.status)

    assert statuses == [200, 200, 200]
    assert content == b"tusd's, ours"
    assert await server.finished() == {}


def multipart(fields: dict[str, str]) -> aiohttp.FormData:
    """A form as curl -F sends it."""
    form = aiohttp.FormData()
    for name, value in fields.items():
        form.add_field(name, value, filename="a" if name == "chunk" else None)
    return form


async def test_a_second_run_brings_what_came_since(server: Address, tusd: TusdFolder) -> None:
    """While tusd runs, and again when it has stopped: only new bytes are brought, what clients did
    here in between stays, and what is deleted here stays deleted."""
    growing = tusd.upload(CONTENT[:MIB], length=len(CONTENT), metadata={"user": "42"})
    finished = tusd.upload(b"finished", metadata={"user": "42"})
    deleted = tusd.upload(b"deleted", metadata={"user": "42"})
    first = await import_tusd(tusd.root, server, "--user-from", "user")
    async with (
        aiohttp.ClientSession(headers=server.tus()) as session,
        session.delete(f"{server.files}{deleted}") as response,
    ):
        assert response.status == 204
    with (tusd.root / growing).open("ab") as file:
        file.write(CONTENT[MIB:])

    second = await import_tusd(tusd.root, server, "--user-from", "user")
    third = await import_tusd(tusd.root, server, "--user-from", "user", "--move")

    assert set(fates(first).values()) == {"finished", "unfinished"}
    assert fates(second) == {growing: "finished", finished: "known", deleted: "gone"}
    assert fates(third) == {growing: "known", finished: "known", deleted: "gone"}
    assert sorted(tusd.contents()) == [deleted, f"{deleted}.info"]
    assert sorted((await server.finished()).values()) == [8, len(CONTENT)]
