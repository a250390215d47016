"""Blocking calls in threads, their errors in our words: the border to the operating system."""

import asyncio
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar
from weakref import WeakValueDictionary

from tusd_py.errors import UploadNotFound, from_os
from tusd_py.storage.pool import Answer, Pool

P = ParamSpec("P")
T = TypeVar("T")

SHORT = 16
"""Threads for calls that end soon."""

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
        self._long = Pool(LONG, "disk-long", width=LONG)
        self._scan = Pool(SCAN, "disk-scan", width=SCAN)
        self._shares: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call that ends soon and translate its errors; absence is `UploadNotFound`.

        Ends only when the call has ended, however often it is cancelled: no thread ever uses a
        closed descriptor, and no lock is let go while a thread writes.
        """
        return await _ended(self._short.ask(functools.partial(call, *args, **kwargs)))

    async def run_long(
        self, owner: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `run`, for a call that may take long; of one owner only a few at once."""
        share = self._shares.get(owner)
        if share is None:
            share = self._shares[owner] = asyncio.Semaphore(SHARE)
        async with share:
            return await _ended(self._long.ask(functools.partial(call, *args, **kwargs)))

    async def run_scan(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, for a call that looks at all the files of a user."""
        return await _ended(self._scan.ask(functools.partial(call, *args, **kwargs)))


async def _ended(answer: Answer[T]) -> T:
    try:
        return await answer
    except FileNotFoundError as error:
        raise UploadNotFound from error
    except OSError as error:
        raise from_os(error) from error
