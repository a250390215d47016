"""Small files, sixteen at once: beside other servers, and with every answer on the medium."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.speed.contest import CPU_EACH, RATE, Case, Result, at_least, compete
from bench.speed.journal import journaled
from bench.speed.runs import small_uploads
from bench.speed.servers import others, ours
from bench.speed.setting import OURS, PARALLEL, SMALL, TWO, Bench, size_text
from bench.speed.slow_disk import FLUSH_SECONDS, slow_disk

WITH_UPLOAD = f"{OURS}, creation-with-upload"


def small(bench: Bench) -> Result:
    """Small uploads, sixteen at once."""
    place, many = bench.memory, bench.sizes.small
    with ExitStack() as stack:
        mine = stack.enter_context(ours(place / "small-1"))
        two = stack.enter_context(ours(place / "small-2", workers=2, name=TWO))
        rivals = [
            stack.enter_context(start(place / f"small-{start.__name__}")) for start in others()
        ]
        runs = compete(
            {
                WITH_UPLOAD: partial(small_uploads, bench, mine, many, is_one_request=True),
                **{
                    each.name: partial(small_uploads, bench, each, many)
                    for each in (mine, two, *rivals)
                },
            },
            bench.rounds,
        )
    title = f"{size_text(SMALL)} uploads (POST + PATCH), {PARALLEL} parallel"
    case = Case(title=title, measure=RATE, cpu=CPU_EACH, runs=runs)
    work = f"{size_text(SMALL)} uploads by creation-with-upload"
    rows = [
        case.row(title, "@tus/server", "@tus/server", at_least(4), ours=OURS),
        case.row(f"{title}, 2 processes", "1 process", OURS, at_least(1.7), ours=TWO),
        case.row(f"{title}, 2 processes", "@tus/server", "@tus/server", None, ours=TWO),
        case.row(work, "own POST + PATCH", OURS, at_least(1.6), ours=WITH_UPLOAD),
    ]
    return Result(rows=rows, cases=[case])


def strict(bench: Bench) -> Result:
    """Small uploads when every answer is on the medium: at once, against one after the other. On
    this machine's disk, and on one whose flush takes as long as that of most."""
    with journaled(bench.disk) as (disk, kind):
        results = [_strict(bench, disk, kind)]
    with slow_disk(bench.memory) as slow:
        if slow is None:
            print("No disk with a slow flush: that needs root, /dev/fuse and libfuse3.")
        else:
            kind = f"ext4 on a disk that takes {FLUSH_SECONDS * 1e3:.0f} ms to flush"
            results.append(_strict(bench, slow, kind))
    return Result(
        rows=[row for result in results for row in result.rows],
        cases=[case for result in results for case in result.cases],
    )


def _strict(bench: Bench, disk: Path, kind: str) -> Result:
    many = bench.sizes.strict
    with (
        ours(disk / "strict-1", DURABILITY="strict") as one,
        ours(disk / "strict-2", workers=2, name=TWO, DURABILITY="strict") as two,
    ):
        ways = {}
        for each in (one, two):
            ways[f"{each.name}, {PARALLEL} parallel"] = partial(small_uploads, bench, each, many)
            ways[f"{each.name}, one by one"] = partial(
                small_uploads, bench, each, many // 4, parallel=1
            )
        runs = compete(ways, bench.rounds)
    title = f"{size_text(SMALL)} uploads with DURABILITY=strict, {kind}"
    case = Case(title=title, measure=RATE, cpu=CPU_EACH, runs=runs)
    rows = [
        case.row(
            f"{title}, {PARALLEL} parallel{'' if name == OURS else ', 2 processes'}",
            "one by one",
            f"{name}, one by one",
            at_least(3),
            ours=f"{name}, {PARALLEL} parallel",
        )
        for name in (OURS, TWO)
    ]
    return Result(rows=rows, cases=[case])
