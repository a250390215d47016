"""Accounts: how many uploads, and how many bytes, one user may have."""

import asyncio
import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from tests.core import LIFE, NEW, USER, Core
from tests.fakes import Fault, MemoryBody, MemoryStorage
from tests.uploads import NOW, UPLOAD, completed, fresh
from tusd_py.account import AGAIN_SECONDS, FRESH_SECONDS, IDLE_SECONDS, REST
from tusd_py.accounts import Accounts
from tusd_py.checksum import Checksum
from tusd_py.errors import (
    BodyInterrupted,
    ChecksumMismatch,
    QuotaExceeded,
    StorageError,
    TooManyUploads,
    UploadError,
)
from tusd_py.sweeper import sweep
from tusd_py.upload import Append, End, Ending, Final, Partial, Upload
from tusd_py.usage import Usage

OTHER = replace(NEW, owner="43")
ELSEWHERE = replace(NEW, declared_file_id="5")
WRONG = Checksum(algorithm="crc32", digest=bytes(4))


async def size(core: Core) -> int:
    """How many bytes count, which must be what is stored while nobody is at work."""
    account = await core.service.accounts.open(USER)
    stored = await core.storage.usage(USER)
    assert (account.size, account.count) == (stored.size, len(stored.open))
    return account.size


async def patch(core: Core, upload: Upload, body: MemoryBody, length: int | None = None) -> Upload:
    """Append a body where the upload is."""
    offset = (await core.now(upload)).offset
    append = Append(offset=offset, size=body.size, length=length)
    return await core.service.append(upload.owner, upload.id, append, body)


# --- open uploads


async def test_open_uploads_are_limited() -> None:
    """One upload more than a user may have is refused, and nothing of it is kept; another user may
    create."""
    core = Core(max_open=2)
    await core.created(5)
    await core.created()
    with pytest.raises(TooManyUploads):
        await core.created(5)

    assert len(core.storage.records) == 2
    await core.created(5, OTHER)


@pytest.mark.parametrize("way", ["finish", "terminate", "expire"])
async def test_whoever_finishes_one_may_create_another(way: str) -> None:
    """A finished file is open no more; nor is what was deleted or has expired."""
    core = Core(max_open=1)
    upload = await core.created(5)
    if way == "finish":
        await core.append(upload, 0, b"hello")
    elif way == "terminate":
        await core.service.terminate(USER, upload.id)
    else:
        core.clock.forward(LIFE + timedelta(seconds=1))
        await sweep(core.service)

    await core.created(5)
    assert await size(core) == (10 if way == "finish" else 5)


async def test_parallel_creations_are_counted() -> None:
    """However many come at once, so many are created as may be."""
    core = Core(max_open=3)
    results = await asyncio.gather(*[core.created() for _ in range(20)], return_exceptions=True)

    refused = [each for each in results if isinstance(each, TooManyUploads)]
    assert len(refused) == 17
    assert len((await core.storage.usage(USER)).open) == 3


async def test_a_creation_that_failed_is_not_counted() -> None:
    """Neither a storage that fails nor a wrong checksum costs a place."""
    core = Core(max_open=1, quota=10)
    with core.storage.failing(Fault.RECORD), pytest.raises(StorageError):
        await core.created(10)
    with pytest.raises(ChecksumMismatch):
        await core.service.create(replace(NEW, length=10), MemoryBody(b"x" * 10), WRONG)

    assert await size(core) == 0
    await core.created(10)


class Slow(MemoryStorage):
    """Tells a while later that it did what it did."""

    async def create(self, upload: Upload) -> Upload:
        """See `Storage.create`."""
        created = await super().create(upload)
        await asyncio.sleep(0)
        return created

    async def save(self, upload: Upload) -> Upload:
        """See `Storage.save`."""
        saved = await super().save(upload)
        await asyncio.sleep(0)
        return saved


async def test_what_was_cancelled_is_counted_as_it_is_stored() -> None:
    """Where nobody knows whether an upload was created or removed, the storage is asked."""
    core = Core(quota=100, storage=Slow())
    for pauses in range(8):
        upload = await core.created(1)
        removing = asyncio.create_task(core.service.terminate(USER, upload.id))
        for _ in range(2 * pauses):
            await asyncio.sleep(0)
        removing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await removing

        await size(core)
        with contextlib.suppress(UploadError):
            await core.service.terminate(USER, upload.id)
        creating = asyncio.create_task(core.created(1))
        for _ in range(pauses):
            await asyncio.sleep(0)
        creating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await creating

        await size(core)


async def test_a_finished_part_is_open() -> None:
    """A partial upload stays open until it ends; their concatenation never is."""
    core = Core(max_open=2)
    parts = [await core.partial(b"hello "), await core.partial(b"world")]
    with pytest.raises(TooManyUploads):
        await core.created()
    final = Final(partials=tuple(part.id for part in parts), header="final;")

    done = await core.service.concatenate(NEW, final)

    assert core.storage.file(done.place) == b"hello world"
    with pytest.raises(TooManyUploads):
        await core.created()


# --- bytes


async def test_a_length_counts_from_the_creation_on() -> None:
    """What is too long is refused before a byte of it is read; another user is not concerned."""
    core = Core(quota=10)
    await core.created(6)
    body = MemoryBody.sized(b"hello")
    with pytest.raises(QuotaExceeded):
        await core.service.create(replace(NEW, length=5), body)

    assert await body.read() == b"hello"
    assert await size(core) == 6
    await core.created(4)
    await core.created(10, OTHER)


async def test_nothing_is_refused_for_no_bytes() -> None:
    """An empty file fits when nothing else does."""
    core = Core(quota=5)
    await core.finished(b"hello")

    assert (await core.finished(b"", ELSEWHERE)).completion is not None
    assert await size(core) == 5


async def test_what_has_begun_goes_on_over_the_quota() -> None:
    """Where a user has too much already, as after the quota was lowered, what was promised stays
    promised; nothing more is."""
    before = Core(quota=20)
    told, deferred = await before.created(10), await before.created(new=ELSEWHERE)
    await before.append(deferred, 0, b"hello")
    core = Core(quota=12, storage=before.storage)

    assert (await core.append(told, 0, b"x" * 10)).completion is not None
    with pytest.raises(QuotaExceeded):
        await core.append(deferred, 5, b"!")
    assert (await core.append(deferred, 5, length=5)).completion is not None
    with pytest.raises(QuotaExceeded):
        await core.created(1)


async def test_bytes_of_an_unknown_length_count_as_they_come() -> None:
    """The append that goes over is refused where it does; what came before stays, and so does
    every other upload."""
    core = Core(quota=10)
    other, upload = await core.created(4), await core.created()
    await core.append(upload, 0, b"abc")
    with pytest.raises(QuotaExceeded):
        await patch(core, upload, MemoryBody(b"de", b"f", b"g"))

    assert await core.content(upload) == b"abcdef"
    assert await size(core) == 10
    assert (await core.append(other, 0, b"four")).completion is not None
    assert (await core.append(upload, 6, length=6)).completion is not None


async def test_a_body_that_says_its_size_is_refused_unread() -> None:
    """No byte is asked of a client whose body cannot fit, on an upload that is there or a new
    one."""
    core = Core(quota=10)
    upload = await core.created()
    bodies = [MemoryBody.sized(b"x" * 11), MemoryBody.sized(b"y" * 11)]
    with pytest.raises(QuotaExceeded):
        await patch(core, upload, bodies[0])
    with pytest.raises(QuotaExceeded):
        await core.service.create(NEW, bodies[1])

    assert [await body.read() for body in bodies] == [b"x" * 11, b"y" * 11]
    assert len(core.storage.records) == 1


async def test_a_length_that_is_told_late_counts() -> None:
    """A length beyond the quota is refused, and the upload has none still."""
    core = Core(quota=10)
    upload = await core.created()
    await core.append(upload, 0, b"abc")
    with pytest.raises(QuotaExceeded):
        await patch(core, upload, MemoryBody(b"d"), length=11)

    assert (await core.now(upload)).length is None
    assert await size(core) == 3
    await patch(core, upload, MemoryBody(b"d"), length=10)
    assert await size(core) == 10


async def test_a_length_counts_no_more_when_its_append_failed() -> None:
    """When the append that told a length is refused, the upload counts as before."""
    core = Core(quota=10)
    upload = await core.created()
    append = Append(offset=0, size=None, length=9, checksum=WRONG)
    with pytest.raises(ChecksumMismatch):
        await core.service.append(USER, upload.id, append, MemoryBody(b"abc"))

    assert await size(core) == 0


async def test_bytes_that_were_not_kept_count_no_more() -> None:
    """What a broken chunk, a wrong checksum or a full disk took away is free again; what a broken
    PATCH brought stays, and counts."""
    core = Core(quota=10)
    upload = await core.created()
    for broken in (0, 3):
        with pytest.raises(BodyInterrupted):
            await core.chunk_of(
                upload, broken, MemoryBody.broken(b"x" * 9, error=BodyInterrupted())
            )
    with pytest.raises(ChecksumMismatch):
        append = Append(offset=0, size=None, checksum=WRONG)
        await core.service.append(USER, upload.id, append, MemoryBody(b"x" * 9))
    with core.storage.failing(Fault.WRITE), pytest.raises(UploadError):
        await patch(core, upload, MemoryBody(b"x" * 9))
    assert await size(core) == 0

    with pytest.raises(BodyInterrupted):
        await patch(core, upload, MemoryBody.broken(b"x" * 9, error=BodyInterrupted()))

    assert await size(core) == 9


async def test_chunks_count_wherever_they_are() -> None:
    """Chunks count before their turn as well as after it, each once; the same one again, or
    another version of it, counts for what it is larger."""
    core = Core(quota=10)
    upload = await core.created()
    await core.chunk(upload, 2, b"ccc")
    await core.chunk(upload, 1, b"bbbb")
    await core.chunk(upload, 1, b"bbbb")
    assert await size(core) == 7
    for index in (0, 3):
        with pytest.raises(QuotaExceeded):
            await core.chunk(upload, index, b"four")
    with pytest.raises(QuotaExceeded):
        await core.chunk(upload, 1, b"b" * 8)
    await core.chunk(upload, 1, b"b" * 7)
    assert await size(core) == 10
    await core.chunk(upload, 1, b"b" * 5)
    await core.chunk(upload, 0, b"aa")

    assert await core.content(upload) == b"aabbbbbccc"
    assert await size(core) == 10
    assert (await core.complete(upload, 3)).completion is not None
    assert await size(core) == 10


async def test_chunks_that_come_beside_an_append_that_fails_count() -> None:
    """While an append that told a length runs chunks are part of that; if it fails they count."""
    core = Core(quota=20)
    upload = await core.created()
    body = MemoryBody(b"ab", is_open=True)
    append = Append(offset=0, size=None, length=9, checksum=WRONG)
    running = asyncio.create_task(core.service.append(USER, upload.id, append, body))
    await body.drained()
    await core.chunk(upload, 3, b"dddd")
    body.finish()
    with pytest.raises(ChecksumMismatch):
        await running

    assert await size(core) == 4


async def test_a_chunk_that_waits_no_more_counts_no_more() -> None:
    """Who takes a chunk back takes its bytes back."""
    core = Core(quota=20)
    upload = await core.created()
    for index in (2, 3):
        await core.chunk(upload, index, b"four")
    await core.service.storage.unstage(upload, 2)

    assert await size(core) == 4


async def test_waiting_chunks_are_part_of_a_length() -> None:
    """Once the length is told, chunks that wait count with it, not beside it."""
    core = Core(quota=10)
    upload = await core.created()
    await core.chunk(upload, 3, b"dddd")
    await patch(core, upload, MemoryBody(b"a"), length=10)

    assert await size(core) == 10


async def test_parallel_bytes_never_go_over() -> None:
    """Many appends and chunks at once: their sum stays within the quota to the byte."""
    core = Core(quota=100)
    uploads = [await core.created(new=replace(NEW, declared_file_id=str(n))) for n in range(8)]

    def blocks() -> MemoryBody:
        return MemoryBody(*[b"x" * 3] * 10)

    await asyncio.gather(
        *[patch(core, upload, blocks()) for upload in uploads[:4]],
        *[core.chunk_of(upload, n % 2, blocks()) for n, upload in enumerate(uploads[4:])],
        return_exceptions=True,
    )

    assert 90 < await size(core) <= 100


@pytest.mark.parametrize("way", ["replace", "terminate", "expire"])
async def test_what_is_gone_gives_its_bytes_back(way: str) -> None:
    """A file that was replaced or deleted, and an upload that expired, count no more."""
    core = Core(quota=12)
    upload = await core.finished(b"12345") if way != "expire" else await core.created(5)
    if way == "replace":
        await core.finished(b"abcdefg")
    elif way == "terminate":
        await core.service.terminate(USER, upload.id)
    else:
        core.clock.forward(LIFE + timedelta(seconds=1))
        await sweep(core.service)

    assert await size(core) == (7 if way == "replace" else 0)


async def test_a_replacement_needs_room_of_its_own() -> None:
    """Until a file is replaced both count."""
    core = Core(quota=9)
    await core.finished(b"12345")

    with pytest.raises(QuotaExceeded):
        await core.finished(b"54321")


async def test_a_concatenation_needs_room_of_its_own() -> None:
    """The bytes of parts count beside those of the file that is made of them; when there is no
    room, nothing is made."""
    core = Core(quota=15)
    part = await core.partial(b"12345678")
    final = Final(partials=(part.id,), header="final;")
    with pytest.raises(QuotaExceeded):
        await core.service.concatenate(NEW, final)

    assert await size(core) == 8


async def test_bytes_in_no_upload_yet_count() -> None:
    """What is kept of a request before it is known where it belongs counts until it is read."""
    core = Core(quota=10)
    async with core.service.accounts.flight(USER) as flight:
        await flight.take(8)
        with pytest.raises(QuotaExceeded):
            await core.created(3)
        flight.land(5)
        await core.created(3)

    await core.created(7, ELSEWHERE)
    assert await size(core) == 10


@pytest.mark.parametrize("seed", range(12))
async def test_the_account_is_what_is_stored(seed: int) -> None:
    """Whatever was done, one after the other or at once, a count of the storage finds the same."""
    dice = random.Random(seed)
    core = Core(max_open=3, quota=25, max_chunks=6)
    uploads: list[Upload] = []

    async def create() -> None:
        length = dice.choice([None, None, dice.randrange(12)])
        new = replace(NEW, declared_file_id=str(dice.randrange(3)), length=length)
        new = replace(new, concat=dice.choice([None, None, Partial()]))
        data = bytes(dice.randrange(1 + (length or 6)))
        body = dice.choice([None, MemoryBody(data), MemoryBody.sized(data)])
        checksum = dice.choice([None, WRONG]) if body else None
        uploads.append(await core.service.create(new, body, checksum))

    async def append() -> None:
        body = MemoryBody(*[bytes(dice.randrange(4)) for _ in range(3)], is_open=True)
        body.break_off(BodyInterrupted()) if dice.random() < 0.3 else body.finish()
        told = dice.choice([None, None, dice.randrange(20)])
        await patch(core, dice.choice(uploads), body, told)

    async def send_chunk() -> None:
        data = bytes(dice.randrange(8))
        await core.chunk(dice.choice(uploads), dice.randrange(4), data)

    async def complete() -> None:
        upload = dice.choice(uploads)
        total = max(1, len((await core.now(upload)).chunks))
        await core.complete(upload, total, upload.declared_file_id or "")

    async def terminate() -> None:
        await core.service.terminate(USER, dice.choice(uploads).id)

    async def pass_time() -> None:
        core.clock.forward(LIFE / 3)
        await sweep(core.service)

    deeds = [create, create, append, append, send_chunk, send_chunk, complete, terminate, pass_time]
    for _ in range(25):
        some = [dice.choice(deeds) if uploads else create for _ in range(dice.choice([1, 1, 4]))]
        results = await asyncio.gather(*[deed() for deed in some], return_exceptions=True)
        unexpected = [each for each in results if each and not isinstance(each, UploadError)]
        assert unexpected == []

        assert await size(core) <= 25
    with pytest.raises(UploadError):
        await core.created(26)


# --- counting


@dataclass
class Counted:
    """What `look` finds, which a test may hold up; how often it looked; and the time."""

    storage: MemoryStorage = field(default_factory=MemoryStorage)
    looks: int = 0
    time: float = 1000.0
    takes: float = 0.0
    gate: asyncio.Event | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def accounts(self, max_open: int | None = 2, quota: int | None = 20) -> Accounts:
        """Accounts over it."""
        return Accounts(self.look, max_open=max_open, quota=quota, clock=lambda: self.time)

    async def look(self, owner: str) -> Usage:
        """Count what is stored now; the answer comes when the test says so."""
        self.looks += 1
        usage = await self.storage.usage(owner)
        self.begun.set()
        if self.gate is not None:
            await self.gate.wait()
        self.time += self.takes
        return usage

    @contextlib.contextmanager
    def held_up(self) -> Iterator[None]:
        """A while in which counting does not end."""
        self.gate = asyncio.Event()
        self.begun.clear()
        try:
            yield
        finally:
            self.gate.set()
            self.gate = None


class Uncounted(MemoryStorage):
    """Fails when it is asked what a user has."""

    async def usage(self, owner: str) -> Usage:
        """See `Storage.usage`."""
        raise StorageError(f"Nobody counts what {owner} has.")


async def test_nothing_is_counted_without_a_limit() -> None:
    """Where everything is unlimited the storage is never asked."""
    core = Core(storage=Uncounted())
    upload = await core.created()
    await core.chunk(upload, 1, b"b")
    await core.append(upload, 0, b"a")

    assert (await core.now(upload)).offset == 1


async def test_a_user_is_counted_now_and_then() -> None:
    """Not at each request, but after a while, for other processes may be at work."""
    counted = Counted()
    accounts = counted.accounts()
    account = await accounts.open(USER)
    await counted.storage.create(replace(fresh(), owner=USER))
    assert (await accounts.open(USER)).size == 0
    assert counted.looks == 1

    counted.time += FRESH_SECONDS

    assert (await accounts.open(USER)).size == 10
    assert account.count == 1
    assert counted.looks == 2


async def test_nobody_is_refused_for_what_is_gone() -> None:
    """Before a refusal the storage is asked again: another process may have removed something; but
    not more than once in a while."""
    counted = Counted()
    gone = [await counted.storage.create(replace(fresh(), owner=USER)) for _ in range(2)]
    account = await counted.accounts().open(USER)
    await counted.storage.forget(gone[0])
    counted.time += AGAIN_SECONDS
    await account.admit(fresh())
    assert counted.looks == 2

    await counted.storage.forget(gone[1])
    with pytest.raises(TooManyUploads):
        await account.admit(fresh())
    assert counted.looks == 2
    counted.time += AGAIN_SECONDS

    await account.admit(fresh())
    assert counted.looks == 3


async def test_whoever_takes_long_to_count_is_counted_less_often() -> None:
    """Nobody can make the server count all the time."""
    counted = Counted(takes=2.0)
    accounts = counted.accounts(max_open=1)
    account = await accounts.open(USER)
    await account.admit(fresh())
    counted.time += REST * counted.takes - 3
    for _ in range(3):
        with pytest.raises(TooManyUploads):
            await account.admit(fresh())

    await accounts.open(USER)

    assert counted.looks == 1


async def test_what_happens_while_counting_is_known_better() -> None:
    """A count that began before something changed does not undo the change."""
    counted = Counted(storage=MemoryStorage())
    accounts = counted.accounts(max_open=9, quota=1000)
    account = await accounts.open(USER)
    stays, finishes, goes = [fresh() for _ in range(3)]
    removed = completed(replace(fresh(), offset=10))
    for upload in (stays, finishes, goes, removed):
        await counted.storage.create(upload)
    counted.time += FRESH_SECONDS
    await accounts.open(USER)
    counted.time += FRESH_SECONDS
    with counted.held_up():
        counting = asyncio.create_task(accounts.open(USER))
        await counted.begun.wait()
        new, brief = fresh(), fresh()
        await account.admit(new)
        account.note(completed(replace(finishes, offset=10)))
        account.forget(goes.id)
        await account.admit(brief)
        account.note(completed(replace(brief, offset=10)))
    await counting

    assert account.count == 2  # stays, new
    assert account.size == 10 + 10 + 10 + 10 + 10  # and finishes, brief, removed
    with counted.held_up():
        counted.time += FRESH_SECONDS
        counting = asyncio.create_task(accounts.open(USER))
        await counted.begun.wait()
        account.note(replace(removed, ending=Ending(why=End.TERMINATED, at=NOW)))
    await counting
    assert account.size == 30  # as stored, but for what was removed


async def test_an_upload_at_work_here_is_known_better() -> None:
    """While bytes come, a count does not change what their upload takes."""
    counted = Counted()
    accounts = counted.accounts()
    account = await accounts.open(USER)
    upload = fresh()
    await account.admit(upload)
    with account.at_work(upload.id):
        counted.time += FRESH_SECONDS
        await accounts.open(USER)
        assert account.size == 10

    counted.time += FRESH_SECONDS
    await accounts.open(USER)
    assert account.size == 0


async def test_an_earlier_count_does_while_the_storage_fails() -> None:
    """The first count must succeed; a later one that fails leaves the earlier one."""
    counted = Counted()
    accounts = counted.accounts()
    with counted.storage.failing(Fault.UNREACHABLE), pytest.raises(StorageError):
        await accounts.open(USER)
    account = await accounts.open(USER)
    await account.admit(fresh())
    counted.time += FRESH_SECONDS
    with counted.storage.failing(Fault.UNREACHABLE):
        for _ in range(3):
            assert (await accounts.open(USER)).size == 10

    assert counted.looks == 3


async def test_users_who_left_are_forgotten() -> None:
    """Memory does not grow with the number of users, but nobody at work is forgotten."""
    counted = Counted()
    accounts = counted.accounts()
    for number in range(10):
        await accounts.open(str(number))
    async with accounts.flight("at work") as flight:
        await flight.take(5)
        counted.time += IDLE_SECONDS
        await accounts.open("another")
        known = [name for name in [*map(str, range(10)), "at work"] if accounts.known(name)]

    assert known == ["at work"]


async def test_two_processes_see_each_other() -> None:
    """What one process took another one refuses, after a while."""
    counted = Counted()
    first, second = counted.accounts(), counted.accounts()
    await second.open(USER)
    upload = fresh(replace(UPLOAD, length=15))
    await (await first.open(USER)).admit(upload)
    await counted.storage.create(upload)
    counted.time += FRESH_SECONDS

    with pytest.raises(QuotaExceeded):
        await (await second.open(USER)).admit(fresh())
