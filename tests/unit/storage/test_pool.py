"""Pool: many calls for one hand-over, and nobody waits for a call that waits."""

import asyncio
import gc
import threading
import time
from collections import deque
from collections.abc import Awaitable

import pytest

from tusd_py.storage.pool import Pool


async def each(*answers: Awaitable[object]) -> list[object]:
    """What all of them return, soon."""
    async with asyncio.timeout(10):
        return await asyncio.gather(*answers)


async def test_calls_of_one_moment_go_to_one_thread() -> None:
    """That is what makes a hand-over cheap."""
    pool = Pool(4, "test")
    threads = await each(*[pool.ask(threading.get_ident) for _ in range(50)])

    assert len(set(threads)) == 1
    assert threading.get_ident() not in threads


async def test_calls_come_in_order() -> None:
    """First asked for, first made."""
    pool = Pool(1, "test")
    made: list[int] = []
    await each(*[pool.ask(lambda number=number: made.append(number)) for number in range(20)])  # type: ignore[misc]

    assert made == list(range(20))


async def test_a_call_that_waits_holds_nobody_up() -> None:
    """As many go on as there are threads; the others go on when there is one again."""
    pool = Pool(4, "test")
    may_end = threading.Event()
    slow = [pool.ask(lambda: may_end.wait(10)) for _ in range(3)]
    quick = await each(*[pool.ask(lambda: "quick") for _ in range(5)])
    ended = [answer.done() for answer in slow]
    may_end.set()

    assert quick == ["quick"] * 5
    assert ended == [False] * 3
    assert await each(*slow) == [True] * 3


async def test_threads_step_back_though_there_is_always_more_to_do() -> None:
    """Those that one long call brought do not contend for the interpreter for ever after."""
    pool = Pool(4, "test")
    may_end = threading.Event()
    slow = [pool.ask(lambda: may_end.wait(10)) for _ in range(3)]
    await each(pool.ask(lambda: "quick"))
    may_end.set()
    served: list[int] = []

    def work() -> None:
        served.append(threading.get_ident())
        time.sleep(0.0005)  # others can have the interpreter meanwhile

    waiting = deque(pool.ask(work) for _ in range(200))
    async with asyncio.timeout(10):
        while len(served) < 60 or len(set(served[-40:])) > 1:
            waiting.append(pool.ask(work))
            await waiting.popleft()
    await each(*slow, *waiting)

    assert len(set(served)) > 1


async def test_an_answer_does_not_wait_for_the_calls_behind_it() -> None:
    """What a thread has done is told while it waits in its next call."""
    pool = Pool(1, "test")
    may_end = threading.Event()
    first, second = pool.ask(lambda: "first"), pool.ask(lambda: may_end.wait(10))
    told = await each(first)
    is_ended = second.done()
    may_end.set()
    await each(second)

    assert (told, is_ended) == (["first"], False)


async def test_there_are_never_too_many_threads() -> None:
    """However many calls wait."""
    pool = Pool(3, "test")
    may_end = threading.Event()
    at_work = threading.Semaphore(0)

    def work() -> int:
        at_work.release()
        may_end.wait(10)
        return threading.get_ident()

    answers = [pool.ask(work) for _ in range(9)]
    for _ in range(3):
        assert await asyncio.to_thread(at_work.acquire, True, 10)
    more = await asyncio.to_thread(at_work.acquire, True, 0.05)
    may_end.set()

    assert not more
    assert len(set(await each(*answers))) <= 3


async def test_a_wide_pool_begins_all_at_once() -> None:
    """With a width nobody has to be seen waiting first."""
    pool = Pool(3, "test", width=3)
    together = threading.Barrier(3)
    answers = [pool.ask(lambda: together.wait(10)) for _ in range(3)]

    assert sorted(await each(*answers)) == [0, 1, 2]  # type: ignore[type-var]


async def test_what_a_call_raises_is_raised() -> None:
    """And the thread goes on with the next call."""
    pool = Pool(1, "test")

    def fail() -> None:
        raise LookupError("why")

    failed, fine = pool.ask(fail), pool.ask(lambda: "fine")

    assert await each(fine) == ["fine"]
    with pytest.raises(LookupError, match="why"):
        await failed


async def test_asked_again_it_answers_again() -> None:
    """Also what is asked for while an answer is on its way."""
    pool = Pool(2, "test")

    async def ask_on(times: int) -> int:
        for _ in range(times):
            await pool.ask(threading.get_ident)
        return times

    assert await each(*[ask_on(200) for _ in range(8)]) == [200] * 8


async def test_the_threads_of_a_forgotten_pool_end() -> None:
    """None stays behind a storage that is not used any more."""
    pool = Pool(2, "forgotten", width=2)
    together = threading.Barrier(2)
    await each(*[pool.ask(lambda: together.wait(10)) for _ in range(2)])
    threads = [each for each in threading.enumerate() if each.name.startswith("forgotten")]
    del pool
    gc.collect()
    for thread in threads:
        await asyncio.to_thread(thread.join, 10)

    assert len(threads) == 2
    assert not any(thread.is_alive() for thread in threads)


def test_it_serves_one_loop_after_another() -> None:
    """A storage may outlive a loop."""
    pool = Pool(2, "test")

    async def ask() -> object:
        return await pool.ask(lambda: "answer")

    assert [asyncio.run(ask()) for _ in range(3)] == ["answer"] * 3


async def test_the_loop_does_not_wait_for_long_calls() -> None:
    """A thread goes on alone for a moment only, and not again at once when that was too short."""
    pool = Pool(2, "test")
    may_end = threading.Event()
    clock = asyncio.get_running_loop().time
    began = clock()
    slow = pool.ask(lambda: may_end.wait(10))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waited = clock() - began
    may_end.set()
    await each(slow)

    assert waited < 2


async def test_a_short_call_is_answered_in_the_same_round() -> None:
    """The loop is not woken for what a thread has done while the loop let it go on."""
    pool = Pool(1, "test")
    await each(pool.ask(int))
    for _ in range(20):  # a busy machine may take its time
        answer = pool.ask(lambda: "done")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        is_done = answer.done()
        await each(answer)
        if is_done:
            break

    assert is_done


async def test_the_loop_does_not_wait_where_calls_are_not_brief(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long it would."""
    monkeypatch.setattr("tusd_py.storage.pool.BRIEF", 10.0)
    has_gone_on = threading.Event()
    own = Pool(1, "test", brief=False)
    answer = own.ask(lambda: has_gone_on.wait(10))
    for _ in range(3):
        await asyncio.sleep(0)
    has_gone_on.set()

    assert await answer


async def test_a_thread_that_cannot_start_now_is_started_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No call is lost where the system has no more threads for a moment."""
    refusals: list[threading.Thread] = []
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("scarce") and len(refusals) < 3:
            refusals.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*[Pool(2, "scarce").ask(lambda: 7) for _ in range(2)])

    assert answers == [7, 7]
    assert len(refusals) == 3
