"""The results as tables in Markdown, and a page's marked section replaced by them."""

import re
from collections.abc import Sequence
from pathlib import Path

from bench.speed.contest import CLIENT_CORES, CORES, MIB, Case, Row, Run

HEAD = ("work", "against", "ours", "theirs", "ratio", "target", "")
DETAILS = ("", "speed", "CPU", "cores: server", "cores: load generator", "peak RSS MiB")
SECTION = re.compile(r"(<!-- begin results -->\n).*?(\n<!-- end results -->)", re.DOTALL)


def targets(rows: Sequence[Row]) -> str:
    """What is compared, and whether it is as it should be."""
    return table(
        HEAD,
        [
            (
                row.work,
                row.against,
                row.ours,
                row.theirs,
                f"{row.ratio:.2f}",
                str(row.target or ""),
                verdict(row),
            )
            for row in rows
        ],
    )


def verdict(row: Row) -> str:
    """`met`, `missed`, or nothing without a target."""
    if row.target is None:
        return ""
    return "met" if row.target.is_met(row.ratio) else "**missed**"


def details(case: Case) -> str:
    """What each contestant did."""
    head = (
        DETAILS[0],
        case.measure.unit,
        case.cpu.unit,
        *DETAILS[3:],
    )
    return f"{case.title}\n\n" + table(
        head,
        [
            (
                name,
                case.measure.text(runs, has_unit=False),
                case.cpu.text(runs, has_unit=False),
                CORES.text(runs, has_unit=False),
                CLIENT_CORES.text(runs, has_unit=False),
                _peak(runs),
            )
            for name, runs in case.runs.items()
        ],
    )


def _peak(runs: Sequence[Run]) -> str:
    peak = max(run.peak for run in runs)
    return f"{peak / MIB:.0f}" if peak else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(page: Path, text: str) -> None:
    """Put a text into the marked section of a page."""
    before = page.read_text()
    after, count = SECTION.subn(lambda found: f"{found[1]}\n{text}\n{found[2]}", before)
    if count != 1:
        raise ValueError(f"{page} has {count} sections of results")
    page.write_text(after)
