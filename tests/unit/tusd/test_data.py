"""The bytes of a file as a body: every promise of `Body`, and files that change or fail."""

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.contracts.body import WHOLE_PROMISES, WholePromise
from tusd_py.errors import BodyError, StorageError
from tusd_py.interfaces import Body
from tusd_py.tusd.data import PIECE, FileBody, opened


@pytest.mark.parametrize("promise", WHOLE_PROMISES, ids=lambda promise: promise.__name__)
async def test_it_is_a_body(tmp_path: Path, promise: WholePromise) -> None:
    """It keeps what every body promises; bytes before its start and behind its end are not its."""

    @asynccontextmanager
    async def whole(data: bytes) -> AsyncIterator[Body]:
        (tmp_path / "data").write_bytes(b"before" + data + b"behind")
        with opened(tmp_path / "data") as fd:
            yield FileBody(fd, 6, 6 + len(data))

    await promise(whole)


@pytest.mark.parametrize("is_read", [True, False], ids=["small", "large"])
async def test_a_file_that_became_shorter(tmp_path: Path, is_read: bool) -> None:
    """It is told, and nothing comes in place of its bytes."""
    content = os.urandom(PIECE + 10)
    (tmp_path / "data").write_bytes(content)
    with opened(tmp_path / "data") as fd, (tmp_path / "copy").open("wb") as copy:
        body = FileBody(fd, 0, len(content))
        os.truncate(tmp_path / "data", 10 if is_read else PIECE - 1)

        with pytest.raises(StorageError):
            if is_read:
                await body.read()
            else:
                block = await body.arrive()
                block.into(copy.fileno(), 0)


async def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read before counts: the body breaks off, and says why."""

    def fail(*_arguments: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "data").write_bytes(b"content")
    with opened(tmp_path / "data") as fd:
        body = FileBody(fd, 0, 7)
        monkeypatch.setattr(os, "pread", fail)

        with pytest.raises(BodyError, match="cannot be read: Input/output error"):
            await body.read()


async def test_a_block_goes_into_a_file_in_steps(tmp_path: Path) -> None:
    """No more at once than is asked for, and each byte once."""
    content = os.urandom(1 << 20)
    (tmp_path / "data").write_bytes(content)
    with opened(tmp_path / "data") as fd, (tmp_path / "copy").open("w+b") as copy:
        block = await FileBody(fd, 0, len(content)).arrive()
        sizes = [block.into(copy.fileno(), position, 1000) for position in (0, 1000)]
        sizes += [block.into(copy.fileno(), 2000), block.into(copy.fileno(), 1 << 20)]

    assert sizes == [1000, 1000, (1 << 20) - 2000, 0]
    assert (tmp_path / "copy").read_bytes() == content


async def test_a_block_is_taken_piece_by_piece(tmp_path: Path) -> None:
    """`take_into` fills what it is given, and `take` gives the rest."""
    content = os.urandom(1 << 20)
    (tmp_path / "data").write_bytes(content)
    buffer = bytearray(1000)
    with opened(tmp_path / "data") as fd:
        block = await FileBody(fd, 0, len(content)).arrive()
        taken = block.take_into(memoryview(buffer))
        rest = block.take()

    assert (taken, block.take()) == (1000, b"")
    assert bytes(buffer) + rest == content
