"""The `os` module as the local storage sees it, where one call, or all of a kind, fail with EIO.

A medium that refuses to take a file loses what was written to it since it last did: the bytes there
are zeros afterwards, as they may be under Linux, and the next fsync(2) succeeds.
"""

import errno
import functools
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from tests.faulty_os import without_aio

CALLS = ("open", "pwrite", "copy_file_range", "ftruncate", "fsync", "rename")
"""What may fail."""


@dataclass(kw_only=True)
class Breakage:
    """Which calls fail, how many were seen, and which have failed."""

    is_chosen: Callable[[str, Path], bool]
    number: int | None
    error: int
    seen: int = 0
    failed: list[str] = field(default_factory=list)

    def strikes(self, call: str, path: Path) -> bool:
        """Whether this call fails: every one that is chosen, or only the one of that number."""
        if not self.is_chosen(call, path):
            return False
        self.seen += 1
        is_hit = self.number is None or self.seen == self.number
        if is_hit:
            self.failed.append(call)
        return is_hit


class BreakingOs(ModuleType):
    """`os`, with calls that fail while a test says so. Other modules see the true one."""

    def __init__(self) -> None:
        super().__init__("os")
        self.__dict__.update(vars(os))
        self.__dict__.update({call: functools.partial(self._do, call) for call in CALLS})
        self._breakage: Breakage | None = None
        self._synced: dict[int, int] = {}

    @contextmanager
    def breaking(
        self,
        is_chosen: Callable[[str, Path], bool] = lambda _call, _path: True,
        *,
        number: int | None = None,
        error: int = errno.EIO,
    ) -> Iterator[Breakage]:
        """A while in which calls fail: the chosen ones, or of these the one of that number."""
        self._breakage = Breakage(is_chosen=is_chosen, number=number, error=error)
        try:
            yield self._breakage
        finally:
            self._breakage = None

    def _do(self, call: str, *arguments: object, **named: object) -> object:
        breakage = self._breakage
        if breakage is not None and breakage.strikes(call, _path(arguments)):
            if call == "fsync":
                self._lose(arguments[0])
            raise OSError(breakage.error, os.strerror(breakage.error))
        result = getattr(os, call)(*arguments, **named)
        if call == "fsync":
            about = os.fstat(_fd(arguments[0]))
            self._synced[about.st_ino] = about.st_size
        return result

    def _lose(self, number: object) -> None:
        fd = _fd(number)
        about = os.fstat(fd)
        start = self._synced.get(about.st_ino, 0)
        if stat.S_ISREG(about.st_mode) and start < about.st_size:
            os.pwrite(fd, bytes(about.st_size - start), start)


def breaking_os(monkeypatch: pytest.MonkeyPatch) -> BreakingOs:
    """Put the local storage on such a disk."""
    without_aio(monkeypatch)
    breaking = BreakingOs()
    for name, module in list(sys.modules.items()):
        is_stored_by = name.startswith(("tusd_py.storage.", "tusd_py.block"))
        if is_stored_by and getattr(module, "os", None) is os:
            monkeypatch.setattr(module, "os", breaking)
    return breaking


def _path(arguments: tuple[object, ...]) -> Path:
    """What a call is about: a file by its name, the target of a renaming, or an open file."""
    last = [each for each in arguments[:2] if isinstance(each, str | os.PathLike)]
    return Path(last[-1]) if last else Path(f"/proc/self/fd/{_fd(arguments[0])}").readlink()


def _fd(number: object) -> int:
    assert isinstance(number, int)
    return number
