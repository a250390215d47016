"""Runs the JavaScript drivers of this folder under Node."""

import asyncio
import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from tests.e2e.commands import PATH, REPOSITORY, finish, program, spawn

HERE = Path(__file__).parent
SECONDS = 90
"""So long a driver may take for an answer."""


async def run_script(script: str, *arguments: str, **environ: str) -> dict[str, object]:
    """What a driver printed last, read as JSON; its failure is the test's."""
    process = await spawn(_node(), HERE / script, *arguments, cwd=HERE, **environ)
    finished = await finish(process, seconds=SECONDS)
    if finished.code != 0:
        pytest.fail(f"{script} {' '.join(arguments)}\n{finished.stderr}", pytrace=False)
    result = json.loads(finished.stdout.splitlines()[-1])
    assert isinstance(result, dict)
    return result


@dataclass(kw_only=True)
class Driver:
    """A driver that does one task after the other: a line with the task, a line with the answer, in
    JSON. It is started for the first task, and again for the next one when it came to an end."""

    script: str
    environ: dict[str, str]
    said: IO[str]
    process: subprocess.Popen[str] | None = None

    async def run(self, task: dict[str, object]) -> dict[str, object]:
        """What a task returned; its failure is the test's."""
        try:
            async with asyncio.timeout(SECONDS):
                line = await asyncio.to_thread(self._answer, json.dumps(task))
        except TimeoutError:
            self.end()
            raise
        if not line:
            self.said.seek(0)
            pytest.fail(f"{self.script} came to an end\n{self.said.read()}", pytrace=False)
        answer = json.loads(line)
        if "failed" in answer:
            pytest.fail(f"{self.script} {answer['failed']}", pytrace=False)
        returned = answer["returned"]
        assert isinstance(returned, dict)
        return returned

    def end(self) -> None:
        """Kill it, if it is running."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def _answer(self, line: str) -> str:
        if self.process is None or self.process.poll() is not None:
            self.end()
            self.process = subprocess.Popen(
                [_node(), HERE / self.script],
                cwd=HERE,
                env={"PATH": PATH, "LANG": "C.UTF-8", **self.environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.said,
                text=True,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()


@contextmanager
def driver(script: str, **environ: str) -> Iterator[Driver]:
    """A driver of this folder, for many tasks: to load it takes as long as most of them."""
    with tempfile.TemporaryFile("w+") as said:
        one = Driver(script=script, environ=environ, said=said)
        try:
            yield one
        finally:
            one.end()


def _node() -> str:
    if not (REPOSITORY / "node_modules" / "tus-js-client").is_dir():
        pytest.fail("node_modules is missing: run `npm ci`", pytrace=False)
    return program("node", "apt install nodejs npm")
