"""Puts on the medium what many uploads ask for: together, as far as they ask while it is at work
for others.

A file system with a journal writes that once for all of them. And where each waits for the medium
in a thread of its own, these contend for the interpreter whenever one goes on: twice the time.
"""

import asyncio
import functools
import time
from collections import deque
from collections.abc import Sequence
from statistics import median

from tusd_py.storage.pool import Answer, Pool
from tusd_py.storage.steps import Target, sync

AT_ONCE = 2
"""While one bundle waits for the medium, the next one is on its way."""

QUICK = 0.0002
"""Seconds up to which nobody gains by waiting together, as in memory (tmpfs)."""

RECENT = 9
"""So many of the last times tell how long it takes."""


class Syncing:
    """For one event loop at a time. `is_quick`: it takes no time worth mentioning. In its `pool`
    also those wait who are alone."""

    def __init__(self) -> None:
        self.pool = Pool(AT_ONCE, "disk-sync", width=AT_ONCE)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: list[tuple[Sequence[Target], Answer[OSError | None]]] = []
        self._busy = 0
        self._is_due = False
        self._recent: deque[float] = deque([0.0], maxlen=RECENT)
        self.is_quick = True

    def now(self, targets: Sequence[Target]) -> dict[Target, OSError]:
        """Put targets on the medium, in this thread; tells which of them it refused."""
        began = time.perf_counter()
        refused = sync(targets)
        self._recent.append((time.perf_counter() - began) / len(targets))
        self.is_quick = median(list(self._recent)) < QUICK
        return refused

    def ask(self, targets: Sequence[Target]) -> Answer[OSError | None]:
        """Put targets on the medium; the answer is what it refused, if anything."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._asked, self._busy, self._is_due = loop, [], 0, False
        answer: Answer[OSError | None] = Answer(loop=loop)
        self._asked.append((targets, answer))
        if not self._is_due and self._busy < AT_ONCE:
            self._is_due = True
            loop.call_soon(self._begin)  # others ask in the same round
        return answer

    def _begin(self) -> None:
        self._is_due = False
        self._busy += 1
        asked, self._asked = self._asked, []
        together = [target for targets, _ in asked for target in targets]
        done = self.pool.ask(functools.partial(self.now, together))
        done.add_done_callback(lambda _: self._answer(asked, done))

    def _answer(
        self,
        asked: list[tuple[Sequence[Target], Answer[OSError | None]]],
        done: Answer[dict[Target, OSError]],
    ) -> None:
        error = done.exception()
        for targets, answer in asked:
            if error is not None:
                answer.set_exception(error)
            else:
                refused = done.result()
                answer.set_result(next((refused[t] for t in targets if t in refused), None))
        self._busy -= 1
        if self._asked and not self._is_due:
            self._begin()
