"""examples/systemd/tusd-py.service: what systemd accepts, and what the server needs."""

import re
from dataclasses import fields
from pathlib import Path

from tests.docs.generated import REPOSITORY
from tests.e2e.commands import program, run
from tests.tokens import PUBLIC_PEM
from tusd_py.config import Config, load_config

UNIT = REPOSITORY / "examples/systemd/tusd-py.service"
LINES = re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.M)
SETTINGS = dict(LINES)
EXPOSED = "25"
"""In tenths, of 100: what `systemd-analyze security` calls OK."""


def analyze() -> str:
    """systemd-analyze."""
    return program("systemd-analyze", "apt-get install systemd")


async def test_systemd_accepts_it(tmp_path: Path) -> None:
    """No directive is unknown or misspelled; the program and the user are not on this machine."""
    text = UNIT.read_text().replace(SETTINGS["ExecStart"], "/bin/true")
    for name in ("User", "Group"):
        text = text.replace(f"\n{name}=tusd-py\n", f"\n{name}=root\n")
    (tmp_path / UNIT.name).write_text(text)

    done = await run(analyze(), "verify", "--man=no", tmp_path / UNIT.name)

    assert (done.code, done.stdout, done.stderr) == (0, "", "")


async def test_it_has_few_rights() -> None:
    """systemd's own judgement of what the service could do to the machine."""
    done = await run(analyze(), "security", "--offline=yes", f"--threshold={EXPOSED}", UNIT)

    assert done.code == 0, done.stdout


def test_it_has_the_time_to_leave() -> None:
    """systemd waits longer than the server takes with its defaults; it kills what is left then."""
    given = {"EXPECTED_JWT_ISSUER": "i", "EXPECTED_JWT_AUDIENCE": "a"}
    config = load_config({}, {**given, "MAIN_SERVICE_JWT_PUBLIC_KEY": PUBLIC_PEM}, None)
    seconds = int(SETTINGS["TimeoutStopSec"].removesuffix("s"))

    assert seconds > (config.shutdown_delay + config.shutdown_timeout).total_seconds()
    assert int(SETTINGS["LimitNOFILE"]) >= 3 * config.max_connections
    assert SETTINGS["KillMode"] == "mixed"
    assert SETTINGS["RestartPreventExitStatus"] == "2"


def test_the_data_folder_is_the_one_that_systemd_makes() -> None:
    """LOCAL_TEMP_CHUNK_PATH is the state directory, and every variable is a setting."""
    variables = dict(value.split("=", 1) for name, value in LINES if name == "Environment")

    assert variables == {"LOCAL_TEMP_CHUNK_PATH": f"/var/lib/{SETTINGS['StateDirectory']}"}
    assert set(variables) <= {field.name.upper() for field in fields(Config)}
