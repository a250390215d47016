"""FileLocker, beyond what every locker promises."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
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


@asynccontextmanager
async def waiting(path: Path, keys: Iterable[str]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Somebody else, as in another process, who waits for all of these at once."""
    async with FileLocker.open(path, MemoryLocker()) as locker:

        async def wait_for(key: str) -> None:
            async with locker.lock(key, wanted=nothing):
                pass

        tasks = [asyncio.create_task(wait_for(key)) for key in keys]
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_all_who_are_wanted_are_told(tmp_path: Path) -> None:
    """Many others wait, each for a lock of its own; whose lock nobody waits for hears nothing."""
    path = tmp_path / "locks"
    held = [f"key {number}" for number in range(60)]
    told: set[str] = set()
    all_told = asyncio.Event()

    def tell(key: str) -> None:
        told.add(key)
        if len(told) == 30:
            all_told.set()

    async with FileLocker.open(path, MemoryLocker()) as locker, AsyncExitStack() as stack:
        for key in held:
            lock = locker.lock(key, wanted=partial(tell, key))
            await stack.enter_async_context(lock)
        async with waiting(path, held[10:40]), asyncio.timeout(10):
            await all_told.wait()
            await asyncio.sleep(0.3)

    assert told == set(held[10:40])


async def test_the_price_of_looking_does_not_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One question for all locks that are held, and a few more for each that is waited for."""
    asked = 0
    ask = fcntl.fcntl

    def counted(fd: int, command: int, argument: bytes) -> bytes:
        nonlocal asked
        asked += command == fcntl.F_OFD_GETLK
        answer: bytes = ask(fd, command, argument)
        return answer

    path = tmp_path / "locks"
    async with FileLocker.open(path, MemoryLocker()) as locker, AsyncExitStack() as stack:
        for number in range(200):
            await stack.enter_async_context(locker.lock(f"key {number}", wanted=nothing))
        monkeypatch.setattr(fcntl, "fcntl", counted)
        locker._look(asyncio.get_running_loop())
        alone = asked
        async with waiting(path, ["key 7", "key 8"]):
            await asyncio.sleep(0.2)
            asked = 0
            locker._look(asyncio.get_running_loop())

    assert alone == 1
    assert 1 <= asked <= 5
