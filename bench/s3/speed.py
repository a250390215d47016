"""How fast: one large upload at a time, and many small ones, in rounds that alternate."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

from bench.client import Client, Slice, client, create, patch, sha256, timed
from bench.s3.bucket import Bucket
from bench.s3.direct import CONFIGS, WAYS
from bench.s3.servers import Server
from bench.s3.weed import BUCKET, CREDENTIALS, REGION, Weed
from bench.table import middle, table

MIB = 2**20
SMALL = 64 * 2**10
PARALLEL = 16
DIRECT_TARGET = 0.8
NODE_TARGET = 1.3

numbers = count(1)
"""Each upload of a run has a number of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one contestant did in one round."""

    seconds: float
    cpu: float
    store_cpu: float
    peak_rss: int | None
    digests: Sequence[tuple[str, str]]
    """Keys and what their SHA-256 must be."""


Contestant = Callable[[Slice], Run]
"""Puts a file into the store."""


def through(server: Server, store: Weed) -> Contestant:
    """One POST and one PATCH."""

    def run(file: Slice) -> Run:
        number = next(numbers)
        server.process.forget_peak()
        cpu, store_cpu = server.process.cpu(), store.process.cpu()
        with client(server.port, server.headers) as connection:
            watch = timed()
            path = create(connection, file.size, metadata=server.metadata(number))
            patch(connection, path, 0, file)
            seconds = watch.seconds()
        return Run(
            seconds=seconds,
            cpu=server.process.cpu() - cpu,
            store_cpu=store.process.cpu() - store_cpu,
            peak_rss=server.process.peak_rss(),
            digests=[(server.key(number, path), sha256(file))],
        )

    return run


@contextmanager
def direct(store: Weed) -> Iterator[dict[str, Contestant]]:
    """aiobotocore in a process of its own: the ways of putting a file straight into the store."""
    command = [sys.executable, str(Path(__file__).parent / "direct.py")]
    environ = {"PATH": os.environ["PATH"], **CREDENTIALS}
    with subprocess.Popen(
        [*command, store.endpoint, REGION, BUCKET],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def put(way: str, config: str, file: Slice) -> Run:
            key = f"direct/{next(numbers)}"
            order = {"way": way, "config": config, "key": key, "path": str(file.path)}
            store_cpu = store.process.cpu()
            print(json.dumps(order), file=stdin, flush=True)
            answer = json.loads(stdout.readline())
            return Run(
                seconds=answer["seconds"],
                cpu=answer["cpu"],
                store_cpu=store.process.cpu() - store_cpu,
                peak_rss=None,
                digests=[(key, sha256(file))],
            )

        yield {f"{config} {way}": partial(put, way, config) for config in CONFIGS for way in WAYS}
        stdin.close()


def small_uploads(server: Server, store: Weed, *, uploads: int, at_once: bool) -> Contestant:
    """Small files by `PARALLEL` clients, each file with bytes of its own; `at_once`:
    creation-with-upload, else POST and PATCH."""

    def one(connection: Client, number: int, part: Slice) -> tuple[str, str]:
        metadata = server.metadata(number)
        if at_once:
            path = create(connection, part.size, part, metadata=metadata)
        else:
            path = create(connection, part.size, metadata=metadata)
            patch(connection, path, 0, part)
        return server.key(number, path), sha256(part)

    def run(file: Slice) -> Run:
        room = (file.size - SMALL) // 512
        parts = [file.part(next(numbers) * 7919 % room * 512, SMALL) for _ in range(uploads)]
        for part in parts:
            sha256(part)  # outside of the time
        waiting = iter(parts)
        server.process.forget_peak()
        cpu, store_cpu = server.process.cpu(), store.process.cpu()

        def many() -> list[tuple[str, str]]:
            with client(server.port, server.headers) as connection:
                return [one(connection, next(numbers), part) for part in waiting]

        with ThreadPoolExecutor(PARALLEL) as threads:
            watch = timed()
            running = [threads.submit(many) for _ in range(PARALLEL)]
            digests = [pair for each in running for pair in each.result()]
            seconds = watch.seconds()
        return Run(
            seconds=seconds,
            cpu=server.process.cpu() - cpu,
            store_cpu=store.process.cpu() - store_cpu,
            peak_rss=server.process.peak_rss(),
            digests=digests,
        )

    return run


def compete(
    contestants: dict[str, Contestant], file: Slice, rounds: int, bucket: Bucket
) -> dict[str, list[Run]]:
    """Let each run once a round, in another order each time; what is stored is verified and
    deleted after each run."""
    runs: dict[str, list[Run]] = {name: [] for name in contestants}
    for number in range(rounds):
        names = list(contestants)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            run = contestants[name](file)
            bucket.verify(run.digests)
            bucket.clear()
            runs[name].append(run)
    return runs


def large_report(size: int, runs: dict[str, list[Run]], ours: str, nodes: Sequence[str]) -> str:
    """The table of large uploads and both ratios."""
    speeds = {name: [size / run.seconds / MIB for run in done] for name, done in runs.items()}
    rows = [
        [
            name,
            middle(speeds[name]),
            f"{median(speeds[ours]) / median(speeds[name]):.2f}",
            middle([run.cpu * 2**30 / size for run in done], 2),
            middle([run.store_cpu * 2**30 / size for run in done], 1),
            _peak(done),
        ]
        for name, done in runs.items()
    ]
    ratios = {name: median(speeds[ours]) / median(speeds[name]) for name in runs}
    straight = [name for name in runs if name != ours and name not in nodes]
    signed = [name for name in straight if name.startswith("signed")]
    return "\n".join(
        [
            table(
                f"One upload of {size // MIB} MiB",
                ("", "MiB/s", "ours is x", "CPU s/GiB", "weed's CPU s/GiB", "peak RSS MiB"),
                rows,
            ),
            f"  against the fastest direct way:    {_verdict(ratios, straight, DIRECT_TARGET)}",
            f"  against the fastest that signs:    {_verdict(ratios, signed, DIRECT_TARGET)}",
            f"  against the faster @tus/server:    {_verdict(ratios, nodes, NODE_TARGET)}",
        ]
    )


def small_report(uploads: int, runs: dict[str, list[Run]], ours: dict[str, str]) -> str:
    """The table of small uploads; `ours` is with whom each contestant is compared."""
    rates = {name: [uploads / run.seconds for run in done] for name, done in runs.items()}
    rows = [
        [
            name,
            middle(rates[name]),
            f"{median(rates[ours[name]]) / median(rates[name]):.2f}",
            middle([run.cpu / uploads * 1000 for run in done], 2),
            middle([run.store_cpu / uploads * 1000 for run in done], 1),
            _peak(done),
        ]
        for name, done in runs.items()
    ]
    return table(
        f"Uploads of {SMALL // 2**10} KiB, {PARALLEL} at a time",
        ("", "uploads/s", "ours is x", "CPU ms each", "weed's CPU ms", "peak RSS MiB"),
        rows,
    )


def _verdict(ratios: dict[str, float], rivals: Sequence[str], target: float) -> str:
    ratio = min(ratios[name] for name in rivals)
    return f"{ratio:.2f} (target {target}: {'met' if ratio >= target else 'MISSED'})"


def _peak(runs: Sequence[Run]) -> str:
    peaks = [run.peak_rss / MIB for run in runs if run.peak_rss is not None]
    return f"{max(peaks):.0f}" if peaks else "-"
