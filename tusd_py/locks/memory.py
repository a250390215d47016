"""Locks between the requests of one process."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType

from tusd_py.errors import UploadLocked
from tusd_py.watching import LockWatch


@dataclass(slots=True)
class _Waiter:
    turn: asyncio.Future[None]
    wanted: Callable[[], None]
    is_impatient: bool = False


@dataclass(slots=True)
class _Held:
    wanted: Callable[[], None]
    watch: LockWatch | None = None
    was_asked: bool = False
    waiters: deque[_Waiter] = field(default_factory=deque)

    def ask(self) -> None:
        """Tell the holder, once, that it is waited for."""
        if not self.was_asked:
            self.was_asked = True
            if self.watch is not None:
                self.watch.asked()
            self.wanted()


class MemoryLocker:
    """First come, first served; who waits longer than `timeout` seconds gets `UploadLocked`.
    `watch` hears of waits."""

    def __init__(self, *, timeout: float = 2.0, watch: LockWatch | None = None) -> None:
        self._watch = watch
        self._timeout = timeout
        self._held: dict[str, _Held] = {}

    def lock(
        self, key: str, *, wanted: Callable[[], None], patience: float = 0.0
    ) -> AbstractAsyncContextManager[None]:
        """See `Locker.lock`; waits `timeout` seconds after `patience`."""
        return Taking(partial(self.take, key, wanted, patience), partial(self.let_go, key))

    async def take(self, key: str, wanted: Callable[[], None], patience: float) -> None:
        """Hold a lock until it is let go. Raises `UploadLocked`."""
        held = self._held.get(key)
        if held is None:
            self._held[key] = _Held(wanted, self._watch)
        else:
            await self._wait(key, held, wanted, patience)

    def let_go(self, key: str) -> None:
        """Give a lock to who waits for it."""
        held = self._held[key]
        if held.waiters:
            self._next(held)
        else:
            del self._held[key]

    @asynccontextmanager
    async def try_lock(self, key: str, *, wanted: Callable[[], None]) -> AsyncIterator[bool]:
        """See `Locker.try_lock`."""
        if key in self._held:
            yield False
            return
        self._held[key] = _Held(wanted, self._watch)
        try:
            yield True
        finally:
            self.let_go(key)

    async def _wait(
        self, key: str, held: _Held, wanted: Callable[[], None], patience: float
    ) -> None:
        loop = asyncio.get_running_loop()
        since = loop.time()
        waiter = _Waiter(turn=loop.create_future(), wanted=wanted)
        held.waiters.append(waiter)

        def lose_patience() -> None:
            waiter.is_impatient = True
            held.ask()

        timer = loop.call_later(patience, lose_patience)
        try:
            if not patience:
                lose_patience()
            async with asyncio.timeout(patience + self._timeout):
                await asyncio.shield(waiter.turn)
        except TimeoutError:
            if not self._leave(held, waiter):
                raise UploadLocked from None
        except BaseException:
            if self._leave(held, waiter):
                self.let_go(key)
            raise
        finally:
            timer.cancel()
            if self._watch is not None:
                self._watch.waited(loop.time() - since)

    def _leave(self, held: _Held, waiter: _Waiter) -> bool:
        """Stop waiting; True when the turn had come in the same moment."""
        if waiter.turn.done():
            return True
        held.waiters.remove(waiter)
        return False

    def _next(self, held: _Held) -> None:
        waiter = held.waiters.popleft()
        held.wanted = waiter.wanted
        held.was_asked = False
        waiter.turn.set_result(None)
        if any(other.is_impatient for other in held.waiters):
            held.ask()


class Taking:
    """A lock that is taken when it is entered, and let go when it is left. Each request takes
    several: a generator would take longer."""

    def __init__(self, take: Callable[[], Awaitable[None]], let_go: Callable[[], None]) -> None:
        self._take = take
        self._let_go = let_go

    async def __aenter__(self) -> None:
        await self._take()

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._let_go()
