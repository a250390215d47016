"""LocalStorage: what lies where, what it survives, and what is on the medium when."""

import asyncio
import errno
import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import Fault
from tests.faulty_os import FaultyOs, faulty_os
from tests.outlets import connected
from tests.uploads import BOOT, NOW, UPLOAD, chunk, completed, fresh, grown
from tusd_py.block import MemoryBlock
from tusd_py.errors import NoSpace, StorageError, TooLarge, UploadGone, UploadNotFound
from tusd_py.events import Cleaned
from tusd_py.storage.local.storage import LocalStorage
from tusd_py.storage.record import PLAIN, VERSION, decode, encode
from tusd_py.upload import End, Ending, Partial, Upload

FOLDER = Path("uploads/42")

LIFE = "0123456789ab"
"""Its mark in the names of chunks."""

HEX = "0" * 32


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    """A disk that notes what it is told."""
    return faulty_os(monkeypatch)


@pytest.fixture
async def storage(faulty: FaultyOs, tmp_path: Path) -> LocalStorage:
    """A storage in a fresh folder."""
    storage = LocalStorage(tmp_path, boot=BOOT)
    await storage.check()
    return storage


async def assembled(storage: LocalStorage, upload: Upload) -> Upload:
    """The upload, become a file that its record does not know yet."""
    await storage.assemble(upload)
    return completed(upload)


async def kept(storage: LocalStorage, data: bytes, upload: Upload = UPLOAD) -> Upload:
    """A new full upload."""
    upload = fresh(replace(upload, length=len(data)))
    await storage.create(upload)
    async with storage.writer(upload, atomic=False) as writer:
        await writer.write(MemoryBlock(data))
        return await writer.commit(grown(upload, len(data)))


async def stage(storage: LocalStorage, upload: Upload, index: int, data: bytes) -> None:
    """Let a chunk wait."""
    async with storage.stage(upload, index) as writer:
        await writer.write(MemoryBlock(data))
        await writer.commit(chunk(data))


async def append_to(storage: LocalStorage, upload: Upload) -> None:
    """Append a byte."""
    async with storage.writer(upload, atomic=False) as writer:
        await writer.write(MemoryBlock(b"x"))
        await writer.commit(grown(upload, 1))


def files(root: Path) -> list[str]:
    """All files below a folder."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


# --- what lies where


async def test_an_upload_is_two_files(storage: LocalStorage, tmp_path: Path) -> None:
    """uploads/{owner}/{id}.info and .data."""
    upload = await kept(storage, b"hello")

    assert files(tmp_path) == [f"{FOLDER}/{upload.id}.data", f"{FOLDER}/{upload.id}.info"]
    assert (tmp_path / FOLDER / f"{upload.id}.data").read_bytes() == b"hello"
    assert decode((tmp_path / FOLDER / f"{upload.id}.info").read_bytes()) == upload


async def test_a_file_lies_where_the_contract_says(storage: LocalStorage, tmp_path: Path) -> None:
    """final/{user_id}/{file_id}/{filename}, and nothing temporary is left."""
    upload = await kept(storage, b"hello")
    await stage(storage, upload, 0, b"hello")
    await storage.assemble(upload)

    assert await storage.location(upload) == str(tmp_path / "final/42/123/audio.mp3")
    assert [name for name in files(tmp_path) if not name.endswith(".place")] == [
        "final/42/123/audio.mp3",
        f"{FOLDER}/{upload.id}.info",
    ]
    assert not (tmp_path / FOLDER / f"{upload.id}.chunks").exists()


async def test_a_part_of_a_concatenation_stays_where_it_is(
    storage: LocalStorage, tmp_path: Path, faulty: FaultyOs
) -> None:
    """A partial upload is no file of its own, but its bytes are on the medium when it is whole."""
    upload = await kept(storage, b"hello", replace(UPLOAD, concat=Partial()))
    with (tmp_path / FOLDER / f"{upload.id}.data").open("ab") as file:
        file.write(b"unrecorded garbage")
    await storage.assemble(upload)

    assert files(tmp_path) == [f"{FOLDER}/{upload.id}.data", f"{FOLDER}/{upload.id}.info"]
    assert (tmp_path / FOLDER / f"{upload.id}.data").read_bytes() == b"hello"
    assert f"fsync {upload.id}.data" in faulty.calls


async def test_an_empty_part_of_a_concatenation(storage: LocalStorage, tmp_path: Path) -> None:
    """A partial upload without bytes has them all."""
    upload = await storage.create(fresh(replace(UPLOAD, length=0, concat=Partial())))
    await storage.assemble(upload)

    assert (tmp_path / FOLDER / f"{upload.id}.data").read_bytes() == b""


async def test_a_lost_part_of_a_concatenation_is_told(
    storage: LocalStorage, tmp_path: Path
) -> None:
    """A partial upload whose data is gone never becomes one of no bytes."""
    upload = await kept(storage, b"hello", replace(UPLOAD, concat=Partial()))
    (tmp_path / FOLDER / f"{upload.id}.data").unlink()

    with pytest.raises((StorageError, UploadNotFound)):
        await storage.assemble(upload)
    assert files(tmp_path) == [f"{FOLDER}/{upload.id}.info"]


async def test_forgetting_leaves_no_folders(storage: LocalStorage, tmp_path: Path) -> None:
    """After the last upload of a user nothing of them is left."""
    upload = await kept(storage, b"hello")
    done = await assembled(storage, upload)
    await storage.save(done)
    await storage.forget(done)

    assert sorted(os.listdir(tmp_path)) == ["final", "uploads"]
    assert [os.listdir(tmp_path / name) for name in ("final", "uploads")] == [[], []]


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """`check` raises `StorageError` when the folder is a file."""
    (tmp_path / "data").touch()

    with pytest.raises(StorageError):
        await LocalStorage(tmp_path / "data", boot=BOOT).check()


async def test_the_owner_may_move_a_file_away(storage: LocalStorage, tmp_path: Path) -> None:
    """A file that was moved away by hand is not there any more."""
    upload = await kept(storage, b"hello")
    done = await assembled(storage, upload)
    shutil.rmtree(tmp_path / "final")

    assert not await storage.has_file(done)
    with pytest.raises(UploadNotFound):
        async with storage.open(done):
            pass


async def test_a_length_that_no_file_can_have_is_the_clients_fault(storage: LocalStorage) -> None:
    """An offset in a file has 63 bits: more is too large, not a disk that is too small."""
    with pytest.raises(TooLarge):
        await storage.create(fresh(replace(UPLOAD, length=2**63)))


# --- after a crash


async def test_bytes_beyond_the_record_do_not_exist(storage: LocalStorage, tmp_path: Path) -> None:
    """What a killed process wrote after its last record is cut off by the next writer."""
    upload = await kept(storage, b"hello")
    with (tmp_path / FOLDER / f"{upload.id}.data").open("ab") as file:
        file.write(b"unrecorded garbage")
    async with storage.writer(upload, atomic=False) as writer:
        await writer.write(MemoryBlock(b"!"))
        await writer.commit(grown(upload, 1))

    assert (tmp_path / FOLDER / f"{upload.id}.data").read_bytes() == b"hello!"


async def test_bytes_beyond_the_record_do_not_reach_the_file(
    storage: LocalStorage, tmp_path: Path
) -> None:
    """kill -9 and resume never give a file that is longer than the original."""
    upload = await kept(storage, b"hello")
    with (tmp_path / FOLDER / f"{upload.id}.data").open("ab") as file:
        file.write(b"unrecorded garbage")
    await storage.assemble(upload)

    assert (tmp_path / "final/42/123/audio.mp3").read_bytes() == b"hello"


async def test_lost_bytes_are_told(storage: LocalStorage, tmp_path: Path) -> None:
    """Data that is shorter than its record is `StorageError`, for writers and at the end."""
    upload = await kept(storage, b"hello")
    os.truncate(tmp_path / FOLDER / f"{upload.id}.data", 3)

    with pytest.raises(StorageError):
        await append_to(storage, upload)
    with pytest.raises(StorageError):
        await storage.assemble(upload)


async def test_lost_data_is_told(storage: LocalStorage, tmp_path: Path) -> None:
    """Data that is gone altogether never becomes an empty file."""
    upload = await kept(storage, b"hello")
    (tmp_path / FOLDER / f"{upload.id}.data").unlink()

    with pytest.raises(StorageError):
        await storage.assemble(upload)
    assert not (tmp_path / "final/42").exists()


async def test_what_the_disk_kept_can_go_on(
    storage: LocalStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When the disk lost bytes the upload has those before them, and goes on from there."""
    upload = await kept(storage, b"hello")
    os.truncate(tmp_path / FOLDER / f"{upload.id}.data", 3)
    left = await storage.load(upload.owner, upload.id)
    async with storage.writer(left, atomic=False) as writer:
        await writer.write(MemoryBlock(b"lo"))
        await writer.commit(grown(left, 2))
    await storage.assemble(grown(left, 2))

    assert left.offset == 3
    assert (tmp_path / "final/42/123/audio.mp3").read_bytes() == b"hello"
    assert {record.getMessage() for record in caplog.records} == {"bytes_lost"}


async def test_an_upload_without_its_data_begins_anew(
    storage: LocalStorage, tmp_path: Path
) -> None:
    """Data that is gone altogether is an upload without bytes."""
    upload = await kept(storage, b"hello")
    (tmp_path / FOLDER / f"{upload.id}.data").unlink()
    left = await storage.load(upload.owner, upload.id)

    assert (left.offset, left.chunks) == (0, ())


async def test_a_data_folder_that_went_is_trouble(storage: LocalStorage, tmp_path: Path) -> None:
    """A medium that is not mounted holds no uploads, but that does not mean there are none."""
    upload = await kept(storage, b"hello")
    shutil.rmtree(tmp_path / "uploads")

    with pytest.raises(StorageError):
        await storage.load(upload.owner, upload.id)


async def test_a_claim_before_its_move_gives_nothing_away(
    storage: LocalStorage, tmp_path: Path
) -> None:
    """Killed between the claim and the move, a later upload that is deleted leaves the earlier
    file, which is its owner's again."""
    earlier = await kept(storage, b"hello")
    done = await assembled(storage, earlier)
    await storage.save(done)
    later = await kept(storage, b"later")
    later = replace(later, length=later.offset)
    [path] = (tmp_path / FOLDER).glob("*.place")
    path.write_text(later.id)
    hidden = await storage.has_file(done)
    await storage.delete(later)

    assert not hidden
    async with storage.open(done) as content:
        assert [block async for block in content.read(0, 5)] == [b"hello"]


@pytest.mark.parametrize("claim", [b"", bytes(36), None], ids=["empty", "zeros", "gone"])
async def test_a_file_whose_claim_was_lost_is_found(
    claim: bytes | None, storage: LocalStorage, tmp_path: Path
) -> None:
    """A power failure may take the claim to a place: the record of a file is enough."""
    upload = await kept(storage, b"hello")
    done = await assembled(storage, upload)
    [path] = (tmp_path / FOLDER).glob("*.place")
    if claim is None:
        path.unlink()
    else:
        path.write_bytes(claim)

    assert await storage.has_file(done)
    async with storage.open(done) as content:
        assert [block async for block in content.read(0, 5)] == [b"hello"]


async def test_a_cancelled_commit_is_a_commit_or_none(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, faulty: FaultyOs
) -> None:
    """Whoever is cancelled while the record is replaced leaves bytes for what it says."""
    upload = await kept(storage, b"hello")
    in_rename, go_on = threading.Event(), threading.Event()

    def rename(source: str, target: str) -> None:
        in_rename.set()
        go_on.wait(5)
        os.rename(source, target)

    async def append() -> None:
        async with storage.writer(upload, atomic=False) as writer:
            await writer.write(MemoryBlock(b" world"))
            await writer.commit(grown(upload, 6))

    monkeypatch.setattr(faulty, "rename", rename)
    task = asyncio.create_task(append())
    await asyncio.to_thread(in_rename.wait, 5)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait([task])
    stored = await storage.load(upload.owner, upload.id)

    async with storage.writer(stored, atomic=False):
        pass
    async with storage.open(stored) as content:
        data = b"".join([block async for block in content.read(0, content.size)])
    assert data == b"hello world"[: stored.offset]


# --- comparing


@pytest.mark.parametrize(
    ("start", "data"), [(0, b"hello"), (0, b"he"), (2, b"llo"), (1, b"ell"), (5, b"")]
)
async def test_stored_bytes_are_compared_by_digest(
    start: int, data: bytes, storage: LocalStorage
) -> None:
    """PATCHed bytes can be compared with a REST chunk, before and after they are a file."""
    upload = await kept(storage, b"hello")
    before = await storage.digests(upload, start, len(data))
    done = await assembled(storage, upload)

    assert before == (chunk(data),)
    assert await storage.digests(done, start, len(data)) == (chunk(data),)


# --- in company


async def test_a_folder_that_goes_in_that_moment_is_made_again(
    storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faulty: FaultyOs
) -> None:
    """Who tidies up empty folders does not make a chunk fail, nor an upload unknown."""
    upload = await kept(storage, b"hello")
    chunks = tmp_path / FOLDER / f"{upload.id}.chunks"
    removals = 2

    def open_and_more(path: Path, flags: int, mode: int = 0o777) -> int:
        nonlocal removals
        if chunks.is_dir() and removals:
            removals -= 1
            chunks.rmdir()
        return os.open(path, flags, mode)

    monkeypatch.setattr(faulty, "open", open_and_more)
    await stage(storage, upload, 3, b"chunk")

    assert await storage.staged(upload) == {3: 5}


async def test_a_chunk_that_breaks_off_leaves_no_file(
    storage: LocalStorage, tmp_path: Path
) -> None:
    """Half a chunk is removed at once, not by the next cleaning."""
    upload = await kept(storage, b"hello")
    before = files(tmp_path)
    async with storage.stage(upload, 3) as writer:
        await writer.write(MemoryBlock(b"half a ch"))

    assert files(tmp_path) == before


async def test_no_descriptor_is_left_open(
    storage: LocalStorage, tmp_path: Path, faulty: FaultyOs
) -> None:
    """Whether calls succeed or fail, the process does not run out of descriptors."""
    lost = await kept(storage, b"hello")
    os.truncate(tmp_path / FOLDER / f"{lost.id}.data", 3)
    before = os.listdir("/proc/self/fd")
    part, upload = await kept(storage, b"part"), await kept(storage, b"hello")
    await stage(storage, upload, 1, b"chunk")
    async with storage.writer(upload, atomic=True) as writer:
        await writer.absorb(part)
        await writer.absorb(1)
    with faulty.failing(Fault.WRITE):
        for failing in (kept(storage, b"x"), stage(storage, upload, 2, b"x")):
            with pytest.raises(NoSpace):
                await failing
    with pytest.raises(StorageError):
        await storage.assemble(lost)
    with pytest.raises(StorageError):
        await append_to(storage, lost)
    done = await assembled(storage, upload)
    async with storage.open(done) as content:
        assert [block async for block in content.read(0, 5)] == [b"hello"]

    assert len(os.listdir("/proc/self/fd")) == len(before)


# --- strange files


async def test_a_torn_record_is_gone(storage: LocalStorage, tmp_path: Path) -> None:
    """An upload whose record is torn cannot go on: its client must begin anew."""
    upload = await kept(storage, b"hello")
    (tmp_path / FOLDER / f"{upload.id}.info").write_bytes(encode(upload)[:40])

    with pytest.raises(UploadGone):
        await storage.load(upload.owner, upload.id)


async def test_a_record_of_a_newer_server_is_trouble(storage: LocalStorage, tmp_path: Path) -> None:
    """A record that this server is too old for is 503, and stays."""
    upload = await kept(storage, b"hello")
    path = tmp_path / FOLDER / f"{upload.id}.info"
    newer = encode(upload).replace(b'"version":%d' % PLAIN, b'"version":%d' % (VERSION + 1))
    path.write_bytes(newer)

    with pytest.raises(StorageError):
        await storage.load(upload.owner, upload.id)
    assert path.read_bytes() == newer


async def test_a_record_that_cannot_be_read_is_trouble(
    storage: LocalStorage, tmp_path: Path
) -> None:
    """Absence is 404, failure is 503: a record that is a folder is not absent."""
    upload = await kept(storage, b"hello")
    path = tmp_path / FOLDER / f"{upload.id}.info"
    path.unlink()
    path.mkdir()

    with pytest.raises(StorageError):
        await storage.load(upload.owner, upload.id)


async def test_a_record_in_anothers_folder_is_nobodys(
    storage: LocalStorage, tmp_path: Path
) -> None:
    """A record counts where it belongs, not where somebody copied it."""
    upload = await kept(storage, b"hello")
    path = tmp_path / FOLDER / f"{upload.id}.info"
    (tmp_path / "uploads/43").mkdir()
    shutil.copy(path, tmp_path / "uploads/43" / path.name)
    other_id = fresh().id
    shutil.copy(path, path.with_name(f"{other_id}.info"))

    with pytest.raises(UploadNotFound):
        await storage.load("43", upload.id)
    with pytest.raises(UploadNotFound):
        await storage.load("42", other_id)
    assert [each.id async for each in storage.uploads("42")] == [upload.id]
    assert [each.id async for each in storage.uploads("43")] == []
    assert [each.id async for each in storage.unsettled()] == [upload.id]


async def test_a_list_leaves_out_what_cannot_be_read(
    storage: LocalStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A torn record never stops a list or another upload; the log names it."""
    upload = await kept(storage, b"hello")
    folder = tmp_path / FOLDER
    (folder / f"{fresh().id}.info").write_bytes(b"{")
    (folder / f"{fresh().id}.info").mkdir()
    (folder / "torn.info").write_bytes(b"{")
    (folder / "note.txt").touch()
    (tmp_path / "uploads" / "file").touch()

    assert [each async for each in storage.uploads(upload.owner)] == [upload]
    assert [each async for each in storage.unsettled()] == [upload]
    assert {record.getMessage() for record in caplog.records} == {"unreadable_record"}


async def test_half_written_files_are_cleaned_after_an_hour(
    storage: LocalStorage, tmp_path: Path
) -> None:
    """What dead processes left goes; what somebody may still write stays, and all that counts."""
    upload = await kept(storage, b"hello")
    await stage(storage, upload, 3, b"chunk")
    folder = tmp_path / FOLDER
    chunks = folder / f"{upload.id}.chunks"
    before = files(tmp_path)
    old = [folder / f"x.info.{HEX}.tmp", chunks / f"4.{HEX}.tmp"]
    young = [folder / f"y.info.{HEX}.tmp", chunks / f"5.{HEX}.tmp"]
    for path in old + young:
        path.touch()
    for path in [*old, folder / f"{upload.id}.info", chunks / f"3-{LIFE}"]:
        os.utime(path, (time.time() - 3700, time.time() - 3700))

    assert await storage.clean() == Cleaned(removed=2)
    assert files(tmp_path) == sorted(before + [str(path.relative_to(tmp_path)) for path in young])


async def test_who_was_replaced_is_known_until_it_was_told(storage: LocalStorage) -> None:
    """A server may die between the move of a file and the end of the uploads it replaced: whoever
    finishes the upload finds them, through several such deaths; nobody finds those that ended."""
    first = await storage.save(await assembled(storage, await kept(storage, b"first")))
    second = await kept(storage, b"second")
    once = await storage.assemble(second)
    again = await storage.assemble(second)
    third = await kept(storage, b"third")
    before = await storage.assemble(third)
    after = await storage.assemble(third)
    await storage.save(replace(first, ending=Ending(why=End.REPLACED, at=NOW)))

    assert once == again == [first]
    assert before == after == [second, first]
    assert await storage.assemble(third) == [second]


async def test_a_chunk_that_is_replaced_while_it_is_absorbed(
    storage: LocalStorage, tmp_path: Path, faulty: FaultyOs
) -> None:
    """A chunk re-sent in that moment is absorbed as one version or the other, never mixed."""
    upload = await kept(storage, b"")
    await stage(storage, upload, 0, b"short")
    await stage(storage, upload, 1, b"a longer version")
    waiting = tmp_path / FOLDER / f"{upload.id}.chunks"
    async with storage.writer(upload, atomic=True) as writer:
        faulty.before_open = lambda: os.replace(waiting / f"1-{LIFE}", waiting / f"0-{LIFE}")
        absorbed = await writer.absorb(0)

    assert absorbed in (chunk(b"short"), chunk(b"a longer version"))


async def test_a_folder_that_goes_away_is_made_again(
    storage: LocalStorage, tmp_path: Path, faulty: FaultyOs
) -> None:
    """Another request may remove the folder of a user, empty as it is, while one creates there."""
    removed: list[Path] = []

    def remove_folder() -> None:
        (tmp_path / FOLDER).rmdir()
        removed.append(FOLDER)

    def remove_it_once_it_is_made() -> None:
        faulty.before_open = remove_folder

    faulty.before_open = remove_it_once_it_is_made
    upload = await storage.create(fresh())

    assert removed == [FOLDER]
    assert await storage.load("42", upload.id) == upload


async def test_a_download_holds_little_memory(storage: LocalStorage) -> None:
    """However slowly a client takes a file, only a small block of it is in memory."""
    done = await storage.save(await assembled(storage, await kept(storage, bytes(1 << 20))))
    async with storage.open(done) as content:
        sizes = [len(block) async for block in content.read(0, 1 << 20)]

    assert sum(sizes) == 1 << 20
    assert max(sizes) <= 128 << 10


async def test_a_file_that_is_shorter_than_its_record_is_not_sent_whole(
    storage: LocalStorage,
) -> None:
    """Who is sent a file that lost bytes is told, and so is who reads it."""
    done = await storage.save(await assembled(storage, await kept(storage, b"0123456789")))
    os.truncate(await storage.location(done), 4)
    with connected() as (outlet, client):
        async with storage.open(done) as content:
            with pytest.raises(StorageError, match="shorter"):
                await content.send(outlet, 0, 10)
            with pytest.raises(StorageError, match="shorter"):
                assert [block async for block in content.read(0, 10)]

        assert client.recv(10) == b"0123"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.EIO, StorageError),
        (errno.ETIMEDOUT, ConnectionError),
        (errno.EHOSTUNREACH, ConnectionError),
    ],
    ids=["EIO", "ETIMEDOUT", "EHOSTUNREACH"],
)
async def test_whose_fault_a_failed_download_is(
    storage: LocalStorage,
    faulty: FaultyOs,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    expected: type[Exception],
) -> None:
    """The disk's is told from that of the client's network."""
    done = await storage.save(await assembled(storage, await kept(storage, b"0123456789")))

    def fail(_socket: int, _fd: int, _start: int, _size: int) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(faulty, "sendfile", fail)
    with connected() as (outlet, _):
        async with storage.open(done) as content:
            with pytest.raises(expected):
                await content.send(outlet, 0, 10)


async def test_large_files_are_sent_in_turns(
    storage: LocalStorage, faulty: FaultyOs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However fast a client is, a thread is others' again after 4 MiB."""
    size = 9 << 20
    done = await storage.save(await assembled(storage, await kept(storage, bytes(size))))
    sizes = []

    def note(_socket: int, _fd: int, _start: int, count: int) -> int:
        sizes.append(count)
        return count

    monkeypatch.setattr(faulty, "sendfile", note)
    with connected() as (outlet, _):
        async with storage.open(done) as content:
            await content.send(outlet, 0, size)

    assert sum(sizes) == size
    assert max(sizes) <= 4 << 20
