"""The bytes of a finished file, read as a client takes them."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator

from tusd_py.errors import StorageError
from tusd_py.interfaces import Outlet
from tusd_py.storage.thread import Threads

READ_SIZE = 128 << 10
"""Bytes that are read at once: so many lie in memory for a client that takes nothing."""

TURN = 4 << 20
"""Bytes that are sent at once, at most: then others have their turn."""

_UNREACHABLE = {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN}
"""Errors of a socket that are no `ConnectionError`."""


class LocalContent:
    """See `Content`. `size` bytes of an open file; who opened `fd` closes it."""

    def __init__(self, threads: Threads, fd: int, size: int) -> None:
        self._threads = threads
        self._fd = fd
        self._size = size

    @property
    def size(self) -> int:
        """See `Content.size`."""
        return self._size

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """See `Content.read`. A thread is asked only for what the disk must be waited for."""
        while start < stop:
            size = min(READ_SIZE, stop - start)
            block = _at_hand(self._fd, size, start)
            if block:
                await asyncio.sleep(0)  # a fast client never makes us wait: let others have a turn
            else:
                block = await self._threads.run(os.pread, self._fd, size, start)
            if not block:
                raise StorageError("The file is shorter than its upload was.")
            yield block
            start += len(block)

    async def send(self, outlet: Outlet, start: int, stop: int) -> None:
        """See `Content.send`. The system copies from the file to the socket (sendfile(2))."""
        while start < stop:
            size = min(TURN, stop - start)
            try:
                sent = await self._threads.run(_send, outlet.fd, self._fd, start, size)
            except _ClientGone as error:
                raise ConnectionResetError("The client went.") from error
            start += sent
            if sent < size:
                await outlet.writable()


class _ClientGone(Exception):
    """It is the socket that failed, not the disk."""


def _send(socket: int, fd: int, start: int, size: int) -> int:
    """Send as many of these bytes as a socket takes without waiting; return how many."""
    sent = 0
    while sent < size:
        try:
            count = os.sendfile(socket, fd, start + sent, size - sent)
        except BlockingIOError:
            break
        except ConnectionError as error:
            raise _ClientGone from error
        except OSError as error:
            if error.errno in _UNREACHABLE:
                raise _ClientGone from error
            raise
        if not count:
            raise StorageError("The file is shorter than its upload was.")
        sent += count
    return sent


def _at_hand(fd: int, size: int, start: int) -> bytes:
    """What of these bytes is in memory; nothing where the file system cannot tell."""
    if not hasattr(os, "RWF_NOWAIT"):
        return b""
    buffer = bytearray(size)
    try:
        count = os.preadv(fd, [buffer], start, os.RWF_NOWAIT)
    except OSError:  # the disk would be waited for, or fails; a thread finds out
        return b""
    return bytes(memoryview(buffer)[:count])
