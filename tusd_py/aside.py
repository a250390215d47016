"""What is done beside the requests: nobody waits for it, but it has an owner and a bound."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

AT_ONCE = 32
MOST = 2000
"""So many are at work at once, so many wait at most; beyond that they are dropped, and logged."""

GRACE = 2.0
"""Seconds for what is at work when the server leaves."""


class Aside:
    """Does small tasks, each of which handles its own failures."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(AT_ONCE)

    def do(self, name: str, upload_id: str, work: Callable[[], Awaitable[None]]) -> bool:
        """Begin, or wait for a place; `name` and `upload_id` are for the log. False: dropped."""
        if len(self._tasks) >= MOST:
            logger.error("hook_dropped", extra={"hook": name, "upload": upload_id})
            return False
        task = asyncio.create_task(self._done(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        """Wait for what is at work, `GRACE` seconds at most; the rest is lost, and logged."""
        if not self._tasks:
            return
        _, left = await asyncio.wait(self._tasks, timeout=GRACE)
        for task in left:
            task.cancel()
        if left:
            logger.error("hooks_lost", extra={"count": len(left)})
            await asyncio.wait(left)

    async def _done(self, work: Callable[[], Awaitable[None]]) -> None:
        async with self._places:
            await work()
