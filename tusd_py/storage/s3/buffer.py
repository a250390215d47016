"""Bytes on their way to the store: in memory while there is room, else in a file without a name.

Such a file goes with its process, however that ends.
"""

import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from tusd_py.block import write_all
from tusd_py.errors import StorageError
from tusd_py.interfaces import Block
from tusd_py.storage.thread import Threads

SLAB = 256 << 10
"""Memory is taken, and bytes are given to the network, in pieces of this size."""

LONG = 128 << 10
"""More bytes than that are taken, and their digests computed, in a thread."""

_SPILLED = ".spill"


class Room:
    """Memory for all buffers of a process, and the folder for what is beyond it.

    The memory is made when it is first needed and then used again and again, so a busy server takes
    no more of it than `memory` bytes, and leaves nothing to the allocator to scatter.
    """

    def __init__(self, memory: int, folder: Path, threads: Threads, *, slab: int = SLAB) -> None:
        self._unmade = memory // slab
        self._idle: list[bytearray] = []
        self._folder = folder
        self.slab = slab
        self.threads = threads

    @property
    def free(self) -> int:
        """Bytes of memory that nobody uses."""
        return (self._unmade + len(self._idle)) * self.slab

    def take(self) -> bytearray | None:
        """A piece of memory, None when all is in use."""
        if self._idle:
            return self._idle.pop()
        if not self._unmade:
            return None
        self._unmade -= 1
        return bytearray(self.slab)

    def give(self, slab: bytearray) -> None:
        """Give a piece back. One that a dying connection still holds is not used again."""
        try:
            slab.append(0)
            slab.pop()
        except BufferError:
            self._unmade += 1
        else:
            self._idle.append(slab)

    def make_file(self) -> int:
        """A descriptor of a new file without a name. Blocking."""
        try:
            return _nameless(self._folder)
        except FileNotFoundError as error:
            raise StorageError("The folder for parts on their way is not there.") from error

    def clean(self) -> None:
        """Make the folder, and remove a file that a process left which died while it made one.
        Blocking."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob(f"*{_SPILLED}"):
            path.unlink(missing_ok=True)


def _nameless(folder: Path) -> int:
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise
    except OSError:  # the file system has no such files
        fd, path = tempfile.mkstemp(suffix=_SPILLED, dir=folder)
        os.unlink(path)
        return fd


class _File:
    """A file that several buffers share."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.users = 1

    def release(self) -> None:
        self.users -= 1
        if not self.users:
            os.close(self.fd)


class Buffer:
    """Bytes that are appended, and read as often as need be."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._slabs: list[bytearray] = []
        self._file: _File | None = None
        self._start = 0
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._size

    async def taken(self, block: Block) -> bytes:
        """The bytes of a block, by a thread if that may take long."""
        if block.most <= LONG:
            return block.take()
        return await self._room.threads.run(block.take)

    async def write(self, block: bytes | memoryview) -> None:
        """Append all of it or nothing. Raises `NoSpace` or `StorageError` when it has to go to a
        file and cannot."""
        before = self._size
        try:
            rest = self._kept_in_memory(memoryview(block))
            if rest and self._file is None:
                await self._spill()
            if rest and self._file is not None:
                end = self._start + self._size
                await self._room.threads.run(write_all, self._file.fd, rest, end)
                self._size += len(rest)
        except BaseException:
            self._cut(before)
            raise

    def _kept_in_memory(self, rest: memoryview) -> memoryview:
        """Append to what is in memory while there is room; return the rest."""
        slab = self._room.slab
        while rest and self._file is None:
            used = self._size - (len(self._slabs) - 1) * slab if self._slabs else slab
            if used == slab:
                taken = self._room.take()
                if taken is None:
                    break
                self._slabs.append(taken)
                used = 0
            part = rest[: slab - used]
            self._slabs[-1][used : used + len(part)] = part
            self._size += len(part)
            rest = rest[len(part) :]
        return rest

    def _cut(self, size: int) -> None:
        """Keep the first bytes only."""
        self._size = size
        while self._slabs and (len(self._slabs) - 1) * self._room.slab >= size:
            self._room.give(self._slabs.pop())

    async def yield_memory(self) -> None:
        """Go to a file, so that others have the memory. Raises as `write`; nothing is lost then."""
        if self._slabs:
            await self._spill()

    def split(self, size: int) -> "Buffer":
        """Take the first bytes off into a buffer of their own: whole slabs."""
        count, odd = divmod(size, self._room.slab)
        if odd or size > self._size:
            raise ValueError("A buffer is split between slabs.")
        front = Buffer(self._room)
        front._size = size
        self._size -= size
        if self._file is None:
            front._slabs = self._slabs[:count]
            del self._slabs[:count]
        else:
            front._file = self._file
            front._start = self._start
            self._file.users += 1
            self._start += size
        return front

    async def blocks(self, start: int = 0) -> AsyncIterator[bytes | memoryview]:
        """The bytes from `start` to the end."""
        while start < self._size:
            if self._file is None:
                block: bytes | memoryview = self._block(start)
            else:
                size = min(SLAB, self._size - start)
                position = self._start + start
                block = await self._room.threads.run(os.pread, self._file.fd, size, position)
                if not block:
                    raise StorageError("A file of parts is shorter than what was written to it.")
            yield block
            start += len(block)

    def close(self) -> None:
        """Give back memory and file. May be called again."""
        for slab in self._slabs:
            self._room.give(slab)
        if self._file is not None:
            self._file.release()
        self._slabs = []
        self._file = None
        self._size = 0

    async def digest(self, digest: "hashlib._Hash", start: int = 0) -> None:
        """Feed a digest with the bytes from `start`, in a thread."""
        await self._room.threads.run(self._update, digest, start)

    def _update(self, digest: "hashlib._Hash", start: int) -> None:
        """Feed a digest. Blocking."""
        while start < self._size:
            if self._file is None:
                block: bytes | memoryview = self._block(start)
            else:
                size = min(SLAB, self._size - start)
                block = os.pread(self._file.fd, size, self._start + start)
                if not block:
                    raise StorageError("A file of parts is shorter than what was written to it.")
            digest.update(block)
            start += len(block)

    def _block(self, start: int) -> memoryview:
        """The bytes in memory from `start` to the end of their slab."""
        index, first = divmod(start, self._room.slab)
        size = min(self._room.slab - first, self._size - start)
        return memoryview(self._slabs[index])[first : first + size]

    async def _spill(self) -> None:
        """Put what is in memory into a file."""
        file = _File(await self._room.threads.run(self._room.make_file))
        try:
            for start in range(0, self._size, self._room.slab):
                await self._room.threads.run(write_all, file.fd, self._block(start), start)
        except BaseException:
            file.release()
            raise
        for slab in self._slabs:
            self._room.give(slab)
        self._slabs = []
        self._file = file


def _nothing() -> None:
    """Nobody wants to know."""


class Sending:
    """The body of a request: what lies in some buffers, from `start` on, as often as it is sent.

    It has the methods that the client asks of a file; the bytes come by asynchronous iteration.
    """

    def __init__(self, buffers: Sequence[Buffer], start: int = 0) -> None:
        self._buffers = buffers
        self._start = start
        self.sha256: str | None = None
        self.on_block: Callable[[], None] = _nothing

    def __len__(self) -> int:
        return sum(buffer.size for buffer in self._buffers) - self._start

    def tell(self) -> int:
        """Always at the beginning: every iteration starts anew."""
        return 0

    def seek(self, position: int, _whence: int = 0) -> int:
        """Called before a request is sent again."""
        return position

    async def read(self, _size: int = -1) -> bytes:
        """All bytes. The client wants to see that there is such a method, and does not call it."""
        return b"".join([bytes(block) async for block in self])

    async def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        start = self._start
        for buffer in self._buffers:
            async for block in buffer.blocks(min(start, buffer.size)):
                self.on_block()
                yield block
            start = max(0, start - buffer.size)

    async def seal(self) -> None:
        """Compute the digest that is signed, and that the store checks what it gets against."""
        digest = hashlib.sha256()
        start = self._start
        for buffer in self._buffers:
            await buffer.digest(digest, min(start, buffer.size))
            start = max(0, start - buffer.size)
        self.sha256 = digest.hexdigest()
