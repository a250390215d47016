"""Contestants that do the same work in turns, what each run took, and how two of them compare."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

from bench.machine import touch_memory
from bench.processes import Process

GIB = 2**30
MIB = 2**20

TOUCHED = 3 * GIB
"""Bytes of memory that are made sure to be there before each run; none stores more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one contestant did in one round: `amount` in MiB or uploads, CPU seconds of the server
    and of the load generator, and the most bytes of memory that one process of the server had."""

    amount: float
    seconds: float
    cpu: float
    client_cpu: float
    peak: int


Contestant = Callable[[], Run]
Runs = Mapping[str, Sequence[Run]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number of a run, and its unit; of a cost less is better."""

    of: Callable[[Run], float]
    unit: str
    digits: int = 0
    is_cost: bool = False

    def middle(self, runs: Sequence[Run]) -> float:
        """The median."""
        return median(self.of(run) for run in runs)

    def text(self, runs: Sequence[Run], *, has_unit: bool = True) -> str:
        """The median and the range, `151 (140-163) MiB/s`; nothing of what was not measured."""
        values = [self.of(run) for run in runs]
        if not any(values):
            return ""
        low, mid, high = (f"{f(values):.{self.digits}f}" for f in (min, median, max))
        return f"{mid} ({low}-{high})" + (f" {self.unit}" if has_unit else "")


def _speed(run: Run) -> float:
    return run.amount / run.seconds


SPEED = Measure(of=_speed, unit="MiB/s")
RATE = Measure(of=_speed, unit="uploads/s")
CPU = Measure(of=lambda run: run.cpu * GIB / MIB / run.amount, unit="CPU s/GiB", digits=2)
CPU_EACH = Measure(of=lambda run: run.cpu * 1000 / run.amount, unit="CPU ms each", digits=2)
MILLISECONDS = Measure(of=lambda run: run.seconds * 1000, unit="ms", digits=1, is_cost=True)
CORES = Measure(of=lambda run: run.cpu / run.seconds, unit="cores", digits=2)
CLIENT_CORES = Measure(of=lambda run: run.client_cpu / run.seconds, unit="cores", digits=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a ratio must be."""

    ratio: float
    is_most: bool = False

    def is_met(self, ratio: float) -> bool:
        return ratio <= self.ratio if self.is_most else ratio >= self.ratio

    def __str__(self) -> str:
        return f"{'≤' if self.is_most else '≥'} {self.ratio:g}"


def at_least(ratio: float) -> Target:
    """A target from below."""
    return Target(ratio=ratio)


def at_most(ratio: float) -> Target:
    """A target from above."""
    return Target(ratio=ratio, is_most=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table; without a target it is there to be known."""

    work: str
    against: str
    ours: str
    theirs: str
    ratio: float
    target: Target | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All runs of one piece of work, for the second table and the plot."""

    title: str
    measure: Measure
    cpu: Measure
    runs: Runs

    def row(
        self,
        work: str,
        against: str,
        theirs: str,
        target: Target | None,
        *,
        ours: str,
        measure: Measure | None = None,
    ) -> Row:
        """Compare two contestants by their medians."""
        by = measure or self.measure
        mine, others = self.runs[ours], self.runs[theirs]
        return Row(
            work=work,
            against=against,
            ours=by.text(mine),
            theirs=by.text(others),
            ratio=by.middle(mine) / by.middle(others),
            target=target,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a piece of work."""

    rows: Sequence[Row]
    cases: Sequence[Case]


def measured(process: Process, amount: float, work: Callable[[], object]) -> Run:
    """Do a piece of work and say what it took; nothing waits to be written when it begins, and
    the memory that it will need is there."""
    os.sync()
    touch_memory(TOUCHED)
    with suppress(OSError):  # a process of another user: its peak is that of its life
        process.forget_peak()
    cpu, client_cpu = process.cpu(), time.process_time()
    begun = time.perf_counter()
    work()
    seconds = time.perf_counter() - begun
    return Run(
        amount=amount,
        seconds=seconds,
        client_cpu=time.process_time() - client_cpu,
        cpu=process.cpu() - cpu,
        peak=process.largest_peak(),
    )


def compete(contestants: Mapping[str, Contestant], rounds: int) -> Runs:
    """Let each run once a round, in another order each time."""
    runs: dict[str, list[Run]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            runs[name].append(contestants[name]())
    return runs
