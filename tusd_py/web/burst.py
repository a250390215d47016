"""The rest of a body, taken from the socket in bursts: by threads that never wait for the client.

A burst is what has come so far.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

from tusd_py.block import PIECE, hash_all
from tusd_py.interfaces import Hasher
from tusd_py.web.pump import AT_ONCE, CANNOT_SPLICE, LONG, MOST, CannotSplice, Pump
from tusd_py.web.wire import Wire

FEW = 16 << 10
"""So few bytes that have come are worth no thread of their own: who takes them may keep them in
memory for a moment."""


class Burst:
    """The `rest` of a body, in bytes, behind a socket that nobody else reads from meanwhile.

    `into` and `take` are for one thread at a time; all else is for the event loop. `at_end` is
    called once: when the last byte was taken, or when it is given up.
    """

    def __init__(self, wire: Wire, rest: int, pump: Pump, at_end: Callable[[], None]) -> None:
        self.rest = rest
        self.step = AT_ONCE
        """So many bytes one system call moves at most: less where the medium is slow."""
        self.is_cut = False
        """Whether the client went away before it had sent everything."""
        self._wire = wire
        self._pump = pump
        self._at_end = at_end
        self._is_dry = True
        self._is_ended = False
        self._digest: Future[None] | None = None
        self._lock = threading.Lock()
        self._users = 0

    @property
    def is_broken(self) -> bool:
        """Whether nothing can come any more."""
        return self.is_cut or (self._is_ended and self.rest > 0)

    @property
    def is_dry(self) -> bool:
        """Whether all was taken that had come."""
        return self._is_dry

    async def ready(self) -> None:
        """Return when there may be bytes to take, or nothing can come any more."""
        if not self._is_ended:
            await self._wire.readable()
        self._is_dry = False

    async def seen(self) -> None:
        """Return when who computes digests has seen all that was taken. Raises `OSError`."""
        if self._digest is not None:
            await asyncio.shield(asyncio.wrap_future(self._digest))

    def end(self) -> None:
        """Let the socket go. A thread that is at work does so when it is done."""
        if self._is_ended:
            return
        with self._lock:
            self._is_ended = True
            is_used = self._users > 0
            self._wire.wake()  # before a thread closes it: only the loop may watch no more
        if not is_used:
            self._wire.close()
        self._at_end()

    def into(self, fd: int, position: int, most: int, hashers: Sequence[Hasher]) -> int:
        """Move what has come into a file; see `Block.into`. Another thread shows it to `hashers`,
        while the next call moves more. Raises the `OSError` of writing."""
        with self._used() as is_open:
            size = self._pump.move(self, fd, position, most) if is_open and most else 0
            if hashers:
                if self._digest is not None:
                    self._digest.result()  # one after the other, and no more than one behind
                if size:
                    self._digest = self._pump.digest(fd, position, size, hashers)
            return size

    @property
    def most(self) -> int:
        """So many bytes the next block has at most."""
        return min(self.rest, FEW if self._wire.waiting() <= FEW else MOST)

    def take(self, most: int) -> bytes:
        """Some of what has come; `b""` if that is nothing."""
        most = min(self.rest, PIECE, most)
        with self._used() as is_open:
            if not (is_open and most):
                return b""
            try:
                data = os.read(self._wire.fd, most)
            except BlockingIOError:
                self._dry()
                return b""
            except OSError:
                self._broken()
                return b""
        self._is_dry = len(data) < most  # what comes from now on is told by the event loop
        self._counted(len(data))
        return data

    def take_into(self, buffer: memoryview) -> int:
        """Put some of what has come into memory; 0 when that is nothing."""
        with self._used() as is_open:
            size = self.receive_into(buffer) if is_open else 0
        self._is_dry = self._is_dry or size < len(buffer)  # the event loop tells of what comes now
        return size

    def splice(self, pipe: int, most: int) -> int:
        """Move some of what has come into a pipe; 0 when that is nothing. Raises `CannotSplice`."""
        flags = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
        size = min(most, self.rest)
        try:
            return self._counted(size and os.splice(self._wire.fd, pipe, size, flags=flags))
        except BlockingIOError:
            return self._dry()
        except OSError as error:
            if error.errno in CANNOT_SPLICE:
                raise CannotSplice from error
            return self._broken()

    def receive_into(self, buffer: memoryview) -> int:
        """Put some of what has come into memory; 0 when that is nothing."""
        view = buffer[: self.rest]
        try:
            size = len(view) and os.readv(self._wire.fd, [view])
        except BlockingIOError:
            return self._dry()
        except OSError:
            return self._broken()
        self._is_dry = size < len(view)  # what comes from now on is told by the event loop
        return self._counted(size)

    def _counted(self, size: int) -> int:
        self.rest -= size
        return size or self._broken()

    def _dry(self) -> int:
        self._is_dry = True
        return 0

    def _broken(self) -> int:
        """Note that the client went away, unless it has sent everything."""
        self.is_cut = self.rest > 0
        return 0

    @contextmanager
    def _used(self) -> Iterator[bool]:
        """Keep the socket while it is used; tells whether it is still there."""
        with self._lock:
            is_open = not self._is_ended
            self._users += 1
        try:
            yield is_open
        finally:
            with self._lock:
                self._users -= 1
                is_last = self._is_ended and is_open and not self._users
            if is_last:
                self._wire.close()


class BurstBlock:
    """See `Block`."""

    def __init__(self, burst: Burst, hashers: Sequence[Hasher]) -> None:
        self._burst = burst
        self._hashers = hashers
        self._most = self._room = burst.most
        self._begun_at = time.monotonic()

    @property
    def most(self) -> int:
        """See `Block.most`."""
        return self._most

    def into(self, fd: int, position: int, most: int | None = None) -> int:
        """See `Block.into`."""
        is_over = self._room < self._most and time.monotonic() - self._begun_at >= LONG
        room = 0 if is_over else self._room
        size = self._burst.into(
            fd, position, room if most is None else min(most, room), self._hashers
        )
        self._room -= size
        return size

    def take(self) -> bytes:
        """See `Block.take`."""
        data = self._burst.take(self._room) if self._has_time else b""
        self._room -= len(data)
        hash_all(self._hashers, data)
        return data

    def take_into(self, buffer: memoryview) -> int:
        """See `Block.take_into`."""
        size = self._burst.take_into(buffer) if self._has_time else 0
        self._room -= size
        hash_all(self._hashers, buffer[:size])
        return size

    @property
    def _has_time(self) -> bool:
        """Whether another piece may be taken from this block, not from the next one."""
        taken = self._most - self._room
        if not taken:
            return True
        has_room = taken < AT_ONCE and self._room >= PIECE  # who takes may keep it all in memory
        return has_room and time.monotonic() - self._begun_at < LONG
