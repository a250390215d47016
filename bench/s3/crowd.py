"""Many clients at the same time: what they cost in memory, and what they cost each other."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from statistics import median
from threading import Event

from bench.client import Client, Slice, client, create, patch, patch_headers, sha256, timed
from bench.s3.bucket import Bucket
from bench.s3.servers import Server
from bench.table import middle

MIB = 2**20
CROWD = 200
CROWD_SIZE = 24 * MIB
MEMORY_TARGET = 300 * MIB
STALLED = 50
STALLED_SIZE = 16 * MIB
STALLED_AT = 4 * MIB
"""In the middle of a part."""

numbers = count(2_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stalled:
    """An upload whose client fell silent in the middle of a PATCH."""

    connection: Client
    part: Slice
    sent: int
    key: str

    def finish(self) -> tuple[str, str]:
        """Send the rest; returns the key and what its SHA-256 must be."""
        self.connection.send(self.part.part(self.sent, self.part.size - self.sent))
        self.connection.answer().require(204, upload_offset=str(self.part.size))
        return self.key, sha256(self.part)


def memory_report(server: Server, bucket: Bucket, file: Slice) -> str:
    """`CROWD` uploads, each sent by half, then silent, then finished."""
    go_on = Event()
    server.process.settle()
    before = server.process.rss()
    server.process.forget_peak()
    with ExitStack() as stack:
        # Entered first: when something fails, connections close before threads are waited for.
        threads = stack.enter_context(ThreadPoolExecutor(CROWD))
        connections = [
            stack.enter_context(client(server.port, server.headers)) for _ in range(CROWD)
        ]
        stack.callback(go_on.set)
        watch = timed()
        halves = [
            threads.submit(_begin, server, each, _part(file, at, CROWD_SIZE), CROWD_SIZE // 2)
            for at, each in enumerate(connections)
        ]
        stalled = [each.result() for each in halves]
        half_seconds = watch.seconds()
        server.process.settle(seconds=120)
        half_rss, half_disk = server.process.rss(), server.process.nameless_bytes()
        watch = timed()
        finishing = [threads.submit(each.finish) for each in stalled]
        wait(finishing)
        digests = [each.result() for each in finishing]
        seconds = half_seconds + watch.seconds()
    peak = server.process.peak_rss()
    bucket.verify(digests)
    bucket.clear()
    speed = CROWD * CROWD_SIZE / seconds / MIB
    met = "met" if peak < MEMORY_TARGET else "MISSED"
    return "\n".join(
        [
            f"{CROWD} uploads of {CROWD_SIZE // MIB} MiB at once, each silent after half of it",
            f"  RSS before {before / MIB:.0f} MiB, while silent {half_rss / MIB:.0f} MiB"
            f" and {half_disk / MIB:.0f} MiB of temporary files",
            f"  peak RSS {peak / MIB:.0f} MiB (target < {MEMORY_TARGET // MIB}: {met})",
            f"  {speed:.0f} MiB/s while bytes were sent",
        ]
    )


def fairness_report(server: Server, bucket: Bucket, file: Slice, *, rounds: int) -> str:
    """One client's uploads, alone and while `STALLED` others are silent in the middle of a part."""
    alone: list[float] = []
    among: list[float] = []
    for _ in range(rounds):
        digests: list[tuple[str, str]] = []
        alone += _latencies(server, file, digests)
        with ExitStack() as stack:
            stalled = [
                _begin(
                    server,
                    stack.enter_context(client(server.port, server.headers)),
                    _part(file, at, STALLED_SIZE),
                    STALLED_AT,
                )
                for at in range(STALLED)
            ]
            server.process.settle()
            among += _latencies(server, file, digests)
            digests += [each.finish() for each in stalled]
        bucket.verify(digests)
        bucket.clear()
    difference = median(among) - median(alone)
    return "\n".join(
        [
            f"One client uploads {STALLED_SIZE // MIB} MiB, in ms",
            f"  alone                 {middle(alone)}",
            f"  beside {STALLED} silent ones  {middle(among)}: {difference:+.0f} ms",
        ]
    )


def _begin(server: Server, connection: Client, part: Slice, sent: int) -> Stalled:
    number = next(numbers)
    path = create(connection, part.size, metadata=server.metadata(number))
    connection.begin("PATCH", path, patch_headers(0), part.size)
    connection.send(part.part(0, sent))
    return Stalled(connection=connection, part=part, sent=sent, key=server.key(number, path))


def _latencies(server: Server, file: Slice, digests: list[tuple[str, str]]) -> Sequence[float]:
    """Milliseconds of some uploads, one after the other; notes what must be stored then."""
    found = []
    with client(server.port, server.headers) as connection:
        for at in range(5):
            part, number = _part(file, at, STALLED_SIZE), next(numbers)
            watch = timed()
            path = create(connection, part.size, metadata=server.metadata(number))
            patch(connection, path, 0, part)
            found.append(watch.seconds() * 1000)
            digests.append((server.key(number, path), sha256(part)))
    return found


def _part(file: Slice, number: int, size: int) -> Slice:
    """Other bytes for each number."""
    return file.part(number * 1009 * 512 % (file.size - size), size)
