"""What `Locker` promises, as functions."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from tusd_py.errors import UploadLocked
from tusd_py.interfaces import Locker

TIMEOUT = 0.4
"""For how many seconds the lockers under test wait at most."""

SOON = 1.0
"""A newcomer goes on within this many seconds once the holder is gone."""


@dataclass(frozen=True, kw_only=True)
class LockersUnderTest:
    """Two views of the same locks: one locker twice, or those of two processes."""

    mine: Locker
    other: Locker


Promise = Callable[[LockersUnderTest], Awaitable[None]]
PROMISES: list[Promise] = []


def promise(function: Promise) -> Promise:
    """Make a function part of the contract."""
    PROMISES.append(function)
    return function


class Wanted:
    """A holder's `wanted`: counts the calls."""

    def __init__(self) -> None:
        self.calls = 0
        self._called = asyncio.Event()

    def __call__(self) -> None:
        self.calls += 1
        self._called.set()

    async def wait(self) -> None:
        """Return once it was called."""
        async with asyncio.timeout(SOON):
            await self._called.wait()


async def is_free(locker: Locker, key: str) -> bool:
    """Whether nobody holds a key."""
    async with locker.try_lock(key, wanted=Wanted()) as is_held:
        return is_held


@promise
async def only_one_holds_a_key(subject: LockersUnderTest) -> None:
    """Two requests are never at work on the same upload."""
    inside = most = 0

    async def work(locker: Locker) -> None:
        nonlocal inside, most
        async with locker.lock("key", wanted=Wanted(), patience=5.0):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work(each) for each in [subject.mine, subject.other] * 5))

    assert most == 1


@promise
async def keys_are_independent(subject: LockersUnderTest) -> None:
    """Work on one upload does not hinder work on another."""
    keys = [f"key {n}" for n in range(20)]
    async with AsyncExitStack() as stack:
        for key in keys:
            await stack.enter_async_context(subject.mine.lock(key, wanted=Wanted()))

        assert await is_free(subject.other, "another key")
        assert not any([await is_free(subject.other, key) for key in keys])


@promise
async def the_lock_is_free_afterwards(subject: LockersUnderTest) -> None:
    """At the end of the block the lock is free."""
    async with subject.mine.lock("key", wanted=Wanted()):
        assert not await is_free(subject.other, "key")

    assert await is_free(subject.other, "key")
    assert await is_free(subject.mine, "key")


@promise
async def the_lock_is_free_after_an_error(subject: LockersUnderTest) -> None:
    """An error inside the block frees the lock and goes on."""
    with pytest.raises(LookupError):
        async with subject.mine.lock("key", wanted=Wanted()):
            raise LookupError

    assert await is_free(subject.other, "key")


@promise
async def the_lock_is_free_after_cancellation(subject: LockersUnderTest) -> None:
    """A holder that is cancelled frees the lock."""
    held = asyncio.Event()

    async def hold() -> None:
        async with subject.mine.lock("key", wanted=Wanted()):
            held.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await held.wait()
    task.cancel()
    await asyncio.wait([task])

    assert await is_free(subject.other, "key")


@promise
async def the_holder_learns_that_it_is_wanted(subject: LockersUnderTest) -> None:
    """`wanted` is called when somebody else asks for the key; who then leaves lets them in."""
    wanted = Wanted()
    entered = asyncio.Event()

    async def come() -> None:
        async with subject.other.lock("key", wanted=Wanted(), patience=0.0):
            entered.set()

    async with subject.mine.lock("key", wanted=wanted):
        newcomer = asyncio.create_task(come())
        await wanted.wait()

        assert not entered.is_set()
    async with asyncio.timeout(SOON):
        await newcomer
    assert entered.is_set()


@promise
async def wanted_is_called_once(subject: LockersUnderTest) -> None:
    """However many ask for the key, its holder is told once."""
    wanted = Wanted()

    async def come(locker: Locker) -> None:
        async with locker.lock("key", wanted=Wanted(), patience=0.0):
            pass

    async with subject.mine.lock("key", wanted=wanted):
        newcomers = [asyncio.create_task(come(subject.other)) for _ in range(3)]
        await wanted.wait()
        await asyncio.wait(newcomers, timeout=TIMEOUT / 2)

    await asyncio.gather(*newcomers)
    assert wanted.calls == 1


@promise
async def nobody_is_told_without_need(subject: LockersUnderTest) -> None:
    """`wanted` is not called when nobody else asks, nor after the holder left."""
    wanted = Wanted()
    async with subject.mine.lock("key", wanted=wanted):
        pass
    async with subject.other.lock("key", wanted=Wanted()):
        with pytest.raises(UploadLocked):
            async with subject.mine.lock("key", wanted=Wanted()):
                pass

    assert wanted.calls == 0


@promise
async def the_holder_is_not_told_before_patience_ends(subject: LockersUnderTest) -> None:
    """The present holder is asked to let go after `patience` seconds, not before."""
    wanted = Wanted()

    async def come() -> None:
        async with subject.other.lock("key", wanted=Wanted(), patience=5.0):
            pass

    async with subject.mine.lock("key", wanted=wanted):
        newcomer = asyncio.create_task(come())
        await asyncio.wait([newcomer], timeout=TIMEOUT)
        calls = wanted.calls
    async with asyncio.timeout(SOON):
        await newcomer

    assert calls == 0


@promise
async def the_holder_is_told_when_patience_ends(subject: LockersUnderTest) -> None:
    """Patience has an end."""
    wanted = Wanted()

    async def come() -> None:
        async with subject.other.lock("key", wanted=Wanted(), patience=0.1):
            pass

    async with subject.mine.lock("key", wanted=wanted):
        newcomer = asyncio.create_task(come())
        await wanted.wait()
    await newcomer

    assert wanted.calls == 1


@promise
async def patience_ends_with_waiting(subject: LockersUnderTest) -> None:
    """Who gets the lock before its patience ends is not asked to let go when it would have."""
    wanted = Wanted()

    async def come() -> None:
        async with subject.other.lock("key", wanted=wanted, patience=0.1):
            await asyncio.sleep(0.3)  # nothing is what must happen meanwhile

    async with subject.mine.lock("key", wanted=Wanted()):
        newcomer = asyncio.create_task(come())
        await asyncio.sleep(0)
    await newcomer

    assert wanted.calls == 0


@promise
async def asking_ends_with_waiting(subject: LockersUnderTest) -> None:
    """A later holder hears nothing of those who waited for an earlier one."""
    first, later = Wanted(), Wanted()

    async def come() -> None:
        async with subject.other.lock("key", wanted=Wanted()):
            pass

    async with subject.mine.lock("key", wanted=first):
        newcomer = asyncio.create_task(come())
        await first.wait()
    await newcomer
    async with subject.mine.lock("key", wanted=Wanted()):
        with pytest.raises(UploadLocked):
            await come()
    async with subject.mine.lock("key", wanted=later):
        await asyncio.sleep(0.3)  # as above

    assert (first.calls, later.calls) == (1, 0)


@promise
async def who_waits_too_long_is_refused(subject: LockersUnderTest) -> None:
    """`UploadLocked` when the holder does not let go in time; it holds on, then all is free."""
    async with subject.mine.lock("key", wanted=Wanted()):
        with pytest.raises(UploadLocked):
            async with subject.other.lock("key", wanted=Wanted()):
                pass

        assert not await is_free(subject.other, "key")
    assert await is_free(subject.other, "key")


@promise
async def who_stops_waiting_leaves_no_trace(subject: LockersUnderTest) -> None:
    """A newcomer that is cancelled while it waits does not get the lock later."""
    wanted = Wanted()

    async def come() -> None:
        async with subject.other.lock("key", wanted=Wanted()):
            raise AssertionError

    async with subject.mine.lock("key", wanted=wanted):
        newcomer = asyncio.create_task(come())
        await wanted.wait()
        newcomer.cancel()
        await asyncio.wait([newcomer])

    assert newcomer.cancelled()
    assert await is_free(subject.other, "key")
    assert await is_free(subject.mine, "key")


@promise
async def the_next_holder_learns_of_those_behind_it(subject: LockersUnderTest) -> None:
    """Who gets the lock while others still wait is told that it is wanted, too."""
    first = Wanted()
    passed: list[str] = []

    async def come(name: str) -> None:
        wanted = Wanted()
        async with subject.other.lock("key", wanted=wanted, patience=0.0):
            if len(passed) == 0:
                await wanted.wait()
            passed.append(name)

    async with subject.mine.lock("key", wanted=first):
        newcomers = [asyncio.create_task(come(name)) for name in "ab"]
        await first.wait()
    async with asyncio.timeout(2 * SOON):
        await asyncio.gather(*newcomers)

    assert sorted(passed) == ["a", "b"]


@promise
async def a_free_key_is_taken_at_once(subject: LockersUnderTest) -> None:
    """`try_lock` holds the key if nobody does."""
    async with subject.mine.try_lock("key", wanted=Wanted()) as is_held:
        assert is_held
        assert not await is_free(subject.other, "key")

    assert await is_free(subject.other, "key")


@promise
async def trying_disturbs_nobody(subject: LockersUnderTest) -> None:
    """`try_lock` tells that the key is not free; its holder neither hears of it nor loses it."""
    wanted = Wanted()
    async with subject.mine.lock("key", wanted=wanted):
        for _ in range(3):
            async with subject.other.try_lock("key", wanted=Wanted()) as is_held:
                assert not is_held
        await asyncio.sleep(TIMEOUT)  # nothing is what must happen meanwhile

        assert not await is_free(subject.other, "key")
    assert wanted.calls == 0


@promise
async def who_tried_and_got_it_learns_that_it_is_wanted(subject: LockersUnderTest) -> None:
    """A holder by `try_lock` is told as any other."""
    wanted = Wanted()

    async def come() -> None:
        async with subject.other.lock("key", wanted=Wanted(), patience=0.0):
            pass

    async with subject.mine.try_lock("key", wanted=wanted):
        newcomer = asyncio.create_task(come())
        await wanted.wait()
    async with asyncio.timeout(SOON):
        await newcomer

    assert wanted.calls == 1


@promise
async def any_key_will_do(subject: LockersUnderTest) -> None:
    """Keys are any text: places of files are keys, too."""
    for key in ["", "42/123/ü 文件.mp3", "\udce4", "x" * 10_000]:
        async with subject.mine.lock(key, wanted=Wanted()):
            assert not await is_free(subject.other, key)
