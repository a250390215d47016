"""All pieces of work, by name."""

from collections.abc import Callable, Mapping, Sequence

from bench.speed.assembly import complete, concatenation, rest
from bench.speed.contest import MIB, Case, Result, Row, at_most
from bench.speed.large import checksum, crowd, download, large, parallel
from bench.speed.setting import OURS, Bench
from bench.speed.small import small, strict

WORKS: Mapping[str, Callable[[Bench], Result]] = {
    work.__name__: work
    for work in (
        large,
        parallel,
        small,
        rest,
        complete,
        concatenation,
        checksum,
        crowd,
        download,
        strict,
    )
}


def peak(cases: Sequence[Case]) -> Row:
    """The most memory that a process of ours had in any run."""
    peaks = {
        case.title: max(
            run.peak for name, runs in case.runs.items() if name.startswith(OURS) for run in runs
        )
        for case in cases
    }
    worst = max(peaks, key=lambda title: peaks[title])
    return Row(
        work="Peak RSS of a process, in any of these",
        against="100 MiB",
        ours=f"{peaks[worst] / MIB:.0f} MiB ({worst})",
        theirs="",
        ratio=peaks[worst] / (100 * MIB),
        target=at_most(1),
    )
