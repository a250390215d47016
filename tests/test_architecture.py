"""The shape of the package: imports point down, third-party libraries have one home."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "tusd_py"

VALUES = {
    "__init__",
    "checksum",
    "errors",
    "events",
    "metadata",
    "names",
    "representation",
    "request",
    "setting_types",
    "upload",
    "usage",
    "verdict",
}
SEAMS = {"interfaces", "block", "hooks", "watching"}
BEHAVIOUR = {
    "account",
    "accounts",
    "admitting",
    "adoption",
    "aside",
    "chunks",
    "digests",
    "finisher",
    "holding",
    "metered",
    "receiving",
    "service",
    "steering",
    "sweeper",
    "watched",
}
BACKENDS = {"storage", "locks", "notify", "metrics", "http_hooks", "tracing"}
FACADES = {"web"}
ROOT = {
    "__main__",
    "app",
    "cli",
    "config",
    "cores",
    "descriptors",
    "listeners",
    "log",
    "run",
    "runtime",
    "server",
    "steered",
    "systemd",
    "tokens",
    "tusd",
    "undelivered",
    "workers",
}

MAY_IMPORT = {
    **dict.fromkeys(VALUES, VALUES),
    **dict.fromkeys(SEAMS, VALUES | SEAMS),
    **dict.fromkeys(BEHAVIOUR, VALUES | SEAMS | BEHAVIOUR),
    **dict.fromkeys(BACKENDS, VALUES | SEAMS),
    **dict.fromkeys(FACADES, VALUES | SEAMS | BEHAVIOUR | FACADES),
    **dict.fromkeys(ROOT, VALUES | SEAMS | BEHAVIOUR | BACKENDS | FACADES | ROOT),
}
FACTORIES = {"tusd_py.storage", "tusd_py.locks", "tusd_py.notify.opening"}
"""The modules below the root that may know Config."""

HOME = {
    "aiobotocore": {"storage"},
    "botocore": {"storage"},
    "caio": {"storage"},
    "types_aiobotocore_s3": {"storage"},
    "aiohttp": {"web", "app", "server", "storage", "notify", "http_hooks"},
    "multidict": {"web"},
    "multipart": {"web"},
    "jwt": {"web", "tokens"},
    "cryptography": {"web", "tokens", "setting_types"},
    "dotenv": {"config"},
    "prometheus_client": {"metrics"},
    "opentelemetry": {"tracing"},
    "uvloop": {"runtime"},
    "aiofiles": {"storage", "web"},
    "xxhash": {"receiving", "storage"},
}
"""Third-party library -> the parts of the package that may import it."""


def modules() -> dict[str, ast.Module]:
    """Dotted name -> syntax tree."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name] = ast.parse(path.read_text(), str(path))
    return found


MODULES = modules()


def part_of(module: str) -> str:
    """The first name below the package: `tusd_py.web.tus` is in `web`."""
    return module.split(".")[1] if "." in module else "__init__"


def imports(tree: ast.Module) -> set[str]:
    """All absolute names that a module imports from, as `package.module`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            base = node.module or ""
            inner = {f"{base}.{alias.name}" for alias in node.names}
            names |= {name for name in inner if name in MODULES} or {base}
    return names


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    """root -> facades, backends -> behaviour -> seams -> values; never up, never across."""
    used = {name for name in imports(MODULES[module]) if name.split(".")[0] == "tusd_py"}
    own = part_of(module)
    allowed = MAY_IMPORT[own] | {own}
    if module in FACTORIES:
        allowed = allowed | {"config"}

    assert {part_of(name) for name in used} <= allowed


@pytest.mark.parametrize("module", MODULES)
def test_third_party_libraries_have_one_home(module: str) -> None:
    """A library is imported in its home only, and every library that is imported has one."""
    import sys

    foreign = {name.split(".")[0] for name in imports(MODULES[module])}
    foreign -= {"tusd_py"} | set(sys.stdlib_module_names)

    assert foreign <= set(HOME)
    assert all(part_of(module) in HOME[name] for name in foreign)


@pytest.mark.parametrize("module", [m for m in MODULES if part_of(m) in VALUES])
def test_values_use_the_standard_library_only(module: str) -> None:
    """Values do no I/O and depend on nothing; keys are parsed where settings are read."""
    import sys

    foreign = {name.split(".")[0] for name in imports(MODULES[module])} - {"tusd_py"}
    allowed = {"cryptography"} if module == "tusd_py.setting_types" else set()

    assert foreign - set(sys.stdlib_module_names) <= allowed
    assert not foreign & {"os", "socket", "asyncio", "subprocess", "shutil"}


def test_every_part_has_a_layer() -> None:
    """No module stands outside of the layers."""
    assert {part_of(module) for module in MODULES} == set(MAY_IMPORT)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is_for(module: str) -> None:
    """A module opens with one sentence."""
    docstring = ast.get_docstring(MODULES[module]) or ""

    assert docstring.partition("\n\n")[0].rstrip().endswith((".", ":"))


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_a_drawer(module: str) -> None:
    """No utils, helpers, common, base, manager."""
    names = set(module.split("."))

    assert not names & {"utils", "util", "helpers", "common", "base", "manager"}


def test_only_borders_catch_everything() -> None:
    """`except Exception` stands at the borders only: to HTTP, to the clock of the sweeper, and to
    the hooks of others."""
    broad = set()
    for module, tree in MODULES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            assert node.type is not None, f"{module}: bare except"
            if isinstance(node.type, ast.Name) and node.type.id == "Exception":
                broad.add(module)

    assert broad == {"tusd_py.web.errors", "tusd_py.sweeper", "tusd_py.steering"}
