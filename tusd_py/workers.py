"""Worker processes: started, watched, replaced when they end, and ended together.

They are forked from a process that runs no thread and no event loop: a new one serves within
milliseconds, shares the memory of all that was imported, and has the settings, the sockets and the
shared memory without being told. The parent does nothing but watch.

Two pipes join a worker to its parent. The worker writes to one when it serves, or why it cannot.
The parent writes to the other when it is about to leave, and nobody reads that; its end says that
there is no parent any more. A signal would not do: whoever signals the whole process group (a
terminal, systemd) would seem to signal twice, and a killed parent sends none. Nor would the number
of the parent: a killed one has closed its pipes before its children are given to another.
"""

import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

LONG = 10.0
"""Seconds after which a worker is taken to have started well: its end is no reason to wait."""

PAUSES = (0.25, 3.0)
"""Seconds between the end of a worker that had just begun and the next one: at first, at most."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

logger = logging.getLogger(__name__)


class CannotServe(Exception):
    """The first worker did not come to serve. `str(error)` is one line; `code` is the exit code."""

    def __init__(self, why: str, code: int) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What joins a worker to its parent. `leave` can be read from when it is time to leave."""

    leave: int
    _say: int

    @property
    def is_orphaned(self) -> bool:
        """Whether the parent is gone, and with it who would tidy up after all have left."""
        poll = select.poll()
        poll.register(self.leave, select.POLLIN)
        return any(events & select.POLLHUP for _fd, events in poll.poll(0))

    def serving(self) -> None:
        """Tell the parent that requests are taken."""
        os.write(self._say, b"0\n")

    def cannot_serve(self, why: str, code: int) -> None:
        """Tell the parent the exit code, and one line for its user."""
        os.write(self._say, f"{code} {why}".encode()[: select.PIPE_BUF])


@dataclass(kw_only=True, slots=True)
class _Worker:
    number: int
    pid: int
    said_in: int
    since: float
    said: bytes = b""

    @property
    def is_serving(self) -> bool:
        return self.said.startswith(b"0\n")


class Supervisor:
    """`count` workers, numbered from 0, each of which does `work` in a process of its own.

    `on_serving` is called once, when all serve for the first time; `on_end` when a worker has
    ended, before the next one takes its number; `on_leaving` when no more are started. They have
    `patience` seconds to leave.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[int, Line], int],
        *,
        on_serving: Callable[[], None],
        on_end: Callable[[int], None],
        on_leaving: Callable[[], None],
        patience: float,
    ) -> None:
        self._count = count
        self._work = work
        self._on_serving = on_serving
        self._on_end = on_end
        self._on_leaving = on_leaving
        self._patience = patience
        self._workers: dict[int, _Worker] = {}  # by process id
        self._due: dict[int, float] = {0: 0.0}  # when the next one with a number starts
        self._pauses: dict[int, float] = {}
        self._caught: list[int] = []
        self._is_begun = False
        self._are_serving = False
        self._left = 0.0  # when the signal came
        self._leave_by: float | None = None
        self._leave, self._alive = os.pipe()
        self._wake, self._wakes = os.pipe()

    def run(self) -> None:
        """Return when all have left after SIGTERM or SIGINT; a second signal ends all at once.

        Raises `SystemExit` then, and `CannotServe`: the first is started alone, and the others
        when it serves.
        """
        with self._catching_signals():
            try:
                while self._leave_by is None or self._workers:
                    self._start_due()
                    self._wait()
                    self._heed_signals()
                    self._listen_to_workers()
                    self._reap()
                    self._kill_the_late()
                logger.info("stopped", extra={"seconds": round(time.monotonic() - self._left, 3)})
            finally:
                self._kill(signal.SIGKILL)
                os.close(self._leave)
                os.close(self._alive)

    def _start_due(self) -> None:
        now = time.monotonic()
        for number in [number for number, at in self._due.items() if at <= now]:
            del self._due[number]
            self._start(number)

    def _start(self, number: int) -> None:
        said_in, say = os.pipe()
        os.set_blocking(said_in, False)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if not pid:
            self._be_worker(number, Line(leave=self._leave, _say=say), said_in, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(say)
        self._workers[pid] = _Worker(
            number=number, pid=pid, said_in=said_in, since=time.monotonic()
        )

    def _be_worker(
        self, number: int, line: Line, said_in: int, before: set[int | signal.Signals]
    ) -> None:
        """Never returns. What is the parent's alone is closed: else nobody would see it end."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for each in _SIGNALS:
                signal.signal(each, signal.SIG_DFL)
            for fd in (self._alive, self._wake, self._wakes, said_in):
                os.close(fd)
            for other in self._workers.values():
                os.close(other.said_in)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            code = self._work(number, line)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            with suppress(OSError):
                sys.stdout.flush()
            os._exit(code)

    def _wait(self) -> None:
        """Until a signal comes, a worker says something or ends, or something is due."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        for worker in self._workers.values():
            if not worker.said:
                poll.register(worker.said_in, select.POLLIN)
        times = list(self._due.values()) + ([self._leave_by] if self._leave_by else [])
        wait = max(0.0, min(times) - time.monotonic()) if times else None
        if dict(poll.poll(None if wait is None else wait * 1000 + 1)).get(self._wake):
            os.read(self._wake, 4096)

    def _heed_signals(self) -> None:
        while self._caught:
            signum = self._caught.pop(0)
            if self._leave_by is not None:
                raise SystemExit(128 + signum)
            logger.info("leaving")
            self._left = time.monotonic()
            self._leave_by = self._left + self._patience
            self._due.clear()
            self._on_leaving()
            os.write(self._alive, b"leave\n")

    def _listen_to_workers(self) -> None:
        for worker in self._workers.values():
            if not worker.said:
                worker.said = _read(worker.said_in)
        if not self._is_begun and any(each.is_serving for each in self._workers.values()):
            self._is_begun = True
            if self._leave_by is None:
                self._due |= dict.fromkeys(range(1, self._count), 0.0)
        serving = sum(worker.is_serving for worker in self._workers.values())
        if serving == self._count and not self._are_serving and self._leave_by is None:
            self._are_serving = True
            self._on_serving()

    def _reap(self) -> None:
        """Of the first process of a container also the orphans of others."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if worker := self._workers.pop(pid, None):
                self._bury(worker, os.waitstatus_to_exitcode(status))

    def _bury(self, worker: _Worker, code: int) -> None:
        worker.said = worker.said or _read(worker.said_in)
        os.close(worker.said_in)
        self._on_end(worker.number)
        if self._leave_by is not None:
            return
        told, _, why = worker.said.decode(errors="replace").partition(" ")
        if not self._is_begun:
            raise CannotServe(
                why or f"A worker ended before it served ({_how(code)}); the log may say why.",
                int(told) if why else 1,
            )
        logger.error(
            "worker_died",
            extra={
                "worker": worker.number,
                "pid": worker.pid,
                "how": _how(code),
                **({"why": why} if why else {}),
            },
        )
        now = time.monotonic()
        if now - worker.since >= LONG:
            self._pauses.pop(worker.number, None)
            self._due[worker.number] = now
        else:
            first, most = PAUSES
            pause = self._pauses.get(worker.number, first)
            self._pauses[worker.number] = min(most, 2 * pause)
            self._due[worker.number] = now + pause

    def _kill_the_late(self) -> None:
        if self._leave_by is not None and time.monotonic() >= self._leave_by:
            self._leave_by += LONG
            if self._workers:
                logger.error("cut_short")
            self._kill(signal.SIGKILL)

    def _kill(self, signum: signal.Signals) -> None:
        for pid in self._workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signum)

    @contextmanager
    def _catching_signals(self) -> Iterator[None]:
        for fd in (self._wake, self._wakes):
            os.set_blocking(fd, False)
        before = {each: signal.signal(each, self._catch) for each in _SIGNALS}
        wakeup = signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for each, handler in before.items():
                signal.signal(each, handler)
            os.close(self._wake)
            os.close(self._wakes)

    def _catch(self, signum: int, _frame: FrameType | None) -> None:
        if signum != signal.SIGCHLD:
            self._caught.append(signum)


def _read(fd: int) -> bytes:
    """What a worker said; nothing yet, or nothing at all."""
    try:
        return os.read(fd, select.PIPE_BUF)
    except BlockingIOError:
        return b""


def _how(code: int) -> str:
    """How a process ended: its exit code, or the name of the signal."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
