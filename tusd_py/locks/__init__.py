"""Chooses how uploads are locked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tusd_py.interfaces import Locker
from tusd_py.locks.file import FileLocker
from tusd_py.locks.memory import MemoryLocker
from tusd_py.watching import LockWatch


@asynccontextmanager
async def open_locker(folder: Path, watch: LockWatch | None = None) -> AsyncIterator[Locker]:
    """A locker that holds between all processes that use `folder`; `watch` hears of waits."""
    async with FileLocker.open(folder / "locks", MemoryLocker(watch=watch), watch) as locker:
        yield locker
