"""What small uploads cost on a local file system: calls in threads, records, files."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.core import LIFE, NEW
from tests.fakes import Clock, MemoryBody, MemorySink
from tests.faulty_os import FaultyOs, faulty_os
from tests.uploads import BOOT, UPLOAD, fresh, grown
from tusd_py.block import MemoryBlock
from tusd_py.locks.memory import MemoryLocker
from tusd_py.service import Limits, UploadService
from tusd_py.storage.local.storage import LocalStorage
from tusd_py.storage.local.writer import HELD
from tusd_py.storage.pool import Answer, Pool
from tusd_py.upload import Append, Upload


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    """A disk that notes what it is told."""
    return faulty_os(monkeypatch)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What threads are asked for."""
    asked: list[object] = []
    ask = Pool.ask

    def noted(self: Pool, call: Callable[[], Any]) -> Answer[Any]:
        asked.append(call)
        return ask(self, call)

    monkeypatch.setattr(Pool, "ask", noted)
    return asked


@pytest.fixture
async def storage(faulty: FaultyOs, tmp_path: Path) -> LocalStorage:
    """A storage in a fresh folder, in which the user has been before."""
    storage = LocalStorage(tmp_path, boot=BOOT)
    await storage.check()
    await storage.create(fresh(UPLOAD))
    return storage


@pytest.fixture
async def service(storage: LocalStorage, faulty: FaultyOs, calls: list[object]) -> UploadService:
    """A service on it, with the limits that are the default; all was quiet so far."""
    service = UploadService(
        storage=storage,
        locker=MemoryLocker(),
        events=MemorySink(),
        limits=Limits(max_size=None, expires_after=LIFE, max_open=1000),
        now=Clock(),
    )
    await service.create(NEW)  # the user is counted once
    calls.clear()
    faulty.calls.clear()
    return service


def records(faulty: FaultyOs) -> int:
    """So many records were written."""
    return len([call for call in faulty.calls if call.startswith("rename ") and ".info" in call])


async def test_a_creation_is_one_call(
    service: UploadService, calls: list[object], faulty: FaultyOs
) -> None:
    """Room is looked for and the record written in one."""
    await service.create(replace(NEW, length=5))

    assert len(calls) == 1
    assert records(faulty) == 1


async def test_a_patch_that_completes_is_four_calls(
    service: UploadService, calls: list[object], faulty: FaultyOs
) -> None:
    """Load; bytes and record; file; record. With two records."""
    upload = await service.create(replace(NEW, length=5))
    calls.clear()
    faulty.calls.clear()
    append = Append(offset=0, size=5)
    done = await service.append("42", upload.id, append, MemoryBody.sized(b"he", b"llo"))

    assert done.is_file
    assert len(calls) == 4
    assert records(faulty) == 2


async def test_a_creation_with_all_bytes_is_four_calls(
    service: UploadService, calls: list[object], faulty: FaultyOs
) -> None:
    """Record; bytes and record; file; record."""
    done = await service.create(replace(NEW, length=5), MemoryBody.sized(b"hello"))

    assert done.is_file
    assert len(calls) == 4
    assert records(faulty) == 3


async def test_a_patch_in_between_is_two_calls(
    service: UploadService, calls: list[object], faulty: FaultyOs
) -> None:
    """Load; bytes and record."""
    upload = await service.create(replace(NEW, length=9))
    calls.clear()
    faulty.calls.clear()
    append = Append(offset=0, size=5)
    await service.append("42", upload.id, append, MemoryBody.sized(b"hello"))

    assert len(calls) == 2
    assert records(faulty) == 1


# --- bytes that wait for their record


async def stored(storage: LocalStorage, upload: Upload, *blocks: bytes) -> Upload:
    """Append some blocks."""
    async with storage.writer(upload, atomic=False) as writer:
        for block in blocks:
            await writer.write(MemoryBlock(block))
        return await writer.commit(grown(upload, sum(map(len, blocks))))


def data_of(root: Path, upload: Upload) -> Path:
    """The file of its bytes."""
    return root / "uploads" / upload.owner / f"{upload.id}.data"


@pytest.mark.parametrize(
    "sizes",
    [[1, 2, 3], [HELD], [HELD - 1, 1], [HELD, 1], [1, HELD], [HELD + 1], [5, HELD + 1, 7, 7]],
    ids=str,
)
async def test_bytes_that_wait_come_before_those_behind_them(
    sizes: list[int], storage: LocalStorage, tmp_path: Path
) -> None:
    """Whether they wait in memory or not, all are there after the commit, in order."""
    blocks = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    upload = await stored(storage, await storage.create(fresh(UPLOAD)), b"begin")
    upload = await stored(storage, upload, *blocks)

    assert upload.offset == 5 + sum(sizes)
    assert data_of(tmp_path, upload).read_bytes() == b"begin" + b"".join(blocks)


async def test_bytes_behind_a_commit_are_kept_by_the_next(
    storage: LocalStorage, tmp_path: Path
) -> None:
    """A writer goes on after a commit; what it was not asked to commit is gone."""
    upload = await storage.create(fresh(UPLOAD))
    async with storage.writer(upload, atomic=False) as writer:
        await writer.write(MemoryBlock(b"one"))
        upload = await writer.commit(grown(upload, 3))
        await writer.write(MemoryBlock(b"two"))
        upload = await writer.commit(grown(upload, 3))
        await writer.write(MemoryBlock(b"three"))

    assert data_of(tmp_path, upload).read_bytes() == b"onetwo"
    assert (await storage.load(upload.owner, upload.id)).offset == 6


async def test_a_checkpoint_stores_what_waits(storage: LocalStorage, tmp_path: Path) -> None:
    """A slow client's bytes are not in memory only for longer than a second."""
    upload = await storage.create(fresh(UPLOAD))
    async with storage.writer(upload, atomic=False) as writer:
        await writer.write(MemoryBlock(b"slow"))
        await writer.checkpoint(lambda size: grown(upload, size))
        between = data_of(tmp_path, upload).read_bytes()

    assert between == b"slow"
    assert (await storage.load(upload.owner, upload.id)).offset == 4


# --- records that were written here


async def test_what_another_process_wrote_is_the_truth(
    storage: LocalStorage, tmp_path: Path
) -> None:
    """That this process wrote a record before does not hide what lies there now."""
    other = LocalStorage(tmp_path, boot=BOOT)
    upload = await stored(storage, await storage.create(fresh(UPLOAD)), b"ours")
    seen = [await storage.load(upload.owner, upload.id)]
    theirs = await stored(other, upload, b"theirs")
    seen.append(await storage.load(upload.owner, upload.id))
    await other.forget(theirs)

    assert seen == [upload, theirs]
    assert seen[1].offset == 10
    assert await storage.has_file(upload) is False


async def test_bytes_that_wait_take_little_memory(storage: LocalStorage) -> None:
    """Also those of a client that sends them one by one."""
    upload = await storage.create(fresh(UPLOAD))
    many = HELD // 8
    tracemalloc.start()
    try:
        async with storage.writer(upload, atomic=True) as writer:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(many):
                await writer.write(MemoryBlock(bytes(bytearray(1))))
            after, _ = tracemalloc.get_traced_memory()
            done = await writer.commit(grown(upload, many))
    finally:
        tracemalloc.stop()

    assert done.offset == many
    assert after - before < HELD
