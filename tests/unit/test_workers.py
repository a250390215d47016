"""Workers: what becomes of processes that end, do not begin, or do not end."""

import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

SCRIPT = """
import logging, os, select, sys, time
from tusd_py import workers
from tusd_py.workers import CannotServe, Supervisor

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def serve(line):
    say("serves")
    line.serving()
    select.select([line.leave], [], [])
    say("leaves", line.is_orphaned)
    return 0

def work(number, line):
    say("begun", number, time.monotonic())
{work}

logging.basicConfig(stream=sys.stdout, level="INFO", format="%(message)s")
workers.PAUSES = (0.1, 0.2)
supervisor = Supervisor(
    2,
    work,
    on_serving=lambda: say("serving"),
    on_end=lambda number: say("ended", number),
    on_leaving=lambda: None,
    patience={patience},
)
try:
    supervisor.run()
except CannotServe as error:
    say("cannot", error.code, error)
"""

ALL_SERVE = "return serve(line)"
ONE_CANNOT = "return serve(line) if number == 0 else 3"
WITH_WORDS = "line.cannot_serve('No room.', 2)"
WITHOUT_A_WORD = "return 3"
DEAF = "line.serving(); time.sleep(60)"
WITH_ORPHANS = """
    if not (child := os.fork()):
        os.fork()
        os._exit(0)
    os.waitpid(child, 0)
    return serve(line)
"""


@asynccontextmanager
async def supervised(
    work: str, *, patience: float = 20.0, under: tuple[str, ...] = ()
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that supervises two workers that do this."""
    body = work if work.startswith("\n") else f"    {work}"
    process = await asyncio.create_subprocess_exec(
        *(*under, sys.executable, "-c", SCRIPT.format(work=body, patience=patience)),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def children_of(pid: int) -> list[int]:
    """The children of a process, zombies among them."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


async def said(process: asyncio.subprocess.Process, word: str, times: int = 1) -> list[list[str]]:
    """The lines up to the one that begins with a word for so many times."""
    assert process.stdout is not None
    lines: list[list[str]] = []
    async with asyncio.timeout(20):
        while [line[0] for line in lines].count(word) < times:
            line = await process.stdout.readline()
            assert line, lines
            lines.append(line.decode().split())
    return lines


async def all_said(process: asyncio.subprocess.Process) -> str:
    """The rest of what it says, once it has ended."""
    async with asyncio.timeout(20):
        out, _ = await process.communicate()
    return out.decode()


async def test_one_that_cannot_begin_is_tried_again_after_longer_and_longer() -> None:
    """It does not spin, and the others go on; nobody says that all serve."""
    async with supervised(ONE_CANNOT) as process:
        lines = await said(process, "worker_died", 4)
        process.terminate()
        rest = await all_said(process)
        code = process.returncode

    times = [float(line[2]) for line in lines if line[:2] == ["begun", "1"]]
    assert len(times) == 4
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(pause >= least for pause, least in zip(pauses, (0.1, 0.2, 0.2), strict=True))
    assert [line[1] for line in lines if line[0] == "ended"] == ["1"] * 4
    assert ["serving"] not in lines
    assert code == 0
    assert "stopped" in rest


@pytest.mark.parametrize(
    ("work", "words"),
    [(WITH_WORDS, "cannot 2 No room."), (WITHOUT_A_WORD, "cannot 1 A worker ended before it")],
    ids=["with-words", "without-a-word"],
)
async def test_when_the_first_cannot_begin_nobody_does(work: str, words: str) -> None:
    """What it says is said once, and its exit code is that of the server."""
    async with supervised(work) as process:
        lines = (await all_said(process)).splitlines()

    assert [line.split()[1] for line in lines if line.startswith("begun")] == ["0"]
    assert lines[-1].startswith(words)


async def test_all_are_said_to_serve_once() -> None:
    """When the last one does; not again when one was replaced."""
    async with supervised(ALL_SERVE) as process:
        before = await said(process, "serving")
        after = []
        for _ in range(2):
            os.kill(children_of(process.pid)[1], signal.SIGKILL)
            after += await said(process, "serves")
        process.terminate()
        rest = await all_said(process)

    assert before[-1] == ["serving"]
    assert [line for line in after if line[0] == "ended"] == [["ended", "1"]] * 2
    assert ["serving"] not in after
    assert "serving" not in rest


@pytest.mark.parametrize(
    ("signum", "is_orphaned"), [(signal.SIGTERM, "False"), (signal.SIGKILL, "True")]
)
async def test_a_worker_knows_whether_its_parent_is_gone(
    signum: signal.Signals, is_orphaned: str
) -> None:
    """It is told to leave either way; tidying up is left to the parent while there is one."""
    async with supervised(ALL_SERVE) as process:
        await said(process, "serving")
        process.send_signal(signum)
        lines = (await all_said(process)).splitlines()

    assert [line for line in lines if line.startswith("leaves")] == [f"leaves {is_orphaned}"] * 2


async def test_a_second_signal_ends_all_at_once() -> None:
    """Nobody is waited for."""
    async with supervised(DEAF) as process:
        await said(process, "serving")
        process.terminate()
        await said(process, "leaving")
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        await all_said(process)  # which ends when no worker holds the pipe any more

    assert process.returncode == 128 + signal.SIGINT
    assert time.monotonic() - began < 20


async def test_who_does_not_leave_in_time_is_killed() -> None:
    """The server has left when it promised to."""
    async with supervised(DEAF, patience=0.2) as process:
        await said(process, "serving")
        process.terminate()
        rest = await all_said(process)

    assert process.returncode == 0
    assert [word for word in ("leaving", "cut_short", "stopped") if word not in rest] == []


async def test_the_first_process_of_a_container_waits_for_orphans() -> None:
    """Processes that others left behind do not stay as zombies."""
    under = ("unshare", "--pid", "--fork", "--kill-child")
    async with supervised(WITH_ORPHANS, under=under) as process:
        await said(process, "serving")
        [init] = children_of(process.pid)
        async with asyncio.timeout(20):
            while len(workers := children_of(init)) > 2:  # noqa: ASYNC110 - it is looked at
                await asyncio.sleep(0.02)

    assert len(workers) == 2
