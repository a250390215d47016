"""A real file system of a few MiB, for tests that fill it, use up its inodes, or stop its writing.

It is a tmpfs in a mount namespace of its own (unshare(1)), so an ordinary user can have one, too,
where the system lets users have namespaces. A child process holds it, and it goes with that child.
"""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest

MIB = 1 << 20
SIZE = 16 * MIB
INODES = 2048

PAGE = os.sysconf("SC_PAGE_SIZE")
"""A tmpfs gives its room in pages of so many bytes."""

_HOLD = 'mount -t tmpfs -o "size=$2,nr_inodes=$3" tmpfs "$1" && echo ready && exec cat'
"""Holds the file system until its input ends, also when we were killed."""

_FREEZE = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"'
"""The same file system, read-only, above itself: what is open for writing stays open."""


class Trouble(Enum):
    """What a disk may be short of."""

    SPACE = "no space"
    INODES = "no inodes"
    READ_ONLY = "read-only"

    @property
    def status(self) -> int:
        """What a request hears that needs it."""
        return 503 if self is Trouble.READ_ONLY else 507


@dataclass(frozen=True, kw_only=True)
class SmallDisk:
    """The file system, mounted at `mounted_at` in the namespace of the process `holder`."""

    mounted_at: Path
    holder: int
    flags: tuple[str, ...]

    @property
    def root(self) -> Path:
        """Where every process of this user reaches it."""
        return Path(f"/proc/{self.holder}/root{self.mounted_at}")

    @contextmanager
    def trouble(self, kind: Trouble, left: int = 0) -> Iterator[None]:
        """Be short of something for a while, but for so many pages or inodes."""
        match kind:
            case Trouble.SPACE:
                with self.full(left):
                    yield
            case Trouble.INODES:
                with self.crowded(left):
                    yield
            case Trouble.READ_ONLY:
                with self.frozen():
                    yield

    @contextmanager
    def full(self, left: int = 0) -> Iterator[None]:
        """Have room for so many pages only."""
        filler = self.root / "filler"
        try:
            with filler.open("wb") as file:
                while not self._is_filled(file.fileno(), left):
                    continue
            yield
        finally:
            filler.unlink()

    def _is_filled(self, fd: int, left: int) -> bool:
        """Fill the rest; False when a server took some of it meanwhile."""
        size = (os.statvfs(self.root).f_bfree - left) * PAGE
        try:
            if size > 0:
                os.posix_fallocate(fd, 0, size)
        except OSError as error:
            assert error.errno == errno.ENOSPC
            return False
        return True

    @contextmanager
    def crowded(self, left: int = 0) -> Iterator[None]:
        """Have inodes for so many files only."""
        fillers = [self.root / f"filler-{n}" for n in range(os.statvfs(self.root).f_ffree - left)]
        try:
            for filler in fillers:
                filler.touch()
            yield
        finally:
            for filler in fillers:
                filler.unlink(missing_ok=True)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Be read-only for everybody who opens something."""
        self._inside("sh", "-c", _FREEZE, "sh", str(self.mounted_at))
        try:
            yield
        finally:
            self._inside("umount", str(self.mounted_at))

    def _inside(self, *command: str) -> None:
        where = ["--target", str(self.holder), "--mount"]
        if "--user" in self.flags:
            where += ["--user", "--preserve-credentials"]
        subprocess.run([program("nsenter"), *where, *command], check=True, timeout=30)


@contextmanager
def small_disk(folder: Path, *, size: int = SIZE, inodes: int = INODES) -> Iterator[SmallDisk]:
    """Mount a file system on an empty folder, where only those see it who look through `root`."""
    flags = ("--mount",) if os.geteuid() == 0 else ("--mount", "--user", "--map-root-user")
    hold = ["sh", "-c", _HOLD, "sh", str(folder), str(size), str(inodes)]
    with subprocess.Popen(
        [program("unshare"), *flags, *hold],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stderr is not None
        try:
            if holder.stdout.readline() != "ready\n":
                holder.kill()
                pytest.fail(f"no file system of our own: {holder.stderr.read()}", pytrace=False)
            yield SmallDisk(mounted_at=folder, holder=holder.pid, flags=flags)
        finally:
            holder.kill()


def program(name: str) -> str:
    """The path of a program of util-linux, or the failure of the test that needs it."""
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is missing: util-linux", pytrace=False)
    return path
