"""Runs the JavaScript drivers of this folder under Node."""

import json
from pathlib import Path

import pytest

from tests.e2e.commands import REPOSITORY, finish, program, spawn

HERE = Path(__file__).parent


async def run_script(script: str, *arguments: str, **environ: str) -> dict[str, object]:
    """What a driver printed last, read as JSON; its failure is the test's."""
    if not (REPOSITORY / "node_modules" / "tus-js-client").is_dir():
        pytest.fail("node_modules is missing: run `npm ci`", pytrace=False)
    node = program("node", "apt install nodejs npm")
    process = await spawn(node, HERE / script, *arguments, cwd=HERE, **environ)
    finished = await finish(process, seconds=90)
    if finished.code != 0:
        pytest.fail(f"{script} {' '.join(arguments)}\n{finished.stderr}", pytrace=False)
    result = json.loads(finished.stdout.splitlines()[-1])
    assert isinstance(result, dict)
    return result
