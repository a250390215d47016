"""Schemathesis asks the running server what the document allows, and what it forbids."""

import re
from pathlib import Path

import pytest

from tests.conftest import MakeServer
from tests.e2e.commands import REPOSITORY, finish, program, spawn

HERE = Path(__file__).parent

PHASES: dict[str, tuple[int, list[str]]] = {
    "data": (16, ["--phases=examples,coverage,fuzzing", "--max-examples=25"]),
    # In a chain all data is right, and what a link says is put into it. A form with bytes that a
    # link has changed counts as wrong with Schemathesis, which cannot look at it again then; so
    # nothing may be expected to be refused. The other phases do.
    "links": (
        4,
        ["--phases=stateful", "--max-examples=25", "--exclude-checks=negative_data_rejection"],
    ),
}


@pytest.mark.parametrize(("requests", "options"), PHASES.values(), ids=PHASES)
async def test_server_is_what_the_document_says(
    make_server: MakeServer, tmp_path: Path, requests: int, options: list[str]
) -> None:
    """Right and wrong data, one request or a chain of them: every answer is one that the document
    has, what is right is accepted, what is wrong is refused, nothing fails, nothing can be had
    without a token, and what was deleted is gone. So many `requests` of the document are made."""
    server = await make_server(MAX_OPEN_UPLOADS_PER_USER="unlimited")  # it opens more than 1000

    done = await finish(
        await spawn(
            program("schemathesis", "pip install schemathesis"),
            f"--config-file={HERE / 'schemathesis.toml'}",
            "run",
            f"{server.base}/openapi.json",
            f"--header=Authorization: {server.auth()['Authorization']}",
            "--checks=all",
            "--no-color",
            *options,
            cwd=tmp_path,
            PYTHONPATH=str(REPOSITORY),
            SCHEMATHESIS_HOOKS="tests.openapi.whole_numbers",
        )
    )

    assert done.code == 0, done.stdout + done.stderr
    [tested] = re.findall(r"Tested: (\d+)", done.stdout)
    assert int(tested) >= requests
