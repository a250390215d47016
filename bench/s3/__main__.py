"""Measures the S3 backend on a real SeaweedFS, against the store itself and against @tus/server.

    pip install -e '.[bench]'
    npm ci --prefix bench/s3/node
    python -m bench.s3 [--size 1GiB] [--rounds 5] [--dir FOLDER] [--only large,small,...]

See bench/s3/README.md. Everything is started on 127.0.0.1 and removed at the end. What was stored
is read back and compared with what was sent; a difference ends the run.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.client import Slice, random_file
from bench.s3.bucket import Bucket, bucket
from bench.s3.calls import counting
from bench.s3.crowd import fairness_report, memory_report
from bench.s3.servers import ours, tus_node
from bench.s3.speed import compete, direct, large_report, small_report, small_uploads, through
from bench.s3.typical import count_calls
from bench.s3.weed import Weed, weed
from tusd_py.setting_types import size as read_size

MIB = 2**20
WARM_UP = 16 * MIB
LEAST_SIZE = 32 * MIB
SMALL_UPLOADS = 320


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every part works with."""

    folder: Path
    store: Weed
    bucket: Bucket
    file: Slice
    warm_up: Slice
    rounds: int


def large(bench: Bench) -> str:
    """One file through our server, straight into the store, and through @tus/server."""
    endpoint = bench.store.endpoint
    with (
        ours(endpoint, bench.folder / "large-ours") as mine,
        tus_node(endpoint, bench.folder / "large-node") as node,
        tus_node(endpoint, bench.folder / "large-lean", checksums="WHEN_REQUIRED") as lean,
        direct(bench.store) as ways,
    ):
        contestants = {
            mine.name: through(mine, bench.store),
            **ways,
            **{each.name: through(each, bench.store) for each in (node, lean)},
        }
        compete(contestants, bench.warm_up, 1, bench.bucket)
        runs = compete(contestants, bench.file, bench.rounds, bench.bucket)
    return large_report(bench.file.size, runs, mine.name, (node.name, lean.name))


def small(bench: Bench) -> str:
    """Many small files, through our server and through @tus/server."""
    endpoint = bench.store.endpoint
    with (
        ours(endpoint, bench.folder / "small-ours") as mine,
        tus_node(endpoint, bench.folder / "small-node") as node,
    ):
        ways = {"POST and PATCH": False, "creation-with-upload": True}
        contestants = {
            f"{server.name}, {way}": small_uploads(
                server, bench.store, uploads=SMALL_UPLOADS, at_once=at_once
            )
            for way, at_once in ways.items()
            for server in (mine, node)
        }
        compete(contestants, bench.warm_up, 1, bench.bucket)
        runs = compete(contestants, bench.file, bench.rounds, bench.bucket)
    compared = {name: name.replace(node.name, mine.name) for name in contestants}
    return small_report(SMALL_UPLOADS, runs, compared)


def calls(bench: Bench) -> str:
    """What typical uploads cost in calls to the store."""
    with counting(bench.store.port) as counter:
        with ours(counter.endpoint, bench.folder / "calls-ours") as server:
            mine = count_calls(server, counter, bench.bucket, bench.file)
        with tus_node(counter.endpoint, bench.folder / "calls-node") as server:
            theirs = count_calls(server, counter, bench.bucket, bench.file)
    return f"{mine}\n\n{theirs}"


def memory(bench: Bench) -> str:
    """What many uploads at once need in memory."""
    with ours(bench.store.endpoint, bench.folder / "memory") as server:
        return memory_report(server, bench.bucket, bench.file)


def fair(bench: Bench) -> str:
    """What silent clients cost another one."""
    with ours(bench.store.endpoint, bench.folder / "fair") as server:
        return fairness_report(server, bench.bucket, bench.file, rounds=bench.rounds)


PARTS: dict[str, Callable[[Bench], str]] = {
    part.__name__: part for part in (large, small, calls, memory, fair)
}


@contextmanager
def prepared(parent: Path | None, size: int, rounds: int) -> Iterator[Bench]:
    """A store and files of random bytes, in a folder that is gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-s3-", dir=parent) as name,
        random_file(Path(name), size) as file,
        random_file(Path(name), WARM_UP) as warm_up,
        weed(Path(name) / "weed") as store,
        bucket(store) as opened,
    ):
        yield Bench(
            folder=Path(name),
            store=store,
            bucket=opened,
            file=file,
            warm_up=warm_up,
            rounds=rounds,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=_size, default="1GiB", help="of the large upload (1GiB)")
    parser.add_argument("--rounds", type=int, default=5, help="medians over so many (5)")
    parser.add_argument("--dir", type=Path, help="where data is kept (the temporary folder)")
    parser.add_argument("--only", type=_parts, default=list(PARTS), help=", ".join(PARTS))
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    with prepared(args.dir, args.size, args.rounds) as bench:
        for name in args.only:
            print(PARTS[name](bench), end="\n\n", flush=True)


def _size(text: str) -> int:
    size = read_size(text)
    if size is None or size < LEAST_SIZE:
        raise argparse.ArgumentTypeError(f"give at least {LEAST_SIZE // MIB}MiB")
    return size


def _parts(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(PARTS):
        raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    main()
