"""Runs the shell blocks of a page one after the other, as a reader pastes them."""

import os
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.commands import run

_MARK = "--- end of block ---"


async def outputs(blocks: Sequence[str], folder: Path, **environ: str) -> list[str]:
    """What each block prints, all of them in one shell in `folder`. A command that fails fails the
    test."""
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 - nothing else runs in the tests' loop
    script = folder / "page.sh"
    script.write_text(
        "set -eu\n" + "".join(f"{block}\nprintf '\\n{_MARK}\\n'\n" for block in blocks)
    )
    done = await run("sh", script, cwd=folder, **environ)
    assert done.code == 0, f"{done.stdout}\n{done.stderr}"
    return [text.replace("\r", "").strip() for text in done.stdout.split(_MARK)[:-1]]


def link_programs(folder: Path, programs: Path) -> None:
    """Let `.venv/bin` in `folder` be the folder of these programs."""
    (folder / ".venv").mkdir(parents=True)
    os.symlink(programs, folder / ".venv/bin")
