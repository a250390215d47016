"""How fast the server is beside others, on this machine: `make bench`, or

    pip install -e '.[bench]'
    npm ci --prefix bench/speed/node
    python -m bench.speed [--only large,small,...] [--rounds 5] [--quick] [--dir FOLDER] [--write]

See bench/README.md. Everything is started on 127.0.0.1 and removed at the end.
"""

import argparse
import datetime
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.client import random_file
from bench.machine import file_system, machine, stolen
from bench.speed.contest import GIB, Case, Row
from bench.speed.plot import svg
from bench.speed.report import details, targets, write
from bench.speed.servers import versions
from bench.speed.setting import Bench, Sizes
from bench.speed.works import WORKS, peak

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "performance.md"
PLOT = PAGE.with_suffix(".svg")
MEMORY = Path("/dev/shm")


@contextmanager
def prepared(disk: Path | None, sizes: Sizes, rounds: int) -> Iterator[Bench]:
    """Two folders, one in memory, and a file of random bytes; gone afterwards."""
    needed = sizes.needed()
    for place in (MEMORY, disk or Path(tempfile.gettempdir())):
        if shutil.disk_usage(place).free < needed:
            raise SystemExit(f"{place} needs {needed / GIB:.1f} GiB: try --quick")
    with (
        tempfile.TemporaryDirectory(prefix="bench-speed-", dir=MEMORY) as memory,
        tempfile.TemporaryDirectory(prefix="bench-speed-", dir=disk) as folder,
        random_file(Path(folder), sizes.large) as file,
    ):
        yield Bench(
            memory=Path(memory), disk=Path(folder).resolve(), file=file, rounds=rounds, sizes=sizes
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", type=_works, default=list(WORKS), help=", ".join(WORKS))
    parser.add_argument("--rounds", type=int, default=5, help="medians over so many (5)")
    parser.add_argument("--quick", action="store_true", help="a sixteenth of the bytes, 2 rounds")
    parser.add_argument("--dir", type=Path, help="a folder on a disk (the temporary folder)")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md and .svg")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    rows: list[Row] = []
    cases: list[Case] = []
    load, before = os.getloadavg()[0], stolen()
    sizes = Sizes.scaled(1 / 16 if args.quick else 1)
    with prepared(args.dir, sizes, 2 if args.quick else args.rounds) as bench:
        where = f"{file_system(bench.memory)} and {file_system(bench.disk)}"
        for name in args.only:
            result = WORKS[name](bench)
            rows += result.rows
            cases += result.cases
            print(targets(result.rows), end="\n\n", flush=True)
        rows.append(peak(cases))
        text = "\n\n".join(
            [
                f"{machine()}, {where}. A load of {load:.1f} before it began, and"
                f" {_share_stolen(before)}. {versions()}."
                f" {bench.rounds} rounds, {datetime.datetime.now(datetime.UTC):%Y-%m-%d}.",
                targets(rows),
                *(details(case) for case in cases),
            ]
        )
    print(text, flush=True)
    if args.write:
        write(PAGE, text)
        PLOT.write_text(svg(cases))


def _share_stolen(before: tuple[int, int]) -> str:
    now = stolen()
    share = (now[0] - before[0]) / max(1, now[1] - before[1])
    return f"{share:.0%} of the time taken by other virtual machines meanwhile"


def _works(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(WORKS):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(WORKS)}")
    return names


if __name__ == "__main__":
    main()
