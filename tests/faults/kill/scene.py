"""One round: a user works with a server that is killed; and what must be true after it."""

import asyncio
import hashlib
import os
import random
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.conformance.rest.client import RestClient
from tests.conformance.tus.client import Tus
from tests.faults.kill.figures import Figures
from tests.faults.kill.sending import Sending
from tests.faults.kill.server import MortalServer
from tests.faults.kill.weather import watched

USER = "42"
BEHIND = 1.0
"""Seconds by which the record may follow an append that runs (docs/architecture.md)."""

SLACK = 0.5
"""Seconds until the bytes of one read are written and in a record, on a quiet machine."""

STALE = 2 * 3600
"""Seconds after which the sweeper takes what was left half-written, and more."""

TEMPORARY = {".tmp", ".data", ".chunks"}


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """One kill: when it was, whether it hit somebody at work, by how many seconds at most the
    machine was late before it; and the finished files that it left, with their SHA-256."""

    moment: float
    is_hit: bool
    worst: float
    files: Mapping[Path, str]


@dataclass(kw_only=True)
class Scene:
    """A server, one user of it, and the dice of this round; `earlier` are the ids of the uploads
    that other rounds made."""

    server: MortalServer
    http: aiohttp.ClientSession
    kind: str
    number: int
    dice: random.Random
    earlier: frozenset[str] = frozenset()
    strokes: list[Stroke] = field(default_factory=list)
    lost_size: int = 0
    lost_seconds: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def file_id(self) -> int:
        """A file id of this round's own."""
        return 1000 + self.number

    @property
    def filename(self) -> str:
        """A name of this round's own."""
        return f"{self.kind}.bin"

    @property
    def place(self) -> Path:
        """Where the finished file of this round goes."""
        return self.server.root / "final" / USER / str(self.file_id) / self.filename

    @property
    def tus(self) -> Tus:
        """The user at the tus face."""
        return Tus(http=self.http, address=self.server.address, user=USER)

    @property
    def rest(self) -> RestClient:
        """The user at the REST face."""
        return RestClient(http=self.http, server=self.server.address, user=USER)

    async def strike(self, work: Coroutine[object, object, None], after: float) -> Stroke:
        """Kill the server `after` so many seconds of work, and start it again.

        Half-written files that it left are made old, so that the sweeper takes them.
        """
        async with watched(self.server.root.parent) as weather:
            working = asyncio.create_task(work)
            await asyncio.wait([working], timeout=after)
            worst, is_hit = weather.worst, not working.done()
            moment = self.server.strike()
        exit_code = await self.server.death()
        async with asyncio.timeout(30):
            await working
        files = await asyncio.to_thread(self.digests)
        await asyncio.to_thread(age, self.server.root)
        await self.server.start()
        stroke = Stroke(moment=moment, is_hit=is_hit, worst=worst, files=files)
        self.strokes.append(stroke)

        assert exit_code < 0
        return stroke

    def require_small_loss(self, stroke: Stroke, sending: Sending, kept: int) -> None:
        """Of the bytes a request had sent, `kept` are there: at most one second's are lost."""
        first_lost = sending.sent_at(kept)
        if first_lost is None:
            return
        lost_seconds = stroke.moment - first_lost
        self.lost_seconds = max(self.lost_seconds, lost_seconds)
        self.lost_size = max(self.lost_size, sending.sent_before(stroke.moment) - kept)

        assert lost_seconds <= BEHIND + SLACK + stroke.worst, (lost_seconds, stroke)

    def require_whole(self, stroke: Stroke, content: bytes, *, is_told: bool) -> None:
        """A file that was there when the server died is whole; it was there if somebody had been
        told so."""
        whole = {self.place: hashlib.sha256(content).hexdigest()}
        allowed = [whole] if is_told else [{}, whole]

        assert stroke.files in allowed

    async def require_file(self, content: bytes) -> None:
        """The finished file is there, whole, once, and listed."""
        expected = hashlib.sha256(content).hexdigest()

        assert await asyncio.to_thread(self.digests) == {self.place: expected}
        assert await self.rest.files() == [str(self.place)]

    async def require_no_litter(self) -> None:
        """No temporary file lives on, once the sweeper has come by."""
        litter: list[Path] = []
        for _ in range(500):
            litter = await asyncio.to_thread(self.litter)
            if not litter:
                break
            await asyncio.sleep(0.02)

        assert litter == []

    async def leave(self) -> None:
        """Delete all that this round made, finished or not; then nothing of it is there."""
        for upload_id in await asyncio.to_thread(self.upload_ids):
            answer = await self.tus.delete(f"{self.server.address.files}{upload_id}")

            assert answer.status in {204, 404, 410}, answer
        await self.require_no_litter()

        assert await asyncio.to_thread(self.digests) == {}

    def upload_ids(self) -> frozenset[str]:
        """The ids of all uploads of this round, also of those that no answer told."""
        return record_ids(self.server.root) - self.earlier

    def digests(self) -> dict[Path, str]:
        """Every finished file and its SHA-256."""
        files = [path for path in (self.server.root / "final").rglob("*") if path.is_file()]
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def litter(self) -> list[Path]:
        """What is there for a time only."""
        return [path for path in self.server.root.rglob("*") if path.suffix in TEMPORARY]

    def figures(self, size: int) -> Figures:
        """What this round came to, with a file of so many bytes."""
        return Figures(
            kind=self.kind,
            kills=len(self.strokes),
            hits=sum(stroke.is_hit for stroke in self.strokes),
            size=size,
            seconds=time.monotonic() - self.began,
            lost_size=self.lost_size,
            lost_seconds=self.lost_seconds,
        )


def age(root: Path) -> list[Path]:
    """Make half-written files so old that the sweeper takes them; returns which there are."""
    then = time.time() - STALE
    found = list(root.rglob("*.tmp"))
    for path in found:
        os.utime(path, (then, then))
    return found


async def until_gone(path: Path) -> None:
    """Return when nothing is at a path."""
    async with asyncio.timeout(20):
        while await asyncio.to_thread(path.exists):  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(0.01)


def record_ids(root: Path) -> frozenset[str]:
    """The ids of all uploads that have a record."""
    return frozenset(path.stem for path in (root / "uploads").rglob("*.info"))
