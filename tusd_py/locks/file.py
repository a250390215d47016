"""Locks between all processes that work on one data folder.

One file, never written: an upload is a byte of it, locked with an open file description lock
(fcntl(2), F_OFD_SETLK). Such a lock dies with its process and leaves nothing behind, so there is
no lock file to be stale or to clean up. Another byte of it is locked by who waits, which is how a
holder in another process learns that it is wanted. All of these lie behind those of the uploads, so
that one question tells whether anybody waits, however many locks are held.
"""

import asyncio
import errno
import fcntl
import hashlib
import os
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

from tusd_py.errors import StorageError, UploadLocked
from tusd_py.locks.memory import MemoryLocker, Taking
from tusd_py.watching import LockWatch

_LOOK_FOR_WAITERS = 0.15
_TRY_AGAIN = 0.02
_FLOCK = struct.Struct("hhqqi4x")

_WAITERS = 1 << 62
"""Where the bytes of those who wait begin, and those of the uploads end."""

_END = 2**63 - 1


class FileLocker:
    """A `MemoryLocker` inside the process, byte-range locks between processes.

    Each hears of its own waits. Who waits at both counts twice, with the time of each.
    """

    def __init__(
        self,
        fd: int,
        memory: MemoryLocker,
        *,
        timeout: float = 2.0,
        watch: LockWatch | None = None,
    ) -> None:
        self._meter = watch
        self._fd = fd
        self._memory = memory
        self._timeout = timeout
        self._taken = 0
        self._is_closing = False
        self._watched: dict[int, Callable[[], None]] = {}
        self._looking: asyncio.TimerHandle | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path, memory: MemoryLocker, watch: LockWatch | None = None
    ) -> AsyncIterator["FileLocker"]:
        """Open (and create, if needed) the lock file. Raises `StorageError`."""
        try:
            fd = await asyncio.to_thread(_open, path)
        except OSError as error:
            raise StorageError(f"{path} cannot be opened: {error.strerror}.") from error
        locker = cls(fd, memory, watch=watch)
        try:
            yield locker
        finally:
            locker.close()

    def close(self) -> None:
        """Close the lock file, once the last who holds a lock has let go."""
        self._is_closing = True
        if not self._taken:
            os.close(self._fd)
            if self._looking is not None:
                self._looking.cancel()

    def lock(
        self, key: str, *, wanted: Callable[[], None], patience: float = 0.0
    ) -> AbstractAsyncContextManager[None]:
        """See `Locker.lock`."""
        position = _position(key)
        return Taking(
            partial(self._begin, key, position, wanted, patience),
            partial(self._end, key, position),
        )

    async def _begin(
        self, key: str, position: int, wanted: Callable[[], None], patience: float
    ) -> None:
        since = asyncio.get_running_loop().time()
        await self._memory.take(key, wanted, patience)
        try:
            if not self._take(position):
                await self._wait(position, since + patience)
        except BaseException:
            self._memory.let_go(key)
            raise
        self._watch(position, wanted)

    def _end(self, key: str, position: int) -> None:
        try:
            self._free(position)
        finally:
            self._memory.let_go(key)

    @asynccontextmanager
    async def try_lock(self, key: str, *, wanted: Callable[[], None]) -> AsyncIterator[bool]:
        """See `Locker.try_lock`."""
        position = _position(key)
        async with self._memory.try_lock(key, wanted=wanted) as is_held:
            if not is_held or not self._take(position):
                yield False
                return
            self._watch(position, wanted)
            try:
                yield True
            finally:
                self._free(position)

    async def _wait(self, position: int, impatient_at: float) -> None:
        loop = asyncio.get_running_loop()
        since = loop.time()
        deadline = impatient_at + self._timeout
        is_asking = False
        try:
            while not self._take(position):
                now = loop.time()
                if now >= deadline:
                    raise UploadLocked
                if now >= impatient_at and not is_asking:
                    is_asking = self._take(_WAITERS + position)
                await asyncio.sleep(_TRY_AGAIN)
        finally:
            if is_asking:
                self._free(_WAITERS + position)
            if self._meter is not None:
                self._meter.waited(loop.time() - since)

    def _watch(self, position: int, wanted: Callable[[], None]) -> None:
        """Call `wanted` once when another process waits, until the lock is let go."""
        self._watched[position] = wanted
        if self._looking is None:
            loop = asyncio.get_running_loop()
            self._looking = loop.call_later(_LOOK_FOR_WAITERS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all locks: most are held for a moment only."""
        self._looking = None
        for position in self._waited_for():
            wanted = self._watched.pop(position, None)
            if wanted is not None:
                if self._meter is not None:
                    self._meter.asked()
                wanted()
        if self._watched:
            self._looking = loop.call_later(_LOOK_FOR_WAITERS, self._look, loop)

    def _take(self, position: int) -> bool:
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _range(fcntl.F_WRLCK, position))
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                return False
            raise StorageError(f"Uploads cannot be locked: {error.strerror}.") from error
        self._taken += 1
        return True

    def _free(self, position: int) -> None:
        self._watched.pop(position, None)
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _range(fcntl.F_UNLCK, position))
        self._taken -= 1
        if self._is_closing:
            self.close()

    def _waited_for(self) -> Iterator[int]:
        """The places of the uploads that other processes wait for. The system tells one of those in
        a range, any of them: then each side of it is asked about."""
        ranges = [(_WAITERS, _END)]
        while ranges:
            start, stop = ranges.pop()
            if start == stop:
                continue
            asked = _range(fcntl.F_WRLCK, start, stop - start)
            answer = fcntl.fcntl(self._fd, fcntl.F_OFD_GETLK, asked)
            kind, _, found, *_ = _FLOCK.unpack(answer)
            if kind != fcntl.F_UNLCK:
                yield found - _WAITERS
                ranges += [(start, found), (found + 1, stop)]


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _position(key: str) -> int:
    """An even place in the file, so that the system joins no two of them; there are 2**61, so two
    uploads practically never share one."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 2) & ~1


def _range(kind: int, position: int, size: int = 1) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, position, size, 0)
