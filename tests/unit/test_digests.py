"""The SHA-256 of whole files: right whatever happens, and no byte read again without need."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.core import NEW, USER, Core
from tests.fakes import Clock, Fault, MemoryBody, MemorySink, MemoryStorage
from tusd_py.checksum import Checksum
from tusd_py.digests import Digests
from tusd_py.errors import (
    BodyInterrupted,
    ChecksumMismatch,
    DigestMismatch,
    NoSpace,
    StorageError,
    UploadNotFound,
)
from tusd_py.events import Completed
from tusd_py.locks.memory import MemoryLocker
from tusd_py.sweeper import sweep
from tusd_py.upload import Append, Claim, Final, NewUpload, Partial, Upload, shrunk

HELLO = b"hello world"
RIGHT = hashlib.sha256(HELLO).digest()
WRONG = hashlib.sha256(b"other").digest()


def digest_of(upload: Upload) -> bytes | None:
    """What its completion tells."""
    assert upload.completion is not None
    return upload.completion.sha256


def claiming(sha256: bytes, length: int | None = len(HELLO)) -> NewUpload:
    """A file that shall have that digest."""
    return replace(NEW, length=length, sha256=sha256)


def two_workers() -> tuple[Core, Core]:
    """Two processes that share storage, locks and time."""
    shared = {
        "storage": MemoryStorage(),
        "locker": MemoryLocker(timeout=0.3),
        "clock": Clock(),
        "sink": MemorySink(),
    }
    one, two = (Core(digests_all=True, **shared) for _ in range(2))  # type: ignore[arg-type]  # a dict of several kinds
    return one, two


# --- nobody wants it


async def test_nobody_asked() -> None:
    """Without the setting and without a claim no file has a digest, and no byte is read for it."""
    core = Core()
    upload = await core.finished(HELLO)

    assert digest_of(upload) is None
    assert core.service.digests.running(await core.created(5)) is None
    assert core.storage.shown == []


# --- computed while bytes come


@pytest.mark.parametrize(
    "pieces", [[HELLO], [b"hello", b" world"], [b"h", b"", b"ello world"], [b""]], ids=len
)
async def test_patches_are_seen_as_they_come(pieces: Sequence[bytes]) -> None:
    """However many PATCHes a file comes in, their bytes are not read again."""
    core = Core(digests_all=True)
    upload = await core.created(sum(map(len, pieces)))
    for piece in pieces:
        upload = await core.append(upload, upload.offset, piece)
    upload = await core.service.find(USER, upload.id)

    assert digest_of(upload) == hashlib.sha256(b"".join(pieces)).digest()
    assert core.storage.shown == []
    assert (await core.now(upload)).completion == upload.completion


async def test_creation_with_upload_and_deferred_length() -> None:
    """The first bytes may come with the creation, and the length with the last."""
    core = Core(digests_all=True)
    upload = await core.service.create(NEW, MemoryBody.sized(b"hello"))
    upload = await core.append(upload, 5, b" world", length=11)

    assert digest_of(upload) == RIGHT
    assert core.storage.shown == []


async def test_an_empty_file() -> None:
    """An upload of length 0 is complete at once."""
    core = Core(digests_all=True)
    upload = await core.service.create(replace(NEW, length=0))

    assert digest_of(upload) == hashlib.sha256(b"").digest()


async def test_chunks_in_order_are_seen_as_they_come() -> None:
    """REST chunks in order are not read again."""
    core = Core(digests_all=True)
    upload = await core.created()
    await core.chunk(upload, 0, b"hello")
    await core.chunk(upload, 1, b" world")
    upload = await core.complete(upload, 2)

    assert digest_of(upload) == RIGHT
    assert core.storage.shown == []


async def test_a_cut_patch_goes_on() -> None:
    """What came of a PATCH that broke off is not read again either."""
    core = Core(digests_all=True)
    upload = await core.created(11)
    body = MemoryBody.broken(b"hel", b"lo", error=BodyInterrupted())
    with pytest.raises(BodyInterrupted):
        await core.service.append(USER, upload.id, Append(offset=0, size=11), body)
    upload = await core.append(upload, 5, b" world")

    assert digest_of(upload) == RIGHT
    assert core.storage.shown == []


async def test_discarded_bytes_are_forgotten() -> None:
    """Bytes whose checksum was wrong, or that were no whole chunk, are no part of the digest; those
    before them need not be read again."""
    core = Core(digests_all=True)
    upload = await core.created(11)
    await core.append(upload, 0, b"hello")
    append = Append(offset=5, size=6, checksum=Checksum(algorithm="crc32", digest=bytes(4)))
    with pytest.raises(ChecksumMismatch):
        await core.service.append(USER, upload.id, append, MemoryBody.sized(b"wrong!"))
    with pytest.raises(BodyInterrupted):
        await core.chunk_of(upload, 1, MemoryBody.broken(b"cut", error=BodyInterrupted()))
    upload = await core.append(upload, 5, b" world")

    assert digest_of(upload) == RIGHT
    assert core.storage.shown == []


@pytest.mark.parametrize("fault", [Fault.WRITE, Fault.RECORD], ids=lambda fault: fault.name)
async def test_a_failed_append_is_forgotten(fault: Fault) -> None:
    """Bytes that could not be stored are no part of the digest."""
    core = Core(digests_all=True)
    upload = await core.created(11)
    await core.append(upload, 0, b"hello")
    with core.storage.failing(fault), pytest.raises((NoSpace, StorageError)):
        await core.append(upload, 5, b"-wrong")
    upload = await core.append(upload, 5, b" world")

    assert digest_of(upload) == RIGHT
    assert core.storage.shown == []


async def test_the_event_tells_it() -> None:
    """Who hears of a file hears its digest."""
    core = Core(digests_all=True)
    await core.finished(HELLO)

    [told] = [event for event in core.sink.events if isinstance(event, Completed)]
    assert digest_of(told.upload) == RIGHT


# --- what was not seen is read once


async def test_a_chunk_that_waited_is_read() -> None:
    """The bytes of a chunk that came before its turn are read, and those behind it; not those
    before it."""
    core = Core(digests_all=True)
    upload = await core.created()
    await core.chunk(upload, 0, b"hel")
    await core.chunk(upload, 2, b" wor")
    await core.chunk(upload, 1, b"lo")
    await core.chunk(upload, 3, b"ld")
    upload = await core.complete(upload, 4)

    assert digest_of(upload) == RIGHT
    assert core.storage.shown == [(upload.id, 6)]


async def test_a_concatenation_is_read() -> None:
    """The parts of a concatenation have no digest of their own; the whole of it is read once."""
    core = Core(digests_all=True)
    parts = [await core.partial(data) for data in (b"hello", b" world")]
    final = Final(partials=tuple(part.id for part in parts), header="final;x")
    upload = await core.service.concatenate(NEW, final)

    assert [digest_of(part) for part in parts] == [None, None]
    assert digest_of(upload) == RIGHT
    assert core.storage.shown == [(upload.id, 11)]


async def test_another_worker_reads_what_it_did_not_see() -> None:
    """Two processes in turn: the one that finishes reads from where it knows all bytes."""
    one, two = two_workers()
    upload = await one.created(11)
    await one.append(upload, 0, b"he")
    await two.append(upload, 2, b"llo")
    await one.append(upload, 5, b" ")
    upload = await two.append(upload, 6, b"world")

    assert digest_of(upload) == RIGHT
    assert two.storage.shown == [(upload.id, 11)]


async def test_only_what_is_missing_is_read() -> None:
    """The first process knows the first bytes still."""
    one, two = two_workers()
    upload = await one.created(11)
    await one.append(upload, 0, b"hello")
    await two.append(upload, 5, b" ")
    upload = await one.append(upload, 6, b"world")

    assert digest_of(upload) == RIGHT
    assert one.storage.shown == [(upload.id, 6)]


async def test_bytes_that_were_lost_and_sent_again_are_not_mistaken() -> None:
    """A process that knew other bytes, which a failure took back meanwhile, reads anew."""
    one, two = two_workers()
    upload = await one.created(11)
    upload = await one.append(upload, 0, b"HELLO")
    await one.storage.save(shrunk(upload, 2))
    one.storage.kept(upload).data = b"he"
    await two.append(upload, 2, b"llo w")
    upload = await one.append(upload, 7, b"orld")

    assert digest_of(upload) == RIGHT
    assert one.storage.shown == [(upload.id, 11)]


async def test_a_failed_finish_does_not_read_twice() -> None:
    """When the file cannot be put in its place the digest is known the next time."""
    one, two = two_workers()
    upload = await one.created(11)
    await one.append(upload, 0, b"hello")
    with two.storage.failing(Fault.MOVE), pytest.raises(StorageError):
        await two.append(upload, 5, b" world")
    upload = await two.service.find(USER, upload.id)

    assert digest_of(upload) == RIGHT
    assert two.storage.shown == [(upload.id, 11)]


async def test_only_the_commit_counts() -> None:
    """Bytes that were not all seen, or seen beyond what was committed, are not kept; nor are those
    that come after they were kept."""
    core = Core(digests_all=True)
    digests = core.service.digests
    upload = await core.append(await core.created(11), 0, b"hello")
    for seen in (b"hell", b"hello!"):
        digests.forget(upload)
        running = digests.running(replace(upload, offset=0))
        assert running is not None
        running.update(seen)
        running.keep(upload)

        assert digests.running(upload) is None
    running = digests.running(replace(upload, offset=0))
    assert running is not None
    running.update(b"hello")
    running.keep(upload)
    running.update(b"garbage")

    assert digest_of(await core.append(upload, 5, b" world")) == RIGHT


async def test_partial_uploads_are_not_followed() -> None:
    """Nobody asks for the digest of a part."""
    core = Core(digests_all=True)
    part = await core.created(5, replace(NEW, concat=Partial(), declared_file_id=None))

    assert core.service.digests.running(part) is None


async def test_few_are_remembered() -> None:
    """Memory has a bound: the digests of uploads that were not used the longest are forgotten, and
    cost a second look at their bytes."""
    core = Core()
    digests = Digests(core.storage, is_for_all=True, most=2)
    uploads = [await core.append(await core.created(11), 0, b"hello") for _ in range(3)]
    for upload in (uploads[0], uploads[1], uploads[0], uploads[2]):
        running = digests.running(replace(upload, offset=0))
        assert running is not None
        running.update(b"hello")
        running.keep(upload)

    assert [digests.running(upload) is not None for upload in uploads] == [True, False, True]


async def test_the_sweeper_makes_up_for_a_crash() -> None:
    """An upload that a crash left full gets its digest with its file."""
    one, two = two_workers()
    upload = await one.created(11)
    with one.storage.failing(Fault.MOVE), pytest.raises(StorageError):
        await one.append(upload, 0, HELLO)
    await sweep(two.service)

    assert digest_of(await two.now(upload)) == RIGHT


# --- what the client claims


async def test_a_right_claim() -> None:
    """The digest that a client claims is computed for its upload alone, while its bytes come."""
    core = Core()
    upload = await core.service.create(claiming(RIGHT), MemoryBody.sized(HELLO))

    assert digest_of(upload) == digest_of(await core.now(upload)) == RIGHT
    assert core.storage.shown == []


@pytest.mark.parametrize("digests_all", [False, True])
async def test_a_wrong_claim_makes_no_file(*, digests_all: bool) -> None:
    """The upload stays full and unfinished: not listed, not told of, not open; and nobody reads its
    bytes again, also after a restart."""
    core = Core(digests_all=digests_all)
    upload = await core.service.create(claiming(WRONG))
    with pytest.raises(DigestMismatch):
        await core.append(upload, 0, HELLO)
    restarted = Core(storage=core.storage, sink=core.sink, clock=core.clock)
    for service in (core.service, restarted.service):
        with pytest.raises(DigestMismatch):
            await service.find(USER, upload.id)
        with pytest.raises(DigestMismatch):
            async with service.open(USER, upload.id):
                pass
        with pytest.raises(DigestMismatch):
            await service.append(USER, upload.id, Append(offset=11, size=0), MemoryBody())
        assert await service.files(USER) == []
    stored = await core.now(upload)

    assert (stored.offset, stored.completion) == (11, None)
    assert stored.claim == Claim(sha256=WRONG, found=RIGHT)
    assert core.storage.file(upload.place) is None
    assert "Completed" not in core.sink.kinds()
    assert core.storage.shown == []


async def test_a_wrong_claim_leaves_the_earlier_file() -> None:
    """What lies at the place of a refused upload stays."""
    core = Core()
    earlier = await core.finished(b"earlier")
    upload = await core.service.create(claiming(WRONG))
    with pytest.raises(DigestMismatch):
        await core.append(upload, 0, HELLO)

    assert await core.service.files(USER) == [earlier]
    assert core.storage.file(upload.place) == b"earlier"


async def test_the_sweeper_leaves_it_in_peace(caplog: pytest.LogCaptureFixture) -> None:
    """The sweeper does not try again what cannot be, and one line of the log tells of it; when its
    time is over it ends."""
    core = Core()
    upload = await core.service.create(claiming(WRONG))
    with core.storage.failing(Fault.MOVE), caplog.at_level(logging.INFO):
        with pytest.raises(DigestMismatch):
            await core.append(upload, 0, HELLO)
        passes = [await sweep(core.service) for _ in range(3)]
    core.clock.forward(core.service.limits.expires_after)
    last = await sweep(core.service)

    assert all(each.is_idle for each in passes)
    assert [record.getMessage() for record in caplog.records] == ["digest_mismatch"]
    assert last.expired == 1


async def test_the_sweeper_finds_it_first(caplog: pytest.LogCaptureFixture) -> None:
    """After a crash before the check the sweeper makes it, once."""
    core = Core()
    upload = await core.created(11)
    full = replace(upload, claim=Claim(sha256=WRONG), offset=11)
    core.storage.kept(upload).data = HELLO
    await core.storage.save(full)
    with caplog.at_level(logging.INFO):
        passes = [await sweep(core.service) for _ in range(3)]

    assert all(each.is_idle for each in passes)
    assert [record.getMessage() for record in caplog.records] == ["digest_mismatch"]
    assert core.storage.shown == [(upload.id, 11)]


async def test_it_can_be_terminated() -> None:
    """All that a client can do with a refused upload is to remove it."""
    core = Core()
    upload = await core.service.create(claiming(WRONG))
    with pytest.raises(DigestMismatch):
        await core.append(upload, 0, HELLO)
    await core.service.terminate(USER, upload.id)

    assert core.storage.kept(upload).data is None


async def test_a_creation_with_wrong_bytes_leaves_nothing() -> None:
    """Nobody learned the id of an upload whose creation is refused."""
    core = Core()
    with pytest.raises(DigestMismatch):
        await core.service.create(claiming(WRONG), MemoryBody.sized(HELLO))

    assert [upload async for upload in core.storage.uploads(USER)] == []
    assert core.sink.kinds()[-1] == "Terminated"


async def test_a_creation_that_breaks_off_at_its_end_is_checked() -> None:
    """All bytes came before the connection broke; they are the wrong ones."""
    core = Core()
    body = MemoryBody.broken(HELLO, error=BodyInterrupted())
    with pytest.raises(BodyInterrupted):
        await core.service.create(claiming(WRONG), body)

    assert [upload async for upload in core.storage.uploads(USER)] == []


async def test_a_concatenation_is_checked() -> None:
    """A concatenation with a wrong claim is none, and its parts are as they were."""
    core = Core()
    parts = [await core.partial(data) for data in (b"hello", b" world")]
    final = Final(partials=tuple(part.id for part in parts), header="final;x")
    with pytest.raises(DigestMismatch):
        await core.service.concatenate(claiming(WRONG, None), final)
    left = [upload.id async for upload in core.storage.uploads(USER)]
    upload = await core.service.concatenate(claiming(RIGHT, None), final)

    assert left == [part.id for part in parts]
    assert digest_of(upload) == RIGHT


async def test_chunks_are_checked() -> None:
    """REST chunks in any order: `complete` refuses a wrong whole, however often it is asked."""
    core = Core()
    upload = await core.service.create(claiming(WRONG, None))
    await core.chunk(upload, 1, b" world")
    await core.chunk(upload, 0, b"hello")
    for _ in range(3):
        with pytest.raises(DigestMismatch):
            await core.complete(upload, 2)

    assert core.storage.shown == [(upload.id, 6)]
    assert await core.service.files(USER) == []


async def test_a_partial_upload_is_not_checked() -> None:
    """What a client says of the whole file is not true of a part of it."""
    core = Core(digests_all=True)
    part = await core.partial(b"hello", replace(NEW, sha256=WRONG))

    assert part.claim is None
    assert part.is_full


async def test_lost_bytes_open_a_refused_upload_again() -> None:
    """Bytes that a failure took back are sent again, and may be the right ones then."""
    core = Core()
    upload = await core.service.create(claiming(RIGHT))
    with pytest.raises(DigestMismatch):
        await core.append(upload, 0, b"HELLO world")
    core.storage.kept(upload).data = b""
    await core.storage.save(shrunk(await core.now(upload), 0))
    upload = await core.append(upload, 0, HELLO)

    assert digest_of(upload) == RIGHT


async def test_an_unreachable_storage_decides_nothing() -> None:
    """Bytes that cannot be read are neither right nor wrong: it is tried again."""
    one = Core()
    two = Core(storage=one.storage, sink=one.sink, clock=one.clock)
    upload = await one.service.create(claiming(RIGHT))
    await one.append(upload, 0, b"hello")
    full = replace(await one.now(upload), offset=11)
    await one.storage.save(full)
    with pytest.raises(StorageError):
        await two.service.find(USER, upload.id)
    one.storage.kept(upload).data = HELLO

    assert digest_of(await two.service.find(USER, upload.id)) == RIGHT
    with pytest.raises(UploadNotFound):
        await two.service.find("43", upload.id)
