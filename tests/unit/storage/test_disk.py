"""The calls to a local file system: atomic, complete, durable where they say so."""

import errno
import os
import time
from pathlib import Path

import pytest

from tests.fakes import Fault
from tests.faulty_os import FaultyOs, faulty_os
from tusd_py.errors import StorageError
from tusd_py.storage import disk
from tusd_py.storage.steps import at_once


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    """A disk that can fail and notes what it is told."""
    return faulty_os(monkeypatch)


def names(folder: Path) -> list[str]:
    """What lies in a folder, hidden or not."""
    return sorted(path.name for path in folder.iterdir())


# --- copy


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file of four bytes to copy to."""
    path = tmp_path / "target"
    path.write_bytes(b"head")
    return path


def copy(source: Path, target: Path, size: int) -> None:
    """Copy behind the four bytes."""
    with source.open("rb") as from_file, target.open("r+b") as file:
        disk.copy(from_file.fileno(), 0, file.fileno(), 4, size)


def test_a_piece_of_a_file_is_copied(tmp_path: Path, target: Path) -> None:
    """From anywhere in one file to anywhere in another."""
    source = tmp_path / "source"
    source.write_bytes(b"a datadigest")

    with source.open("rb") as from_file, target.open("r+b") as file:
        disk.copy(from_file.fileno(), 2, file.fileno(), 4, 4)

    assert target.read_bytes() == b"headdata"


@pytest.mark.parametrize(
    ("content", "tail"), [(b"datadigest", (4, b"digest")), (b"short", (0, b"short"))]
)
def test_the_tail_of_a_file(tmp_path: Path, content: bytes, tail: tuple[int, bytes]) -> None:
    """How many bytes are before it, and what it is."""
    source = tmp_path / "source"
    source.write_bytes(content)

    with source.open("rb") as file:
        assert disk.tail(file.fileno(), 6) == tail


@pytest.mark.parametrize(
    "number", [errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL], ids=errno.errorcode.get
)
def test_a_file_system_without_copies_is_helped(
    number: int, tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel cannot copy, the bytes are read and written."""
    faulty = faulty_os(monkeypatch)

    def refuse(*_: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(faulty, "copy_file_range", refuse)
    source = tmp_path / "source"
    source.write_bytes(b"data")
    copy(source, target, 4)

    assert target.read_bytes() == b"headdata"


def test_a_source_that_is_too_short_is_told(tmp_path: Path, target: Path) -> None:
    """A file that is shorter than its record says is an error, not a shorter copy."""
    source = tmp_path / "source"
    source.write_bytes(b"dat")

    with pytest.raises(StorageError, match="shorter"):
        copy(source, target, 4)


def test_a_full_disk_is_told(tmp_path: Path, target: Path, faulty: FaultyOs) -> None:
    """No space is no space, also in a copy."""
    source = tmp_path / "source"
    source.write_bytes(b"data")

    with faulty.failing(Fault.WRITE), pytest.raises(OSError, match="No space"):
        copy(source, target, 4)


# --- seal


def test_a_sealed_file_has_its_size_and_is_synced(tmp_path: Path, faulty: FaultyOs) -> None:
    """Bytes beyond the offset do not exist; the others are on the medium."""
    path = tmp_path / "a"
    path.write_bytes(b"hello garbage")
    at_once(disk.seal(path, 5, may_create=False))

    assert path.read_bytes() == b"hello"
    assert faulty.calls == ["fsync a"]


def test_lost_bytes_are_not_sealed(tmp_path: Path) -> None:
    """A file that lacks bytes is never called finished, nor filled up with zeros."""
    path = tmp_path / "a"
    path.write_bytes(b"hell")

    with pytest.raises(StorageError, match="lost"):
        at_once(disk.seal(path, 5, may_create=False))
    assert path.read_bytes() == b"hell"


def test_a_file_is_sealed_that_never_was_written(tmp_path: Path) -> None:
    """An upload of no bytes has no file until then."""
    at_once(disk.seal(tmp_path / "a", 0, may_create=True))

    assert (tmp_path / "a").read_bytes() == b""


# --- move


def test_a_file_is_moved_into_new_folders(tmp_path: Path, faulty: FaultyOs) -> None:
    """The folder of the file and every folder that was made are synced after the rename."""
    source = tmp_path / "a"
    source.write_bytes(b"x")
    at_once(disk.move(source, tmp_path / "final" / "42" / "name", below=tmp_path))

    assert (tmp_path / "final" / "42" / "name").read_bytes() == b"x"
    assert faulty.calls[0] == "rename name"
    assert set(faulty.calls[1:]) == {"fsync 42", "fsync final", f"fsync {tmp_path.name}"}


def test_a_file_is_moved_over_another(tmp_path: Path) -> None:
    """An earlier file is replaced."""
    for name in ("old", "new"):
        (tmp_path / name).write_text(name)
        at_once(disk.move(tmp_path / name, tmp_path / "final" / "name", below=tmp_path))

    assert (tmp_path / "final" / "name").read_text() == "new"
    assert names(tmp_path) == ["final"]


def test_a_folder_that_was_pruned_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may remove an empty folder just before a file comes."""
    faulty = faulty_os(monkeypatch)
    folder = tmp_path / "final" / "42"
    attempts = []

    def rename(source: Path, target: Path) -> None:
        attempts.append(target)
        if len(attempts) == 1:
            folder.rmdir()
        os.rename(source, target)

    monkeypatch.setattr(faulty, "rename", rename)
    (tmp_path / "a").write_bytes(b"x")
    at_once(disk.move(tmp_path / "a", folder / "name", below=tmp_path))

    assert (folder / "name").read_bytes() == b"x"


def test_a_missing_source_is_told(tmp_path: Path) -> None:
    """There is nothing to move."""
    with pytest.raises(FileNotFoundError):
        at_once(disk.move(tmp_path / "a", tmp_path / "final" / "name", below=tmp_path))


# --- removing


def test_empty_folders_are_pruned(tmp_path: Path) -> None:
    """Empty folders go, up to but not including the one they are below."""
    (tmp_path / "final" / "42" / "7").mkdir(parents=True)
    disk.prune(tmp_path / "final" / "42" / "7", below=tmp_path / "final")

    assert names(tmp_path / "final") == []


def test_a_folder_with_something_in_it_stays(tmp_path: Path) -> None:
    """Pruning ends at the first folder that is not empty."""
    (tmp_path / "42" / "7").mkdir(parents=True)
    (tmp_path / "42" / "8").touch()
    disk.prune(tmp_path / "42" / "7", below=tmp_path)

    assert names(tmp_path / "42") == ["8"]


def test_a_tree_is_removed(tmp_path: Path) -> None:
    """A folder goes with all in it; a missing one is gone already."""
    folder = tmp_path / "chunks"
    folder.mkdir()
    (folder / "1").touch()
    disk.remove_files(folder)
    disk.remove_files(folder)

    assert names(tmp_path) == []


def test_a_tree_is_removed_although_others_remove_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk that breaks off takes its own file away meanwhile: the rest still goes."""
    folder = tmp_path / "chunks"
    folder.mkdir()
    for name in "abcde":
        (folder / name).touch()
    unlink = os.unlink

    def unlink_and_more(name: str, *, dir_fd: int | None = None) -> None:
        unlink(name, dir_fd=dir_fd)
        for other in list(folder.iterdir())[1:2]:
            unlink(other)

    monkeypatch.setattr(os, "unlink", unlink_and_more)
    disk.remove_files(folder)

    assert names(tmp_path) == []


def test_only_old_files_are_removed(tmp_path: Path) -> None:
    """A file that somebody writes to is not old; a missing one is no error."""
    old, young = tmp_path / "old", tmp_path / "young"
    for path in (old, young):
        path.touch()
    now = time.time()
    os.utime(old, (now - 100, now - 100))
    removed = [disk.remove_older(path, now - 50) for path in (old, young, tmp_path / "none")]

    assert removed == [True, False, False]
    assert names(tmp_path) == ["young"]


def test_a_file_that_somebody_holds_is_not_removed(tmp_path: Path) -> None:
    """However old its time says it is: a clock may have jumped."""
    path = tmp_path / "a.tmp"
    fd = disk.held(os.open(path, os.O_WRONLY | os.O_CREAT))
    kept = disk.remove_older(path, time.time() + 3600)
    os.close(fd)
    removed = disk.remove_older(path, time.time() + 3600)

    assert (kept, removed) == (False, True)


# --- the rest


def test_probing_leaves_nothing(tmp_path: Path) -> None:
    """`probe` makes the folder and proves that it can be written to."""
    disk.probe(tmp_path / "a" / "b")

    assert names(tmp_path / "a" / "b") == []


def test_probing_tells_what_cannot_be_a_folder(tmp_path: Path) -> None:
    """A file in the way is an error."""
    (tmp_path / "a").touch()

    with pytest.raises(OSError):
        disk.probe(tmp_path / "a" / "b")


@pytest.mark.parametrize("name", ["none", "file"])
def test_what_is_no_folder_holds_nothing(name: str, tmp_path: Path) -> None:
    """Strange files in the data folder stop nobody."""
    (tmp_path / "file").touch()

    assert disk.names(tmp_path / name) == []


# --- show


@pytest.mark.parametrize("size", [0, 1, disk.PIECE, 2 * disk.PIECE + 5])
def test_bytes_are_shown(tmp_path: Path, size: int) -> None:
    """So many bytes are shown, from anywhere, in pieces that fit into memory."""
    data = os.urandom(size + 10)
    (tmp_path / "data").write_bytes(data)
    seen: list[bytes] = []
    fd = disk.open_to_read(tmp_path / "data")
    disk.show(fd, 3, size, lambda piece: seen.append(bytes(piece)))
    disk.close(fd)

    assert b"".join(seen) == data[3 : 3 + size]
    assert all(len(piece) <= disk.PIECE for piece in seen)


def test_too_few_bytes_are_not_all(tmp_path: Path) -> None:
    """A file that is shorter than its record says is an error."""
    (tmp_path / "data").write_bytes(b"dat")
    fd = disk.open_to_read(tmp_path / "data")

    with pytest.raises(StorageError, match="shorter"):
        disk.show(fd, 0, 4, len)
    disk.close(fd)
