"""Parts on their way: several at a time, counted in order, the first failure ends them all."""

import asyncio
from collections.abc import Callable, Coroutine

from tusd_py.storage.s3.flow import PARTS_OF_AN_UPLOAD, Flow


class Parts:
    """The parts of one multipart upload: those stored without a gap, and those on their way."""

    def __init__(self, flow: Flow, stored: tuple[str, ...]) -> None:
        self._flow = flow
        self._etags = list(stored)
        self._ahead: dict[int, str] = {}
        self._running: dict[asyncio.Task[str], int] = {}
        self._next = len(stored) + 1
        self._has_news = False

    @property
    def has_news(self) -> bool:
        """Whether a part was stored, or failed, since `collect` was called."""
        return self._has_news

    @property
    def etags(self) -> tuple[str, ...]:
        """The ETags of the parts that are stored, as well as all before them."""
        return tuple(self._etags)

    @property
    def count(self) -> int:
        """Parts begun, stored or not."""
        return self._next - 1

    @property
    def are_idle(self) -> bool:
        """Whether none is on its way."""
        return not self._running

    async def begin(self, store: Callable[[int], Coroutine[None, None, str]]) -> None:
        """Let `store(number)` store the next part beside what happens meanwhile.

        Waits for a place. Raises what an earlier part raised.
        """
        while len(self._running) >= PARTS_OF_AN_UPLOAD:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            self.collect()
        await self._flow.places.acquire()
        task = asyncio.create_task(store(self._next))
        task.add_done_callback(self._done)
        self._running[task] = self._next
        self._next += 1

    def collect(self) -> None:
        """Take note of what is stored. Raises what a part raised."""
        self._has_news = False
        for task in [each for each in self._running if each.done()]:
            self._ahead[self._running.pop(task)] = task.result()
        while (etag := self._ahead.pop(len(self._etags) + 1, None)) is not None:
            self._etags.append(etag)

    async def settle(self) -> None:
        """Return when all are stored. Raises what a part raised."""
        while self._running:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            self.collect()

    async def close(self) -> None:
        """End what is on its way."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()

    def _done(self, _task: asyncio.Task[str]) -> None:
        """Called however a task ends, also if it never began to run."""
        self._flow.places.release()
        self._has_news = True
