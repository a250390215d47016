"""Bytes on their way: memory is accounted, the rest is in files that nobody sees, nothing leaks."""

import asyncio
import errno
import hashlib
import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.fakes import Fault
from tests.faulty_os import FaultyOs, faulty_os
from tusd_py.errors import NoSpace, StorageError
from tusd_py.storage.s3.buffer import SLAB, Buffer, Room, Sending
from tusd_py.storage.thread import Threads

MEMORY = 10
"""Bytes of memory that the tests' buffers have together."""

DATA = bytes(range(26))


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    """A disk that fails when a test says so."""
    return faulty_os(monkeypatch)


@pytest.fixture(params=["unnamed", "unlinked"])
def folder(
    request: pytest.FixtureRequest,
    faulty: FaultyOs,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Path:
    """A folder on a file system that has files without a name, and on one that has not."""

    def open_named(path: os.PathLike[str], flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return os.open(path, flags, mode)

    if request.param == "unlinked":
        monkeypatch.setattr(faulty, "open", open_named)
    return tmp_path


@pytest.fixture
def room(folder: Path) -> Room:
    """Very little memory."""
    return Room(MEMORY, folder, Threads(), slab=1)


@pytest.fixture(autouse=True)
def all_is_given_back(room: Room, folder: Path) -> Iterator[None]:
    """Whatever a test does with buffers, once they are closed all memory is free, no descriptor is
    open, and no file was ever seen."""
    before = descriptors()
    yield
    assert free(room) == MEMORY
    assert descriptors() == before
    assert os.listdir(folder) == []


def descriptors() -> list[str]:
    """The files that the process has open."""
    found = [os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    links = [os.readlink(path) for path in found if os.path.lexists(path)]
    return sorted(link for link in links if link.startswith("/") and not link.startswith("/proc"))


def free(room: Room) -> int:
    """So much memory is not in use."""
    return room.free


async def content(buffer: Buffer, start: int = 0) -> bytes:
    """The bytes of a buffer."""
    return b"".join([bytes(block) async for block in buffer.blocks(start)])


async def filled(room: Room, *blocks: bytes) -> Buffer:
    """A buffer that has some bytes."""
    buffer = Buffer(room)
    for block in blocks:
        await buffer.write(block)
    return buffer


# --- memory


async def test_bytes_stay_in_memory_while_there_is_room(room: Room) -> None:
    """Exactly the memory there is can be used."""
    with closing(await filled(room, b"abcdef", b"ghij")) as buffer:
        assert await content(buffer) == b"abcdefghij"
        assert buffer.size == MEMORY
        assert free(room) == 0


async def test_memory_is_given_back_when_bytes_go_to_a_file(room: Room) -> None:
    """With the first byte that does not fit all bytes of the buffer move, and stay there."""
    with closing(await filled(room, b"abcdef", b"ghijk", b"l")) as buffer:
        assert await content(buffer) == b"abcdefghijkl"
        assert buffer.size == 12
        assert free(room) == MEMORY


async def test_buffers_share_the_memory(room: Room) -> None:
    """What one buffer has another has not; who comes late uses the disk."""
    early, late = await filled(room, b"abcdefgh"), await filled(room, b"123")
    with closing(early), closing(late):
        assert free(room) == MEMORY - 8
        assert await content(early) == b"abcdefgh"
        assert await content(late) == b"123"


async def test_memory_is_free_again_for_the_next(room: Room) -> None:
    """A buffer that is closed gives back what it had; once, however often it is closed."""
    buffer = await filled(room, b"abcdefgh")
    for _ in range(3):
        buffer.close()

    assert free(room) == MEMORY
    assert buffer.size == 0


async def test_a_file_is_closed_once(room: Room) -> None:
    """Closing again does not close a descriptor that is another's by now."""
    buffer = await filled(room, DATA)
    buffer.close()
    with closing(await filled(room, DATA)) as other:
        buffer.close()

        assert await content(other) == DATA


async def test_nothing_is_nothing(room: Room) -> None:
    """An empty block costs nothing, also where there is no memory at all."""
    with closing(await filled(room, b"", b"")) as buffer:
        assert await content(buffer) == b""
        assert (buffer.size, free(room)) == (0, MEMORY)


async def test_without_memory_all_is_on_the_disk(folder: Path) -> None:
    """No memory is a setting that works."""
    room = Room(0, folder, Threads(), slab=1)
    with closing(await filled(room, b"ab", b"", b"cd")) as buffer:
        assert await content(buffer) == b"abcd"
        assert room.take() is None


@pytest.mark.parametrize("size", [6, 26])
async def test_reading_begins_anywhere(room: Room, size: int) -> None:
    """From any byte to the end, as often as need be."""
    with closing(await filled(room, DATA[:size])) as buffer:
        for start in (*range(size + 1), 0):
            assert await content(buffer, start) == DATA[start:size]


@pytest.mark.parametrize("memory", [0, 10 * SLAB])
async def test_large_buffers_come_in_slices(folder: Path, memory: int) -> None:
    """The network gets a limited number of bytes at once."""
    data = os.urandom(3 * SLAB + 1)
    room = Room(memory, folder, Threads(), slab=1 if memory < SLAB else SLAB)
    with closing(await filled(room, data)) as buffer:
        blocks = [bytes(block) async for block in buffer.blocks(5)]

    assert b"".join(blocks) == data[5:]
    assert max(map(len, blocks)) <= SLAB


@pytest.mark.parametrize("size", [6, 26])
async def test_a_block_that_is_held_stops_nothing(room: Room, size: int) -> None:
    """A connection that still holds what it was to send does not make the next write fail."""
    with closing(await filled(room, DATA[:size])) as buffer:
        blocks = buffer.blocks()
        held = await anext(blocks)
        await buffer.write(b"!")

        assert await content(buffer) == DATA[:size] + b"!"
        assert DATA.startswith(bytes(held))
        await blocks.aclose()  # type: ignore[attr-defined] # it is a generator


async def test_memory_that_is_held_is_not_used_again(room: Room) -> None:
    """What a dying connection still holds does not become the bytes of another upload."""
    buffer = await filled(room, b"a")
    held = memoryview(room_slab(buffer))
    buffer.close()
    with closing(await filled(room, b"0123456789")) as other:
        assert await content(other) == b"0123456789"
        assert bytes(held) == b"a"


def room_slab(buffer: Buffer) -> bytearray:
    """The first piece of memory of a buffer."""
    return buffer._slabs[0]


@pytest.mark.parametrize("size", [0, 6, 26])
async def test_memory_can_be_left_to_others(room: Room, size: int) -> None:
    """What a silent client sent goes to a file, whole, and more can follow."""
    with closing(await filled(room, DATA[:size])) as buffer:
        await buffer.yield_memory()
        await buffer.yield_memory()
        left = free(room)
        await buffer.write(b"!")

        assert left == MEMORY
        assert await content(buffer) == DATA[:size] + b"!"


# --- splitting


@pytest.mark.parametrize("size", [6, 10, 26])
@pytest.mark.parametrize("at", [0, 1, 5, 6])
async def test_a_split_keeps_all_bytes(room: Room, size: int, at: int) -> None:
    """The first bytes in one buffer and the others in another, in memory as in a file."""
    with closing(await filled(room, DATA[:size])) as rest:
        with closing(rest.split(at)) as front:
            assert (front.size, rest.size) == (at, size - at)
            assert await content(front) == DATA[:at]
            assert await content(rest) == DATA[at:size]
        assert await content(rest) == DATA[at:size]


@pytest.mark.parametrize("size", [6, 26])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
async def test_pieces_may_end_in_any_order(room: Room, size: int, order: tuple[int, ...]) -> None:
    """Each piece is whole until it is closed itself."""
    rest = await filled(room, DATA[:size])
    pieces = [rest.split(2), rest.split(3), rest]
    expected = [DATA[:2], DATA[2:5], DATA[5:size]]
    for index in order:
        assert await content(pieces[index]) == expected[index]
        pieces[index].close()
        pieces[index].close()


@pytest.mark.parametrize("size", [3, 6, 26])
async def test_the_rest_grows_on(room: Room, size: int) -> None:
    """After a split bytes are appended to the rest; the front stays as it is."""
    with closing(await filled(room, DATA[:size])) as rest, closing(rest.split(2)) as front:
        for block in (b"x", b"yz", b"0123456789"):
            await rest.write(block)

        assert await content(front) == DATA[:2]
        assert await content(rest) == DATA[2:size] + b"xyz0123456789"


async def test_a_front_keeps_its_memory_when_the_rest_moves(room: Room) -> None:
    """Memory belongs to the buffer that has the bytes."""
    rest = await filled(room, b"abcdefgh")
    with closing(rest), closing(rest.split(3)) as front:
        await rest.write(b"0123456789")

        assert free(room) == MEMORY - 3
        assert await content(front) + await content(rest) == b"abcdefgh0123456789"


# --- trouble


@pytest.mark.parametrize("held", [0, 6])
async def test_a_full_disk_leaves_what_was_there(room: Room, faulty: FaultyOs, held: int) -> None:
    """When bytes cannot move to a file they stay in memory, and the disk is told to be full."""
    with closing(await filled(room, DATA[:held])) as buffer:
        with faulty.failing(Fault.WRITE), pytest.raises(NoSpace):
            await buffer.write(bytes(20))

        assert await content(buffer) == DATA[:held]
        assert (buffer.size, free(room)) == (held, MEMORY - held)
        await buffer.write(DATA[held:])
        assert await content(buffer) == DATA


async def test_a_disk_that_gets_full_leaves_what_was_written(room: Room, faulty: FaultyOs) -> None:
    """Half a block in a file does not count, and the next is written over it."""
    with closing(await filled(room, DATA)) as buffer:
        with faulty.failing(Fault.WRITE), pytest.raises(NoSpace):
            await buffer.write(b"0123456789")
        await buffer.write(b"!")

        assert await content(buffer) == DATA + b"!"


async def test_a_folder_that_went_is_no_absence(tmp_path: Path) -> None:
    """Who cleans up /tmp makes at worst a failure: nobody may take it for an unknown upload."""
    room = Room(MEMORY, tmp_path / "gone", Threads(), slab=1)
    with closing(await filled(room, b"abc")) as buffer:
        try:
            await buffer.write(DATA)
        except StorageError:
            assert await content(buffer) == b"abc"
        else:
            assert await content(buffer) == b"abc" + DATA
            (tmp_path / "gone").rmdir()

    assert free(room) == MEMORY


async def test_no_descriptors_left_is_told(
    room: Room, faulty: FaultyOs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be made is a failure of the storage; what was there stays."""

    def refuse(*_args: object, **_kwargs: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with closing(await filled(room, b"abc")) as buffer:
        with monkeypatch.context() as patch, pytest.raises(StorageError):
            patch.setattr(faulty, "open", refuse)
            patch.setattr("tempfile.mkstemp", refuse)
            await buffer.write(DATA)

        assert await content(buffer) == b"abc"


async def test_a_cancelled_spill_leaves_no_file(
    room: Room, faulty: FaultyOs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is cancelled while bytes move to a file leaves them in memory, and no file."""
    in_write, go_on = threading.Event(), threading.Event()

    def pwrite(fd: int, data: bytes, position: int) -> int:
        in_write.set()
        go_on.wait(5)
        return os.pwrite(fd, data, position)

    monkeypatch.setattr(faulty, "pwrite", pwrite)
    with closing(await filled(room, b"abc")) as buffer:
        task = asyncio.create_task(buffer.write(DATA))
        await asyncio.to_thread(in_write.wait, 5)
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait([task])

        assert task.cancelled()
        assert await content(buffer) == b"abc"


# --- the folder


def test_the_folder_is_made_and_cleaned(tmp_path: Path) -> None:
    """Files of a process that died while it made one go; everybody else's stay."""
    folder = tmp_path / "a" / "b"
    Room(MEMORY, folder, Threads(), slab=1).clean()
    left, other = folder / "tmpx.spill", folder / "locks"
    left.touch()
    other.touch()
    Room(MEMORY, folder, Threads(), slab=1).clean()

    assert os.listdir(folder) == ["locks"]
    (tmp_path / "a" / "b" / "locks").unlink()
    folder.rmdir()
    folder.parent.rmdir()


def test_a_file_has_no_name(room: Room, folder: Path) -> None:
    """Nobody sees the file, it can be read and written, and only its owner could ever open it."""
    fd = room.make_file()
    try:
        os.pwrite(fd, b"abc", 0)

        assert os.listdir(folder) == []
        assert os.pread(fd, 3, 0) == b"abc"
        assert os.fstat(fd).st_nlink == 0
        assert os.fstat(fd).st_mode & 0o077 == 0
        assert not os.get_inheritable(fd)
    finally:
        os.close(fd)


# --- sending


@pytest.mark.parametrize("memory", [0, 4, 9, 100])
async def test_what_is_sent_is_exactly_the_bytes(memory: int, folder: Path) -> None:
    """Several buffers one after the other, from any byte on, in memory or not; twice, since a call
    may be made again."""
    room = Room(memory, folder, Threads(), slab=1 if memory < SLAB else SLAB)
    buffers = [await filled(room, block) for block in (DATA[:7], b"", DATA[7:8], DATA[8:])]
    for start in range(len(DATA) + 1):
        sending = Sending(buffers, start)
        first = b"".join([bytes(block) async for block in sending])
        sending.seek(0)
        again = b"".join([bytes(block) async for block in sending])

        assert first == again == DATA[start:]
        assert len(sending) == len(DATA) - start
        assert sending.tell() == 0
        assert await sending.read() == DATA[start:]
    for buffer in buffers:
        buffer.close()

    assert free(room) == memory


@pytest.mark.parametrize("memory", [0, 9, 10 * SLAB])
@pytest.mark.parametrize("start", [0, 1, 5, 6, SLAB + 7, 2 * SLAB + 12])
async def test_the_digest_is_that_of_what_is_sent(memory: int, start: int, folder: Path) -> None:
    """The store can check that it got what was meant."""
    room = Room(memory, folder, Threads(), slab=1 if memory < SLAB else SLAB)
    blocks = [b"front", os.urandom(2 * SLAB + 1), b"back!!"]
    buffers = [await filled(room, block) for block in blocks]
    sending = Sending(buffers, start)
    before = sending.sha256
    await sending.seal()
    sent = b"".join([bytes(block) async for block in sending])
    for buffer in buffers:
        buffer.close()

    assert before is None
    assert sending.sha256 == hashlib.sha256(sent).hexdigest()
    assert sent == b"".join(blocks)[start:]


async def test_nothing_can_be_sent(room: Room) -> None:
    """An empty body is sent as one."""
    for sending in (Sending([]), Sending([Buffer(room)])):
        assert len(sending) == 0
        assert [block async for block in sending] == []
        assert await sending.read() == b""


@pytest.mark.parametrize("size", [6, 26])
async def test_a_body_that_was_broken_off_is_sent_from_its_start(room: Room, size: int) -> None:
    """A call that failed in the middle is made again with all its bytes."""
    with closing(await filled(room, DATA[:3])) as front, closing(await filled(room, DATA)) as back:
        sending = Sending([front, back])
        async for _ in sending:
            break
        sending.seek(0)

        assert b"".join([bytes(block) async for block in sending]) == DATA[:3] + DATA
