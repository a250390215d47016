"""Blocking calls in threads, their errors in our words."""

import asyncio
import errno
import gc
import os
import threading

import pytest

from tusd_py.errors import NoSpace, StorageError, UploadNotFound
from tusd_py.storage.thread import LONG, Threads


async def test_a_call_runs_in_a_thread() -> None:
    """The loop is free meanwhile, and the answer comes back."""
    assert await Threads().run(threading.get_ident) != threading.get_ident()


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOENT, UploadNotFound),
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EFBIG, NoSpace),
        (errno.EIO, StorageError),
        (errno.EACCES, StorageError),
        (errno.EROFS, StorageError),
        (errno.EMFILE, StorageError),
        (errno.ENAMETOOLONG, StorageError),
    ],
)
async def test_errors_are_translated(number: int, error: type[Exception]) -> None:
    """Absence is `UploadNotFound`, a full disk `NoSpace`, anything else `StorageError`."""

    def fail() -> None:
        raise OSError(number, os.strerror(number), "/secret/path")

    with pytest.raises(error) as caught:
        await Threads().run(fail)
    assert type(caught.value) is error
    assert "/secret/path" not in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_large_file_does_not_keep_small_calls_waiting() -> None:
    """However many long calls there are, a short one goes on."""
    threads = Threads()
    may_end = threading.Event()
    long = [
        asyncio.create_task(threads.run_long(str(n), may_end.wait, 10)) for n in range(LONG + 5)
    ]
    async with asyncio.timeout(5):
        answer = await threads.run(lambda: "soon")
    may_end.set()
    await asyncio.gather(*long)

    assert answer == "soon"


async def test_bodies_on_their_way_do_not_keep_small_calls_waiting() -> None:
    """However many pieces of bodies are moved, a record goes on, and the loop waits for none."""
    threads = Threads()
    may_end = threading.Event()
    bulk = [asyncio.create_task(threads.run_bulk(may_end.wait, 10)) for _ in range(30)]
    async with asyncio.timeout(5):
        answer = await threads.run(lambda: "soon")
    may_end.set()

    assert answer == "soon"
    assert await asyncio.gather(*bulk) == [True] * 30


async def test_a_user_does_not_keep_others_waiting() -> None:
    """However many long calls one user has, there are threads for another's, and for scans."""
    threads = Threads()
    may_end = threading.Event()
    long = [asyncio.create_task(threads.run_long("42", may_end.wait, 10)) for _ in range(LONG + 5)]
    async with asyncio.timeout(5):
        answer = await threads.run_long("43", lambda: "soon")
        scanned = await threads.run_scan(lambda: "soon")
    may_end.set()
    await asyncio.gather(*long)

    assert (answer, scanned) == ("soon", "soon")


async def test_a_call_is_waited_for_however_often_it_is_cancelled() -> None:
    """Whoever loses patience with a server that stops does not close a descriptor in use."""
    may_end = threading.Event()
    task = asyncio.create_task(Threads().run(may_end.wait, 5))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    done, _ = await asyncio.wait([task], timeout=0.05)
    may_end.set()
    await asyncio.wait([task])

    assert not done
    assert task.cancelled()


async def test_a_cancelled_call_is_waited_for() -> None:
    """No thread uses a closed descriptor: who is cancelled goes on only when the call has ended."""
    began, may_end = threading.Event(), threading.Event()
    ended = []

    def work() -> None:
        began.set()
        may_end.wait(5)
        ended.append(True)

    task = asyncio.create_task(Threads().run(work))
    await asyncio.to_thread(began.wait, 5)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=0.05)
    may_end.set()
    await asyncio.wait([task])

    assert not done
    assert task.cancelled()
    assert ended == [True]


async def test_a_cancelled_call_that_fails_is_no_news() -> None:
    """Nobody waits for its error any more: the task is cancelled, and nothing is logged."""
    may_end = threading.Event()
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))

    def fail() -> None:
        may_end.wait(5)
        raise OSError(errno.EIO, "gone")

    task = asyncio.create_task(Threads().run(fail))
    await asyncio.sleep(0)
    task.cancel()
    may_end.set()
    await asyncio.wait([task])
    is_cancelled = task.cancelled()
    del task
    gc.collect()

    assert is_cancelled
    assert told == []


async def test_a_timeout_ends_with_the_call() -> None:
    """Whoever waits for a while only is told so, but not before the call has ended."""
    ended = []

    def work() -> None:
        threading.Event().wait(0.1)
        ended.append(True)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await Threads().run(work)

    assert ended == [True]
