"""Files that are put together: of REST chunks, and of partial uploads."""

import subprocess
from dataclasses import replace
from functools import partial
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

from bench.client import Slice, client
from bench.speed import load
from bench.speed.contest import (
    CPU,
    CPU_EACH,
    MIB,
    MILLISECONDS,
    SPEED,
    Case,
    Result,
    Run,
    at_least,
    at_most,
    compete,
    measured,
)
from bench.speed.load import Rest, Upload
from bench.speed.runs import numbers, one_upload, verify
from bench.speed.servers import Server, ours
from bench.speed.setting import CHUNK, OURS, Bench, size_text


def rest(bench: Bench) -> Result:
    """Chunks by multipart form, against the same bytes over tus."""
    chunks = bench.sizes.chunks
    body = bench.file.part(0, chunks * CHUNK)
    with ours(bench.memory / "rest") as mine:

        def forms() -> Run:
            parts = tuple(body.part(at, CHUNK) for at in range(0, body.size, CHUNK))
            number = next(numbers)
            found: list[str] = []

            def work() -> None:
                with client(mine.port, mine.headers(number)) as connection:
                    api = Rest(connection=connection, number=number)
                    found.append(api.init())
                    list(api.chunks(found[0], parts))
                    api.complete(found[0], len(parts))

            run = measured(mine.process, body.size / MIB, work)
            verify(_of_rest(mine, number, found[0], (body,)))
            return run

        several = f"{OURS}, {chunks} PATCHes"
        runs = compete(
            {
                f"{OURS}, {chunks} forms": forms,
                several: partial(one_upload, mine, body, CHUNK),
                f"{OURS}, 1 PATCH": partial(one_upload, mine, body, body.size),
            },
            bench.rounds,
        )
    title = f"REST: {chunks} chunks of {size_text(CHUNK)} by multipart form"
    case = Case(title=title, measure=SPEED, cpu=CPU, runs=runs)
    row = partial(case.row, title, ours=f"{OURS}, {chunks} forms")
    rows = [
        row(f"{chunks} PATCHes of {size_text(CHUNK)}", several, at_least(0.6)),
        row(f"1 PATCH of {size_text(body.size)}", f"{OURS}, 1 PATCH", at_least(0.6)),
    ]
    return Result(rows=rows, cases=[case])


def complete(bench: Bench) -> Result:
    """The end of a large REST upload, against one of its chunks."""
    total = bench.sizes.complete_chunks
    parts = tuple(bench.part(index, CHUNK) for index in range(total))
    runs: dict[str, list[Run]] = {f"{OURS}, complete": [], f"{OURS}, one chunk": []}
    with ours(bench.memory / "complete") as mine:
        for _ in range(bench.rounds):
            number = next(numbers)
            with client(mine.port, mine.headers(number)) as connection:
                api = Rest(connection=connection, number=number)
                session = api.init()
                times = list(api.chunks(session, parts))
                run = measured(mine.process, 1, partial(api.complete, session, total))
            verify(_of_rest(mine, number, session, parts))
            runs[f"{OURS}, complete"].append(run)
            runs[f"{OURS}, one chunk"].append(
                replace(run, seconds=median(times), cpu=0, client_cpu=0)
            )
    title = f"complete of a REST upload of {size_text(total * CHUNK)} sent in order"
    case = Case(title=title, measure=MILLISECONDS, cpu=CPU_EACH, runs=runs)
    row = case.row(title, "one chunk", f"{OURS}, one chunk", at_most(1), ours=f"{OURS}, complete")
    return Result(rows=[row], cases=[case])


def concatenation(bench: Bench) -> Result:
    """Four partial uploads made one, against cp of the same bytes."""
    size, place = bench.sizes.concatenated, bench.memory
    parts = tuple(bench.part(index, size) for index in range(4))
    sources = place / "concat-sources"
    sources.mkdir()
    copies = place / "concat-copies"

    with ours(place / "concat") as mine:

        def concatenate() -> Run:
            number = next(numbers)
            with client(mine.port, mine.headers(number)) as connection:
                pieces = []
                for part in parts:
                    path = load.create(
                        connection,
                        mine,
                        number,
                        size,
                        Upload_Concat="partial",
                        Upload_Length=str(size),
                    )
                    load.patch(connection, path, 0, part)
                    pieces.append(path)
                found: list[str] = []
                final = f"final;{' '.join(pieces)}"

                def work() -> None:
                    found.append(load.create(connection, mine, number, 0, Upload_Concat=final))

                run = measured(mine.process, 4 * size / MIB, work)
                for path in pieces:
                    connection.request("DELETE", path, {}).require(204)
            verify(Upload(server=mine, user=number, number=number, path=found[0], parts=parts))
            return run

        def copy() -> Run:
            copies.mkdir()
            for index, part in enumerate(parts):
                with (sources / str(index)).open("wb") as file:
                    for at in range(0, size, MIB):
                        file.write(part.part(at, MIB).read())
            command = ["cp", "-r", str(sources), str(copies)]
            before = getrusage(RUSAGE_CHILDREN)
            run = measured(mine.process, 4 * size / MIB, lambda: _ran(command))
            after = getrusage(RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            for index, part in enumerate(parts):
                path = copies / sources.name / str(index)
                load.require_stored(path, (part,))
                path.unlink()
                (sources / str(index)).unlink()
            (copies / sources.name).rmdir()
            copies.rmdir()
            return replace(run, cpu=cpu, peak=0)

        runs = compete({OURS: concatenate, "cp": copy}, bench.rounds)
    title = f"Concatenation of 4 x {size_text(size)}"
    case = Case(title=title, measure=MILLISECONDS, cpu=CPU, runs=runs)
    return Result(rows=[case.row(title, "cp", "cp", at_most(1.2), ours=OURS)], cases=[case])


def _of_rest(server: Server, number: int, session: str, parts: tuple[Slice, ...]) -> Upload:
    return Upload(server=server, user=number, number=number, path=f"/files/{session}", parts=parts)


def _ran(command: list[str]) -> None:
    subprocess.run(command, check=True)
