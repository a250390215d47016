"""FileLocker, beyond what every locker promises."""

import os
from pathlib import Path

import pytest

from tusd_py.errors import StorageError
from tusd_py.locks.file import FileLocker
from tusd_py.locks.memory import MemoryLocker


def nothing() -> None:
    """A holder that does not listen."""


async def test_locks_leave_no_files(tmp_path: Path) -> None:
    """One file, never written: there is nothing to become stale or to clean up."""
    path = tmp_path / "locks"
    async with FileLocker.open(path, MemoryLocker()) as locker:
        for number in range(20):
            async with locker.lock(f"key {number}", wanted=nothing):
                pass

    assert os.listdir(tmp_path) == ["locks"]
    assert path.stat().st_size == 0


async def test_a_lock_file_from_before_is_no_lock(tmp_path: Path) -> None:
    """A lock dies with its process: what an earlier one left does not matter."""
    path = tmp_path / "locks"
    path.write_text("1\n")
    async with (
        FileLocker.open(path, MemoryLocker()) as locker,
        locker.try_lock("key", wanted=nothing) as is_held,
    ):
        assert is_held


async def test_the_folder_is_made(tmp_path: Path) -> None:
    """The data folder may be new."""
    async with FileLocker.open(tmp_path / "a" / "locks", MemoryLocker()):
        assert (tmp_path / "a" / "locks").exists()


async def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    """`StorageError` names the file."""
    with pytest.raises(StorageError, match=str(tmp_path)):
        async with FileLocker.open(tmp_path, MemoryLocker()):
            pass
