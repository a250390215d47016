"""The parts of the documents that are made from the code, and how they are made again."""

import ast
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from tusd_py.config import settings_table

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
TESTS = REPOSITORY / "tests"

_SETTINGS = re.compile(
    r"(<!-- begin settings(?:: ([A-Z0-9_, ]+))? -->).*?(<!-- end settings -->)", re.S
)
_LINE = re.compile(r"^- \*\*T([0-9]+)\*\*.*\n(?:  (?! *- `).*\n)*(?:  - `.*\n)*", re.M)
_TESTS = re.compile(r"^  - `.*\n", re.M)
_TAGS = re.compile(r"\[((?:T[0-9]+|design [0-9.]+)(?:, (?:T[0-9]+|design [0-9.]+))*)\]$")

Named = Mapping[int, Mapping[str, list[str]]]


def pages() -> dict[Path, str]:
    """Every page with a generated part, as it should be."""
    return {
        REPOSITORY / "README.md": with_settings((REPOSITORY / "README.md").read_text()),
        DOCS / "configuration.md": with_settings((DOCS / "configuration.md").read_text()),
        DOCS / "conformance.md": with_tests((DOCS / "conformance.md").read_text(), named_tests()),
    }


def with_settings(page: str) -> str:
    """A page with the rows of all settings, or of those it names, between its two marks."""
    head, rule, *rows = settings_table().splitlines()
    by_name = {row.split("`")[1]: row for row in rows}

    def table(match: re.Match[str]) -> str:
        names = [name.strip() for name in (match[2] or ",".join(by_name)).split(",")]
        return "\n".join([match[1], "", head, rule, *map(by_name.__getitem__, names), "", match[3]])

    return _SETTINGS.sub(table, page)


def with_tests(page: str, named: Named) -> str:
    """A page with the tests of every line T1, T2, ... below that line."""

    def entry(match: re.Match[str]) -> str:
        said = _TESTS.sub("", match[0])
        files = named.get(int(match[1]), {})
        return said + "".join(
            f"  - `{file}`: {', '.join(f'`{name}`' for name in names)}\n"
            for file, names in files.items()
        )

    return _LINE.sub(entry, page)


def named_tests() -> Named:
    """For every line of the checklist the tests that name it at the end of their docstring, by
    file below tests/."""
    named: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if not node.name.startswith("test_"):
                continue
            for line in lines_of(ast.get_docstring(node) or ""):
                named[line][path.relative_to(TESTS).as_posix()].append(node.name)
    return named


def lines_of(docstring: str) -> list[int]:
    """The lines of the checklist that a docstring names: `... [T1, T20, design 1.5]`."""
    match = _TAGS.search(" ".join(docstring.split()))
    return [int(tag[1:]) for tag in match[1].split(", ") if tag.startswith("T")] if match else []
