"""MemoryLocker, beyond what every locker promises."""

import asyncio
import gc
import weakref

import pytest

from tusd_py.errors import UploadLocked
from tusd_py.locks.memory import MemoryLocker


def nothing() -> None:
    """A holder that does not listen."""


async def test_first_come_first_served() -> None:
    """Those who wait get the lock in the order in which they came."""
    locker = MemoryLocker()
    order: list[int] = []

    async def come(number: int) -> None:
        async with locker.lock("key", wanted=nothing):
            order.append(number)

    async with locker.lock("key", wanted=nothing):
        tasks = [asyncio.create_task(come(number)) for number in range(5)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)

    assert order == [0, 1, 2, 3, 4]


async def test_nobody_gets_in_between() -> None:
    """From the moment a holder leaves, the lock is the next one's: `try_lock` fails."""
    locker = MemoryLocker()

    async def come() -> None:
        async with locker.lock("key", wanted=nothing):
            pass

    async with locker.lock("key", wanted=nothing):
        waiting = asyncio.create_task(come())
        await asyncio.sleep(0)
    async with locker.try_lock("key", wanted=nothing) as is_held:
        assert not is_held
    await waiting


async def test_one_that_gives_up_does_not_stop_the_queue() -> None:
    """Who was refused leaves the queue to those behind."""
    locker = MemoryLocker(timeout=0.05)

    async def come(patience: float) -> None:
        async with locker.lock("key", wanted=nothing, patience=patience):
            pass

    async with locker.lock("key", wanted=nothing):
        hasty = asyncio.create_task(come(0.0))
        patient = asyncio.create_task(come(5.0))
        with pytest.raises(UploadLocked):
            await hasty
    await patient

    assert not patient.cancelled()


async def test_one_that_is_cancelled_in_its_turn_passes_it_on() -> None:
    """A turn that came in the moment of a cancellation is not lost."""
    locker = MemoryLocker()

    async def come() -> None:
        async with locker.lock("key", wanted=nothing):
            pass

    async with locker.lock("key", wanted=nothing):
        unlucky, lucky = asyncio.create_task(come()), asyncio.create_task(come())
        await asyncio.sleep(0)
    unlucky.cancel()
    await asyncio.wait([unlucky])
    async with asyncio.timeout(1):
        await lucky

    async with locker.try_lock("key", wanted=nothing) as is_held:
        assert is_held


async def test_free_keys_are_forgotten() -> None:
    """Nothing is remembered of a key that nobody holds, nor of who held it."""

    class Holder:
        def stop(self) -> None:
            """What a holder does when it is wanted."""

    locker = MemoryLocker()
    holder = Holder()
    known = weakref.ref(holder)
    async with locker.lock("key", wanted=holder.stop):
        pass
    del holder
    gc.collect()

    assert known() is None
