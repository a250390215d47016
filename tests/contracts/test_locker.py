"""Every locker keeps every promise of `Locker`."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.contracts.locker import (
    PROMISES,
    SOON,
    TIMEOUT,
    LockersUnderTest,
    Promise,
    Wanted,
    is_free,
)
from tusd_py.errors import UploadLocked
from tusd_py.interfaces import Locker
from tusd_py.locks.file import FileLocker
from tusd_py.locks.memory import MemoryLocker

each_promise = pytest.mark.parametrize("promise", PROMISES, ids=lambda each: each.__name__)

HOLDER = """
import asyncio, sys
from pathlib import Path
from tusd_py.locks.file import FileLocker
from tusd_py.locks.memory import MemoryLocker

async def main() -> None:
    wanted = asyncio.Event()
    async with FileLocker.open(Path(sys.argv[1]), MemoryLocker()) as locker:
        async with locker.lock("key", wanted=wanted.set):
            print("held", flush=True)
            await wanted.wait()
            print("wanted", flush=True)
            if sys.argv[2] == "stubborn":
                await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def file_locker(path: Path) -> AsyncIterator[Locker]:
    """A locker as one process has it, that loses its patience sooner."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        yield FileLocker(fd, MemoryLocker(timeout=TIMEOUT), timeout=TIMEOUT)
    finally:
        os.close(fd)


@asynccontextmanager
async def holder(path: Path, character: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that holds `key`: a `polite` one leaves when it is wanted."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(path), character), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert await line(process) == b"held\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line(process: asyncio.subprocess.Process) -> bytes:
    """The next line that a process prints."""
    assert process.stdout is not None
    async with asyncio.timeout(20):
        return await process.stdout.readline()


@each_promise
async def test_memory_locker(promise: Promise) -> None:
    """`MemoryLocker` keeps its promises."""
    locker = MemoryLocker(timeout=TIMEOUT)

    await promise(LockersUnderTest(mine=locker, other=locker))


@each_promise
async def test_file_locker_in_one_process(promise: Promise, tmp_path: Path) -> None:
    """`FileLocker` keeps its promises between the requests of one process."""
    async with file_locker(tmp_path / "locks") as locker:
        await promise(LockersUnderTest(mine=locker, other=locker))


@each_promise
async def test_file_lockers_of_two_processes(promise: Promise, tmp_path: Path) -> None:
    """Two `FileLocker`s on one folder, as two processes have them, keep their promises."""
    async with (
        file_locker(tmp_path / "locks") as mine,
        file_locker(tmp_path / "locks") as other,
    ):
        await promise(LockersUnderTest(mine=mine, other=other))


async def test_another_process_hands_over(tmp_path: Path) -> None:
    """A holder in another process learns that it is wanted, and the newcomer goes on soon."""
    async with (
        holder(tmp_path / "locks", "polite") as process,
        file_locker(tmp_path / "locks") as locker,
        asyncio.timeout(SOON),
        locker.lock("key", wanted=Wanted(), patience=0.0),
    ):
        assert await line(process) == b"wanted\n"


async def test_another_process_keeps_its_lock(tmp_path: Path) -> None:
    """`UploadLocked` when a holder in another process does not let go in time."""
    async with holder(tmp_path / "locks", "stubborn"), file_locker(tmp_path / "locks") as locker:
        with pytest.raises(UploadLocked):
            async with locker.lock("key", wanted=Wanted()):
                pass

        assert not await is_free(locker, "key")


async def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    """Nothing of a killed process is left to clean up: its lock is free at once."""
    async with (
        holder(tmp_path / "locks", "stubborn") as process,
        file_locker(tmp_path / "locks") as locker,
    ):
        process.send_signal(signal.SIGKILL)
        await process.wait()

        assert await is_free(locker, "key")
