"""Fixtures of the tests in which the disk fails."""

from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import MakeServer
from tests.faults.disk.scene import Scene
from tests.small_disk import SmallDisk, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A small disk of this test's own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder) as disk:
        yield disk


@pytest.fixture
async def scene(http: aiohttp.ClientSession, disk: SmallDisk, make_server: MakeServer) -> Scene:
    """User 42 at a server on a small disk."""
    server = await make_server(disk.root / "data", MIN_FREE_DISK="0")
    return await Scene.prepare(http, server, disk)
