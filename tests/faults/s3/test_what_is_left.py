"""What the bucket holds when an upload is over."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.fakes import Clock, MemoryBody, MemorySink
from tests.faults.s3.conftest import MakeScene
from tests.faults.s3.scene import (
    PART,
    Scene,
    content_of,
    file_of,
    partial_of,
    record_of,
)
from tests.servers import settings
from tests.store_calls import Kind
from tests.store_proxy import LOST_ANSWER, SLOW_DOWN
from tests.weed import Bucket
from tusd_py.chunks import ChunkAssembler
from tusd_py.config import load_config
from tusd_py.locks.memory import MemoryLocker
from tusd_py.service import Limits, UploadService
from tusd_py.storage import open_storage
from tusd_py.storage.s3.bucket import open_bucket
from tusd_py.storage.s3.litter import Litter
from tusd_py.storage.s3.records import Records
from tusd_py.storage.s3.settings import S3Settings
from tusd_py.sweeper import sweep
from tusd_py.upload import Append, NewUpload

LARGE, SMALL = 2 * PART + 100, 100
DAY = timedelta(days=1)
LATE = [DAY - timedelta(minutes=10), DAY + timedelta(minutes=10), DAY + timedelta(minutes=10)]

Way = Callable[[Scene, bytes], Awaitable[list[str]]]
"""Uploads some bytes and returns the keys that shall be there: first that of the file."""


async def by_patch(scene: Scene, content: bytes) -> list[str]:
    """In two PATCHes."""
    upload_id = await scene.created(len(content))
    half = len(content) // 2
    await scene.sent(upload_id, 0, content[:half], content[half:])
    return [file_of(upload_id), record_of(upload_id)]


async def by_creation(scene: Scene, content: bytes) -> list[str]:
    """With the request that creates it."""
    fields = {
        "Upload-Length": str(len(content)),
        "Content-Type": "application/offset+octet-stream",
    }
    answer = await scene.client.tus("POST", "", content, fields)
    assert answer.status == 201, answer
    upload_id = answer.headers["Location"].rsplit("/", 1)[-1]
    return [file_of(upload_id), record_of(upload_id)]


async def by_deferred_length(scene: Scene, content: bytes) -> list[str]:
    """In PATCHes of which the last one tells the length."""
    upload_id = await scene.created(None)
    half = len(content) // 2
    await scene.sent(upload_id, 0, content[:half])
    length = {"Upload-Length": str(len(content))}
    answer = await scene.client.patch(upload_id, half, content[half:], length)
    assert answer.status == 204, answer
    return [file_of(upload_id), record_of(upload_id)]


async def by_late_length(scene: Scene, content: bytes) -> list[str]:
    """In PATCHes, and the length comes without bytes in the end."""
    upload_id = await scene.created(None)
    await scene.sent(upload_id, 0, content)
    length = {"Upload-Length": str(len(content))}
    answer = await scene.client.patch(upload_id, len(content), b"", length)
    assert answer.status == 204, answer
    return [file_of(upload_id), record_of(upload_id)]


async def by_chunks(scene: Scene, content: bytes) -> list[str]:
    """In chunks, in order."""
    half = len(content) // 2
    upload_id = await scene.client.uploaded(content[:half], content[half:], file_id=7)
    return ["42/7/audio.mp3", record_of(upload_id)]


async def by_late_chunks(scene: Scene, content: bytes) -> list[str]:
    """In chunks that come in the wrong order."""
    half = len(content) // 2
    upload_id = await scene.client.init(7)
    for index, chunk in ((1, content[half:]), (0, content[:half])):
        answer = await scene.client.chunk(upload_id, index, chunk)
        assert answer.status == 200, answer
    answer = await scene.client.complete(upload_id, 2, 7)
    assert answer.status == 200, answer
    return ["42/7/audio.mp3", record_of(upload_id)]


async def by_concatenation(scene: Scene, content: bytes) -> list[str]:
    """As partial uploads, which stay until they expire."""
    half = len(content) // 2
    partials = []
    for piece in (content[:half], content[half:]):
        fields = {"Upload-Length": str(len(piece)), "Upload-Concat": "partial"}
        partials.append(await scene.client.create(fields))
        await scene.sent(partials[-1], 0, piece)
    urls = " ".join(f"/files/{each}" for each in partials)
    upload_id = await scene.client.create({"Upload-Concat": f"final;{urls}"})
    kept = [key(each) for each in partials for key in (partial_of, record_of)]
    return [file_of(upload_id), record_of(upload_id), *kept]


WAYS = [
    by_patch,
    by_creation,
    by_deferred_length,
    by_late_length,
    by_chunks,
    by_late_chunks,
    by_concatenation,
]


@pytest.mark.parametrize("size", [LARGE, SMALL], ids=["large", "small"])
@pytest.mark.parametrize("way", WAYS, ids=lambda each: each.__name__)
async def test_only_the_file_and_its_record_are_left(scene: Scene, way: Way, size: int) -> None:
    """After a completed upload the bucket holds exactly the final object and its record."""
    content = content_of(size)
    keys = await way(scene, content)

    assert await scene.is_stored(keys[0], content)
    await scene.assert_only(*keys)


async def test_empty_files(scene: Scene) -> None:
    """An empty file is an object as any other, however it comes."""
    created = await scene.created(0)
    deferred = await scene.created(None)
    answer = await scene.client.patch(deferred, 0, b"", {"Upload-Length": "0"})
    rest_id = await scene.client.uploaded(b"", file_id=7)
    fields = {"Upload-Length": "0", "Upload-Concat": "partial"}
    partial = await scene.client.create(fields)
    final = await scene.client.create({"Upload-Concat": f"final;/files/{partial}"})

    assert answer.status == 204
    files = [file_of(created), file_of(deferred), "42/7/audio.mp3", file_of(final)]
    assert [await scene.bucket.read(key) for key in files] == [b""] * 4
    ids = (created, deferred, rest_id, final, partial)
    await scene.assert_only(*files, *map(record_of, ids), partial_of(partial))


async def test_replaced_file(scene: Scene) -> None:
    """The same place again: one object, of the later upload, and two records."""
    first = await scene.client.uploaded(content_of(LARGE), file_id=7)
    second = await scene.client.uploaded(content_of(SMALL), file_id=7)
    third = await scene.client.uploaded(content_of(LARGE + 1), file_id=7)

    assert await scene.is_stored("42/7/audio.mp3", content_of(LARGE + 1))
    await scene.assert_only("42/7/audio.mp3", *map(record_of, (first, second, third)))
    assert (await scene.client.tus("HEAD", first)).status == 410


# --- removed


async def unfinished_large(scene: Scene) -> str:
    """An upload that has a part and a tail."""
    upload_id = await scene.created(3 * PART)
    await scene.sent(upload_id, 0, bytes(PART), bytes(100), bytes(50))
    return upload_id


async def unfinished_chunks(scene: Scene) -> str:
    """A session in which chunks wait."""
    upload_id = await scene.client.init(7)
    for index in (0, 2, 3):
        await scene.client.chunk(upload_id, index, bytes(PART + index))
    return upload_id


async def finished_large(scene: Scene) -> str:
    """A file."""
    return await scene.client.uploaded(content_of(LARGE), file_id=7)


async def finished_small(scene: Scene) -> str:
    """A small file."""
    return await scene.client.uploaded(content_of(SMALL), file_id=7)


async def finished_partial(scene: Scene) -> str:
    """A partial upload."""
    fields = {"Upload-Length": str(LARGE), "Upload-Concat": "partial"}
    upload_id = await scene.client.create(fields)
    await scene.sent(upload_id, 0, bytes(LARGE))
    return upload_id


STATES = [unfinished_large, unfinished_chunks, finished_large, finished_small, finished_partial]


@pytest.mark.parametrize("face", ["tus", "rest"])
@pytest.mark.parametrize("state", STATES, ids=lambda each: each.__name__)
async def test_deletion_leaves_the_record(
    scene: Scene, state: Callable[[Scene], Awaitable[str]], face: str
) -> None:
    """Terminate and delete remove object, tails, chunks and multipart; the record remembers it."""
    upload_id = await state(scene)
    if face == "tus":
        answer = await scene.client.tus("DELETE", upload_id)
    else:
        answer = await scene.client.delete(upload_id)

    assert answer.status in {200, 204}
    await scene.assert_only(record_of(upload_id))
    assert (await scene.client.tus("HEAD", upload_id)).status == 410


async def test_deletion_that_was_interrupted_is_done_again(scene: Scene) -> None:
    """When the store fails in the middle of a removal it can be asked for again."""
    upload_id = await unfinished_large(scene)
    with scene.proxy.rule(SLOW_DOWN, Kind.ABORT, Kind.DELETE):
        failed = await scene.client.tus("DELETE", upload_id)
    root = scene.client.server.root
    async with open_service(scene.bucket, root, lambda: datetime.now(UTC) + 2 * DAY) as service:
        report = await sweep(service)

    assert failed.status == 503
    assert report.forgotten == 1
    await scene.assert_only()


async def begun_patch(service: UploadService) -> str:
    """An upload that has a part and a tail."""
    upload = await service.create(NewUpload(owner="42", filename="a", length=3 * PART))
    for offset, size in ((0, PART), (PART, 100)):
        body = MemoryBody.sized(bytes(size))
        await service.append("42", upload.id, Append(offset=offset, size=size), body)
    return upload.id


async def begun_chunks(service: UploadService) -> str:
    """A session in which a chunk waits."""
    upload = await service.create(NewUpload(owner="42", filename="a"))
    for index in (0, 2):
        body = MemoryBody.sized(bytes(PART))
        await ChunkAssembler(service).append_chunk("42", upload.id, index, body)
    return upload.id


@pytest.mark.parametrize("begin", [begun_patch, begun_chunks], ids=lambda each: each.__name__)
async def test_expiry_leaves_the_record(
    bucket: Bucket, tmp_path: Path, begin: Callable[[UploadService], Awaitable[str]]
) -> None:
    """Expiry removes tails, chunks and multipart; the record remembers it for as long as an upload
    lives, then it goes, too."""
    clock = Clock()
    async with open_service(bucket, tmp_path, clock) as service:
        upload_id = await begin(service)
        before = await bucket.keys(), await bucket.unfinished()
        clock.forward(DAY)
        report = await sweep(service)
        after = await bucket.keys(), await bucket.unfinished()
        clock.forward(DAY)
        later = await sweep(service)

    assert (len(before[0]), len(before[1])) == (2, 1)
    assert report.expired == 1
    assert (list(after[0]), after[1]) == ([record_of(upload_id)], [])
    assert later.forgotten == 1
    assert await bucket.keys() == {}


async def test_sweep_command(make_scene: MakeScene, tmp_path: Path) -> None:
    """`tusd-py sweep` is one pass, also for a bucket."""
    scene = await make_scene(UPLOAD_EXPIRES_AFTER="1s", SWEEP_INTERVAL="1h")
    upload_id = await unfinished_large(scene)
    async with asyncio.timeout(5):
        while (await scene.client.tus("HEAD", upload_id)).status != 410:  # noqa: ASYNC110 - time passes
            await asyncio.sleep(0.05)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tusd_py", "sweep"),
        env={**settings(tmp_path), **scene.bucket.settings},
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()

    assert said.decode() == (
        "1 expired, 0 finished, 0 forgotten, 0 cleaned, 0 quarantined, 0 failed\n"
    )
    assert process.returncode == 0
    await scene.assert_only(record_of(upload_id))


# --- litter


async def test_multipart_that_no_record_names(scene: Scene) -> None:
    """The sweeper aborts a multipart of ours that no record names, after a day; it leaves those in
    use, and those whose keys are not ours."""
    bucket = scene.bucket
    content = content_of(3 * PART)
    named = await scene.created(len(content))
    with scene.proxy.rule(LOST_ANSWER, Kind.BEGIN, times=1):
        await scene.sent(named, 0, content[:PART])
    foreign = ["backup.tar", "a/b", "a/b/c/d", ".x/1/x"]
    async with bucket.client() as client:
        for key in foreign:
            await client.create_multipart_upload(Bucket=bucket.name, Key=key)
    before = await bucket.unfinished()
    now = datetime.now(UTC)
    counts = [await removed(bucket, scene.client.server.root, now + late) for late in LATE]
    after = await bucket.unfinished()
    await scene.gone_on(named, content)

    assert len(before) == len(foreign) + 2
    assert counts == [0, 1, 0]
    assert sorted(key for key, _ in after) == sorted([file_of(named), *foreign])
    assert await scene.is_stored(file_of(named), content)


async def test_pieces_that_no_record_names(scene: Scene) -> None:
    """The sweeper removes pieces of uploads that have no record, after an hour; what is foreign
    stays, and so does all of an upload that has one."""
    bucket = scene.bucket
    upload_id = await unfinished_large(scene)
    gone = "6b3ff4b0-2f6a-4d3e-9d3c-0a1b2c3d4e5f"
    ours = [f".tusd_py/42/{gone}.tail.0.0123abcd", f".tusd_py/42/{gone}.chunk.3", partial_of(gone)]
    foreign = ["notes", ".tusd_py/notes", ".tusd_py/42/notes", f"42/{gone}/{gone}"]
    for key in (*ours, *foreign):
        await bucket.write(key, b"x")
    before = await bucket.keys()
    now = datetime.now(UTC)
    root = scene.client.server.root
    hour = timedelta(hours=1, minutes=10)
    counts = [await removed(bucket, root, now), await removed(bucket, root, now + hour)]

    assert counts == [0, len(ours)]
    assert sorted(await bucket.keys()) == sorted(before.keys() - set(ours))
    assert await scene.client.offset(upload_id) == PART + 150


async def removed(bucket: Bucket, spill: Path, now: datetime) -> int:
    """How much litter a pass at that time removes."""
    config = load_config({}, {**settings(spill), **bucket.settings}, None)
    assert config.s3_endpoint_url is not None
    own = S3Settings(
        bucket=bucket.name,
        endpoint_url=config.s3_endpoint_url,
        region=None,
        access_key=config.s3_access_key,
        secret_key=config.s3_secret_key,
        part_size=config.s3_part_size,
        memory=config.s3_memory,
        presigned=None,
        redirected=None,
        spill=spill,
    )
    async with open_bucket(own) as opened:
        return await Litter(opened, Records(opened)).remove(now)


@asynccontextmanager
async def open_service(
    bucket: Bucket, folder: Path, now: Callable[[], datetime]
) -> AsyncIterator[UploadService]:
    """The upload service, without its faces, at a time that a test tells."""
    environ = {**settings(folder), **bucket.settings, "S3_PART_SIZE": "5MiB"}
    async with open_storage(load_config({}, environ, None)) as storage:
        yield UploadService(
            storage=storage,
            locker=MemoryLocker(),
            events=MemorySink(),
            limits=Limits(max_size=None, expires_after=DAY),
            now=now,
        )
