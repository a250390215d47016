"""What the servers of the soak use while it runs, and whether that grows."""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.soak.files import MIB
from bench.soak.servers import Cluster, Usage
from bench.soak.tally import Tally

PROGRESS_SECONDS = 30.0
GROWTH = 1.10
CALM_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """One process: its samples at the begin and at the end of the run, until half of it, and at
    rest before and after it."""

    first: Sequence[Usage]
    last: Sequence[Usage]
    early: Sequence[Usage]
    idle: Usage
    drained: Usage

    @property
    def rss(self) -> tuple[float, float]:
        """Bytes in memory at the begin and at the end, medians."""
        return median(each.rss for each in self.first), median(each.rss for each in self.last)

    def complaints(self) -> Iterator[str]:
        """What grew. A pool may fill with threads in the first half."""
        before, after = self.rss
        if after > before * GROWTH:
            yield f"RSS grew from {before / MIB:.1f} to {after / MIB:.1f} MiB"
        if self.drained.descriptors > self.idle.descriptors:
            yield f"{self.drained.descriptors} descriptors, {self.idle.descriptors} before"
        if self.drained.threads > (most := max(each.threads for each in self.early)):
            yield f"{self.drained.threads} threads, {most} before"


@dataclass(slots=True, kw_only=True)
class Watch:
    """What the processes used, second by second, since `begun`."""

    cluster: Cluster
    begun: float = field(default_factory=time.monotonic)
    samples: list[tuple[float, list[Usage]]] = field(default_factory=list)

    async def run(self, tally: Tally) -> None:
        """Look every second, and tell how it goes every 30 seconds. Ends when it is cancelled."""
        told = 0.0
        while True:
            now = time.monotonic() - self.begun
            self.samples.append((now, self.cluster.usage()))
            if now - told >= PROGRESS_SECONDS:
                told = now
                print(_progress(now, tally, self.samples[-1][1]), file=sys.stderr, flush=True)
            await asyncio.sleep(1.0)

    def growth(
        self, seconds: float, idle: Sequence[Usage], drained: Sequence[Usage]
    ) -> list[Growth]:
        """The processes, compared over a run of some seconds: its first and its last fifth."""
        return [
            Growth(
                first=self._between(at, 0, seconds / 5),
                last=self._between(at, seconds * 4 / 5, seconds),
                early=self._between(at, 0, seconds / 2),
                idle=idle[at],
                drained=drained[at],
            )
            for at in range(len(idle))
        ]

    def _between(self, process: int, start: float, stop: float) -> list[Usage]:
        return [usages[process] for at, usages in self.samples if start <= at <= stop]


async def calm(servers: Cluster, *, most: Sequence[Usage] | None) -> list[Usage]:
    """What the processes use once connections are closed: no more descriptors than `most`, or
    the same for two seconds, or what it is after a minute."""
    deadline = time.monotonic() + CALM_SECONDS
    before: list[int] = []
    while True:
        await asyncio.sleep(2.0)
        usage = servers.usage()
        descriptors = [each.descriptors for each in usage]
        is_calm = (
            descriptors == before
            if most is None
            else all(now <= then.descriptors for now, then in zip(descriptors, most, strict=True))
        )
        if is_calm or time.monotonic() > deadline:
            return usage
        before = descriptors


def _progress(now: float, tally: Tally, usage: Sequence[Usage]) -> str:
    rss = ", ".join(f"{each.rss / MIB:.0f}" for each in usage)
    descriptors = ", ".join(str(each.descriptors) for each in usage)
    ended = sum(tally.ends.values())
    return (
        f"{now:5.0f} s  {ended:,} uploads, {tally.requests:,} requests,"
        f" {sum(tally.cuts.values()):,} cut, RSS {rss} MiB, {descriptors} descriptors,"
        f" {len(tally.wrong)} broken"
    )
