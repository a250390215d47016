"""Parts on their way: counted in order, limited in number, in turn, and ended by a failure."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tusd_py.errors import StorageError
from tusd_py.storage.s3.buffer import Room
from tusd_py.storage.s3.flow import PARTS_AT_A_TIME, PARTS_OF_AN_UPLOAD, Flow
from tusd_py.storage.s3.parts import Parts
from tusd_py.storage.thread import Threads

Store = Callable[[int], Coroutine[None, None, str]]


class Sent:
    """Parts that are stored when the test says so. `numbers` are those whose sending began."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.ended: list[int] = []
        self._answers: dict[int, asyncio.Future[str]] = {}

    async def store(self, number: int) -> str:
        """Send a part; ends with its ETag."""
        self.numbers.append(number)
        try:
            return await self._answer(number)
        finally:
            self.ended.append(number)

    async def done(self, *numbers: int) -> None:
        """Parts are stored now, in this order."""
        for number in numbers:
            self._answer(number).set_result(f"etag-{number}")
            await turns()

    async def failed(self, number: int) -> None:
        """A part cannot be stored."""
        self._answer(number).set_exception(StorageError(f"part {number}"))
        await turns()

    def _answer(self, number: int) -> asyncio.Future[str]:
        if number not in self._answers:
            self._answers[number] = asyncio.get_running_loop().create_future()
        return self._answers[number]


async def turns() -> None:
    """Let all tasks go on that can."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    """The places of a process."""
    return Flow(Room(0, tmp_path, Threads()))


@asynccontextmanager
async def upload(flow: Flow, *stored: str) -> AsyncIterator[tuple[Parts, Sent]]:
    """The parts of one upload."""
    parts = Parts(flow, stored)
    try:
        yield parts, Sent()
    finally:
        await parts.close()


async def free_places(flow: Flow) -> int:
    """So many places are free, and each is only once."""
    count = 0
    while not flow.places.locked():
        await flow.places.acquire()
        count += 1
    for _ in range(count):
        flow.places.release()
    return count


# --- counting


async def test_parts_are_numbered_from_one(flow: Flow) -> None:
    """A new upload begins with part number 1."""
    async with upload(flow) as (parts, sent):
        for _ in range(3):
            await parts.begin(sent.store)
        await turns()

        assert sent.numbers == [1, 2, 3]
        assert parts.count == 3
        assert parts.etags == ()


async def test_numbers_go_on_after_stored_parts(flow: Flow) -> None:
    """An upload that has parts goes on behind them."""
    async with upload(flow, "one", "two") as (parts, sent):
        assert (parts.count, parts.etags, parts.are_idle) == (2, ("one", "two"), True)
        await parts.begin(sent.store)
        await sent.done(3)
        await parts.settle()

        assert parts.etags == ("one", "two", "etag-3")
        assert parts.count == 3


async def test_a_part_counts_once_all_before_it_are_stored(flow: Flow) -> None:
    """A later part that is stored first counts for nothing until the gap closes."""
    async with upload(flow) as (parts, sent):
        for _ in range(4):
            await parts.begin(sent.store)
        await turns()
        counted = []
        for number in (3, 2, 1, 4):
            await sent.done(number)
            parts.collect()
            counted.append(parts.etags)

    assert counted == [
        (),
        (),
        ("etag-1", "etag-2", "etag-3"),
        ("etag-1", "etag-2", "etag-3", "etag-4"),
    ]


async def test_nothing_counts_before_it_is_collected(flow: Flow) -> None:
    """What is counted changes only where its caller looks."""
    async with upload(flow) as (parts, sent):
        await parts.begin(sent.store)
        await sent.done(1)
        before = (parts.etags, parts.are_idle)
        parts.collect()

        assert before == ((), False)
        assert (parts.etags, parts.are_idle) == (("etag-1",), True)


async def test_settling_waits_for_all(flow: Flow) -> None:
    """After it every part that was begun is stored."""
    async with upload(flow) as (parts, sent):
        for _ in range(3):
            await parts.begin(sent.store)
        settling = asyncio.create_task(parts.settle())
        await turns()
        await sent.done(2, 3)
        before = settling.done()
        await sent.done(1)
        await settling

        assert not before
        assert parts.etags == ("etag-1", "etag-2", "etag-3")
        assert parts.are_idle


async def test_settling_nothing_is_done_at_once(flow: Flow) -> None:
    """Without parts on their way there is nothing to wait for."""
    async with upload(flow) as (parts, _):
        await parts.settle()

        assert parts.etags == ()


# --- failures


async def test_a_failure_in_the_middle_ends_the_count(flow: Flow) -> None:
    """Parts behind one that failed never count, although they are stored."""
    async with upload(flow) as (parts, sent):
        for _ in range(4):
            await parts.begin(sent.store)
        await turns()
        await sent.done(1, 3, 4)
        await sent.failed(2)
        for _ in range(2):
            with pytest.raises(StorageError, match="part 2"):
                await parts.settle()

        assert "etag-3" not in parts.etags
        assert "etag-4" not in parts.etags


async def test_settling_does_not_wait_behind_a_failure(flow: Flow) -> None:
    """The first failure is told at once, while other parts are still on their way."""
    async with upload(flow) as (parts, sent):
        for _ in range(3):
            await parts.begin(sent.store)
        await turns()
        await sent.failed(3)

        with pytest.raises(StorageError, match="part 3"):
            await parts.settle()
        assert sent.ended == [3]


async def test_a_failure_is_told_to_who_waits_for_a_turn(flow: Flow) -> None:
    """Whoever has as many parts on their way as an upload may learns of a failure then."""
    async with upload(flow) as (parts, sent):
        for _ in range(PARTS_OF_AN_UPLOAD):
            await parts.begin(sent.store)
        waiting = asyncio.create_task(parts.begin(sent.store))
        await turns()
        await sent.failed(2)

        with pytest.raises(StorageError, match="part 2"):
            await waiting
        assert parts.count == PARTS_OF_AN_UPLOAD


async def test_failures_give_back_their_places(flow: Flow) -> None:
    """A store that fails for a while does not use up the places of the process."""
    for _ in range(PARTS_AT_A_TIME + 1):
        async with upload(flow) as (parts, sent):
            await parts.begin(sent.store)
            await turns()
            await sent.failed(1)

    assert await free_places(flow) == PARTS_AT_A_TIME


# --- closing


async def test_closing_ends_what_is_on_its_way(flow: Flow) -> None:
    """After it nothing is sent any more, and all places are free."""
    async with upload(flow) as (parts, sent):
        for _ in range(3):
            await parts.begin(sent.store)
        await turns()
        await sent.done(1)
        await parts.close()

        assert sent.ended == [1, 2, 3]
        assert parts.are_idle
        assert await free_places(flow) == PARTS_AT_A_TIME


async def test_closing_a_part_that_never_began(flow: Flow) -> None:
    """A part whose turn in the loop never came gives back its place all the same."""
    async with upload(flow) as (parts, sent):
        await parts.begin(sent.store)
        await parts.close()

        assert sent.numbers == []
        assert parts.are_idle
        assert await free_places(flow) == PARTS_AT_A_TIME


async def test_closing_after_a_failure_is_quiet(flow: Flow) -> None:
    """A failure was told where it mattered; closing tells nothing, and may be repeated."""
    async with upload(flow) as (parts, sent):
        for _ in range(2):
            await parts.begin(sent.store)
        await turns()
        await sent.failed(1)
        await parts.close()
        await parts.close()

        assert await free_places(flow) == PARTS_AT_A_TIME


async def test_closing_waits_for_what_ends_slowly(flow: Flow) -> None:
    """Nothing uses a buffer any more that its owner closes afterwards."""
    may_end, is_over = asyncio.Event(), asyncio.Event()

    async def store(_number: int) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            await may_end.wait()
            is_over.set()
        return ""

    async with upload(flow) as (parts, _):
        await parts.begin(store)
        await turns()
        closing = asyncio.create_task(parts.close())
        await turns()
        before = closing.done()
        may_end.set()
        await closing

        assert not before
        assert is_over.is_set()


# --- how many, and whose turn


async def test_an_upload_has_a_few_parts_on_their_way(flow: Flow) -> None:
    """A fast client waits once so many parts are on their way, until one is stored."""
    async with upload(flow) as (parts, sent):
        for _ in range(PARTS_OF_AN_UPLOAD):
            await parts.begin(sent.store)
        waiting = asyncio.create_task(parts.begin(sent.store))
        await turns()
        before = (waiting.done(), len(sent.numbers))
        await sent.done(2)
        await waiting
        await turns()

        assert before == (False, PARTS_OF_AN_UPLOAD)
        assert sent.numbers[-1] == PARTS_OF_AN_UPLOAD + 1


async def test_a_process_has_some_parts_on_their_way(flow: Flow) -> None:
    """However many uploads there are, no more parts are sent at a time than there are places."""
    uploads = [(Parts(flow, ()), Sent()) for _ in range(3 * PARTS_AT_A_TIME)]
    beginning = [asyncio.create_task(parts.begin(sent.store)) for parts, sent in uploads]
    await turns()
    running = [sent for _, sent in uploads if sent.numbers]
    for sent in running:
        await sent.done(1)
    later = [sent for _, sent in uploads if sent.numbers != sent.ended]
    for task in beginning:
        task.cancel()
    await asyncio.wait(beginning)
    for parts, _ in uploads:
        await parts.close()

    assert len(running) == len(later) == PARTS_AT_A_TIME
    assert await free_places(flow) == PARTS_AT_A_TIME


async def test_who_waits_is_served_in_turn(flow: Flow) -> None:
    """Places are given in the order in which parts became whole."""
    uploads = [(Parts(flow, ()), Sent()) for _ in range(PARTS_AT_A_TIME + 5)]
    beginning = []
    for parts, sent in uploads:
        beginning.append(asyncio.create_task(parts.begin(sent.store)))
        await turns()
    served = []
    for index in range(5):
        await uploads[PARTS_AT_A_TIME - 1 - index][1].done(1)
        served.append([bool(sent.numbers) for _, sent in uploads[PARTS_AT_A_TIME:]])
    await asyncio.gather(*beginning)
    for parts, _ in uploads:
        await parts.close()

    assert served == [[n <= index for n in range(5)] for index in range(5)]


async def test_one_upload_does_not_take_all_places(flow: Flow) -> None:
    """A single fast client leaves places to the others."""
    async with upload(flow) as (parts, sent), upload(flow) as (others, other):
        greedy = [asyncio.create_task(parts.begin(sent.store)) for _ in range(PARTS_OF_AN_UPLOAD)]
        await asyncio.gather(*greedy)
        one_more = asyncio.create_task(parts.begin(sent.store))
        await turns()
        await others.begin(other.store)
        await turns()

        assert other.numbers == [1]
        assert not one_more.done()
        one_more.cancel()


async def test_who_gives_up_waiting_takes_no_place(flow: Flow) -> None:
    """A client that goes while its part waits for a place leaves the turn to the next."""
    holding = [(Parts(flow, ()), Sent()) for _ in range(PARTS_AT_A_TIME)]
    for parts, sent in holding:
        await parts.begin(sent.store)
    async with upload(flow) as (parts, sent), upload(flow) as (others, other):
        gone = asyncio.create_task(parts.begin(sent.store))
        await turns()
        waiting = asyncio.create_task(others.begin(other.store))
        await turns()
        gone.cancel()
        await turns()
        await holding[0][1].done(1)
        await waiting
        await turns()

        assert gone.cancelled()
        assert parts.count == 0
        assert other.numbers == [1]
    for parts, _ in holding:
        await parts.close()

    assert await free_places(flow) == PARTS_AT_A_TIME
