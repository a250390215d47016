"""The bytes of a file on this machine, as the body of an append."""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tusd_py.block import MemoryBlock
from tusd_py.errors import BodyError, BodyStopped, StorageError
from tusd_py.interfaces import Block, Hasher
from tusd_py.storage import disk

PIECE = 8 << 20
"""So much is copied at a time."""

SHORT = 256 << 10
"""What is no more than this is taken into memory: a storage may do so on the event loop."""


class FileBody:
    """See `Body`: a file from a position up to another one."""

    def __init__(self, fd: int, start: int, end: int) -> None:
        self._fd = fd
        self._position = start
        self._end = end
        self._size = end - start
        self._is_stopped = False

    @property
    def size(self) -> int:
        """See `Body.size`."""
        return self._size

    async def read(self, pause: float | None = None) -> bytes:
        """See `Body.read`. What was read before the file fails counts."""
        size = self._next(SHORT)
        try:
            data = await asyncio.to_thread(_read, self._fd, self._position, size)
        except OSError as error:
            raise BodyError(f"The file cannot be read: {error.strerror}.") from error
        self._position += size
        return data

    async def arrive(self, pause: float | None = None, *, hashers: Sequence[Hasher] = ()) -> Block:
        """See `Body.arrive`. What is to be hashed has to come into memory; all else need not."""
        size = self._next(PIECE)
        if hashers or size <= SHORT:
            return MemoryBlock(await self.read(), hashers)
        block = _FileBlock(self._fd, self._position, size)
        self._position += size
        return block

    def stop(self) -> None:
        """See `Body.stop`."""
        self._is_stopped = True

    def _next(self, most: int) -> int:
        """How many bytes come next."""
        if self._is_stopped:
            raise BodyStopped
        return min(most, self._end - self._position)


class _FileBlock:
    """See `Block`. Between two files the kernel copies; where the file system can share blocks
    (XFS, Btrfs), nothing is copied at all."""

    def __init__(self, fd: int, position: int, size: int) -> None:
        self._fd = fd
        self._position = position
        self._left = size
        self._most = size

    @property
    def most(self) -> int:
        """See `Block.most`."""
        return self._most

    def into(self, fd: int, position: int, most: int | None = None) -> int:
        """See `Block.into`."""
        size = self._left if most is None else min(most, self._left)
        disk.copy(self._fd, self._position, fd, position, size)
        self._position += size
        self._left -= size
        return size

    def take(self) -> bytes:
        """See `Block.take`."""
        data = _read(self._fd, self._position, self._left)
        self._position += self._left
        self._left = 0
        return data

    def take_into(self, buffer: memoryview) -> int:
        """See `Block.take_into`."""
        size = min(len(buffer), self._left)
        buffer[:size] = _read(self._fd, self._position, size)
        self._position += size
        self._left -= size
        return size


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor for reading. Raises `OSError`."""
    fd = disk.open_to_read(path)
    try:
        yield fd
    finally:
        disk.close(fd)


def _read(fd: int, position: int, size: int) -> bytes:
    """All of these bytes. Raises `StorageError` when the file is shorter, and `OSError`."""
    pieces = []
    while size:
        data = os.pread(fd, size, position)
        if not data:
            raise StorageError("A file became shorter while it was read.")
        pieces.append(data)
        position += len(data)
        size -= len(data)
    return b"".join(pieces)
