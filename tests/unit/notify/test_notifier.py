"""Notifier: when it tells, what it does when it cannot, and what it says of it."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from tests.receiver import SECRET, Receiver, with_headers
from tests.uploads import UPLOAD, completed, fresh
from tusd_py.errors import NoSpace, StorageError
from tusd_py.events import Completed, Created, Event, Notice, Received, Recorded, Terminated
from tusd_py.notify import courier as couriers
from tusd_py.notify import notifier as notifiers
from tusd_py.notify.courier import Courier
from tusd_py.notify.file import NAME, connect, translated
from tusd_py.notify.message import Message, message_id
from tusd_py.notify.notifier import Manner, Notifier
from tusd_py.notify.outbox import Outbox
from tusd_py.notify.rows import Taken
from tusd_py.notify.signing import Signer
from tusd_py.notify.webhook import Webhook
from tusd_py.setting_types import Notification, webhook_secrets
from tusd_py.upload import Upload

ALL = frozenset(Notification)
DONE = completed(replace(UPLOAD, offset=10))
HELD_FOR = 0.4
MakeNotifier = Callable[..., "asyncio.Future[Notifier]"]


async def signed_url(upload: Upload) -> str:
    """Where a file is, for who has this address."""
    return f"https://s3.example/{upload.place}?X-Amz-Signature=secret"


async def no_url(_upload: Upload) -> str:
    """Nobody knows where it is."""
    raise StorageError("The store is away.")


@pytest.fixture
async def make(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., object]]:
    """Makes notifiers, each with a courier, as the processes of a node have them; what they hold is
    free after a moment."""
    monkeypatch.setattr(couriers, "LOOKS_EVERY", 0.1)
    monkeypatch.setattr(couriers, "COUNTS_EVERY", 0.0)
    async with AsyncExitStack() as stack:

        async def one(
            *,
            kinds: frozenset[Notification] = ALL,
            wait: float = 5.0,
            locate: Callable[[Upload], "asyncio.Future[str]"] = signed_url,  # type: ignore[assignment]
            told: Callable[[int, float, int], None] | None = None,
        ) -> Notifier:
            opened = Outbox.open(tmp_path / NAME, receiver="r", now=time.time, held_for=HELD_FOR)
            outbox = await stack.enter_async_context(opened)
            signer = Signer(webhook_secrets(SECRET))
            webhook = await stack.enter_async_context(Webhook.open(receiver.url, signer, 10))
            courier = Courier(outbox, webhook, give_up_after=60, now=time.time, told=told)
            await stack.enter_async_context(courier.working(0.1))
            manner = Manner(kinds=kinds, wait=wait, progress_interval=60)
            notifier = Notifier(
                outbox, courier, manner=manner, locate=locate, now=lambda: datetime.now(UTC)
            )
            stack.push_async_callback(notifier.close)
            return notifier

        yield one


async def settled(receiver: Receiver, seconds: float) -> int:
    """How much came, after a while in which more could come."""
    await asyncio.sleep(seconds)
    return len(receiver.told)


async def test_a_completion_waits_for_its_record(make: MakeNotifier, receiver: Receiver) -> None:
    """The main service hears of a file when the record says that there is one, and not before."""
    notifier = await make()
    await notifier.emit(Completed(DONE))
    before = await settled(receiver, HELD_FOR / 4)
    await notifier.emit(Recorded(DONE))
    await receiver.until(1)

    assert before == 0
    assert await notifier.notice(DONE) is Notice.DELIVERED


async def test_a_record_that_never_comes(make: MakeNotifier, receiver: Receiver) -> None:
    """When the record could not be written the main service hears all the same, a little later:
    the file is there."""
    notifier = await make()
    await notifier.emit(Completed(DONE))
    await receiver.until(1)

    assert await notifier.notice(DONE) is Notice.DELIVERED


async def test_a_record_that_comes_too_late(make: MakeNotifier, receiver: Receiver) -> None:
    """An event that another process took meanwhile is not delivered here, too."""
    notifier, _ = await make(), await make()
    await notifier.emit(Completed(DONE))
    await receiver.until(1)
    await notifier.emit(Recorded(DONE))

    assert await settled(receiver, HELD_FOR) == 1


async def test_what_happened_before_the_crash_is_not_told_twice(
    make: MakeNotifier, receiver: Receiver
) -> None:
    """The same completion, emitted again by whoever finishes the upload, is one event."""
    notifier, other = await make(), await make()
    for each in (notifier, other, notifier):
        await each.emit(Completed(DONE))
        await each.emit(Recorded(DONE))
    await receiver.until(1)

    assert await settled(receiver, HELD_FOR) == 1
    assert await other.notice(DONE) is Notice.DELIVERED


async def test_a_slow_receiver_is_told_once(make: MakeNotifier, receiver: Receiver) -> None:
    """As long as the main service takes its time nobody else tells it the same."""

    async def slow(_request: web.Request) -> web.Response:
        await asyncio.sleep(3 * HELD_FOR)
        return web.Response()

    receiver.always = slow
    notifier, _ = await make(), await make()
    await notifier.emit(Created(DONE))
    await receiver.until(1)

    assert await settled(receiver, 4 * HELD_FOR) == 1


async def test_no_signature_is_sent(make: MakeNotifier, receiver: Receiver) -> None:
    """A presigned URL is no part of an event."""
    notifier = await make()
    await notifier.emit(Completed(DONE))
    await notifier.emit(Recorded(DONE))
    [told] = await receiver.until(1)

    assert told.data["path"] == "https://s3.example/42/123/audio.mp3"
    assert b"secret" not in told.body


async def test_a_file_nobody_can_name_is_not_complete(
    make: MakeNotifier, receiver: Receiver
) -> None:
    """When it cannot be said where the file is, the event is refused, and the upload with it."""
    notifier = await make(locate=no_url)
    with pytest.raises(StorageError):
        await notifier.emit(Completed(DONE))

    assert await notifier.notice(DONE) is Notice.NONE


async def test_an_event_that_cannot_be_written(
    make: MakeNotifier, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the outbox cannot take it the completion is refused, and taken when it can."""
    monkeypatch.setattr("tusd_py.notify.file.PATIENCE", 0.05)
    notifier = await make()
    other = sqlite3.connect(tmp_path / NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="SQLITE_BUSY"):
        await notifier.emit(Completed(DONE))
    other.execute("ROLLBACK")
    other.close()
    await notifier.emit(Completed(DONE))
    await notifier.emit(Recorded(DONE))

    assert await notifier.notice(DONE) is Notice.DELIVERED


def test_a_full_file_is_no_space(tmp_path: Path) -> None:
    """What SQLite says of a disk that is full is 507 for a client."""
    connection = connect(tmp_path / NAME)
    connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("CREATE TABLE more (x)")
    connection.close()

    assert isinstance(translated(caught.value, tmp_path / NAME), NoSpace)


@pytest.mark.parametrize("event", [Created(UPLOAD), Received(UPLOAD, 1), Terminated(UPLOAD)])
async def test_what_is_not_switched_on(
    make: MakeNotifier, receiver: Receiver, event: Event
) -> None:
    """Nothing else is told, nor written."""
    notifier = await make(kinds=frozenset({Notification.COMPLETED}))
    await notifier.emit(event)

    assert await settled(receiver, 0.1) == 0


async def test_completions_may_be_switched_off(make: MakeNotifier, receiver: Receiver) -> None:
    """Then nobody waits for one."""
    notifier = await make(kinds=frozenset({Notification.CREATED}))
    await notifier.emit(Completed(DONE))

    assert await notifier.notice(DONE) is Notice.NONE
    assert receiver.told == []


async def test_who_asks_hears_of_what_another_process_delivers(
    make: MakeNotifier, receiver: Receiver
) -> None:
    """It does not matter which process tells the main service."""
    teller, asked = await make(), await make()
    await teller.emit(Completed(DONE))
    asking = asyncio.create_task(asked.notice(DONE))
    await teller.emit(Recorded(DONE))

    assert await asking is Notice.DELIVERED
    assert len(receiver.told) == 1


@pytest.mark.parametrize("status", [410, 429, 500])
async def test_nobody_waits_in_vain(make: MakeNotifier, receiver: Receiver, status: int) -> None:
    """What is dead, or not tried again in time, is not waited for."""
    receiver.always = with_headers(status, Retry_After="100")
    notifier = await make(wait=60)
    await notifier.emit(Completed(DONE))
    await notifier.emit(Recorded(DONE))
    async with asyncio.timeout(20):
        assert await notifier.notice(DONE) is Notice.QUEUED


async def test_each_progress_has_an_id(make: MakeNotifier, receiver: Receiver) -> None:
    """Progress of different uploads is told at once, of one upload once in the interval."""
    notifier = await make()
    uploads = [replace(fresh(), offset=3) for _ in range(3)]
    for upload in uploads:
        for size in (3, 4):
            await notifier.emit(Received(replace(upload, offset=size), size))
    told = await receiver.until(3)

    assert await settled(receiver, 0.1) == 3
    assert {each.id for each in told} == {
        message_id(each, Notification.PROGRESS, received=3) for each in uploads
    }


async def test_the_depth_is_told(make: MakeNotifier, receiver: Receiver) -> None:
    """Who measures hears how much waits, how old it is, and how much is dead."""
    receiver.answers = [410]
    depths: list[tuple[int, float, int]] = []
    dead = asyncio.Event()

    def told(*depth: float) -> None:
        depths.append((int(depth[0]), depth[1], int(depth[2])))
        if depth[2]:
            dead.set()

    notifier = await make(told=told)
    await notifier.emit(Created(UPLOAD))
    async with asyncio.timeout(10):
        await dead.wait()

    assert depths[-1] == (0, 0.0, 1)
    assert json.loads(receiver.told[0].body)["type"] == "upload.created"


async def test_the_same_id_of_another_user(make: MakeNotifier, receiver: Receiver) -> None:
    """A hook may choose ids: the uploads of two users, or one that was there before, are others."""
    notifier = await make()
    again = replace(DONE, created_at=DONE.created_at + timedelta(seconds=1))
    for each in (DONE, replace(DONE, owner="43"), again):
        await notifier.emit(Completed(each))
        await notifier.emit(Recorded(each))
    told = await receiver.until(3)

    assert sorted(str(each.data["user_id"]) for each in told) == ["42", "42", "43"]
    assert len({each.id for each in told}) == 3


async def test_no_progress_after_the_end(make: MakeNotifier, receiver: Receiver) -> None:
    """Progress that is told too late, as by another process, is not told any more."""
    first, second = await make(), await make()
    await first.emit(Completed(DONE))
    await first.emit(Recorded(DONE))
    await receiver.until(1)
    await second.emit(Received(replace(UPLOAD, length=20, offset=3), 3))
    await second.close()

    assert await settled(receiver, 0.3) == 1


async def test_an_end_is_refused_to_nobody(
    make: MakeNotifier, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has happened is told when the outbox has room for it again; until then nobody is kept
    from deleting, which makes room."""
    monkeypatch.setattr(notifiers, "AGAIN", 0.05)
    notifier = await make()
    add = Outbox.add
    refused: list[str] = []

    async def full(self: Outbox, message: Message, *, holds: bool) -> Taken | None:
        if len(refused) < 3:
            refused.append(message.id)
            raise NoSpace
        return await add(self, message, holds=holds)

    monkeypatch.setattr(Outbox, "add", full)
    await notifier.emit(Terminated(DONE))
    told = await receiver.until(1)

    assert refused == [message_id(DONE, Notification.TERMINATED)] * 3
    assert [each.payload["type"] for each in told] == ["upload.terminated"]


async def test_an_end_that_is_lost_is_logged(
    make: MakeNotifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the server leaves before there is room the log says of which upload nobody heard."""

    async def full(_self: Outbox, _message: Message, *, holds: bool) -> Taken | None:
        raise NoSpace

    monkeypatch.setattr(Outbox, "add", full)
    notifier = await make()
    await notifier.emit(Terminated(DONE))
    await notifier.close()

    lost = [each for each in caplog.records if each.message == "notification_lost"]
    assert [vars(each)["upload"] for each in lost] == [DONE.id]
