"""Large files: one PATCH, many PATCHes at once, a checksum, a crowd beside it, a download."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from bench.client import client
from bench.machine import file_system
from bench.speed import load
from bench.speed.contest import (
    CPU,
    MIB,
    SPEED,
    Case,
    Contestant,
    Result,
    Row,
    Run,
    at_least,
    at_most,
    compete,
    measured,
)
from bench.speed.runs import numbers, one_file, one_patch, uploads_at_once
from bench.speed.servers import Plain, Server, nginx, others, ours, pump
from bench.speed.setting import OURS, PARALLEL, PATCH, TWO, Bench, size_text
from bench.speed.trickle import trickling


def large(bench: Bench) -> Result:
    """One large PATCH, in memory and on disk."""
    results = [_large(bench, place) for place in (bench.memory, bench.disk)]
    return Result(
        rows=[row for result in results for row in result.rows],
        cases=[case for result in results for case in result.cases],
    )


def _large(bench: Bench, place: Path) -> Result:
    file = bench.file
    is_disk = place == bench.disk
    with ExitStack() as stack:
        mine = stack.enter_context(ours(place / "large-ours"))
        web = stack.enter_context(nginx(place / "large-nginx"))
        pumps = [
            stack.enter_context(pump(place / f"large-{way}", way)) for way in ("buffer", "splice")
        ]
        rivals = [
            stack.enter_context(start(place / f"large-{start.__name__}")) for start in others()
        ]
        contestants: dict[str, Contestant] = {
            OURS: partial(one_patch, mine, file),
            web.name: partial(one_file, web, file, load.put),
            **{each.name: partial(one_file, each, file, load.pour) for each in pumps},
            **{each.name: partial(one_patch, each, file) for each in rivals},
        }
        if is_disk:
            contestants[f"{OURS}, more to come"] = partial(one_patch, mine, file, more=1)
            synced = partial(load.pour, is_synced=True)
            for each in pumps:
                contestants[f"{each.name}, fsync"] = partial(one_file, each, file, synced)
        runs = compete(contestants, bench.rounds)
    where = file_system(place)
    case = Case(
        title=f"One PATCH of {size_text(file.size)}, {where}", measure=SPEED, cpu=CPU, runs=runs
    )
    rows = []
    for name in (f"{OURS}, more to come", OURS) if is_disk else (OURS,):
        is_synced = is_disk and name == OURS
        end = ", fsync" if is_synced else ""
        fastest = max(
            (f"{each.name}{end}" for each in pumps), key=lambda at: SPEED.middle(runs[at])
        )
        work = case.title + (", which completes the upload (fsync)" if is_synced else "")
        row = partial(case.row, work, ours=name)
        rows += [
            row("nginx, PUT", web.name, None if is_synced else at_least(1.0)),
            row(fastest, fastest, at_least(0.85)),
            row(fastest, fastest, at_most(1.3), measure=CPU),
            row("@tus/server", "@tus/server", None if is_synced else at_least(4)),
        ]
    return Result(rows=rows, cases=[case])


def parallel(bench: Bench) -> Result:
    """Uploads in several PATCHes, sixteen at once."""
    place, size = bench.memory, bench.sizes.parallel
    with ExitStack() as stack:
        servers = [
            stack.enter_context(ours(place / "parallel-1")),
            stack.enter_context(ours(place / "parallel-2", workers=2, name=TWO)),
            *(
                stack.enter_context(start(place / f"parallel-{start.__name__}"))
                for start in others()
            ),
        ]
        contestants = {each.name: partial(uploads_at_once, bench, each, size) for each in servers}
        runs = compete(contestants, bench.rounds)
    title = f"{PARALLEL} parallel uploads of {size_text(size)} in PATCHes of {size_text(PATCH)}"
    case = Case(title=title, measure=SPEED, cpu=CPU, runs=runs)
    row = partial(case.row, title, "@tus/server", "@tus/server", at_least(4))
    return Result(rows=[row(ours=OURS)], cases=[case])


def checksum(bench: Bench) -> Result:
    """One large PATCH with a checksum, against one without."""
    file = bench.file
    with ours(bench.memory / "checksum") as mine:
        runs = compete(
            {
                f"{OURS}, sha256": partial(
                    one_patch, mine, file, Upload_Checksum=load.checksum(file)
                ),
                OURS: partial(one_patch, mine, file),
            },
            bench.rounds,
        )
    title = f"One PATCH of {size_text(file.size)} with a sha256 checksum"
    case = Case(title=title, measure=SPEED, cpu=CPU, runs=runs)
    return Result(
        rows=[case.row(title, "without", OURS, at_least(0.6), ours=f"{OURS}, sha256")],
        cases=[case],
    )


def crowd(bench: Bench) -> Result:
    """A thousand uploads that trickle: what they cost in memory, and another upload in speed."""
    many = bench.sizes.open
    alone, beside = f"{OURS}, alone", f"{OURS}, beside {many:,} others"
    runs: dict[str, list[Run]] = {alone: [], beside: []}
    grown: list[int] = []
    idle: list[int] = []
    for number in range(bench.rounds):
        with ours(bench.memory / f"crowd-{number}") as mine:
            mine.process.settle()
            idle.append(mine.process.rss())
            runs[alone].append(one_patch(mine, bench.file))
            with trickling(mine, many):
                time.sleep(3)
                runs[beside].append(one_patch(mine, bench.file))
                grown.append(mine.process.peak_rss() - idle[-1])
    case = Case(
        title=f"One PATCH of {size_text(bench.file.size)} beside {many:,} that trickle",
        measure=SPEED,
        cpu=CPU,
        runs=runs,
    )
    work = f"{many:,} open uploads, each trickling"
    growth = Row(
        work=work,
        against="RSS when idle, and 60 MiB",
        ours=f"+{_mib(grown)} MiB",
        theirs=f"{_mib(idle)} MiB",
        ratio=median(grown) / (60 * MIB),
        target=at_most(1),
    )
    row = case.row(f"{work}: a fast upload", "alone", alone, at_least(0.8), ours=beside)
    return Result(rows=[growth, row], cases=[case])


def download(bench: Bench) -> Result:
    """GET of a large file, against nginx."""
    file, place = bench.file, bench.memory
    with ours(place / "download-ours") as mine, nginx(place / "download-nginx") as web:
        load.put(web, file)
        number = next(numbers)
        with client(mine.port, mine.headers(number)) as connection:
            path = load.create(connection, mine, number, file.size)
            load.patch(connection, path, 0, file)

        def get(server: Server | Plain, path: str, headers: Mapping[str, str]) -> Run:
            with client(server.port, headers) as connection:
                return measured(
                    server.process, file.size / MIB, lambda: load.download(connection, path, file)
                )

        ways = {
            OURS: partial(get, mine, path, mine.headers(number)),
            web.name: partial(get, web, f"/{web.stored.name}", {}),
        }
        for server, at, headers in (
            (mine, path, mine.headers(number)),
            (web, f"/{web.stored.name}", {}),
        ):
            with client(server.port, headers) as connection:
                load.require_download(connection, at, file)
        runs = compete(ways, bench.rounds)
    title = f"GET of {size_text(file.size)}"
    case = Case(title=title, measure=SPEED, cpu=CPU, runs=runs)
    return Result(
        rows=[case.row(title, "nginx, static file", web.name, at_least(0.7), ours=OURS)],
        cases=[case],
    )


def _mib(sizes: list[int]) -> str:
    low, middle, high = (f"{of(sizes) / MIB:.0f}" for of in (min, median, max))
    return f"{middle} ({low}-{high})"
