"""Blocks of a body that lie in memory."""

import os
from collections.abc import Sequence

from tusd_py.interfaces import Hasher

PIECE = 256 << 10
"""At most so many bytes are taken into memory at once."""


class MemoryBlock:
    """See `Block`."""

    def __init__(self, data: bytes | memoryview, hashers: Sequence[Hasher] = ()) -> None:
        self._data = data
        self._most = len(data)
        self._hashers = hashers

    @property
    def most(self) -> int:
        """See `Block.most`: all of them."""
        return self._most

    def into(self, fd: int, position: int, most: int | None = None) -> int:
        """See `Block.into`."""
        size = len(self._data) if most is None else min(most, len(self._data))
        taken, self._data = self._data[:size], memoryview(self._data)[size:]
        hash_all(self._hashers, taken)
        write_all(fd, taken, position)
        return size

    def take(self) -> bytes:
        """See `Block.take`."""
        data, self._data = self._data, b""
        hash_all(self._hashers, data)
        return bytes(data)

    def take_into(self, buffer: memoryview) -> int:
        """See `Block.take_into`."""
        size = min(len(buffer), len(self._data))
        taken, self._data = self._data[:size], memoryview(self._data)[size:]
        hash_all(self._hashers, taken)
        buffer[:size] = taken
        return size


def write_all(fd: int, data: bytes | bytearray | memoryview, position: int) -> None:
    """Write all of `data` at `position` of a file. Raises `OSError`."""
    view = memoryview(data)
    while view:
        size = os.pwrite(fd, view, position)
        view = view[size:]
        position += size


def hash_all(hashers: Sequence[Hasher], data: bytes | memoryview) -> None:
    """Let all of these see the next bytes."""
    for each in hashers:
        each.update(data)
