"""Hundreds of clients that are cut all the time, on three processes with one data folder.

    pip install -e .
    python -m bench.soak [--seconds 300] [--uploads 500] [--rate 150] [--dir FOLDER]

See bench/soak/README.md. Prints tables in Markdown; the exit code is 1 when a promise was broken.
"""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from bench.machine import file_system
from bench.soak.client import Client, Services
from bench.soak.crowd import Device, run_crowd
from bench.soak.files import Archive, Sources, leftovers
from bench.soak.report import Outcome, report
from bench.soak.servers import (
    BODY_TIMEOUT,
    EXPIRES_AFTER,
    SWEEP_INTERVAL,
    Cluster,
    Server,
    cluster,
    read_logs,
)
from bench.soak.tally import Tally
from bench.soak.watch import Watch, calm

USERS = 10
WARM_UP_SECONDS = 20.0
SWEPT_SECONDS = 2 * EXPIRES_AFTER + 6 * SWEEP_INTERVAL + 60.0
"""An upload expires, its record is forgotten as long after, and sweeps come now and then."""


async def soak(
    servers: Cluster, *, seconds: float, uploads: int, rate: float, seed: int
) -> Outcome:
    """Warm up, run, drain, wait for the sweepers; look at everything."""
    archive = Archive(root=servers.root)
    chance = random.Random(seed)
    sources = Sources(chance)

    async def crowd(tally: Tally, seconds: float) -> None:
        services = Services(
            ports=servers.ports,
            tally=tally,
            body_timeout=BODY_TIMEOUT,
            rest=uploads / rate,
            until=time.monotonic() + seconds,
            chance=chance,
        )
        users = list(servers.tokens.items())
        clients = [
            Client(services, user=user, token=token)
            for user, token in (users[number % len(users)] for number in range(uploads))
        ]
        await run_crowd([Device(client, sources, archive) for client in clients])

    warm = Tally()
    await crowd(warm, min(WARM_UP_SECONDS, seconds / 2))
    idle = await calm(servers, most=None)
    tally, watch = Tally(wrong=warm.wrong), Watch(cluster=servers)
    watching = asyncio.create_task(watch.run(tally))
    begun = time.monotonic()
    await crowd(tally, seconds)
    lasted = time.monotonic() - begun
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    growth = watch.growth(seconds, idle, await calm(servers, most=idle))
    for server, each in zip(servers.servers, growth, strict=True):
        for complaint in each.complaints():
            tally.blame(f"{server.process.name}: {complaint}; {dict(server.descriptors())}")
    for what in await _swept(servers.root):
        tally.blame(f"left over: {what}")
    for what in archive.wrong():
        tally.blame(what)
    tally.digests += len(archive.kept)
    codes = [_end(server) for server in servers.servers]
    tally.check(not any(codes), f"exit codes {codes} after SIGTERM")
    log = read_logs(servers)
    for kind, count in log.troubles.items():
        tally.blame(f"{count} log lines: {kind}; such as {log.examples[kind]}")
    for upload, count in log.completed.items():
        tally.check(count == 1, f"upload {upload} was completed {count} times")
    for upload in tally.finished - log.completed.keys():
        tally.blame(f"upload {upload} was finished, and no event said so")
    return Outcome(
        setting=f"{uploads}, {len(servers.servers)}, {USERS}",
        planned=seconds,
        seconds=lasted,
        tally=tally,
        watch=watch,
        growth=growth,
        kept=len(archive.kept),
        log=log,
        codes=codes,
        file_system=file_system(servers.root),
    )


async def _swept(root: Path) -> list[str]:
    """What is left over when the sweepers had time enough."""
    deadline = time.monotonic() + SWEPT_SECONDS
    while True:
        found = leftovers(root)
        if not found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(SWEEP_INTERVAL)


def _end(server: Server) -> int:
    server.process.popen.terminate()
    return server.process.popen.wait(timeout=60)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0, help="how long (300)")
    parser.add_argument("--uploads", type=int, default=500, help="how many at once (500)")
    parser.add_argument("--rate", type=float, default=150.0, help="requests a second, about (150)")
    parser.add_argument("--processes", type=int, default=3, help="of the server (3)")
    parser.add_argument("--dir", type=Path, help="where data is kept (the temporary folder)")
    parser.add_argument("--seed", type=int, default=1, help="of what the clients choose (1)")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    with (
        tempfile.TemporaryDirectory(prefix="bench-soak-", dir=args.dir) as name,
        cluster(Path(name), processes=args.processes, users=USERS) as servers,
    ):
        outcome = asyncio.run(
            soak(
                servers,
                seconds=args.seconds,
                uploads=args.uploads,
                rate=args.rate,
                seed=args.seed,
            )
        )
        print(report(outcome), flush=True)
    return 1 if outcome.tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
