"""Blocks in memory."""

import os
from pathlib import Path

import pytest
from xxhash import xxh3_128

from tests.faulty_os import faulty_os
from tusd_py.block import MemoryBlock, write_all


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes three bytes at a time gets them all."""
    faulty = faulty_os(monkeypatch)
    monkeypatch.setattr(
        faulty, "pwrite", lambda fd, data, position: os.pwrite(fd, data[:3], position)
    )
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    with path.open("r+b") as file:
        write_all(file.fileno(), b"abcdefgh", 1)

    assert path.read_bytes() == b"0abcdefgh9"


def test_a_block_goes_into_a_file(tmp_path: Path) -> None:
    """All of it, at its place; who computes a digest sees it."""
    digest = xxh3_128()
    block = MemoryBlock(b"hello", (digest,))
    path = tmp_path / "a"
    with path.open("w+b") as file:
        size = block.into(file.fileno(), 2)

    assert (size, path.read_bytes()) == (5, b"\0\0hello")
    assert digest.digest() == xxh3_128(b"hello").digest()


def test_a_block_goes_into_a_file_in_steps(tmp_path: Path) -> None:
    """No more at once than is asked for, and each byte once."""
    digest = xxh3_128()
    block = MemoryBlock(b"hello", (digest,))
    path = tmp_path / "a"
    with path.open("w+b") as file:
        sizes = [block.into(file.fileno(), position, 3) for position in (0, 3, 5)]

    assert (sizes, path.read_bytes()) == ([3, 2, 0], b"hello")
    assert digest.digest() == xxh3_128(b"hello").digest()


def test_a_block_is_taken() -> None:
    """The bytes as they are; who computes a digest sees them."""
    digests = (xxh3_128(), xxh3_128())
    block = MemoryBlock(memoryview(b"hello"), digests)

    assert (block.most, block.take()) == (5, b"hello")
    assert {each.digest() for each in digests} == {xxh3_128(b"hello").digest()}
