"""What the pages point at is there, and what they name exists."""

import re
from dataclasses import fields
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.generated import REPOSITORY
from tests.docs.markdown import anchors, links
from tusd_py.config import Config

PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CHANGELOG.md",
    REPOSITORY / "examples/README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
SETTINGS = {field.name.upper() for field in fields(Config)}
NO_SETTINGS = {
    "F_OFD_SETLK",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "SSL_CERT_FILE",
}
EVERY_PAGE = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix()
)


@EVERY_PAGE
def test_links_lead_somewhere(page: Path) -> None:
    """Every link and image inside the repository is there, its heading too."""
    broken = [target for target in links(page.read_text()) if not leads(page, target)]

    assert broken == []


def leads(page: Path, target: str) -> bool:
    """Whether a target outside of this repository is an address, or inside of it exists."""
    if re.match(r"[a-z]+:", target):
        return target.startswith(("https://", "http://localhost", "http://127.0.0.1"))
    path, _, fragment = target.partition("#")
    file = (page.parent / unquote(path)).resolve() if path else page
    if REPOSITORY not in file.parents or not file.exists():
        return False
    return not fragment or (file.suffix == ".md" and fragment in anchors(file.read_text()))


@EVERY_PAGE
def test_settings_named_exist(page: Path) -> None:
    """A word like MAX_UPLOAD_SIZE on a page is a setting."""
    words = set(re.findall(r"\b[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+\b", page.read_text()))

    assert words - NO_SETTINGS <= SETTINGS | environment_of_examples(page)


def environment_of_examples(page: Path) -> set[str]:
    """The variables that the example scripts have of their own."""
    return {"FILE_ID"} if page.parent.name == "examples" else set()


def test_every_page_is_found() -> None:
    """The README leads to every page of docs/."""
    readme = REPOSITORY / "README.md"
    targets = {
        (REPOSITORY / target.partition("#")[0]).resolve() for target in links(readme.read_text())
    }

    assert set(PAGES) - {readme} <= targets
