"""Blocking calls in threads, their errors in our words: the border to the operating system."""

import asyncio
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar
from weakref import WeakValueDictionary

from tusd_py.errors import UploadError, UploadNotFound, from_os
from tusd_py.storage.pool import Answer, Pool
from tusd_py.storage.steps import Returned, Steps, at_once, step
from tusd_py.storage.syncing import Syncing

P = ParamSpec("P")
T = TypeVar("T")

SHORT = 16
"""Threads for calls that end soon."""

BULK = 2
"""Threads, at first, for calls that move large pieces of bodies: milliseconds each."""

LONG = 8
"""Threads for calls that take as long as a file is large: copies, and putting it on the medium."""

SHARE = 4
"""So many of them one user can have."""

SCAN = 2
"""Threads for calls that take as long as a user has files."""


class Threads:
    """Pools, so that no large file keeps the small calls waiting, nor one user the others."""

    def __init__(self) -> None:
        self._short = Pool(SHORT, "disk")
        self._bulk = Pool(SHORT, "disk-bulk", width=BULK)
        self._long = Pool(LONG, "disk-long", width=LONG)
        self._scan = Pool(SCAN, "disk-scan", width=SCAN)
        self._syncing = Syncing()
        self._in_steps = 0
        self._shares: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call that ends soon and translate its errors; absence is `UploadNotFound`.

        Ends only when the call has ended, however often it is cancelled: no thread ever uses a
        closed descriptor, and no lock is let go while a thread writes.
        """
        return await _ended(self._short.ask(functools.partial(call, *args, **kwargs)))

    async def run_bulk(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, for a call that moves many bytes: it does not hold up the small ones."""
        return await _ended(self._bulk.ask(functools.partial(call, *args, **kwargs)))

    async def run_steps(self, steps: Steps[T]) -> T:
        """As `run`, for work that has to wait for the medium in between: together with others, if
        there are any."""
        self._in_steps += 1
        watch = _Watch()
        try:
            if self._syncing.is_quick or self._in_steps == 1:
                pool = self._short if self._syncing.is_quick else self._syncing.pool
                all_steps = functools.partial(at_once, steps, sync=self._syncing.now)
                return await watch.over(pool.ask(all_steps))
            made = await watch.over(self._short.ask(functools.partial(step, steps, None)))
            while not isinstance(made, Returned):
                refused = await watch.over(self._syncing.ask(made))
                again = functools.partial(step, steps, refused)
                made = await watch.over(self._short.ask(again))
        except OSError as error:
            raise _in_our_words(error) from error
        else:
            return made.value
        finally:
            self._in_steps -= 1
            watch.end()

    async def sync(self, fd: int) -> None:
        """Put a small file on the medium, together with what others ask for."""
        if (refused := await self._syncing.ask([fd])) is not None:
            raise from_os(refused) from refused

    async def run_long(
        self, owner: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `run`, for a call that may take long; of one owner only a few at once."""
        share = self._shares.get(owner)
        if share is None:
            share = self._shares[owner] = asyncio.Semaphore(SHARE)
        async with share:
            return await _ended(self._long.ask(functools.partial(call, *args, **kwargs)))

    async def run_long_steps(self, owner: str, steps: Steps[T]) -> T:
        """As `run_long`, for work in steps. It waits for the medium alone."""
        return await self.run_long(owner, at_once, steps)

    async def run_scan(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, for a call that looks at all the files of a user."""
        return await _ended(self._scan.ask(functools.partial(call, *args, **kwargs)))


async def _ended(answer: Answer[T]) -> T:
    try:
        return await answer
    except OSError as error:
        raise _in_our_words(error) from error


class _Watch:
    """Sees to it that a task which is cancelled meanwhile goes on until all its calls ended."""

    def __init__(self) -> None:
        self._is_cancelled = False

    async def over(self, answer: Answer[T]) -> T:
        """What was answered."""
        try:
            return await answer
        except asyncio.CancelledError:
            self._is_cancelled = True
            return answer.result()

    def end(self) -> None:
        """Be cancelled now."""
        if self._is_cancelled:
            raise asyncio.CancelledError


def _in_our_words(error: OSError) -> UploadError:
    return UploadNotFound() if isinstance(error, FileNotFoundError) else from_os(error)
