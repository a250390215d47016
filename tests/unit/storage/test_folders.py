"""Folders that are open for many."""

import errno
import os
from pathlib import Path

import pytest

from tests.faulty_os import faulty_os
from tusd_py.storage.folders import Folders
from tusd_py.storage.fsync import NotSynced


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_many_share_one_descriptor(tmp_path: Path) -> None:
    """It is closed when the last one needs it no more."""
    folders = Folders()
    before = descriptors()
    opened = [folders.open(str(tmp_path)) for _ in range(10)]
    meanwhile = descriptors()
    for folder in opened:
        os.fsync(folder.fd)
        folders.close(folder)

    assert len({folder.fd for folder in opened}) == 1
    assert meanwhile == before + 1
    assert descriptors() == before


def test_a_folder_that_was_made_again_is_another(tmp_path: Path) -> None:
    """Names in the new one are not put on the medium with the old one."""
    folders = Folders()
    path = tmp_path / "a"
    path.mkdir()
    before = descriptors()
    old = folders.open(str(path))
    path.rmdir()
    path.mkdir()
    new, again = folders.open(str(path)), folders.open(str(path))
    is_new = os.path.samestat(os.fstat(new.fd), path.stat())
    for folder in (old, new, again):
        folders.close(folder)

    assert is_new
    assert old.fd != new.fd == again.fd
    assert descriptors() == before


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    """It is not there, whoever has it open still."""
    folders = Folders()
    path = tmp_path / "a"
    path.mkdir()
    old = folders.open(str(path))
    path.rmdir()
    with pytest.raises(FileNotFoundError):
        folders.open(str(path))
    folders.close(old)


def test_a_folder_that_cannot_be_reached_any_more(tmp_path: Path) -> None:
    """Also where somebody has it open: something else lies on the way to it now."""
    folders = Folders()
    path = tmp_path / "a" / "b"
    path.mkdir(parents=True)
    old = folders.open(str(path))
    path.rmdir()
    path.parent.rmdir()
    path.parent.write_text("a file")
    with pytest.raises(NotSynced) as caught:
        folders.open(str(path))
    folders.close(old)

    assert caught.value.errno == errno.ENOTDIR


def test_a_folder_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What it holds does not come onto the medium."""
    faulty = faulty_os(monkeypatch)

    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, "no more")

    monkeypatch.setattr(faulty, "open", refuse)
    with pytest.raises(NotSynced) as caught:
        Folders().open(str(tmp_path))

    assert caught.value.errno == errno.EMFILE
