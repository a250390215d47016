"""The `os` module as the local storage sees it, on a disk that fails when a test says so."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

from tests.fakes import Fault
from tusd_py.storage.aio import Aio


class FaultyOs(ModuleType):
    """`os`, with some calls that may fail. Other modules of the process see the true one."""

    def __init__(self) -> None:
        super().__init__("os")
        self.__dict__.update(vars(os))
        self._faults: set[Fault] = set()
        self.calls: list[str] = []
        self.before_open: Callable[[], None] | None = None
        self.refuses: Callable[[str], bool] = lambda _name: False
        """Which files and folders, by name, the medium does not take."""

        self.pwrite = self._pwrite
        self.copy_file_range = self._copy_file_range
        self.rename = self._rename
        self.fsync = self._fsync
        self.open = self._open

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[None]:
        """Let the disk fail for a while."""
        self._faults.add(fault)
        try:
            yield
        finally:
            self._faults.discard(fault)

    def _pwrite(self, fd: int, data: bytes | memoryview, position: int) -> int:
        if Fault.WRITE in self._faults:
            os.pwrite(fd, data[: len(data) // 2], position)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.pwrite(fd, data, position)

    def _copy_file_range(self, fd: int, to_fd: int, size: int, start: int, position: int) -> int:
        if Fault.WRITE in self._faults:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.copy_file_range(fd, to_fd, size, start, position)

    def _rename(self, source: os.PathLike[str], target: os.PathLike[str]) -> None:
        suffix = os.path.splitext(target)[1]
        fault = {".info": Fault.RECORD, ".place": None}.get(suffix, Fault.MOVE)
        if fault in self._faults:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.rename(source, target)
        self.calls.append(f"rename {os.path.basename(target)}")

    def _fsync(self, fd: int) -> None:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
        if self.refuses(name):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.calls.append(f"fsync {name}")
        os.fsync(fd)

    def _open(self, path: os.PathLike[str], flags: int, mode: int = 0o777) -> int:
        hook, self.before_open = self.before_open, None
        if hook is not None:
            hook()
        return os.open(path, flags, mode)


def without_aio(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that syncs nothing by itself: then it is asked for with fsync(2)."""
    monkeypatch.setattr(Aio, "begin", lambda _self, _fds, _done: 0)


def faulty_os(monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    """Put the local storage on such a disk."""
    without_aio(monkeypatch)
    faulty = FaultyOs()
    for name, module in list(sys.modules.items()):
        is_stored_by = name.startswith(("tusd_py.storage.", "tusd_py.block"))
        if is_stored_by and getattr(module, "os", None) is os:
            monkeypatch.setattr(module, "os", faulty)
    return faulty
