"""Blocking calls in threads, their errors in our words: the border to the operating system."""

import asyncio
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar
from weakref import WeakValueDictionary

from tusd_py.errors import UploadError, UploadNotFound, from_os
from tusd_py.storage.pool import Answer, Pool
from tusd_py.storage.steps import Steps, at_once, synced
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
        self._syncing = Syncing(self._short)
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
        try:
            if self._in_steps > 1 and not self._syncing.is_quick:
                return await _ended(self._syncing.ask(steps))
            pool = self._short if self._syncing.is_quick else self._syncing.waiting
            all_steps = functools.partial(at_once, steps, sync=self._syncing.now)
            return await _ended(pool.ask(all_steps))
        finally:
            self._in_steps -= 1

    async def sync(self, fd: int) -> None:
        """Put a small file on the medium, together with what others ask for."""
        await self.run_steps(synced(fd))

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


def _in_our_words(error: OSError) -> UploadError:
    return UploadNotFound() if isinstance(error, FileNotFoundError) else from_os(error)
