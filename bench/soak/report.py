"""The figures of a soak as tables in Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.machine import machine
from bench.soak.files import MIB
from bench.soak.servers import Log
from bench.soak.tally import NAMED, Tally
from bench.soak.watch import Growth, Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that is reported. `planned` and `seconds` tell how long it should last, and did until
    the last upload had ended; `setting` tells how many uploads, processes and users."""

    setting: str
    planned: float
    seconds: float
    tally: Tally
    watch: Watch
    growth: Sequence[Growth]
    kept: int
    log: Log
    codes: Sequence[int]
    file_system: str


def report(outcome: Outcome) -> str:
    """Everything as tables in Markdown."""
    tally = outcome.tally
    cuts = sum(tally.cuts.values())
    rows = [
        ("machine", f"{machine()}, {outcome.file_system}"),
        ("uploads at once, processes, users", outcome.setting),
        ("seconds", f"{outcome.planned:.0f}, and {outcome.seconds - outcome.planned:.0f} to drain"),
        *((name, f"{count:,}") for name, count in sorted(tally.ends.items())),
        ("requests answered", f"{tally.requests:,}, {tally.requests / outcome.seconds:.0f}/s"),
        (
            "bytes acknowledged",
            f"{tally.acknowledged / MIB:,.0f} MiB,"
            f" {tally.acknowledged / MIB / outcome.seconds:.1f} MiB/s",
        ),
        ("requests cut", f"{cuts:,}"),
        *((f"- {name}", f"{count:,}") for name, count in sorted(tally.cuts.items())),
        ("digests checked", f"{tally.digests:,}"),
        ("finished files kept", f"{outcome.kept:,}"),
        *(
            (f"{kind}: median / p99 / longest, ms", tally.latency(kind))
            for kind in ("PATCH", "HEAD", "REST chunk", "REST complete")
        ),
        *_usage_rows(outcome),
        ("log lines above info", f"{outcome.log.troubles.total():,}"),
        ("completion events", f"{outcome.log.completed.total():,}"),
        ("exit codes", ", ".join(map(str, outcome.codes))),
        ("promises broken", f"{len(tally.wrong):,}"),
    ]
    parts = [
        _table([("what", "figure"), *rows]),
        _table(tally.by_request()),
        _table(tally.reasons()),
    ]
    if tally.wrong:
        parts.append("\n".join(["Broken:", *(f"- {each}" for each in tally.wrong[:NAMED])]))
    return "\n\n".join(parts)


def _usage_rows(outcome: Outcome) -> list[tuple[str, str]]:
    rows = []
    for at, growth in enumerate(outcome.growth):
        before, after = growth.rss
        cpu = outcome.watch.samples[-1][1][at].cpu - outcome.watch.samples[0][1][at].cpu
        idle, drained = growth.idle, growth.drained
        peak = max(row[at].rss for _, row in outcome.watch.samples)
        rows += [
            (
                f"process {at + 1}: RSS, first fifth → last fifth (peak)",
                f"{before / MIB:.1f} → {after / MIB:.1f} MiB, {100 * (after / before - 1):+.1f} %"
                f" ({peak / MIB:.1f} MiB)",
            ),
            (
                f"process {at + 1}: descriptors at rest, before → after (most)",
                f"{idle.descriptors} → {drained.descriptors}"
                f" ({max(row[at].descriptors for _, row in outcome.watch.samples)})",
            ),
            (
                f"process {at + 1}: threads at rest, before → after",
                f"{idle.threads} → {drained.threads}",
            ),
            (f"process {at + 1}: CPU", f"{cpu:.0f} s"),
        ]
    return rows


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
