"""How slow this machine is while a test measures times on it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

PAUSE = 0.03


@dataclass
class Weather:
    """Watches how late steps are of the kind that a server does: wake up, go to a thread, write a
    small file, rename it."""

    _worst: float = 0.0
    _began: float = field(default_factory=time.monotonic)

    @property
    def worst(self) -> float:
        """By how many seconds a step was late at most, the present one included."""
        return max(self._worst, time.monotonic() - self._began - PAUSE)

    async def watch(self, folder: Path) -> None:
        """Do such steps in `folder` until cancelled."""
        while True:
            self._began = time.monotonic()
            await asyncio.sleep(PAUSE)
            await asyncio.to_thread(_write, folder)
            self._worst = self.worst


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Weather]:
    """Watch the machine, with files in `folder`."""
    weather = Weather()
    task = asyncio.create_task(weather.watch(folder))
    try:
        yield weather
    finally:
        task.cancel()
        await asyncio.wait([task])


def _write(folder: Path) -> None:
    path = folder / "weather"
    path.write_bytes(b"x" * 500)
    path.rename(folder / "weather.old")
