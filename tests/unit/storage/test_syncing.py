"""Many who wait for the medium together."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.faulty_os import FaultyOs, faulty_os
from tusd_py.errors import StorageError, UploadNotFound
from tusd_py.request import UPLOAD
from tusd_py.storage.aio import MOST, Aio, Done
from tusd_py.storage.fsync import NotSynced
from tusd_py.storage.pool import Pool
from tusd_py.storage.steps import Steps, synced
from tusd_py.storage.syncing import RECENT, Syncing
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
        await threads.run_steps(synced(str(folder)))


def named(folder: Path) -> Steps[str]:
    yield [str(folder)]
    return "done"


async def test_those_who_ask_meanwhile_share_a_call(tmp_path: Path, faulty: FaultyOs) -> None:
    """While the medium is at work others gather: one sync of their folder is for all of them."""
    loop, is_at_work = asyncio.get_running_loop(), asyncio.Event()
    may_end = threading.Event()
    take = faulty.fsync

    def sync(fd: int) -> None:
        loop.call_soon_threadsafe(is_at_work.set)
        assert may_end.wait(10)
        take(fd)

    faulty.fsync = sync
    syncing = Syncing(Pool(2, "test"))
    first = syncing.ask(named(tmp_path))
    await is_at_work.wait()
    later = [syncing.ask(named(tmp_path)) for _ in range(10)]
    may_end.set()
    done = await asyncio.gather(first, *later)

    assert done == ["done"] * 11
    assert len(faulty.calls) == 2


async def test_a_refusal_is_told_to_those_whose_it_is(tmp_path: Path, faulty: FaultyOs) -> None:
    """The others of the same bundle hear of none."""
    (tmp_path / "bad").mkdir()
    faulty.refuses = lambda name: name == "bad"
    syncing = Syncing(Pool(2, "test"))

    def both() -> Steps[None]:
        yield [str(tmp_path), str(tmp_path / "bad")]

    good, bad = await asyncio.gather(
        syncing.ask(named(tmp_path)), syncing.ask(both()), return_exceptions=True
    )

    assert good == "done"
    assert isinstance(bad, NotSynced)


async def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    """As where nobody waits together; the steps may go on from there."""
    syncing = Syncing(Pool(2, "test"))

    def work() -> Steps[str]:
        try:
            yield [str(tmp_path), str(tmp_path / "gone")]
        except FileNotFoundError:
            yield [str(tmp_path)]
        return "mended"

    before = os.listdir("/proc/self/fd")
    made = await asyncio.gather(*[syncing.ask(work()) for _ in range(9)])

    assert made == ["mended"] * 9
    assert len(os.listdir("/proc/self/fd")) <= len(before) + 1


@pytest.mark.parametrize("many", [1, 5], ids=["alone", "together"])
async def test_a_step_may_ask_for_nothing(tmp_path: Path, many: int) -> None:
    """Then the next one follows."""
    threads = Threads()

    def work() -> Steps[str]:
        yield []
        yield [str(tmp_path)]
        yield []
        return "done"

    syncing = Syncing(Pool(2, "test"))
    alone = [await threads.run_steps(work()) for _ in range(many)]
    together = await asyncio.gather(*[syncing.ask(work()) for _ in range(many)])

    assert alone + together == ["done"] * 2 * many


@pytest.mark.parametrize("where", ["kernel", "thread"])
async def test_what_nobody_expects_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Nobody waits for ever, and those who come later are not hurt."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    syncing = Syncing(Pool(2, "test"))

    def fail(*_: object) -> int:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(Aio, "begin", fail if where == "kernel" else lambda *_: 0)
        if where == "thread":
            broken.setattr("tusd_py.storage.syncing.sync", fail)
        first = await asyncio.gather(
            *[syncing.ask(named(tmp_path)) for _ in range(3)], return_exceptions=True
        )

    assert {type(each) for each in first} == {str if where == "kernel" else NotSynced}
    assert await syncing.ask(named(tmp_path)) == "done"


async def test_a_folder_is_open_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many wait for it, and however often one step names it."""
    seen: list[int] = []

    def begin(_self: Aio, fds: Sequence[int], _done: Done) -> int:
        seen.append(len(fds))
        return 0

    def work() -> Steps[None]:
        yield [str(tmp_path), str(tmp_path)]

    monkeypatch.setattr(Aio, "begin", begin)
    syncing = Syncing(Pool(1, "test"))
    before = len(os.listdir("/proc/self/fd"))
    await asyncio.gather(*[syncing.ask(work()) for _ in range(50)])

    assert set(seen) == {1}
    assert len(os.listdir("/proc/self/fd")) == before


async def test_only_so_many_hold_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others begin when some have ended, also where those failed."""
    monkeypatch.setattr("tusd_py.storage.syncing.AT_WORK", 3)
    syncing = Syncing(Pool(2, "test"))
    at_work: list[int] = []
    most = 0

    def work(number: int) -> Steps[int]:
        nonlocal most
        at_work.append(number)
        most = max(most, len(at_work))
        yield [str(tmp_path)]
        at_work.remove(number)
        if number % 2:
            raise StorageError("odd")
        return number

    async with asyncio.timeout(10):
        made = await asyncio.gather(
            *[syncing.ask(work(number)) for number in range(20)], return_exceptions=True
        )

    assert made[::2] == list(range(0, 20, 2))
    assert {type(each) for each in made[1::2]} == {StorageError}
    assert most == 3


async def test_many_at_once_do_not_look_quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A medium that takes a millisecond for all is not one that takes no time for each."""

    def begin(_self: Aio, fds: Sequence[int], done: Done) -> int:
        for fd in fds:
            asyncio.get_running_loop().call_later(0.001, done, fd, None)
        return len(fds)

    monkeypatch.setattr(Aio, "begin", begin)
    syncing = Syncing(Pool(2, "test"))
    folders = [tmp_path / str(n) for n in range(16)]
    for folder in folders:
        folder.mkdir()
    for _ in range(RECENT):
        await asyncio.gather(*[syncing.ask(named(folder)) for folder in folders])

    assert not syncing.is_quick


async def test_more_than_the_kernel_takes_at_once(tmp_path: Path) -> None:
    """All come onto the medium, in several bundles."""
    syncing = Syncing(Pool(2, "test"))
    folders = [tmp_path / str(n) for n in range(MOST + 50)]
    for folder in folders:
        folder.mkdir()
    made = await asyncio.gather(*[syncing.ask(named(folder)) for folder in folders])

    assert made == ["done"] * len(folders)


async def test_log_lines_of_steps_name_their_request(tmp_path: Path) -> None:
    """However many make a step in one call."""
    syncing = Syncing(Pool(2, "test"))

    def work() -> Steps[str | None]:
        yield [str(tmp_path)]
        return UPLOAD.get()

    async def of(upload_id: str) -> str | None:
        UPLOAD.set(upload_id)
        return await syncing.ask(work())

    ids = [str(n) for n in range(10)]

    assert await asyncio.gather(*[of(each) for each in ids]) == ids


async def test_steps_of_many_wait_together(
    tmp_path: Path, faulty: FaultyOs, slowly: Callable[[int], None]
) -> None:
    """Sixteen at once need fewer calls than sixteen one after the other."""
    threads = Threads()
    await known_to_be_slow(threads, tmp_path)
    faulty.calls.clear()
    done = await asyncio.gather(*[threads.run_steps(named(tmp_path)) for _ in range(16)])

    assert done == ["done"] * 16
    assert len(faulty.calls) < 8


async def test_where_the_medium_is_quick_nobody_waits_for_others(
    tmp_path: Path, faulty: FaultyOs
) -> None:
    """In memory each goes on at once, in one call."""
    threads = Threads()
    faulty.fsync = lambda fd: faulty.calls.append(os.readlink(f"/proc/self/fd/{fd}"))
    await asyncio.gather(*[threads.run_steps(named(tmp_path)) for _ in range(16)])

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
