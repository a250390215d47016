"""docs/rest.md shows what the REST face does."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

import tusd_py.errors
import tusd_py.web.errors
from tests.docs.generated import DOCS
from tests.docs.markdown import blocks, prose, rows, section
from tests.docs.shell import outputs
from tests.servers import Address
from tests.tokens import make_token
from tusd_py.errors import UploadError
from tusd_py.web.errors import status_of

PAGE = (DOCS / "rest.md").read_text()
DATA = "/data"
"""The folder that the page shows as LOCAL_TEMP_CHUNK_PATH."""

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+\+00:00")

KINDS_OF_TUS = {
    "offset_mismatch",
    "checksum_mismatch",
    "metadata_too_large",
    "version_mismatch",
    "range_not_satisfiable",
}
"""Refusals that only the tus face has."""

PLAIN = {"expectation_failed"}
"""A refusal that comes before any face, in plain text."""


def comparable(text: str, root: Path) -> object:
    """An answer without what differs each time: ids, times, the folder."""
    same = _TIME.sub("<time>", _ID.sub("<id>", text.replace(str(root), DATA)))
    try:
        return json.loads(same)
    except ValueError:
        return [json_or_text(line) for line in same.strip().splitlines()]


def json_or_text(line: str) -> object:
    """A line read as JSON if it is an object, else as it is."""
    return json.loads(line) if line.startswith("{") else line


async def test_examples_answer_as_shown(server: Address, tmp_path: Path) -> None:
    """The shell lines of the page, pasted one after the other, print what the page shows."""
    page = blocks(PAGE, "sh", "json", "text")
    commands = [block for block in page if block.language == "sh"]

    printed = await outputs(
        [block.text for block in commands],
        tmp_path / "page",
        URL=server.base,
        TOKEN=make_token("42"),
    )

    shown = [
        "" if after is None or after.language == "sh" else after.text
        for block, after in pairwise([*page, None])
        if block is not None and block.language == "sh"
    ]
    assert [comparable(text, server.root) for text in printed] == [
        comparable(text, server.root) for text in shown
    ]
    assert len([text for text in shown if text]) >= 10


def kinds(parent: type[UploadError]) -> set[type[UploadError]]:
    """All kinds of refusals that are raised: the leaves of the tree, and what has a code."""
    found = set()
    for kind in parent.__subclasses__():
        found |= {kind} | kinds(kind)
    return found


def test_every_error_is_listed() -> None:
    """The table of errors has every status and code that the REST face can answer, no other."""
    modules = {tusd_py.errors.__name__, tusd_py.web.errors.__name__}
    general = {tusd_py.errors.Conflict}  # only its kinds are raised
    expected = {
        (status(kind), kind.code)
        for kind in kinds(UploadError)
        if kind.__module__ in modules
        and kind not in general
        and kind.code not in KINDS_OF_TUS | PLAIN
    }

    table = list(rows(section(PAGE, "## Errors")))

    assert {(int(row[0]), row[1].strip("`")) for row in table} == expected
    assert table == sorted(table, key=lambda row: int(row[0]))


def status(kind: type[UploadError]) -> int:
    """The status of a kind of refusal."""
    return status_of(kind.__new__(kind))


@pytest.mark.parametrize("name", ["init", "chunk", "complete", "files", "file"])
def test_every_request_has_a_section(name: str) -> None:
    """Each address has a section of its own, and a line in the overview."""
    [overview] = [row[0] for row in rows(PAGE) if f"/upload/{name}`](" in row[0]]

    assert re.search(rf"^## (?:POST|GET|DELETE) /upload/{name}$", prose(PAGE), re.M)
    assert overview.startswith("[`")
