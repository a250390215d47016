"""Hooks of a server and of a command, at the end of each."""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.core import NEW
from tests.fakes import MemoryBody
from tusd_py.app import TO_SEND_TRACES, open_service
from tusd_py.config import Config
from tusd_py.hooks import HookEvent, Hooks
from tusd_py.notify.opening import TO_ARRIVE
from tusd_py.server import BEFORE_LATE, TO_BE_CANCELLED, TO_END
from tusd_py.steered import TO_BE_TOLD


class Slow(Hooks):
    """Takes so many seconds to hear that a file is there."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.heard = 0

    async def post_finish(self, event: HookEvent) -> None:
        """See `Hooks.post_finish`."""
        await asyncio.sleep(self.seconds)
        self.heard += 1


async def live(root: Path, hooks: Hooks, *, delivers: bool) -> None:
    """Finish a file and leave at once."""
    config = Config(local_temp_chunk_path=root, shutdown_timeout=timedelta(seconds=1))
    async with open_service(config, hooks=hooks, delivers=delivers) as service:
        await service.create(replace(NEW, length=5), MemoryBody.sized(b"hello"))


async def test_a_command_ends_when_all_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also when that takes longer than a server would wait."""
    hooks = Slow(0.3)
    await live(tmp_path, hooks, delivers=False)

    assert hooks.heard == 1
    assert [line for line in caplog.records if line.levelno >= logging.ERROR] == []


async def test_a_server_leaves_in_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever is told for longer is given up, and counted."""
    hooks = Slow(3600)
    async with asyncio.timeout(30):
        await live(tmp_path, hooks, delivers=True)

    assert hooks.heard == 0
    assert [line.getMessage() for line in caplog.records if line.levelno >= logging.ERROR] == [
        "hooks_lost"
    ]


def test_the_parts_of_a_shutdown_are_less_than_the_whole() -> None:
    """Requests, hooks, deliveries and a collector that all hang do not make a shutdown late."""
    parts = [TO_END, TO_BE_CANCELLED, TO_BE_CANCELLED, TO_BE_TOLD, TO_ARRIVE]
    parts.append(TO_SEND_TRACES)

    assert sum(parts) < BEFORE_LATE
