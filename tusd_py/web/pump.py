"""Moves bytes from sockets into files, in threads: through pipes, so that the process sees none.

Bytes go from the socket into a pipe and from there into the file (splice(2)). Where the system or
the file system does not do that they come through memory. Digests are computed from the file, while
the next bytes are moved.
"""

import errno
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from fcntl import F_SETPIPE_SZ, fcntl
from typing import Protocol, TypeVar

from tusd_py.block import hash_all, write_all
from tusd_py.interfaces import Hasher

T = TypeVar("T")

MOST = 16 << 20
"""Bytes that one call moves at most, so that others have their turn. Between two calls the client
waits for the event loop."""

AT_ONCE, LEAST = 1 << 20, 64 << 10
"""Bytes that one system call moves at most, on a fast medium and on the slowest."""

LONG, QUICK = 0.05, 0.01
"""Seconds. After so long a call ends, and the next ones take half of the bytes at once; when it is
quick they take more again. So a slow medium keeps nobody waiting who wants the upload, and the
record is never far behind."""

WORTH_A_THREAD = 64 << 10
"""From so many bytes on their digest is computed while more are moved."""

DIGESTING = 4
"""Threads for digests."""

CANNOT_SPLICE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
"""What the system says where it does not do that (splice(2))."""


class CannotSplice(Exception):
    """This system does not move bytes from a socket into a pipe. Nothing was moved."""


class Source(Protocol):
    """Where bytes come from, as far as they have come. `step` of them are moved at once."""

    step: int

    def splice(self, pipe: int, most: int) -> int:
        """Move some into a pipe; 0 when there are none. Raises `CannotSplice`."""

    def receive_into(self, buffer: memoryview) -> int:
        """Put some into memory; 0 when there are none."""


class Pump:
    """What threads need for that, kept for the next one: pipes, memory, threads for digests."""

    def __init__(self) -> None:
        self._pipes: deque[_Pipe] = deque()
        self._buffers: deque[memoryview] = deque()
        self._digesting = ThreadPoolExecutor(DIGESTING, thread_name_prefix="digest")
        self._can_splice = True

    def close(self) -> None:
        """Close what is not in use."""
        self._digesting.shutdown(wait=False)
        while self._pipes:
            self._pipes.pop().close()

    def move(self, source: Source, fd: int, position: int, most: int) -> int:
        """Move what has come into a file, and return how many bytes, at most `most`.

        Raises the `OSError` of writing.
        """
        if not self._can_splice:
            return self._copy(source, fd, position, most)
        return self._splice(source, fd, position, most)

    def digest(self, fd: int, position: int, size: int, hashers: Sequence[Hasher]) -> Future[None]:
        """Let `hashers` see bytes of a file, large numbers of them later. The descriptor is not
        needed any more when this returns. The future raises the `OSError` of reading."""
        if size < WORTH_A_THREAD:
            done = Future[None]()
            self._look(fd, position, size, hashers)
            done.set_result(None)
            return done
        own = os.dup(fd)
        try:
            return self._digesting.submit(self._look_later, own, position, size, hashers)
        except BaseException:
            os.close(own)
            raise

    def _splice(self, source: Source, fd: int, position: int, most: int) -> int:
        moved = 0
        try:
            pipe = _spare(self._pipes) or _Pipe()
        except OSError:  # too many files are open
            return self._copy(source, fd, position, most)
        try:
            with _Pace(source) as pace:
                while moved < most and not pace.is_slow:
                    size = source.splice(pipe.entry, min(source.step, most - moved))
                    if not size:
                        break
                    if not pipe.empty_into(fd, position + moved, size):
                        self._can_splice = False
                    moved += size
        except CannotSplice:
            self._can_splice = False
        except BaseException:
            pipe.close()  # it may hold bytes of this upload
            raise
        self._pipes.append(pipe)
        return moved

    def _copy(self, source: Source, fd: int, position: int, most: int) -> int:
        moved = 0
        with self._buffer() as buffer, _Pace(source) as pace:
            while moved < most and not pace.is_slow:
                size = source.receive_into(buffer[: min(source.step, most - moved)])
                if not size:
                    break
                write_all(fd, buffer[:size], position + moved)
                moved += size
        return moved

    def _look_later(self, fd: int, position: int, size: int, hashers: Sequence[Hasher]) -> None:
        try:
            self._look(fd, position, size, hashers)
        finally:
            os.close(fd)

    def _look(self, fd: int, position: int, size: int, hashers: Sequence[Hasher]) -> None:
        """Let `hashers` see bytes of a file; fewer if it became shorter: nobody needs them then."""
        with self._buffer() as buffer:
            while size and (count := os.preadv(fd, [buffer[:size]], position)):
                hash_all(hashers, buffer[:count])
                position += count
                size -= count

    @contextmanager
    def _buffer(self) -> Iterator[memoryview]:
        buffer = _spare(self._buffers) or memoryview(bytearray(AT_ONCE))
        yield buffer
        self._buffers.append(buffer)


class _Pace:
    """How long one call takes; the next ones take more or fewer bytes at once for it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._begun_at = time.monotonic()

    @property
    def is_slow(self) -> bool:
        """Whether the call has taken long enough."""
        return time.monotonic() - self._begun_at >= LONG

    def __enter__(self) -> "_Pace":
        return self

    def __exit__(self, *_: object) -> None:
        took = time.monotonic() - self._begun_at
        if took >= LONG:
            self._source.step = max(LEAST, self._source.step // 2)
        elif took < QUICK:
            self._source.step = min(AT_ONCE, self._source.step * 2)


def _spare(kept: deque[T]) -> T | None:
    """One that nobody uses; other threads look for one, too."""
    try:
        return kept.pop()
    except IndexError:
        return None


class _Pipe:
    """A pipe that is empty between two uses."""

    def __init__(self) -> None:
        self.exit, self.entry = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        with suppress(OSError):  # the user has many pipes: smaller steps then
            fcntl(self.entry, F_SETPIPE_SZ, AT_ONCE)

    def close(self) -> None:
        os.close(self.exit)
        os.close(self.entry)

    def empty_into(self, fd: int, position: int, size: int) -> bool:
        """Write the `size` bytes it holds; False when the file system takes them from memory
        only."""
        while size:
            try:
                moved = os.splice(self.exit, fd, size, offset_dst=position)
            except OSError as error:
                if error.errno not in CANNOT_SPLICE:
                    raise
                while size:
                    data = os.read(self.exit, size)
                    write_all(fd, data, position)
                    position += len(data)
                    size -= len(data)
                return False
            position += moved
            size -= moved
        return True
