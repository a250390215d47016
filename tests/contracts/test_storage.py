"""Every storage keeps every promise of `Storage`."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.contracts.storage import PROMISES, Promise, StorageUnderTest
from tests.fakes import Fault, MemoryStorage
from tests.faulty_os import faulty_os
from tests.uploads import BOOT
from tusd_py.accounts import Accounts
from tusd_py.metered import MeteredStorage
from tusd_py.storage.local.storage import LocalStorage

each_promise = pytest.mark.parametrize("promise", PROMISES, ids=lambda each: each.__name__)


@contextmanager
def without(folder: Path) -> Iterator[None]:
    """Let a file lie where a folder was."""
    folder.rename(folder.with_suffix(".away"))
    folder.touch()
    try:
        yield
    finally:
        folder.unlink()
        folder.with_suffix(".away").rename(folder)


@each_promise
async def test_local_storage(
    promise: Promise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`LocalStorage` keeps its promises."""
    root = tmp_path / "data"
    faulty = faulty_os(monkeypatch)

    def failing(fault: Fault) -> AbstractContextManager[None]:
        return without(root) if fault is Fault.UNREACHABLE else faulty.failing(fault)

    storage = LocalStorage(root, boot=BOOT)
    await storage.check()
    subject = StorageUnderTest(
        storage=storage, failing=failing, restarted=lambda: LocalStorage(root, boot=BOOT)
    )

    await promise(subject)


@each_promise
async def test_memory_storage(promise: Promise) -> None:
    """The fake keeps the same promises."""
    storage = MemoryStorage()
    subject = StorageUnderTest(storage=storage, failing=storage.failing, restarted=lambda: storage)

    await promise(subject)


@each_promise
async def test_metered_storage(promise: Promise) -> None:
    """A storage that keeps accounts keeps the same promises to those who take little."""
    storage = MemoryStorage()

    def metered() -> MeteredStorage:
        return MeteredStorage(storage, Accounts(storage.usage, max_open=1000, quota=1 << 30))

    await promise(StorageUnderTest(storage=metered(), failing=storage.failing, restarted=metered))


async def test_local_content_outlives_its_upload(tmp_path: Path) -> None:
    """On disk an open file stays readable to its end, whether it is replaced or deleted."""
    storage = LocalStorage(tmp_path / "data", boot=BOOT)
    await storage.check()
    subject = StorageUnderTest(
        storage=storage, failing=lambda _fault: without(tmp_path), restarted=lambda: storage
    )
    earlier = await subject.finished(b"earlier")
    async with storage.open(earlier) as content:
        later = await subject.finished(b"LATER!!")
        async with storage.open(later) as other:
            await storage.forget(later)
            read = [
                b"".join([block async for block in each.read(0, each.size)])
                for each in (content, other)
            ]

    assert read == [b"earlier", b"LATER!!"]
