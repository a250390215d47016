"""CHANGELOG.md has the form of Keep a Changelog."""

import re

from tests.docs.generated import REPOSITORY
from tusd_py import __version__

PAGE = (REPOSITORY / "CHANGELOG.md").read_text()
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_sections_are_those_of_keep_a_changelog() -> None:
    """Unreleased comes first, then versions with dates; below are the six kinds of changes."""
    versions = re.findall(r"^## (.+)$", PAGE, re.M)
    kinds = set(re.findall(r"^### (.+)$", PAGE, re.M))
    released = re.compile(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}")

    assert versions[0] == "[Unreleased]"
    assert [version for version in versions[1:] if released.fullmatch(version) is None] == []
    assert kinds <= KINDS


def test_version_of_the_code_is_in_it() -> None:
    """The version of the package is told: released, or what Unreleased becomes."""
    assert f"To become {__version__}," in PAGE or f"## [{__version__}] - " in PAGE
