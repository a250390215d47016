"""docs/security.md names tests that are there."""

import re

import pytest

from tests.docs.generated import DOCS, REPOSITORY, TESTS
from tests.docs.markdown import rows, section

PAGE = (DOCS / "security.md").read_text()
THREATS = list(rows(section(PAGE, "## Who tries what")))
NAMED = sorted({name for row in THREATS for name in re.findall(r"`([^`]+\.py)`", row[3])})


@pytest.mark.parametrize("name", NAMED)
def test_every_named_test_is_there(name: str) -> None:
    """A test that shall show something is a file with tests in it."""
    text = (TESTS / name).read_text()

    assert re.search(r"^(?:async )?def test_", text, re.M)


def test_every_threat_has_an_answer_and_a_test() -> None:
    """Each row says what is tried, what stops it, and which test shows that."""
    assert len(THREATS) >= 15
    for row in THREATS:
        assert all(row[1:3]), row
        assert re.findall(r"`[^`]+\.py`", row[3]), row


def test_every_test_of_properties_and_parsers_is_named() -> None:
    """What was written to show that the server is safe is found from here."""
    found = [*TESTS.glob("properties/test_*.py"), *TESTS.glob("fuzz/test_*.py")]

    assert [path for path in found if path.relative_to(TESTS).as_posix() not in NAMED] == []


def test_every_command_is_there() -> None:
    """The targets of make that the page tells of are in the Makefile."""
    targets = set(re.findall(r"^(?:.*`)?make ([a-z]+)", PAGE, re.M))

    assert targets == {"test", "fuzz", "properties", "audit", "lock"}
    makefile = (REPOSITORY / "Makefile").read_text()
    assert [each for each in targets if not re.search(rf"^{each}:", makefile, re.M)] == []
