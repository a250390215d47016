"""Work in steps of many uploads that wait for the medium together.

A file system with a journal writes that once for all of them. So what asks for the medium while it
is at work for others goes there next, at once; and what it took together goes on together.
"""

import asyncio
import errno
import functools
import time
from collections import deque
from collections.abc import Sequence
from contextvars import copy_context
from statistics import median
from typing import Any

from tusd_py.storage.aio import MOST, Aio
from tusd_py.storage.folders import Folder, Folders
from tusd_py.storage.fsync import NotSynced
from tusd_py.storage.pool import Answer, Pool
from tusd_py.storage.steps import Returned, Steps, T, Target, step, sync

QUICK = 0.0002
"""Seconds up to which nobody gains by waiting together, as in memory (tmpfs)."""

RECENT = 9
"""So many of the last times tell how long it takes."""

AT_WORK = 128
"""So many are on their way at most, each with a file and some folders open; others begin later."""

SHARED = 4
"""So many make a step in one call; with the others another thread may go on, should each of them
have to wait for the disk."""


class Syncing:
    """For one event loop at a time. `is_quick`: the medium takes no time worth mentioning. Steps
    are made in the threads of `pool`; that of `waiting` may wait for the medium."""

    def __init__(self, pool: Pool) -> None:
        self.waiting = Pool(1, "disk-sync", brief=False)
        self.is_quick = True
        self._pool = pool
        self._aio = Aio()
        self._folders = Folders()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._later: deque[_Work] = deque()
        self._at_work = 0
        self._ready: list[_Work] = []
        self._asking: deque[_Work] = deque()
        self._bundle = _Bundle()
        self._is_busy = False
        self._recent: deque[float] = deque([0.0], maxlen=RECENT)

    def now(self, targets: Sequence[Target]) -> dict[Target, OSError]:
        """Put targets on the medium, in this thread; tells which of them it refused."""
        began = time.perf_counter()
        refused = sync(targets)
        self._note((time.perf_counter() - began) / max(1, len(targets)))
        return refused

    def ask(self, steps: Steps[T]) -> Answer[T]:
        """Make all steps, together with those that others ask for. The answer is what they return,
        or raise."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._ready, self._asking, self._is_busy = loop, [], deque(), False
            self._later, self._at_work = deque(), 0
        answer: Answer[T] = Answer(loop=loop)
        self._later.append(_Work(steps, answer, self._folders))
        self._go_on([])
        return answer

    def _go_on(self, works: "Sequence[_Work]") -> None:
        """Let them make a step, with all others of this round of the loop and those that may begin
        now."""
        assert self._loop is not None
        was_due = bool(self._ready)
        self._ready += works
        while self._later and self._at_work < AT_WORK:
            self._at_work += 1
            self._ready.append(self._later.popleft())
        if self._ready and not was_due:
            self._loop.call_soon(self._make_steps)

    def _make_steps(self) -> None:
        ready, self._ready = self._ready, []
        for first in range(0, len(ready), SHARED):
            works = ready[first : first + SHARED]
            made = self._pool.ask(functools.partial(_make_steps, works))
            made.add_done_callback(functools.partial(self._made, works))

    def _made(self, works: "Sequence[_Work]", _made: Answer[None]) -> None:
        asking = [work for work in works if not work.has_answered()]
        self._asking += asking
        self._at_work -= len(works) - len(asking)
        self._go_on([])
        if self._asking and not self._is_busy:
            self._is_busy = True
            asyncio.get_running_loop().call_soon(self._begin)  # others ask in the same round

    def _begin(self) -> None:
        """Put on the medium what was asked for until now."""
        self._bundle = bundle = _Bundle()
        while self._asking and len(bundle.fds) < MOST // 2:
            bundle.add(self._asking.popleft())
        fds = list(bundle.fds)
        bundle.left, taken = len(fds), 0
        try:
            taken = self._aio.begin(fds, self._took)
        finally:  # whatever happens nobody waits for ever
            if rest := fds[taken:]:
                done = self.waiting.ask(functools.partial(sync, rest))
                done.add_done_callback(functools.partial(self._took_rest, rest))

    def _took_rest(self, fds: Sequence[int], done: Answer[dict[Target, OSError]]) -> None:
        failure = done.exception()
        for fd in fds:
            if failure is None:
                self._took(fd, done.result().get(fd))
            else:
                self._took(fd, NotSynced(errno.EIO, repr(failure)))

    def _took(self, fd: int, refused: OSError | None) -> None:
        bundle = self._bundle
        bundle.left -= 1
        if refused is not None:
            bundle.refused[fd] = refused
        if bundle.left:
            return
        self._note(time.perf_counter() - bundle.began)  # all at once take as long as one
        self._go_on(bundle.told())
        self._is_busy = bool(self._asking)
        if self._is_busy:
            self._begin()

    def _note(self, seconds: float) -> None:
        self._recent.append(seconds)
        self.is_quick = median(list(self._recent)) < QUICK


class _Work:
    """Steps on their way. `fds` is what a step waits for; folders among it are open meanwhile."""

    def __init__(self, steps: Steps[Any], answer: Answer[Any], folders: Folders) -> None:
        self.fds: list[int] = []
        self._folders = folders
        self._opened: list[Folder] = []
        self.refused: OSError | None = None
        self._steps = steps
        self._answer = answer
        self._context = copy_context()  # log lines name the request
        self._returned: Returned[Any] | None = None
        self._raised: BaseException | None = None

    def make_step(self) -> None:
        """Go on until something has to come onto the medium, or to the end."""
        try:
            while self._returned is None:
                self._close_folders()
                made = self._context.run(step, self._steps, self.refused)
                if isinstance(made, Returned):
                    self._returned = made
                else:
                    self.refused = self._open(made)
                    if self.fds and self.refused is None:
                        return
        except BaseException as error:
            self._raised = error

    def has_answered(self) -> bool:
        """Answer, if all steps were made."""
        if self._raised is not None:
            self._answer.set_exception(self._raised)
        elif self._returned is not None:
            self._answer.set_result(self._returned.value)
        else:
            return False
        return True

    def _open(self, targets: Sequence[Target]) -> OSError | None:
        """Open the folders among the targets; tells why that cannot be done."""
        try:
            for target in targets:
                if isinstance(target, str):
                    folder = self._folders.open(target)
                    self._opened.append(folder)
                    self.fds.append(folder.fd)
                else:
                    self.fds.append(target)
        except OSError as error:
            return error
        return None

    def _close_folders(self) -> None:
        opened, self._opened, self.fds = self._opened, [], []
        for folder in opened:
            self._folders.close(folder)


class _Bundle:
    """What is put on the medium at once: each of `fds`, of which `left` are not there yet."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.fds: set[int] = set()
        self.left = 0
        self.refused: dict[int, OSError] = {}
        self._works: list[_Work] = []

    def add(self, work: _Work) -> None:
        """Take in what a work waits for."""
        self._works.append(work)
        self.fds.update(work.fds)

    def told(self) -> list[_Work]:
        """The works, each told what was refused of its targets."""
        for work in self._works:
            refusals = (self.refused.get(fd) for fd in work.fds)
            work.refused = next((each for each in refusals if each is not None), None)
        return self._works


def _make_steps(works: Sequence[_Work]) -> None:
    for work in works:
        work.make_step()
