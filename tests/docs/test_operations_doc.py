"""docs/operations.md says what the code, the image and the nginx example do."""

import ast
import math
import re
import sys
from pathlib import Path

import pytest

import tusd_py
from tests.conftest import MakeProcess
from tests.docs.generated import DOCS, REPOSITORY
from tests.docs.markdown import rows, section
from tests.e2e.commands import run
from tests.servers import Address, settings
from tusd_py.notify import _NAMES

PAGE = (DOCS / "operations.md").read_text()
LEVELS = {"debug", "info", "warning", "error", "exception"}


def test_every_log_event_is_listed() -> None:
    """The table of events has every event that the code logs, with its level, and no other."""
    listed = {row[0].strip("`"): row[1] for row in rows(section(PAGE, "## Logs"))}

    assert listed == logged_events()


def logged_events() -> dict[str, str]:
    """The events that `logger.level("event", ...)` names in the package -> their level."""
    found = dict.fromkeys(_NAMES.values(), "info")
    for path in Path(tusd_py.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Name(id="logger") | ast.Attribute(attr="logger"), attr=level
                    ),
                    args=[ast.Constant(value=str(event)), *_],
                ) if level in LEVELS:
                    found[event] = "error" if level == "exception" else level
    return found


def test_nginx_directives_are_those_of_the_example() -> None:
    """What the page says nginx needs is what examples/nginx.conf sets."""
    example = (REPOSITORY / "examples/nginx.conf").read_text()
    section_ = section(PAGE, "## Behind a proxy").partition("###")[0]
    directives = [row[0].strip("`") for row in rows(section_)]

    assert len(directives) >= 6
    assert [directive for directive in directives if f"    {directive}\n" not in example] == []


def test_image_is_as_told() -> None:
    """User, folder and health check of the image are those of the page."""
    image = (REPOSITORY / "Dockerfile").read_text()
    container = section(PAGE, "## Container")
    [user, group] = re.findall(r"user (\d+), group (\d+)", container)[0]

    assert f"USER {user}:{group}\n" in image
    assert f"`chown {user}:{group} FOLDER`" in container
    assert "/healthz" in image.partition("HEALTHCHECK")[2]


def test_compose_is_as_told() -> None:
    """examples/compose.yaml has the key as a file, a read-only root and a grace period."""
    compose = (REPOSITORY / "examples/compose.yaml").read_text()

    assert "MAIN_SERVICE_JWT_PUBLIC_KEY_FILE:" in compose
    assert "read_only: true" in compose
    assert "stop_grace_period: 30s" in compose


def test_chunk_sizes_stay_below_the_limits() -> None:
    """The chunkSize named for a proxy is below what that proxy takes."""
    table = {row[0]: row[1] for row in rows(section(PAGE, "### Which chunkSize"))}
    sizes = {
        front: math.prod(int(factor) for factor in size.strip("`").split(" * "))
        for front, size in table.items()
        if size != "none"
    }

    assert sizes["Cloudflare"] < 100 * 1000**2
    assert sizes["nginx with `client_max_body_size` left at 1 MB"] < 1000**2


async def test_folders_are_those_of_the_table(server: Address) -> None:
    """A new data folder holds what the table of the disk names."""
    names = {path.name for path in server.root.iterdir()}

    listed = {row[0].strip("`").partition("/")[0] for row in rows(section(PAGE, "## On disk"))}
    assert names | {"quarantine", "outbox.sqlite3"} == listed


async def test_health_is_as_told(server: Address) -> None:
    """Both addresses answer 200 `ok` without a token."""
    answers = [
        await server.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        for path in ("/healthz", "/readyz")
    ]

    assert [answer.partition(b"\r\n")[0] for answer in answers] == [b"HTTP/1.1 200 OK"] * 2
    assert [answer.rpartition(b"\r\n")[2] for answer in answers] == [b"ok\n"] * 2


async def test_ready_is_503_when_the_storage_is_not(server: Address) -> None:
    """/readyz is 503 with the reason when the storage cannot be written to."""
    (server.root / "uploads").rmdir()
    (server.root / "uploads").touch()

    answer = await server.raw(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert len(answer.rpartition(b"\r\n")[2]) > 10


CODES = {
    "check": (0, "check", {}),
    "a setting is wrong": (2, "check", {"PORT": "many"}),
    "the storage cannot be written to": (2, "check", {"LOCAL_TEMP_CHUNK_PATH": "/dev/null/x"}),
    "no such command": (2, "serf", {}),
    "sweep": (0, "sweep", {}),
}


@pytest.mark.parametrize(("code", "command", "changes"), CODES.values(), ids=CODES)
async def test_exit_codes(tmp_path: Path, code: int, command: str, changes: dict[str, str]) -> None:
    """The exit codes are those of the table; an error is told in one line."""
    environ = {**settings(tmp_path / "data"), **changes}

    done = await run(sys.executable, "-m", "tusd_py", command, cwd=tmp_path, **environ)

    assert done.code == code, done.stderr
    assert (code == 0) == (not done.stderr)


async def test_exit_code_of_a_taken_address(make_process: MakeProcess, tmp_path: Path) -> None:
    """1: the address cannot be listened on. 0: stopped by a signal."""
    first = await make_process()
    environ = {**settings(first.root), "PORT": str(first.port)}

    second = await run(sys.executable, "-m", "tusd_py", cwd=tmp_path, **environ)
    stopped = await first.end()

    assert second.code == 1
    assert f"tusd-py: 127.0.0.1:{first.port} is in use" in second.stderr
    assert stopped == 0
