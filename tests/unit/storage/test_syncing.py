"""Many who wait for the medium together."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faulty_os import FaultyOs, faulty_os
from tusd_py.errors import StorageError, UploadNotFound
from tusd_py.storage.steps import Steps
from tusd_py.storage.syncing import AT_ONCE, RECENT, Syncing
from tusd_py.storage.thread import Threads


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    """A disk that notes what it is told."""
    return faulty_os(monkeypatch)


@pytest.fixture
def slowly(faulty: FaultyOs, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A medium for which it is worth waiting together."""
    take = faulty.fsync

    def sync(fd: int) -> None:
        time.sleep(0.001)
        take(fd)

    monkeypatch.setattr(faulty, "fsync", sync)
    return sync


async def known_to_be_slow(threads: Threads, folder: Path) -> None:
    for _ in range(RECENT):
        await threads.run_steps(synced(folder))


def synced(folder: Path) -> Steps[str]:
    yield [str(folder)]
    return "done"


async def test_those_who_ask_meanwhile_share_a_call(tmp_path: Path, faulty: FaultyOs) -> None:
    """While the medium is at work others gather: one sync of their folder is for all of them."""
    may_end = threading.Event()
    take = faulty.fsync

    def sync(fd: int) -> None:
        assert may_end.wait(10)
        take(fd)

    faulty.fsync = sync
    syncing = Syncing()
    first = []
    for _ in range(AT_ONCE):
        first.append(syncing.ask([str(tmp_path)]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    later = [syncing.ask([str(tmp_path)]) for _ in range(10)]
    may_end.set()
    refused = await asyncio.gather(*first, *later)

    assert refused == [None] * (AT_ONCE + 10)
    assert len(faulty.calls) == AT_ONCE + 1


async def test_a_refusal_is_told_to_those_whose_it_is(tmp_path: Path, faulty: FaultyOs) -> None:
    """The others of the same bundle hear of none."""
    (tmp_path / "bad").mkdir()
    faulty.refuses = lambda name: name == "bad"
    syncing = Syncing()
    good, bad = await asyncio.gather(
        syncing.ask([str(tmp_path)]), syncing.ask([str(tmp_path), str(tmp_path / "bad")])
    )

    assert good is None
    assert isinstance(bad, OSError)


async def test_steps_of_many_wait_together(
    tmp_path: Path, faulty: FaultyOs, slowly: Callable[[int], None]
) -> None:
    """Sixteen at once need fewer calls than sixteen one after the other."""
    threads = Threads()
    await known_to_be_slow(threads, tmp_path)
    faulty.calls.clear()
    done = await asyncio.gather(*[threads.run_steps(synced(tmp_path)) for _ in range(16)])

    assert done == ["done"] * 16
    assert len(faulty.calls) < 8


async def test_where_the_medium_is_quick_nobody_waits_for_others(
    tmp_path: Path, faulty: FaultyOs
) -> None:
    """In memory each goes on at once, in one call."""
    threads = Threads()
    faulty.fsync = lambda fd: faulty.calls.append(os.readlink(f"/proc/self/fd/{fd}"))
    await asyncio.gather(*[threads.run_steps(synced(tmp_path)) for _ in range(16)])

    assert len(faulty.calls) == 16


@pytest.mark.parametrize("many", [1, 5], ids=["alone", "together"])
async def test_errors_of_steps_are_translated(
    tmp_path: Path, slowly: Callable[[int], None], many: int
) -> None:
    """As those of calls: absence is `UploadNotFound`, and ours stay as they are."""
    threads = Threads()
    await known_to_be_slow(threads, tmp_path)

    def absent() -> Steps[None]:
        yield [str(tmp_path)]
        os.stat(tmp_path / "nowhere")

    def lost() -> Steps[None]:
        yield [str(tmp_path)]
        raise StorageError("lost")

    told = [
        await asyncio.gather(
            *[threads.run_steps(work()) for _ in range(many)], return_exceptions=True
        )
        for work in (absent, lost)
    ]

    assert {type(error) for error in told[0]} == {UploadNotFound}
    assert {str(error) for error in told[1]} == {"lost"}


@pytest.mark.parametrize("many", [1, 5], ids=["alone", "together"])
async def test_cancelled_steps_are_done_to_the_end(
    tmp_path: Path, slowly: Callable[[int], None], many: int
) -> None:
    """No descriptor stays open, and no lock is let go while a thread is at work."""
    threads = Threads()
    await known_to_be_slow(threads, tmp_path)
    ended = []

    def work() -> Steps[None]:
        yield [str(tmp_path)]
        yield [str(tmp_path)]
        ended.append(True)

    tasks = [asyncio.create_task(threads.run_steps(work())) for _ in range(many)]
    for _ in range(3):
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
    await asyncio.wait(tasks)

    assert all(task.cancelled() for task in tasks)
    assert ended == [True] * many
