"""Parts that do not fit into memory wait in files without a name."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp

from tests.conformance.rest.client import RestClient
from tests.conftest import MakeProcess
from tests.faults.s3.conftest import MakeScene
from tests.faults.s3.scene import MIB, PART, Scene, content_of, file_of, record_of
from tests.faults.test_two_processes import RunningPatch
from tests.servers import taken
from tests.store_calls import Kind
from tests.store_proxy import Hold, StoreProxy, Where
from tests.weed import Bucket


def spilled(folder: Path, pid: int | str = "self") -> int:
    """Bytes in files without a name that a process has open below a folder."""
    total = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target, status = os.readlink(entry), entry.stat()
        except FileNotFoundError:
            continue
        if target.startswith(str(folder)) and not status.st_nlink:
            total += status.st_size
    return total


def left(folder: Path) -> list[str]:
    """What lies in a folder, but for the file of locks."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != "locks"
    )


async def test_parts_spill(make_scene: MakeScene) -> None:
    """With too little memory parts go by way of the disk: the upload is right, and nothing of them
    is left."""
    scene = await make_scene(S3_MEMORY="1MiB")
    root = scene.client.server.root
    content = content_of(3 * PART + 1)
    upload_id = await scene.created(len(content))
    with scene.proxy.rule(Hold(where=Where.BEFORE), Kind.PART) as rule:
        sending = asyncio.create_task(scene.client.patch(upload_id, 0, content))
        await rule.holding(2)
        while_sending, names = spilled(root), left(root)
        rule.release()
        answer = await sending
    chunks = [content_of(PART + number) for number in range(3)]
    rest_id = await scene.client.init(7, "chunks.mp3")
    for index in (2, 0, 1):
        await scene.client.chunk(rest_id, index, chunks[index])
    completed = await scene.client.complete(rest_id, 3, 7)

    assert while_sending >= 2 * PART - MIB
    assert names == []
    assert answer.status == 204
    assert completed.status == 200
    assert await scene.is_stored(file_of(upload_id), content)
    assert await scene.is_stored("42/7/chunks.mp3", b"".join(chunks))
    assert (left(root), spilled(root)) == ([], 0)


async def test_memory_is_given_back(make_scene: MakeScene) -> None:
    """What uploads took of the memory, finished, refused and broken off, is free afterwards: the
    next one does not spill."""
    scene = await make_scene(S3_MEMORY="11MiB")
    root = scene.client.server.root
    content = content_of(2 * PART)
    for number in range(2):
        upload_id = await scene.created(len(content))
        await scene.sent(upload_id, 0, content[:MIB], content[MIB : PART + 1], content[PART + 1 :])
        upload_id = await scene.created(len(content))
        running = await RunningPatch.begin(scene.client.server, upload_id, 0, len(content))
        await running.send(content[: PART + number])
        await taken(running.writer)
        running.writer.transport.abort()
        wrong = {"Upload-Checksum": "sha1 " + "A" * 27 + "="}
        answer = await scene.client.patch(
            upload_id, await scene.client.offset(upload_id), b"x", wrong
        )
        assert answer.status == 460
        rest_id = await scene.client.init(7, "chunks.mp3")
        for index in (1, 0):
            await scene.client.chunk(rest_id, index, content[:PART])
        await scene.client.complete(rest_id, 2, 7)
    upload_id = await scene.created(len(content))
    with scene.proxy.rule(Hold(where=Where.BEFORE), Kind.PART) as rule:
        sending = asyncio.create_task(scene.client.patch(upload_id, 0, content))
        await rule.holding(2)
        on_disk = spilled(root)
        rule.release()
        answer = await sending

    assert on_disk == 0
    assert answer.status == 204


async def test_spill_folder_that_is_gone(make_scene: MakeScene) -> None:
    """A local folder that went away is trouble of the server: 503, never a 404, which would let the
    client throw its upload away."""
    scene = await make_scene(S3_MEMORY="1MiB")
    root = scene.client.server.root
    content = content_of(2 * PART)
    upload_id = await scene.created(len(content))
    root.rename(root.with_name("away"))
    answer = await scene.client.patch(upload_id, 0, content)
    root.with_name("away").rename(root)
    await scene.gone_on(upload_id, content)

    assert answer.status in {503, 507}
    assert await scene.is_stored(file_of(upload_id), content)


async def test_kill_leaves_no_files(
    http: aiohttp.ClientSession,
    bucket: Bucket,
    proxy: StoreProxy,
    make_process: MakeProcess,
    tmp_path: Path,
) -> None:
    """A process that is killed in mid-upload leaves no local files, and what it acknowledged."""
    through = {"S3_ENDPOINT_URL": proxy.endpoint, "S3_PART_SIZE": "5MiB", "S3_MEMORY": "1MiB"}
    process = await make_process(**{**bucket.settings, **through})
    client = RestClient(http=http, server=process.address)
    scene = Scene(client=client, proxy=proxy, bucket=bucket)
    content = content_of(3 * PART)
    upload_id = await scene.created(len(content))
    await scene.sent(upload_id, 0, content[:100])
    assert process.process is not None
    with scene.proxy.rule(Hold(where=Where.BEFORE), Kind.PART) as rule:
        running = await RunningPatch.begin(client.server, upload_id, 100, len(content) - 100)
        await running.send(content[100 : 2 * PART])
        await rule.holding()
        while_sending = spilled(process.root, process.process.pid)
        await process.end(signal.SIGKILL)
    await running.end()
    after_kill = left(process.root)
    await process.start()
    after_start = left(process.root)
    offset = await scene.gone_on(upload_id, content)

    assert while_sending > 0
    assert after_kill == after_start == []
    assert offset == 100
    assert await scene.is_stored(file_of(upload_id), content)
    assert sorted(await bucket.keys()) == sorted([file_of(upload_id), record_of(upload_id)])
