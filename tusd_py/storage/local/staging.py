"""REST chunks that wait for their turn on a local file system.

A chunk is a file, its digest the last bytes of it. One that was not put on the medium has the life
of the machine in its name: after a power failure its bytes may be others, and it does not count.
"""

import contextlib
import errno
import os
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tusd_py.block import write_all
from tusd_py.errors import StorageError
from tusd_py.interfaces import Block, ChunkWriter
from tusd_py.storage import disk
from tusd_py.storage.local.paths import Paths
from tusd_py.storage.steps import Steps
from tusd_py.storage.thread import Threads
from tusd_py.upload import Chunk, Upload

DIGEST_SIZE = 16
"""Bytes after a chunk that waits: its digest."""

_NAME = re.compile(r"([0-9]{1,19})(?:-([0-9a-f]{12}))?")


class Staging:
    """`boot` is the present life of the machine; with `is_strict` chunks are on the medium."""

    def __init__(self, threads: Threads, paths: Paths, *, boot: str, is_strict: bool) -> None:
        self._threads = threads
        self._paths = paths
        self._life = boot[-12:]
        self._is_strict = is_strict

    @asynccontextmanager
    async def open(self, upload: Upload, index: int) -> AsyncIterator[ChunkWriter]:
        """Write a chunk beside the one of that index, which it replaces when it is whole."""
        folder = Path(self._paths.chunks(upload))
        temporary = folder / f"{index}.{uuid.uuid4().hex}.tmp"
        fd = await self._threads.run(_open, temporary)
        try:
            yield _LocalChunkWriter(self._threads, self, fd, temporary, index)
        finally:
            await self._threads.run(_close, fd, temporary)

    def sizes(self, upload: Upload) -> dict[int, int]:
        """The chunks that wait: index -> size in bytes."""
        sizes: dict[int, int] = {}
        folder = Path(self._paths.chunks(upload))
        if not disk.is_folder(folder):
            return sizes
        with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                index = self._index(entry.name)
                if index is not None and entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):
                        sizes[index] = max(0, entry.stat().st_size - DIGEST_SIZE)
        return sizes

    def waits(self, name: str) -> bool:
        """Whether a file of that name is a chunk that waits, no piece of one, nor one of another
        life of the machine."""
        return self._index(name) is not None

    def keep(self, fd: int, temporary: Path, index: int) -> Steps[None]:
        """A chunk is whole: give it its name, on the medium if need be."""
        folder = temporary.parent
        if self._is_strict:
            yield [fd]
        os.rename(temporary, folder / self._names(index)[0])
        for other in self._names(index)[1:]:
            (folder / other).unlink(missing_ok=True)
        if self._is_strict:
            yield [str(folder), str(folder.parent)]

    def open_to_read(self, upload: Upload, index: int) -> tuple[int, Chunk]:
        """A descriptor of a chunk that waits, and what it is. It may be replaced meanwhile: this is
        one version. Raises `FileNotFoundError` when it does not wait."""
        folder = Path(self._paths.chunks(upload))
        first, second = self._names(index)
        try:
            fd = disk.open_to_read(folder / first)
        except FileNotFoundError:
            fd = disk.open_to_read(folder / second)
        try:
            size, digest = disk.tail(fd, DIGEST_SIZE)
        except BaseException:
            os.close(fd)
            raise
        return fd, Chunk(size=size, digest=digest)

    def forget(self, upload: Upload, index: int) -> None:
        """Remove a chunk that waited, if it did."""
        for name in self._names(index):
            disk.remove(f"{self._paths.chunks(upload)}/{name}")

    def _names(self, index: int) -> tuple[str, str]:
        """The name that a chunk is given now, and that of the other DURABILITY."""
        known = (str(index), f"{index}-{self._life}")
        return known if self._is_strict else (known[1], known[0])

    def _index(self, name: str) -> int | None:
        match = _NAME.fullmatch(name)
        return int(match[1]) if match and match[2] in {None, self._life} else None


class _LocalChunkWriter:
    """See `ChunkWriter`."""

    def __init__(
        self, threads: Threads, staging: Staging, fd: int, temporary: Path, index: int
    ) -> None:
        self._threads = threads
        self._staging = staging
        self._fd = fd
        self._temporary = temporary
        self._index = index
        self._position = 0

    async def write(self, block: Block) -> int:
        size = await self._threads.run_bulk(block.into, self._fd, self._position)
        self._position += size
        return size

    async def commit(self, chunk: Chunk) -> None:
        if chunk.digest is None or len(chunk.digest) != DIGEST_SIZE:
            raise StorageError("A chunk that waits needs its digest.")
        await self._threads.run(write_all, self._fd, chunk.digest, self._position)
        keeping = self._staging.keep(self._fd, self._temporary, self._index)
        await self._threads.run_steps(keeping)


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    if path.parent.is_symlink():
        raise disk.NotAFile(errno.ENOTDIR, "not a folder")
    for _ in range(5):  # the sweeper may remove the folder, empty as it is
        try:
            return disk.held(os.open(path, flags, 0o644))
        except FileNotFoundError:
            path.parent.mkdir(exist_ok=True)
    return disk.held(os.open(path, flags, 0o644))


def _close(fd: int, temporary: Path) -> None:
    os.close(fd)
    temporary.unlink(missing_ok=True)
