"""Space: whether a disk has room for one upload more."""

import logging
import os
from pathlib import Path

import pytest

from tests.uploads import BOOT, UPLOAD, fresh
from tusd_py.block import MemoryBlock
from tusd_py.errors import DiskTooFull, NoSpace
from tusd_py.storage.local.space import Space
from tusd_py.storage.local.storage import LocalStorage

BLOCK = 4096


def disk(monkeypatch: pytest.MonkeyPatch, *, free: int, inodes: int, of: int = 1000) -> None:
    """Let every file system have so many blocks for users, and so many of all its inodes."""
    blocks = (BLOCK, BLOCK, 10**6, free + 100, free)
    found = os.statvfs_result((*blocks, of, inodes + 10, inodes, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _folder: found)


def test_room_is_what_users_may_have(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The blocks kept for root are no room; to the last byte the rest is."""
    disk(monkeypatch, free=10, inodes=5)
    space = Space(tmp_path, least=4 * BLOCK)
    space.require(6 * BLOCK)

    with pytest.raises(DiskTooFull):
        space.require(6 * BLOCK + 1)


@pytest.mark.parametrize("least", [0, 1])
def test_a_disk_without_inodes_is_full(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, least: int
) -> None:
    """No new file can be made where all inodes are taken; that is no limit of ours."""
    disk(monkeypatch, free=10**6, inodes=0)

    with pytest.raises(NoSpace) as refusal:
        Space(tmp_path, least=least).require(0)
    assert refusal.value.limit is None


def test_a_file_system_may_not_count_inodes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where there is no fixed number of inodes (btrfs) none is missing."""
    disk(monkeypatch, free=10, inodes=0, of=0)

    Space(tmp_path, least=0).require(0)


def test_the_log_tells_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When room becomes short, and when it is there again, the log says so, not at each refusal. An
    upload that alone is too large is not worth a line."""
    caplog.set_level(logging.INFO)
    space = Space(tmp_path, least=5 * BLOCK)
    disk(monkeypatch, free=10, inodes=5)
    with pytest.raises(DiskTooFull):
        space.require(100 * BLOCK)
    for free, inodes in ((4, 5), (4, 5), (10, 0), (10, 5), (10, 5)):
        disk(monkeypatch, free=free, inodes=inodes)
        if free < 5 or not inodes:
            with pytest.raises(NoSpace):
                space.require(0)
        else:
            space.require(0)

    assert [record.getMessage() for record in caplog.records] == ["disk_full", "disk_has_room"]
    assert vars(caplog.records[0])["free"] == 4 * BLOCK


async def test_nothing_is_created_on_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    """A new upload must leave MIN_FREE_DISK free; `check` tells when that is gone. What has begun
    goes on."""
    roomy = LocalStorage(tmp_path, boot=BOOT)
    await roomy.check()
    begun = await roomy.create(fresh())
    storage = LocalStorage(tmp_path, boot=BOOT, least_free=1 << 60)
    for attempt in (storage.check(), storage.create(fresh())):
        with pytest.raises(DiskTooFull):
            await attempt

    async with storage.writer(begun, atomic=True) as writer:
        await writer.write(MemoryBlock(b"hello"))
    assert [upload.id async for upload in storage.uploads(UPLOAD.owner)] == [begun.id]
