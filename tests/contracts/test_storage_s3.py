"""The S3 storage keeps every promise of `Storage`, on a fake store and on a real one."""

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contracts.storage import PROMISES, Promise, StorageUnderTest
from tests.fakes import Fault
from tests.faulty_os import FaultyOs, faulty_os
from tests.moto_store import make_bucket, moto_store
from tests.quick_s3 import hurry
from tests.store_calls import Call, Kind
from tests.store_proxy import SLOW_DOWN, Action, Cut, Refuse, StoreProxy, Where, store_proxy
from tests.uploads import LIFE, NOW, UPLOAD, fresh, grown
from tests.weed import ACCESS_KEY, REGION, SECRET_KEY, Bucket
from tusd_py.block import MemoryBlock
from tusd_py.errors import StorageError, UploadLocked
from tusd_py.storage.s3 import open_s3
from tusd_py.storage.s3.bucket import open_bucket
from tusd_py.storage.s3.settings import S3Settings
from tusd_py.storage.s3.storage import S3Storage
from tusd_py.upload import Claim, patched

MIB = 1 << 20

each_promise = pytest.mark.parametrize("promise", PROMISES, ids=lambda each: each.__name__)

FULL = Refuse(status=507, code="InsufficientStorage")

STORE_FAULTS: dict[Fault, tuple[Action, frozenset[Kind]]] = {
    Fault.UNREACHABLE: (Cut(where=Where.BEFORE), frozenset(Kind)),
    Fault.RECORD: (SLOW_DOWN, frozenset({Kind.PUT})),
    Fault.MOVE: (SLOW_DOWN, frozenset({Kind.PUT, Kind.COMPLETE, Kind.COPY})),
    Fault.WRITE: (FULL, frozenset({Kind.PUT, Kind.PART, Kind.COPY_PART})),
}
"""Of the calls that put an object only those to records fail in the second case, and only the
others in the next ones."""


def is_hit(fault: Fault, call: Call) -> bool:
    """Whether a call is among those that a fault is about."""
    is_record = call.key.endswith(".info")
    return (
        fault is Fault.UNREACHABLE
        or call.kind is not Kind.PUT
        or is_record is (fault is Fault.RECORD)
    )


@contextmanager
def failing(proxy: StoreProxy, disk: FaultyOs, fault: Fault) -> Iterator[None]:
    """Let the store fail for a while; when it is full, then memory and the disk are, too."""
    action, kinds = STORE_FAULTS[fault]
    with (
        pytest.MonkeyPatch.context() as patch,
        disk.failing(fault),
        proxy.rule(action, *kinds, also=lambda call: is_hit(fault, call)),
    ):
        if fault is Fault.WRITE:
            patch.setattr("tusd_py.storage.s3.buffer.Room.take", lambda _room: None)
        yield


def settings(endpoint: str, name: str, spill: Path, memory: int) -> S3Settings:
    """The settings of a storage in that bucket."""
    return S3Settings(
        bucket=name,
        endpoint_url=endpoint,
        region=REGION,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        part_size=5 * MIB,
        memory=memory,
        presigned=None,
        redirected=None,
        spill=spill,
    )


@asynccontextmanager
async def under_test(
    port: int, name: str, spill: Path, monkeypatch: pytest.MonkeyPatch, *, memory: int
) -> AsyncIterator[StorageUnderTest]:
    """The storage in a bucket of the store that listens on a port, the proxy between them."""
    hurry(monkeypatch)
    disk = faulty_os(monkeypatch)
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(store_proxy(port))
        own = settings(proxy.endpoint, name, spill, memory)
        storage = await stack.enter_async_context(open_s3(own))
        again = await stack.enter_async_context(open_bucket(own))
        yield StorageUnderTest(
            storage=storage,
            failing=lambda fault: failing(proxy, disk, fault),
            restarted=lambda: S3Storage(again, own),
        )


@pytest.fixture(scope="session")
def moto() -> Iterator[int]:
    """The port of a fake store."""
    with moto_store() as port:
        yield port


@pytest.fixture
async def on_moto(
    moto: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StorageUnderTest]:
    """The storage in a new bucket of the fake store, without memory for what is on its way."""
    name = fresh().id
    await make_bucket(moto, name)
    async with under_test(moto, name, tmp_path / "spill", monkeypatch, memory=0) as subject:
        yield subject


@pytest.fixture
async def on_weed(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StorageUnderTest]:
    """The storage in an empty bucket of the real store."""
    opening = under_test(
        bucket.weed.port, bucket.name, tmp_path / "spill", monkeypatch, memory=64 * MIB
    )
    async with opening as subject:
        yield subject


@each_promise
async def test_on_moto(promise: Promise, on_moto: StorageUnderTest) -> None:
    """`S3Storage` keeps its promises on a store that is a fake."""
    await promise(on_moto)


@each_promise
async def test_on_weed(promise: Promise, on_weed: StorageUnderTest) -> None:
    """`S3Storage` keeps its promises on SeaweedFS."""
    await promise(on_weed)


# --- what only this storage can tell


async def test_slower_writer_is_refused(on_weed: StorageUnderTest) -> None:
    """After `UploadLocked` the commit of the other writer is the truth, and this one is of no use
    any more."""
    upload = await on_weed.kept(b"hello")
    other = on_weed.restarted()
    async with (
        on_weed.storage.writer(upload, atomic=False) as slow,
        other.writer(upload, atomic=False) as fast,
    ):
        await slow.write(MemoryBlock(b" slow"))
        await fast.write(MemoryBlock(b" and fast"))
        committed = await fast.commit(grown(upload, 9))
        for _ in range(2):
            with pytest.raises(UploadLocked):
                await slow.commit(grown(upload, 5))

    assert await other.load(upload.owner, upload.id) == committed
    assert await on_weed.content(committed) == b"hello and fast"


async def test_slower_save_is_refused(on_weed: StorageUnderTest) -> None:
    """`save` raises `UploadLocked` when somebody replaced the record since it was loaded."""
    upload = await on_weed.kept(b"hello")
    saved = await on_weed.restarted().save(replace(upload, filename="fast.mp3"))

    with pytest.raises(UploadLocked):
        await on_weed.storage.save(replace(upload, filename="slow.mp3"))
    assert await on_weed.storage.load(upload.owner, upload.id) == saved


async def test_save_that_was_stored_already(on_weed: StorageUnderTest) -> None:
    """The same record again is no other writer's: an answer may have been lost."""
    upload = await on_weed.kept(b"hello")
    await on_weed.restarted().save(replace(upload, filename="new.mp3"))
    saved = await on_weed.storage.save(replace(upload, filename="new.mp3"))

    assert await on_weed.storage.load(upload.owner, upload.id) == saved
    assert await on_weed.content(saved) == b"hello"


@pytest.mark.parametrize("block", [1000, 64 << 10, MIB + 1, 20 * MIB])
@pytest.mark.parametrize("size", [5 * MIB, 10 * MIB, 12 * MIB + 7])
async def test_blocks_of_any_size(on_weed: StorageUnderTest, size: int, block: int) -> None:
    """How bytes come is no matter, nor in how many commits."""
    data = random.Random(size).randbytes(size)
    upload = await on_weed.kept(b"")
    async with on_weed.storage.writer(upload, atomic=False) as writer:
        for start in range(0, size, block):
            await writer.write(MemoryBlock(data[start : start + block]))
            if start // block % 97 == 1:
                more = min(size, start + block) - upload.offset
                upload = await writer.commit(patched(upload, more, now=NOW, expires_after=LIFE))
        upload = await writer.commit(grown(upload, size - upload.offset))

    assert await on_weed.content(upload) == data


class Unseeing:
    """See `Hasher`: has no use for bytes."""

    def update(self, data: bytes | memoryview, /) -> None:
        """See `Hasher.update`."""


@pytest.mark.parametrize("is_shown", [True, False], ids=["shown", "not-shown"])
async def test_a_checked_upload_is_copied_in_parts(
    on_weed: StorageUnderTest, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, *, is_shown: bool
) -> None:
    """What claims a digest lies beside its record until it is assembled; a large one is copied to
    its place in parts, and nothing else is left of it."""
    monkeypatch.setattr("tusd_py.storage.s3.objects.COPY_PART", 5 * MIB)
    data = random.Random(3).randbytes(12 * MIB)
    upload = await on_weed.kept(data, replace(UPLOAD, claim=Claim(sha256=bytes(32))))
    if is_shown:
        await on_weed.storage.show(upload, Unseeing(), 0)
    before = {*await bucket.keys(), *(key for key, _, _ in await bucket.parts())}
    assert await on_weed.storage.assemble(upload) == []

    record = f".tusd_py/42/{upload.id}.info"
    assert before == {record, f".tusd_py/42/{upload.id}.unchecked"}
    assert set(await bucket.keys()) == {record, upload.place}
    assert await bucket.read(upload.place) == data
    assert await bucket.parts() == []


@pytest.mark.parametrize("kind", [Kind.COMPLETE, Kind.COPY_PART])
async def test_a_copy_that_fails_is_made_up_for(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    """When the store fails at any step between the parts and the file nothing is lost, and the next
    try makes the file."""
    monkeypatch.setattr("tusd_py.storage.s3.objects.COPY_PART", 5 * MIB)
    hurry(monkeypatch)
    own = settings(f"http://127.0.0.1:{bucket.weed.port}", bucket.name, tmp_path / "spill", MIB)
    data = random.Random(4).randbytes(12 * MIB)
    async with (
        store_proxy(bucket.weed.port) as proxy,
        open_s3(replace(own, endpoint_url=proxy.endpoint)) as storage,
    ):
        subject = StorageUnderTest(
            storage=storage, failing=lambda _fault: nullcontext(), restarted=lambda: storage
        )
        upload = await subject.kept(data, replace(UPLOAD, claim=Claim(sha256=bytes(32))))
        with proxy.rule(SLOW_DOWN, kind), pytest.raises(StorageError):
            await storage.assemble(upload)
        await storage.assemble(await storage.load(upload.owner, upload.id))

    assert await bucket.read(upload.place) == data
    assert set(await bucket.keys()) == {f".tusd_py/42/{upload.id}.info", upload.place}


@pytest.mark.parametrize("is_lost", [False, True], ids=["there", "lost"])
async def test_parts_that_were_shown_are_not_looked_for_again(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_lost: bool
) -> None:
    """A store knows no multipart upload any more when it made an object of it: if that is there,
    so are the bytes; if not they were lost, and the upload starts over."""
    hurry(monkeypatch)
    own = settings(f"http://127.0.0.1:{bucket.weed.port}", bucket.name, tmp_path / "spill", MIB)
    data = random.Random(5).randbytes(11 * MIB)
    async with (
        store_proxy(bucket.weed.port) as proxy,
        open_s3(replace(own, endpoint_url=proxy.endpoint)) as storage,
    ):
        subject = StorageUnderTest(
            storage=storage, failing=lambda _fault: nullcontext(), restarted=lambda: storage
        )
        upload = await subject.kept(data, replace(UPLOAD, claim=Claim(sha256=bytes(32))))
        await storage.show(upload, Unseeing(), 0)
        if is_lost:
            await bucket.delete(f".tusd_py/42/{upload.id}.unchecked")
        forgotten = Refuse(status=404, code="NoSuchUpload")
        with proxy.rule(forgotten, Kind.COMPLETE, also=lambda call: "unchecked" in call.key):
            for again in (storage.show(upload, Unseeing(), 0), storage.assemble(upload)):
                with pytest.raises((StorageError, UploadLocked)) if is_lost else nullcontext():
                    await again
        left = await storage.load(upload.owner, upload.id)

    assert left.offset == (0 if is_lost else 11 * MIB)
    assert left.losses == is_lost
    assert await bucket.read(upload.place) == (None if is_lost else data)
