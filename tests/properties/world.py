"""The real service, in a world where processes die: what they had stored is all that is left."""

import asyncio
import copy
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol, TypeVar

from tests.core import LIFE, USER
from tests.fakes import Clock, Fault, MemorySink, MemoryStorage
from tests.servers import settings
from tusd_py.chunks import ChunkAssembler
from tusd_py.config import load_config
from tusd_py.errors import UploadError
from tusd_py.interfaces import Storage
from tusd_py.locks.memory import MemoryLocker
from tusd_py.service import Limits, UploadService
from tusd_py.storage import open_storage

T = TypeVar("T")


class Died(BaseException):
    """The process is no more."""


class Ground(Protocol):
    """What outlives a process."""

    async def storage(self) -> Storage:
        """The storage, for a process that begins. Whoever has an earlier one changes nothing."""

    def die_after(self, calls: int) -> bool:
        """Let the process die at the call to the storage after so many; tells whether it can."""

    async def close(self) -> None:
        """Remove everything."""


class MortalStorage(MemoryStorage):
    """Does so many calls and then no more: whoever calls it dies."""

    def __init__(self) -> None:
        super().__init__()
        self.calls_left: int | None = None

    async def _work(self, fault: Fault | None = None) -> None:
        if self.calls_left is not None:
            if not self.calls_left:
                raise Died
            self.calls_left -= 1
        await super()._work(fault)


class Memory:
    """See `Ground`."""

    def __init__(self) -> None:
        self._present = MortalStorage()

    async def storage(self) -> Storage:
        """See `Ground.storage`."""
        successor = copy.deepcopy(self._present)
        successor.calls_left = None
        self._present.calls_left = 0
        self._present = successor
        return successor

    def die_after(self, calls: int) -> bool:
        """See `Ground.die_after`."""
        self._present.calls_left = calls
        return True

    async def close(self) -> None:
        """See `Ground.close`."""


class Disk:
    """See `Ground`: a data folder. The next process finds a copy of what lies there."""

    def __init__(self) -> None:
        self._everything = tempfile.TemporaryDirectory(prefix="properties-")
        self._opened = AsyncExitStack()
        self._lives = 0

    async def storage(self) -> Storage:
        """See `Ground.storage`."""
        root = Path(self._everything.name)
        before, now = root / str(self._lives), root / str(self._lives + 1)
        if before.exists():
            shutil.copytree(before, now)
        else:
            now.mkdir()
        self._lives += 1
        config = load_config({}, settings(now), None)
        return await self._opened.enter_async_context(open_storage(config))

    def die_after(self, calls: int) -> bool:
        """See `Ground.die_after`: it dies between two requests or within a body only."""
        return False

    async def close(self) -> None:
        """See `Ground.close`."""
        await self._opened.aclose()
        self._everything.cleanup()


class World:
    """A service, its storage and the time, in an event loop of their own."""

    def __init__(self, ground: Ground) -> None:
        self.clock = Clock()
        self.sink = MemorySink()
        self.ground = ground
        self._runner = asyncio.Runner()
        self.run(self.begin())

    def run(self, doing: Coroutine[object, object, T]) -> T:
        """Let it happen."""
        return self._runner.run(doing)

    def outcome(self, doing: Coroutine[object, object, object]) -> type[BaseException] | None:
        """What a call raises: an error of ours, or `Died`."""
        try:
            self.run(doing)
        except (UploadError, Died) as error:
            return type(error)
        return None

    async def begin(self) -> None:
        """A process begins; one that was there has died."""
        self.storage = await self.ground.storage()
        self.service = UploadService(
            storage=self.storage,
            locker=MemoryLocker(timeout=30),
            events=self.sink,
            limits=Limits(max_size=None, expires_after=LIFE),
            now=self.clock,
            digests_all=True,
        )
        self.chunks = ChunkAssembler(self.service)

    def close(self) -> None:
        """The end of the world."""
        self.run(self.ground.close())
        self._runner.close()

    async def content(self, upload_id: str) -> bytes:
        """The bytes of a finished upload."""
        async with self.service.open(USER, upload_id) as (_, content):
            return b"".join([block async for block in content.read(0, content.size)])
