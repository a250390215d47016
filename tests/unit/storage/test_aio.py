"""The kernel's own threads, which put files on the medium."""

import asyncio
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tusd_py.storage import aio
from tusd_py.storage.aio import MOST, Aio, refusal
from tusd_py.storage.fsync import NotSynced


class Ends:
    """Who hears of the ends."""

    def __init__(self, many: int) -> None:
        self.heard: dict[int, OSError | None] = {}
        self._left = many
        self._all = asyncio.Event()

    def done(self, fd: int, refused: OSError | None) -> None:
        assert fd not in self.heard
        self.heard[fd] = refused
        self._left -= 1
        if not self._left:
            self._all.set()

    async def all(self) -> dict[int, OSError | None]:
        async with asyncio.timeout(10):
            await self._all.wait()
        return self.heard


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[int]]:
    """Open files that are not on the medium yet, and their folder."""
    fds = [os.open(tmp_path / str(n), os.O_CREAT | os.O_RDWR) for n in range(20)]
    for fd in fds:
        os.write(fd, b"news")
    fds.append(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY))
    yield fds
    for fd in fds:
        os.close(fd)


async def test_files_and_folders_are_synced(files: list[int]) -> None:
    """Each end is told once, in the loop; the loop can be asked again."""
    kernel = Aio()
    for _ in range(3):
        ends = Ends(len(files))

        assert kernel.begin(files, ends.done) == len(files)
        assert await ends.all() == dict.fromkeys(files)


async def test_many_ask_at_the_same_time(files: list[int]) -> None:
    """Ends of the one are not taken for those of the other."""
    kernel = Aio()
    first, second = Ends(10), Ends(11)
    taken = [kernel.begin(files[:10], first.done), kernel.begin(files[10:], second.done)]

    assert taken == [10, 11]
    assert set(await first.all()) == set(files[:10])
    assert set(await second.all()) == set(files[10:])


async def test_a_file_may_be_closed_meanwhile(tmp_path: Path) -> None:
    """The kernel holds it."""
    fd = os.open(tmp_path / "a", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"news")
    ends = Ends(1)
    Aio().begin([fd], ends.done)
    os.close(fd)

    assert await ends.all() == {fd: None}


async def test_no_more_than_it_can_hold(files: list[int]) -> None:
    """What it did not take is told at once."""
    doubled = [os.dup(files[n % 20]) for n in range(MOST + 20)]
    ends = Ends(MOST)
    taken = Aio().begin(doubled, ends.done)
    heard = await ends.all()
    for fd in doubled:
        os.close(fd)

    assert taken == MOST
    assert heard == dict.fromkeys(doubled[:MOST])


async def test_what_cannot_be_synced_is_not_taken(files: list[int]) -> None:
    """Up to the first of them; who asks syncs the others in another way, and hears why not."""
    reading, writing = os.pipe()
    ends = Ends(2)
    taken = Aio().begin([files[0], files[1], writing, files[2]], ends.done)
    first = Aio().begin([writing], ends.done)
    heard = await ends.all()
    os.close(reading)
    os.close(writing)

    assert (taken, first) == (2, 0)
    assert heard == {files[0]: None, files[1]: None}


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_refusal_of_the_medium_has_its_number(number: int) -> None:
    """The kernel's result, a negative number, comes as an unsigned one of 64 bits."""
    refused = refusal(2**64 - number)

    assert isinstance(refused, NotSynced)
    assert refused.errno == number
    assert refusal(0) is None


async def test_a_kernel_that_cannot_takes_nothing(
    files: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is too old, a sandbox, or no room for one more context (fs.aio-max-nr)."""

    def refuse(max_requests: int) -> None:
        raise SystemError(errno.EPERM, "not here")

    monkeypatch.setattr(aio, "Context", refuse)

    assert Aio().begin(files, Ends(1).done) == 0


async def test_a_passing_shortage_is_not_for_ever(
    files: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there was no room for one more context there may be some later."""

    def refuse(max_requests: int) -> None:
        raise SystemError(errno.EAGAIN, "not now")

    kernel, ends = Aio(), Ends(len(files))
    with monkeypatch.context() as scarce:
        scarce.setattr(aio, "Context", refuse)
        first = kernel.begin(files, ends.done)
    second = kernel.begin(files, ends.done)

    assert (first, second) == (0, len(files))
    assert await ends.all() == dict.fromkeys(files)


def test_it_goes_on_with_another_loop(files: list[int]) -> None:
    """What is on its way when a loop ends is nobody's business in the next one."""
    kernel = Aio()

    async def begin() -> None:
        kernel.begin(files, Ends(len(files)).done)

    async def whole() -> dict[int, OSError | None]:
        ends = Ends(len(files))
        kernel.begin(files, ends.done)
        return await ends.all()

    asyncio.run(begin())

    assert asyncio.run(whole()) == dict.fromkeys(files)


async def test_nothing_is_left_in_the_loop(files: list[int]) -> None:
    """Who is at rest is not kept alive by the loop."""
    kernel = Aio()
    ends = Ends(len(files))
    kernel.begin(files, ends.done)
    context = kernel._context
    assert context is not None
    await ends.all()
    await asyncio.sleep(0)

    assert asyncio.get_running_loop().remove_reader(context.fileno) is False
