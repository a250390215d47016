"""The pass over the data folder: leftovers go, damaged and foreign files are set aside."""

import logging
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.uploads import BOOT, chunk, completed, fresh, grown
from tusd_py.block import MemoryBlock
from tusd_py.errors import StorageError, UploadGone, UploadNotFound
from tusd_py.events import Cleaned
from tusd_py.storage.local.storage import LocalStorage
from tusd_py.storage.record import PLAIN, VERSION
from tusd_py.upload import Upload

FOLDER = Path("uploads/42")
HOURS_AGO = time.time() - 7200


@pytest.fixture
async def storage(tmp_path: Path) -> LocalStorage:
    """A storage in a fresh folder."""
    storage = LocalStorage(tmp_path, boot=BOOT)
    await storage.check()
    return storage


async def kept(storage: LocalStorage, data: bytes = b"hello") -> Upload:
    """An upload with bytes."""
    upload = await storage.create(fresh())
    async with storage.writer(upload, atomic=False) as writer:
        await writer.write(MemoryBlock(data))
        return await writer.commit(grown(upload, len(data)))


def aged(path: Path) -> Path:
    """The same path; nobody wrote to it for a while."""
    os.utime(path, (HOURS_AGO, HOURS_AGO), follow_symlinks=False)
    return path


def all_aged(root: Path) -> None:
    """Nobody wrote to anything for a while."""
    for path in root.rglob("*"):
        aged(path)


def info(root: Path, upload: Upload) -> Path:
    """The record of an upload."""
    return root / FOLDER / f"{upload.id}.info"


def set_aside(root: Path) -> list[str]:
    """What is in quarantine, by its name before."""
    quarantine = root / "quarantine"
    paths = quarantine.rglob("*")
    return sorted(
        str(path.relative_to(quarantine)).rpartition(".")[0]
        for path in paths
        if path.is_symlink() or not path.is_dir() or "." in path.name
    )


async def swept(storage: LocalStorage) -> Cleaned:
    """What a pass of the sweeper does here: it looks at all uploads, then it cleans."""
    async for _ in storage.unsettled():
        pass
    return await storage.clean()


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"\xff\xfe", b"[]", b'{"version": 1}', b"null", b"[" * 100_000],
    ids=["empty", "cut", "no-text", "list", "no-fields", "null", "deep"],
)
async def test_a_damaged_record_is_set_aside(
    storage: LocalStorage, tmp_path: Path, damage: bytes
) -> None:
    """Its upload is gone, all others are as they were, and an operator can look at it."""
    upload, other = await kept(storage), await kept(storage)
    info(tmp_path, upload).write_bytes(damage)
    aged(info(tmp_path, upload))
    with pytest.raises(UploadGone):
        await storage.load("42", upload.id)
    first = await swept(storage)
    aged(tmp_path / FOLDER / f"{upload.id}.data")
    second = await swept(storage)

    assert (first, second) == (Cleaned(quarantined=1), Cleaned(quarantined=1))
    assert set_aside(tmp_path) == [f"42/{upload.id}.data", f"42/{upload.id}.info"]
    with pytest.raises(UploadNotFound):
        await storage.load("42", upload.id)
    assert await storage.load("42", other.id) == other
    assert [each async for each in storage.uploads("42")] == [other]


async def test_a_record_that_was_just_written_is_left(
    storage: LocalStorage, tmp_path: Path
) -> None:
    """Somebody may be copying a backup to its place."""
    upload = await kept(storage)
    info(tmp_path, upload).write_bytes(b"{")

    assert await swept(storage) == Cleaned(unreadable=1)
    assert info(tmp_path, upload).exists()


async def test_a_record_that_was_mended_is_left(storage: LocalStorage, tmp_path: Path) -> None:
    """Only what is damaged when the pass comes to it is set aside."""
    upload = await kept(storage)
    good = info(tmp_path, upload).read_bytes()
    info(tmp_path, upload).write_bytes(b"{")
    with pytest.raises(UploadGone):
        await storage.load("42", upload.id)
    info(tmp_path, upload).write_bytes(good)
    aged(info(tmp_path, upload))

    assert await swept(storage) == Cleaned()
    assert await storage.load("42", upload.id) == upload


async def test_a_record_of_a_newer_server_is_left(
    storage: LocalStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It may run on the same folder, or come back; the log names the record once."""
    upload = await kept(storage)
    newer = (
        info(tmp_path, upload)
        .read_bytes()
        .replace(f'"version":{PLAIN}'.encode(), f'"version":{VERSION + 1}'.encode())
    )
    info(tmp_path, upload).write_bytes(newer)
    aged(info(tmp_path, upload))
    with pytest.raises(StorageError):
        await storage.load("42", upload.id)
    first, second = await swept(storage), await swept(storage)

    assert (first, second) == (Cleaned(unreadable=1), Cleaned(unreadable=1))
    assert info(tmp_path, upload).read_bytes() == newer
    assert [record.getMessage() for record in caplog.records] == ["unreadable_record"]


async def test_a_record_of_another_is_set_aside(storage: LocalStorage, tmp_path: Path) -> None:
    """A record that was copied under another id, or to another user, is nobody's."""
    upload = await kept(storage)
    data = info(tmp_path, upload).read_bytes()
    copied = fresh()
    info(tmp_path, copied).write_bytes(data)
    (tmp_path / "uploads/43").mkdir()
    moved = tmp_path / "uploads/43" / f"{upload.id}.info"
    moved.write_bytes(data)
    aged(info(tmp_path, copied))
    aged(moved)

    assert await swept(storage) == Cleaned(quarantined=2)
    assert set_aside(tmp_path) == [f"42/{copied.id}.info", f"43/{upload.id}.info"]
    assert await storage.load("42", upload.id) == upload


async def test_foreign_things_are_set_aside(
    storage: LocalStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Files, folders, links and pipes that nobody here made: moved, logged, counted, not followed
    and not waited for."""
    upload = await kept(storage)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / f"{fresh().id}.info").write_bytes(b"{")
    folder = tmp_path / FOLDER
    (folder / "note.txt").write_bytes(b"a note")
    (folder / "folder").mkdir()
    (folder / f"{fresh().id}.part").touch()
    os.mkfifo(folder / "pipe")
    pipe = folder / f"{fresh().id}.info"
    os.mkfifo(pipe)
    (tmp_path / "uploads/file").touch()
    (tmp_path / "uploads/link").symlink_to(outside)
    for path in [*folder.iterdir(), *(tmp_path / "uploads").iterdir()]:
        aged(path)
    with pytest.raises(UploadGone):
        await storage.load("42", pipe.stem)
    with caplog.at_level(logging.ERROR):
        report = await swept(storage)

    assert report == Cleaned(quarantined=7)
    assert [name for name in set_aside(tmp_path) if "-" not in name] == [
        "42/folder",
        "42/note.txt",
        "42/pipe",
        "file",
        "link",
    ]
    assert caplog.messages.count("quarantined") == 7
    assert len(list(outside.iterdir())) == 1
    assert [each async for each in storage.uploads("42")] == [upload]


async def test_bytes_without_a_record_are_set_aside(storage: LocalStorage, tmp_path: Path) -> None:
    """A power failure may take a record; its bytes and its chunks are kept for the operator."""
    upload = await kept(storage)
    async with storage.stage(upload, 3) as writer:
        await writer.write(MemoryBlock(b"later"))
        await writer.commit(chunk(b"later"))
    info(tmp_path, upload).unlink()
    for name in ("data", "chunks"):
        aged(tmp_path / FOLDER / f"{upload.id}.{name}")

    assert await storage.clean() == Cleaned(quarantined=2)
    assert set_aside(tmp_path)[0] == f"42/{upload.id}.chunks"
    assert not list((tmp_path / FOLDER).iterdir())


async def test_chunks_of_another_life_go(storage: LocalStorage, tmp_path: Path) -> None:
    """What a power failure made worthless does not stay for ever; what counts does."""
    upload = await kept(storage)
    async with storage.stage(upload, 3) as writer:
        await writer.write(MemoryBlock(b"later"))
        await writer.commit(chunk(b"later"))
    folder = tmp_path / FOLDER / f"{upload.id}.chunks"
    (folder / "4-aaaaaaaaaaaa").touch()
    for path in folder.iterdir():
        aged(path)

    assert await storage.clean() == Cleaned(removed=1)
    assert await storage.staged(upload) == {3: 5}


async def test_what_is_at_work_is_left(storage: LocalStorage, tmp_path: Path) -> None:
    """Records, bytes, chunks, claims and finished files are ours, however old."""
    upload = replace(await kept(storage), filename="done")
    await storage.assemble(upload)
    await storage.save(completed(upload))
    other = await kept(storage)
    all_aged(tmp_path)

    assert await swept(storage) == Cleaned()
    assert not (tmp_path / "quarantine").exists()
    assert await storage.load("42", other.id) == other


async def test_what_cannot_be_moved_disturbs_nobody(
    storage: LocalStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A quarantine that cannot be made is told, and everything else goes on."""
    upload = await kept(storage)
    (tmp_path / "quarantine").touch()
    (tmp_path / FOLDER / "note.txt").touch()
    aged(tmp_path / FOLDER / "note.txt")

    assert await swept(storage) == Cleaned()
    assert caplog.messages == ["not_quarantined"]
    assert await storage.load("42", upload.id) == upload
