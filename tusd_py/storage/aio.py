"""fsync(2) by the kernel's own threads: many files with one call, and none of our threads waits.

Linux has it since 4.18 (io_submit(2), IOCB_CMD_FSYNC). A thread that comes back from fsync(2) has
to wait for the interpreter each time; the kernel's threads do not need it.
"""

import asyncio
import contextlib
import errno
import functools
import os
from collections.abc import Callable, Sequence

from tusd_py.storage.fsync import NotSynced

try:
    from caio.linux_aio import Context, Operation
except ImportError:  # not Linux
    Context = None  # type: ignore[assignment,misc]  # looked at before it is called

MOST = 256
"""So many files at a time."""

_REFUSED = (OverflowError, ValueError, SystemError)
"""What caio raises when the kernel does not take the first file (io_submit(2), ERRORS)."""

_NEVER = {errno.ENOSYS, errno.EPERM}
"""What a kernel without it says, and a sandbox."""

Done = Callable[[int, OSError | None], None]
"""Is told a descriptor and what the medium refused, in the loop."""


class Aio:
    """For one event loop at a time. Where the kernel does not do it, it takes nothing."""

    def __init__(self) -> None:
        self._context: Context | None = None
        self._is_able = Context is not None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flying = 0

    def begin(self, fds: Sequence[int], done: Done) -> int:
        """Begin to put files on the medium, each named once; returns how many of them, in their
        order, the kernel took. The others have to be synced in another way.

        They may be closed meanwhile. `done` is called later, once for each of those taken.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # what flew for another one is nobody's business any more
            self._loop, self._context, self._flying = loop, None, 0
        context = self._opened()
        if context is None:
            return 0
        operations = []
        for fd in fds[: MOST - self._flying]:
            operation = Operation.fsync(fd)
            operation.set_callback(functools.partial(self._end, done, fd))
            operations.append(operation)
        try:
            taken = context.submit(*operations)
        except _REFUSED:
            taken = 0
        if taken and not self._flying:
            loop.add_reader(context.fileno, self._collect, context, loop)
        self._flying += taken
        return taken

    def _opened(self) -> Context | None:
        if self._context is None and self._is_able:
            try:
                self._context = Context(max_requests=MOST)
            except SystemError as error:
                # else there is no room now: fs.aio-max-nr, RLIMIT_NOFILE
                self._is_able = error.args[0] not in _NEVER
        return self._context

    def _collect(self, context: Context, loop: asyncio.AbstractEventLoop) -> None:
        """Take the ends that are there."""
        with contextlib.suppress(BlockingIOError):  # taken already, in an earlier round
            context.poll()
        context.process_events()
        if not self._flying:
            loop.remove_reader(context.fileno)

    def _end(self, done: Done, fd: int, result: int) -> None:
        self._flying -= 1
        done(fd, refusal(result))


def refusal(result: int) -> NotSynced | None:
    """What the medium refused. caio tells the kernel's result, which is 0 or a negative number, as
    an unsigned one of 64 bits."""
    number = -result & (1 << 64) - 1
    return NotSynced(number, os.strerror(number)) if number else None
