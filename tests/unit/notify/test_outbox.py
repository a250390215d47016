"""Outbox: what it keeps, in which order it gives it out, and to whom."""

import asyncio
import os
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.fakes import Clock
from tests.uploads import NOW, UPLOAD, fresh
from tusd_py.errors import StorageError
from tusd_py.notify.file import NAME, connect
from tusd_py.notify.message import Message, message
from tusd_py.notify.outbox import HELD_FOR, KEPT, Outbox
from tusd_py.notify.rows import PROBE, Depth, Taken
from tusd_py.setting_types import Notification
from tusd_py.upload import Upload

MakeOutbox = Callable[[], "asyncio.Future[Outbox]"]
OTHER = replace(UPLOAD, id="11111111-2f6a-4d3e-9d3c-0a1b2c3d4e5f")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def make(tmp_path: Path, clock: Clock) -> AsyncIterator[Callable[..., object]]:
    """Opens the outbox of a process: `await make()`; all have the same file."""
    async with AsyncExitStack() as stack:

        async def one(receiver: str = "r") -> Outbox:
            opened = Outbox.open(
                tmp_path / NAME, receiver=receiver, now=lambda: clock().timestamp()
            )
            return await stack.enter_async_context(opened)

        yield one


@pytest.fixture
async def outbox(make: Callable[..., asyncio.Future[Outbox]]) -> Outbox:
    return await make()


def event(
    upload: Upload = UPLOAD, kind: Notification = Notification.CREATED, received: int = 0
) -> Message:
    """A message of an upload."""
    return message(kind, replace(upload, offset=received), at=NOW, location="/x")


async def added(outbox: Outbox, *messages: Message) -> None:
    """Events that nobody holds yet."""
    for each in messages:
        assert await outbox.add(each, holds=False) is None


def ids(taken: list[Taken]) -> list[str]:
    return [each.id for each in taken]


async def test_what_was_kept_is_there_again(
    make: Callable[..., asyncio.Future[Outbox]], tmp_path: Path
) -> None:
    """An event is given out as it was told, byte for byte, by any process."""
    first = event()
    await added(await make(), first)
    [taken] = await (await make()).take(9)

    assert (taken.id, taken.body, taken.kind) == (first.id, first.body, first.kind)
    assert (taken.upload_id, taken.owner, taken.tries) == (UPLOAD.id, "42", 0)
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


async def test_the_same_event_is_kept_once(outbox: Outbox) -> None:
    """An event that happens again after a crash is the same one: whether it waits, was delivered
    or is dead."""
    await added(outbox, event(), event())
    [taken] = await outbox.take(9)
    held = await outbox.add(event(), holds=True)
    await outbox.delivered(taken)
    again = await outbox.add(event(), holds=True)
    await added(outbox, event(OTHER))
    [other] = await outbox.take(9)
    await outbox.died(other, why="status 500")
    dead = await outbox.add(event(OTHER), holds=True)

    assert (held, again, dead) == (None, None, None)
    assert await outbox.take(9) == []


async def test_who_tells_may_deliver_at_once(make: Callable[..., asyncio.Future[Outbox]]) -> None:
    """An event that its process holds from the start is nobody else's meanwhile."""
    mine, other = await make(), await make()
    held = await mine.add(event(), holds=True)

    assert held is not None
    assert await other.take(9) == []


async def test_events_of_an_upload_wait_for_each_other(outbox: Outbox) -> None:
    """Only the first of an upload is given out; uploads do not wait for each other."""
    kinds = [Notification.CREATED, Notification.TERMINATED, Notification.EXPIRED]
    messages = [event(kind=kind) for kind in kinds]
    await added(outbox, *messages, event(OTHER))
    held = await outbox.add(event(OTHER, Notification.COMPLETED), holds=True)
    given = await outbox.take(9)
    await outbox.delivered(given[0])
    next_ones = await outbox.take(9)
    await outbox.delivered(next_ones[0])

    assert ids(given) == [messages[0].id, event(OTHER).id]
    assert held is None
    assert ids(next_ones) == [messages[1].id]
    assert ids(await outbox.take(9)) == [messages[2].id]


async def test_one_that_failed_stays_the_first(outbox: Outbox, clock: Clock) -> None:
    """Until an event is delivered or dead the next of its upload is not given out."""
    messages = [event(), event(kind=Notification.TERMINATED)]
    await added(outbox, *messages)
    order = []
    for _ in range(2):
        [taken] = await outbox.take(9)
        order.append(taken.id)
        await outbox.failed(taken, due=clock().timestamp() + 5, why="status 500")
        assert await outbox.take(9) == []
        clock.forward(timedelta(seconds=5))
    [taken] = await outbox.take(9)
    await outbox.delivered(taken)
    [last] = await outbox.take(9)

    assert (taken.tries, order, taken.id) == (2, [messages[0].id] * 2, messages[0].id)
    assert last.id == messages[1].id


async def test_a_dead_letter_lets_the_next_pass(outbox: Outbox) -> None:
    """An event that could not be delivered does not hold up those after it."""
    messages = [event(), event(kind=Notification.TERMINATED)]
    await added(outbox, *messages)
    [taken] = await outbox.take(9)
    await outbox.died(taken, why="status 500")

    assert ids(await outbox.take(9)) == [messages[1].id]
    assert await outbox.depth() == Depth(pending=1, oldest=0.0, dead=1)


async def test_what_is_held_is_nobody_elses(
    make: Callable[..., asyncio.Future[Outbox]], clock: Clock
) -> None:
    """Of two processes one has an event, as long as it holds it; when it died the other one gets
    it some seconds later, and what the first says then changes nothing."""
    first, second = await make(), await make()
    await added(first, event())
    [taken] = await first.take(9)
    clock.forward(timedelta(seconds=HELD_FOR - 0.1))
    early = await second.take(9)
    await first.renew([taken.seq])
    clock.forward(timedelta(seconds=HELD_FOR - 0.1))
    renewed = await second.take(9)
    clock.forward(timedelta(seconds=0.2))
    late = await second.take(9)
    await first.failed(taken, due=0, why="status 500")
    await first.renew([taken.seq])

    assert (early, renewed, ids(late)) == ([], [], [taken.id])
    assert await first.take(9) == []


async def test_many_processes_get_each_event_once(
    make: Callable[..., asyncio.Future[Outbox]],
) -> None:
    """However many take at the same time, no event is given out twice."""
    boxes = [await make() for _ in range(4)]
    for _ in range(5):
        await asyncio.gather(
            *(box.add(event(fresh()), holds=False) for box in boxes for _ in range(5))
        )
    taken: list[str] = []
    for _ in range(20):
        for given in await asyncio.gather(*(box.take(2) for box in boxes)):
            taken += ids(given)

    assert len(taken) == len(set(taken)) == 100


async def test_what_is_given_back_is_free(make: Callable[..., asyncio.Future[Outbox]]) -> None:
    """A process that leaves holds nothing any more."""
    first, second = await make(), await make()
    await added(first, event())
    await first.take(9)
    await first.give_back()

    assert ids(await second.take(9)) == [event().id]


@pytest.mark.parametrize("days", [-400, 400])
async def test_a_clock_that_is_set_stops_nothing(outbox: Outbox, clock: Clock, days: int) -> None:
    """What is held or put off by a clock that was wrong is not held or put off for ever."""
    await added(outbox, event(), event(OTHER))
    [taken, other] = await outbox.take(9)
    await outbox.failed(taken, due=clock().timestamp() + 3000, why="status 500")
    await outbox.put_off(3000, why="status 410")
    clock.forward(timedelta(days=days))

    probe = await outbox.take(9)
    await outbox.delivered(probe[0])
    rest = await outbox.take(9)
    assert {*ids(probe), *ids(rest)} == {taken.id, other.id}


async def test_a_completion_waits_for_its_record(outbox: Outbox, clock: Clock) -> None:
    """Who did not tell of it may deliver a completion half a second later: then its record says
    that it is complete, too."""
    done = replace(event(kind=Notification.COMPLETED), at=clock())
    await added(outbox, done)
    early = await outbox.take(9)
    clock.forward(timedelta(seconds=0.5))

    assert early == []
    assert ids(await outbox.take(9)) == [done.id]


# --- progress


async def test_only_the_newest_progress_waits(outbox: Outbox) -> None:
    """Progress that waits is replaced by what is newer, of whatever kind; one at work is not."""
    of = [event(kind=Notification.PROGRESS, received=n) for n in range(1, 5)]
    await added(outbox, of[0])
    [at_work] = await outbox.take(9)
    await added(outbox, of[1], of[2], of[3])
    waiting = (await outbox.depth()).pending
    await added(outbox, event(kind=Notification.TERMINATED))
    await outbox.delivered(at_work)

    assert waiting == 2
    assert ids(await outbox.take(9)) == [event(kind=Notification.TERMINATED).id]


async def test_progress_is_not_remembered(outbox: Outbox) -> None:
    """Progress leaves nothing behind, delivered or not."""
    for n, end in enumerate([outbox.delivered, None]):
        await added(outbox, event(kind=Notification.PROGRESS, received=n))
        [taken] = await outbox.take(9)
        await (end(taken) if end else outbox.died(taken, why="status 500"))
        assert await outbox.standing(taken.id) is None

    assert (await outbox.depth()).dead == 0


# --- pauses


async def test_a_pause_is_for_all(
    make: Callable[..., asyncio.Future[Outbox]], clock: Clock
) -> None:
    """When a receiver wants to be left alone no process gives anything out, and nothing is held by
    who tells it; after that one event finds out for all."""
    first, second = await make(), await make()
    await added(first, event(), event(OTHER))
    await first.put_off(100, why="status 429")
    during = [await first.take(9), await second.take(9)]
    held = await first.add(event(fresh()), holds=True)
    clock.forward(timedelta(seconds=101))
    [probe] = await second.take(9)
    others = await first.take(9)
    await second.delivered(probe)

    assert (during, held, others) == ([[], []], None, [])
    assert len(await first.take(9)) == 2


async def test_a_probe_that_is_lost_is_repeated(outbox: Outbox, clock: Clock) -> None:
    """When the process died that had to find out, another event does."""
    await added(outbox, event(), event(OTHER))
    await outbox.put_off(1, why="status 410")
    clock.forward(timedelta(seconds=2))
    first = await outbox.take(9)
    clock.forward(timedelta(seconds=PROBE + 1))

    assert len(first) == len(await outbox.take(9)) == 1


async def test_a_pause_is_one_receivers(make: Callable[..., asyncio.Future[Outbox]]) -> None:
    """When the address is changed, what the old one said is of no importance."""
    old, new = await make("old"), await make("new")
    await added(old, event())
    await old.put_off(1000, why="status 410")

    assert ids(await new.take(9)) == [event().id]


# --- memory


async def test_what_was_delivered_is_remembered_for_a_week(outbox: Outbox, clock: Clock) -> None:
    """It is known for a while what was delivered, without its body; then it is forgotten."""
    await added(outbox, event())
    [taken] = await outbox.take(9)
    await outbox.delivered(taken)
    clock.forward(KEPT - timedelta(seconds=1))
    await outbox.prune()
    before = await outbox.standing(taken.id)
    clock.forward(timedelta(seconds=2))
    await outbox.prune()

    assert before is not None
    assert before.state == "delivered"
    assert await outbox.standing(taken.id) is None


async def test_memory_is_bounded(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more events than can be remembered the oldest are forgotten first; what waits is not."""
    monkeypatch.setattr("tusd_py.notify.outbox.KEPT_MOST", 2)
    uploads = [fresh() for _ in range(5)]
    for upload in uploads:
        await added(outbox, event(upload))
        [taken] = await outbox.take(9)
        await outbox.delivered(taken)
    await added(outbox, event())
    await outbox.prune()
    standing = [await outbox.standing(event(upload).id) for upload in uploads]

    assert [each is not None for each in standing] == [False, False, False, True, True]
    assert (await outbox.depth()).pending == 1


async def test_the_age_of_the_oldest(outbox: Outbox, clock: Clock) -> None:
    """The depth is what waits, and since when."""
    empty = await outbox.depth()
    await added(outbox, replace(event(), at=clock()))
    clock.forward(timedelta(seconds=30))

    assert empty == Depth(pending=0, oldest=0.0, dead=0)
    assert await outbox.depth() == Depth(pending=1, oldest=30.0, dead=0)


# --- the file


async def test_what_comes_together_is_one_transaction(outbox: Outbox, tmp_path: Path) -> None:
    """Fifty events of one round of the loop take a few syncs, not fifty; all are there."""
    log = tmp_path / f"{NAME}-wal"
    await added(outbox, event())
    before = log.stat().st_size
    await added(outbox, event(fresh()))
    one = log.stat().st_size - before
    await asyncio.gather(*(outbox.add(event(fresh()), holds=False) for _ in range(50)))

    assert log.stat().st_size - before - one < 25 * one
    assert (await outbox.depth()).pending == 52


async def test_one_that_cannot_be_written_spoils_no_other(outbox: Outbox) -> None:
    """What comes in one transaction with something impossible is written all the same."""
    bad = replace(event(fresh()), body="\udcff")  # type: ignore[arg-type]  # no bytes: SQLite refuses
    results = await asyncio.gather(
        *(outbox.add(each, holds=False) for each in (event(), bad, event(OTHER))),
        return_exceptions=True,
    )

    assert [result is None for result in results] == [True, False, True]
    assert (await outbox.depth()).pending == 2


def damaged(path: Path) -> None:
    """Something that is no database."""
    path.write_bytes(b"no database at all" * 1000)


def torn(path: Path) -> None:
    """An outbox with a page of other bytes in the middle."""
    connect(path).close()
    content = bytearray(path.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    path.write_bytes(content)


def cut(path: Path) -> None:
    """An outbox without its second half."""
    connect(path).close()
    os.truncate(path, path.stat().st_size // 2)


def newer(path: Path) -> None:
    """An outbox of a later version."""
    connection = connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def foreign(path: Path) -> None:
    """Somebody else's database."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE songs (title)")
    connection.close()


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (damaged, "is damaged; move it away"),
        (torn, "is damaged; move it away"),
        (cut, "is damaged; move it away"),
        (newer, "newer version of this server (schema 99, this one knows 1)"),
        (foreign, "is not the outbox of this server"),
        (Path.mkdir, "cannot"),
    ],
    ids=["damaged", "torn", "cut", "newer", "foreign", "folder"],
)
async def test_a_file_that_cannot_be_used(
    tmp_path: Path, plant: Callable[[Path], None], words: str
) -> None:
    """A file that is damaged, newer or foreign is told in one line, and left as it is."""
    path = tmp_path / NAME
    await asyncio.to_thread(plant, path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StorageError) as caught:
        async with Outbox.open(path, receiver="r", now=lambda: 0.0):
            pass

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else b"") == before


async def test_it_is_opened_by_many_at_once(make: Callable[..., asyncio.Future[Outbox]]) -> None:
    """Processes that start at the same time make one outbox."""
    boxes = await asyncio.gather(*(make() for _ in range(8)))
    await asyncio.gather(*(box.add(event(fresh()), holds=False) for box in boxes))

    assert (await boxes[0].depth()).pending == 8


async def test_the_same_id_of_another_user_is_another_line(outbox: Outbox) -> None:
    """A hook may give two users the same id: neither waits for the other, nor loses progress."""
    theirs = replace(UPLOAD, owner="43")
    messages = [
        event(received=3, kind=Notification.PROGRESS),
        event(theirs, received=3, kind=Notification.PROGRESS),
        event(theirs, kind=Notification.COMPLETED),
    ]
    await added(outbox, *messages)
    taken = await outbox.take(10)

    assert set(ids(taken)) == {messages[0].id, messages[2].id}


async def test_a_line_is_of_one_user(outbox: Outbox) -> None:
    """An event that waits for another user's of the same id would wait for nothing."""
    theirs = event(replace(UPLOAD, owner="43"))
    await added(outbox, event(), theirs)

    assert len(await outbox.take(10)) == 2
