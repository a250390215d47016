"""The README works as it is pasted."""

import re
import shlex
import sys
import tomllib
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path

import pytest

from tests.docs.generated import REPOSITORY
from tests.docs.markdown import blocks, rows, section
from tests.docs.shell import link_programs, outputs
from tests.e2e.commands import finish, listening, spawn
from tests.servers import free_port
from tusd_py.config import Config
from tusd_py.web.tus_headers import EXTENSIONS

PAGE = (REPOSITORY / "README.md").read_text()
SHELL = [block.text for block in blocks(PAGE, "sh")]
MAKE = [text for text in SHELL if text.startswith("make ")]
DOCKER = [text for text in SHELL if text.startswith("docker ")]
PASTED = [text for text in SHELL if text not in MAKE + DOCKER]


@pytest.fixture
async def dev(tmp_path: Path) -> AsyncIterator[tuple[Path, int]]:
    """A folder like a clone of this repository where `make run` is running, and its port."""
    folder, port = tmp_path / "clone", free_port()
    link_programs(folder, Path(sys.executable).parent)
    (folder / "node_modules").symlink_to(REPOSITORY / "node_modules")
    process = await spawn(".venv/bin/tusd-py", "dev", "--port", str(port), cwd=folder)
    try:
        await listening(port, process)
        yield folder, port
    finally:
        if process.returncode is None:
            process.terminate()
        await finish(process)


async def test_snippets_work_as_pasted(dev: tuple[Path, int]) -> None:
    """Token, curl and tus-js-client: every snippet, in order, exactly as written but for the port
    8000, which may be taken on the machine of the tests."""
    folder, port = dev
    [program] = blocks(PAGE, "js")
    (folder / "upload.mjs").write_text(program.text.replace(":8000", f":{port}"))

    printed = await outputs([text.replace(":8000", f":{port}") for text in PASTED], folder)

    final = folder / ".tusd-dev/data/final/42"
    content = (folder / "audio.mp3").read_bytes()
    assert len(content) == 20_000_000
    assert (final / "123/audio.mp3").read_bytes() == content
    assert (final / "124/audio.mp3").read_bytes() == content
    assert '"status": "success"' in printed[1]
    assert "100 %\nstored: http://127.0.0.1:" in printed[2]


def test_make_targets_exist() -> None:
    """The two commands are targets of the Makefile."""
    targets = re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(), re.M)
    commands = [line.split("#")[0].split() for text in MAKE for line in text.splitlines()]

    assert commands == [["make", "run"], ["make", "test"]]
    assert {command[1] for command in commands} <= set(targets)


def flags(command: str, name: str) -> list[str]:
    """The values of a flag in a docker command."""
    words = shlex.split(command.replace("\\\n", " "))
    return [words[index + 1] for index, word in enumerate(words) if word == name]


@pytest.mark.parametrize("page", ["README.md", "docs/operations.md"])
def test_docker_commands_fit_the_image(page: str) -> None:
    """The docker lines name the image's port and volume, and settings that exist."""
    image = (REPOSITORY / "Dockerfile").read_text()
    [run] = [
        line
        for block in blocks((REPOSITORY / page).read_text(), "sh")
        for line in block.text.replace("\\\n", " ").splitlines()
        if line.startswith("docker run")
    ]

    [port] = [value.rpartition(":")[2] for value in flags(run, "--publish")]
    [volume] = [value.partition(":")[2] for value in flags(run, "--volume")]
    settings = [value.partition("=")[0] for value in flags(run, "--env")]

    assert f"EXPOSE {port}\n" in image
    assert f'VOLUME ["{volume}"]\n' in image
    assert f"LOCAL_TEMP_CHUNK_PATH={volume}\n" in image
    assert set(settings) <= {field.name.upper() for field in fields(Config)}
    assert "--read-only" in run


def test_three_sentences_say_what_it_is() -> None:
    """What it is, in three sentences, before the screenshot."""
    opening = PAGE.split("\n\n")[1].replace("\n", " ")

    assert len(re.findall(r"[.!?](?: |$)", opening.replace("1.0.0", ""))) == 3
    assert "docs/demo.png" in PAGE.split("\n\n")[2]


def test_own_column_of_the_comparison() -> None:
    """The extensions in our column are those that OPTIONS announces."""
    table = {row[0]: row[1] for row in rows(section(PAGE, "## Beside other servers"))}

    assert table["tus extensions announced, files on disk"].split(", ") == list(EXTENSIONS)


def test_python_version_is_the_one_required() -> None:
    """The Python that the README asks for is the one of pyproject.toml."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    [version] = re.findall(r"Python ([0-9.]+) or newer", PAGE)

    assert project["requires-python"] == f">={version}"
