"""docs/architecture.md names the parts that are there."""

import re
from pathlib import Path
from xml.etree import ElementTree

import tusd_py
from tests.docs.generated import DOCS
from tests.docs.markdown import rows, section
from tusd_py import interfaces
from tusd_py.hooks import Hooks

PAGE = (DOCS / "architecture.md").read_text()
PACKAGE = Path(tusd_py.__file__).parent
SVG = "{http://www.w3.org/2000/svg}"


def test_every_module_is_named() -> None:
    """The table of parts names every module of the package, and no other."""
    named = {
        name
        for row in rows(section(PAGE, "## Parts"))
        for name in re.findall(r"`([a-z0-9_.]+)`", row[1])
    }

    assert named == modules()


def modules() -> set[str]:
    """The modules that hold code, packages under their own name."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if len(path.read_text().splitlines()) > 5:
            found.add(name)
    return found


def test_every_seam_is_named() -> None:
    """The table of seams names every protocol of interfaces.py and that of hooks.py, no other."""
    named = {
        name for row in rows(section(PAGE, "## Seams")) for name in re.findall(r"`(\w+)`", row[0])
    }

    assert named == {Hooks.__name__} | {
        name
        for name, value in vars(interfaces).items()
        if isinstance(value, type) and value.__module__ == interfaces.__name__
    }


def test_picture_is_drawn_for_light_and_dark() -> None:
    """The picture is one file: no script, nothing from elsewhere, colours for light and dark."""
    text = (DOCS / "patch.svg").read_text()
    root = ElementTree.fromstring(text)
    classes = {each.get("class") for each in root.iter()} - {None}
    light, _, dark = text.partition("prefers-color-scheme: dark")

    assert root.tag == f"{SVG}svg"
    assert root.find(f"{SVG}title") is not None
    assert {each.tag for each in root.iter()} & {f"{SVG}script", f"{SVG}image"} == set()
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert [name for name in classes if f".{name} {{" not in light] == []
    assert len(re.findall(r"fill: #", dark.partition("</style>")[0])) >= 8
