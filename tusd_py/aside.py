"""What is done beside the requests: nobody waits for it, but it has an owner and a bound."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

logger = logging.getLogger(__name__)

AT_ONCE = 32
MOST = 2000
"""So many are at work at once, so many wait at most; beyond that they are dropped, and logged."""


class Aside:
    """Does small tasks, each of which handles its own failures and ends by itself.

    `grace` in seconds is for what is left at the end. With None everything is done: instead of
    dropping a task, its caller waits for a place.
    """

    def __init__(self, grace: float | None = None) -> None:
        self._grace = grace
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(AT_ONCE)

    async def do(self, name: str, upload_id: str, work: Callable[[], Awaitable[None]]) -> bool:
        """Begin, or wait for a place; `name` and `upload_id` are for the log. False: dropped."""
        if len(self._tasks) >= MOST:
            if self._grace is not None:
                logger.error("hook_dropped", extra={"hook": name, "upload": upload_id})
                return False
            await self._room()
        task = asyncio.create_task(self._done(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        """Wait for what is left, as long as `grace` says; the rest is lost, and logged."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._grace):
                    while left := self._left():
                        await asyncio.wait(left)
        finally:
            if left := self._left():
                for task in left:
                    task.cancel()
                logger.error("hooks_lost", extra={"count": len(left)})
                await asyncio.wait(left)

    def _left(self) -> list[asyncio.Task[None]]:
        return [task for task in self._tasks if not task.done()]

    async def _room(self) -> None:
        """Return when there is a place; at once to a task of ours, which would wait for itself."""
        if asyncio.current_task() in self._tasks:
            return
        while len(left := self._left()) >= MOST:
            await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)

    async def _done(self, work: Callable[[], Awaitable[None]]) -> None:
        async with self._places:
            await work()
