"""Chooses how uploads are locked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tusd_py.interfaces import Locker
from tusd_py.locks.file import FileLocker
from tusd_py.locks.memory import MemoryLocker


@asynccontextmanager
async def open_locker(folder: Path) -> AsyncIterator[Locker]:
    """A locker that holds between all processes that use `folder`."""
    async with FileLocker.open(folder / "locks", MemoryLocker()) as locker:
        yield locker
