"""Who waits for a lock, and who is asked to let go, is measured, in a process and between two."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.conformance.tus.client import OCTETS, Tus, connected
from tests.exposition import exposition
from tests.servers import Address
from tusd_py.errors import UploadLocked
from tusd_py.locks.file import FileLocker
from tusd_py.locks.memory import MemoryLocker


@dataclass
class Heard:
    """See `LockWatch`: what it was told."""

    waits: list[float] = field(default_factory=list)
    times_asked: int = 0

    def waited(self, seconds: float) -> None:
        self.waits.append(seconds)

    def asked(self) -> None:
        self.times_asked += 1


async def test_a_free_lock_is_no_wait() -> None:
    """Most requests wait for nobody, and cost nothing here."""
    heard = Heard()
    locker = MemoryLocker(watch=heard)
    for _ in range(2):
        async with locker.lock("a", wanted=lambda: None), locker.try_lock("a", wanted=lambda: None):
            pass

    assert (heard.waits, heard.times_asked) == ([], 0)


async def test_who_waits_and_who_is_asked() -> None:
    """One waits until the holder lets go, which was asked once; its time is told."""
    heard = Heard()
    locker = MemoryLocker(watch=heard)
    wanted = asyncio.Event()

    async def wait() -> None:
        async with locker.lock("a", wanted=lambda: None):
            pass

    async with locker.lock("a", wanted=wanted.set):
        waiting = asyncio.create_task(wait())
        await asyncio.wait_for(wanted.wait(), 10)
        await asyncio.sleep(0.05)
    await waiting

    assert heard.times_asked == 1
    assert len(heard.waits) == 1
    assert 0.04 < heard.waits[0] < 10


async def test_a_wait_in_vain_counts() -> None:
    """Who gave up waited, too."""
    heard = Heard()
    locker = MemoryLocker(timeout=0.05, watch=heard)
    async with locker.lock("a", wanted=lambda: None):
        with pytest.raises(UploadLocked):
            async with locker.lock("a", wanted=lambda: None):
                pass

    assert len(heard.waits) == 1


async def test_another_process_counts(tmp_path: Path) -> None:
    """Between processes the holder's process counts who was asked, the other one the wait."""
    holders, others = Heard(), Heard()
    wanted = asyncio.Event()
    async with (
        FileLocker.open(tmp_path / "locks", MemoryLocker(watch=holders), holders) as one,
        FileLocker.open(tmp_path / "locks", MemoryLocker(watch=others), others) as two,
    ):

        async def wait() -> None:
            async with two.lock("a", wanted=lambda: None):
                pass

        async with one.lock("a", wanted=wanted.set):
            waiting = asyncio.create_task(wait())
            await asyncio.wait_for(wanted.wait(), 10)
        await waiting

    assert (holders.waits, holders.times_asked) == ([], 1)
    assert (len(others.waits), others.times_asked) == (1, 0)


async def test_a_hand_over_is_served(http: aiohttp.ClientSession, server: Address) -> None:
    """A HEAD takes over a PATCH that hangs: one hand-over and one wait in /metrics."""
    tus = Tus(http=http, address=server)
    url = await tus.create(10)
    async with connected(server) as hanging:
        headers = {"Content-Type": OCTETS, "Upload-Offset": "0", "Content-Length": "10"}
        await hanging.send(tus.wire("PATCH", url, {**headers, "Expect": "100-continue"}))
        assert (await hanging.head()).status == 100
        await tus.offset(url)

    found = await exposition(server)

    assert found.value("tusd_py_lock_handovers_total") == 1
    assert found.value("tusd_py_lock_wait_seconds_count") == 1
