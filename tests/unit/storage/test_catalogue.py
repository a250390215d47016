"""What is finished or gone is read once, to be counted and to be swept."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.uploads import BOOT, NOW, UPLOAD, completed, fresh
from tusd_py.errors import StorageError
from tusd_py.storage.catalogue import Catalogue
from tusd_py.storage.local.storage import LocalStorage
from tusd_py.upload import End, Ending, Upload

ENDED = Ending(why=End.TERMINATED, at=NOW)


@pytest.fixture
async def storage(tmp_path: Path) -> LocalStorage:
    """A storage in a fresh folder."""
    storage = LocalStorage(tmp_path, boot=BOOT)
    await storage.check()
    return storage


async def noted(storage: LocalStorage, upload: Upload) -> Upload:
    """A new upload whose record says this."""
    return await storage.save(await storage.create(fresh(upload)))


def spoil(root: Path, upload: Upload) -> None:
    """Make a record unreadable, so that nobody who did not read it knows."""
    path = root / "uploads" / upload.owner / f"{upload.id}.info"
    times = path.stat()
    path.write_bytes(b"?" * times.st_size)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


async def test_what_is_over_is_not_read_again(
    storage: LocalStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Counting reads the records of finished files and of what is gone once; so does sweeping those
    of finished files."""
    done = await noted(storage, completed(replace(UPLOAD, offset=10)))
    gone = await noted(storage, replace(UPLOAD, ending=ENDED))
    before = await storage.usage("42")
    for upload in (done, gone):
        spoil(tmp_path, upload)

    assert (await storage.usage("42")).finished == {done.id: 10}
    assert await storage.usage("42") == before
    assert caplog.records == []
    assert [each async for each in storage.uploads("42")] == []


async def test_sweeping_reads_for_counting(
    storage: LocalStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The two know what the other read."""
    done = await noted(storage, completed(replace(UPLOAD, offset=10)))
    assert [each async for each in storage.unsettled()] == []
    spoil(tmp_path, done)

    assert (await storage.usage("42")).finished == {done.id: 10}
    assert [each async for each in storage.unsettled()] == []
    assert caplog.records == []


async def test_an_open_upload_is_read_each_time(storage: LocalStorage, tmp_path: Path) -> None:
    """What may still change is not remembered."""
    upload = await storage.create(fresh())
    assert (await storage.usage("42")).size == 10
    spoil(tmp_path, upload)

    assert (await storage.usage("42")).size == 0


async def test_a_record_that_was_replaced_is_read_again(storage: LocalStorage) -> None:
    """A finished file that was deleted, by whichever process, counts no more."""
    done = await noted(storage, completed(replace(UPLOAD, offset=10)))
    assert (await storage.usage("42")).size == 10
    await storage.save(replace(done, ending=ENDED))

    assert (await storage.usage("42")).size == 0
    assert [each.id async for each in storage.unsettled()] == [done.id]


async def test_without_the_data_folder_nothing_is_known(
    storage: LocalStorage, tmp_path: Path
) -> None:
    """Where all is gone nobody is told that a user has nothing."""
    await storage.create(fresh())
    (tmp_path / "uploads").rename(tmp_path / "elsewhere")

    with pytest.raises(StorageError):
        await storage.usage("42")


def test_memory_has_an_end() -> None:
    """When very many records are known, they are forgotten and read once more."""
    catalogue = Catalogue(most=3)
    done, gone = completed(replace(UPLOAD, offset=10)), replace(UPLOAD, ending=ENDED)
    for mark in range(2):
        catalogue.note(mark, done)
    catalogue.note(2, gone)
    catalogue.note(3, UPLOAD)
    known = [catalogue.size(mark) for mark in range(4)], catalogue.is_gone(2)
    catalogue.note(4, done)

    assert known == ([10, 10, None, None], True)
    assert [catalogue.size(mark) for mark in range(5)] == [None] * 4 + [10]
    assert not catalogue.is_gone(2)
