"""Chooses how uploads are locked."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tusd_py.interfaces import Locker
from tusd_py.locks.file import FileLocker
from tusd_py.locks.memory import MemoryLocker


@contextlib.contextmanager
def open_locker(folder: Path) -> Iterator[Locker]:
    """A locker that holds between all processes that use `folder`."""
    with FileLocker.open(folder / "locks", MemoryLocker()) as locker:
        yield locker
