"""The servers that are compared: one adapter each, as processes on 127.0.0.1 with a folder each."""

import getpass
import json
import os
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from bench.client import client
from bench.processes import Process, free_ports, started, until
from tusd_py.tokens import ensure_key_pair, make_token

USERS = 16
"""So many users upload, each with a token of its own, where the server knows users."""

ISSUER = "main-service"
AUDIENCE = "upload-service"
NAME = "upload.bin"
HERE = Path(__file__).parent
TUS = {"Tus-Resumable": "1.0.0"}
NGINX = """
user {user};
worker_processes auto;
daemon off;
error_log stderr warn;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    client_max_body_size 0;
    client_body_buffer_size 1m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/data;
        location / {{ dav_methods PUT; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a tus server listens, and where it stores. Which user and number an upload has only
    ours wants to know: it has `tokens`, and finished files in `final`."""

    port: int
    data: Path
    tokens: tuple[str, ...] = ()
    final: Path | None = None

    def headers(self, user: int) -> Mapping[str, str]:
        """What every request of a user has."""
        if not self.tokens:
            return TUS
        return {**TUS, "Authorization": f"Bearer {self.tokens[user % USERS]}"}

    def metadata(self, number: int) -> str:
        """The Upload-Metadata of an upload."""
        pairs = {"filename": NAME, "main_service_file_id": str(number)}
        return ",".join(f"{key} {b64encode(text.encode()).decode()}" for key, text in pairs.items())

    def stored(self, user: int, number: int, path: str) -> Path:
        """Where a finished upload is, whose tus path is `path`."""
        if self.final is not None:
            return self.final / str(user % USERS) / str(number) / NAME
        return self.data / path.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server(Endpoint):
    """A tus server that was started."""

    name: str
    process: Process


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """Something that takes the bytes of one file and knows no uploads; they lie in `stored`."""

    name: str
    process: Process
    port: int
    stored: Path


@contextmanager
def ours(
    folder: Path, *, workers: int = 1, name: str = "tusd_py", **settings: str
) -> Iterator[Server]:
    """`python -m tusd_py` with its default settings, and as many processes as are asked for."""
    folder.mkdir()
    private, public = ensure_key_pair(folder / "keys")
    (port,) = free_ports(1)
    data = folder / "data"
    environ = {
        **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
        "HOME": str(folder),
        "MAIN_SERVICE_JWT_PUBLIC_KEY": public,
        "EXPECTED_JWT_ISSUER": ISSUER,
        "EXPECTED_JWT_AUDIENCE": AUDIENCE,
        "LOCAL_TEMP_CHUNK_PATH": str(data),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WORKERS": str(workers),
        **settings,
    }
    tokens = tuple(
        make_token(private, user=str(user), issuer=ISSUER, audience=AUDIENCE, seconds=24 * 3600)
        for user in range(USERS)
    )
    with started(name, [sys.executable, "-m", "tusd_py"], environ, folder) as process:
        until(lambda: _answers(port, "/readyz"), process, seconds=30)
        yield Server(
            name=name,
            process=process,
            port=port,
            tokens=tokens,
            final=data / "final",
            data=data,
        )


@contextmanager
def tus_node(folder: Path) -> Iterator[Server]:
    """@tus/server with @tus/file-store."""
    node = _needed("node", "Node.js 20.19 or newer")
    if not (HERE / "node" / "node_modules").is_dir():
        raise SystemExit(f"@tus/server is missing: npm ci --prefix {HERE / 'node'}")
    command = [node, "--no-warnings", str(HERE / "node" / "server.mjs")]
    environ = {"NODE_ENV": "production", "FOLDER": str(folder / "data")}
    with _tus("@tus/server", folder, lambda port: command, environ) as server:
        yield server


@contextmanager
def tuspyserver(folder: Path) -> Iterator[Server]:
    """tuspyserver on uvicorn with uvloop."""
    app, data = str(HERE / "tuspyserver_app.py"), str(folder / "data")
    with _tus(
        "tuspyserver", folder, lambda port: [sys.executable, app, str(port), data], {}
    ) as server:
        yield server


@contextmanager
def tusd(folder: Path) -> Iterator[Server]:
    """tusd with its file store; it must be on PATH."""
    program = _needed("tusd", "tusd")
    data = folder / "data"

    def command(port: int) -> list[str]:
        quiet = ["-show-greeting=false", "-verbose=false"]
        return [program, "-host=127.0.0.1", f"-port={port}", f"-upload-dir={data}", *quiet]

    with _tus("tusd", folder, command, {}) as server:
        yield server


@contextmanager
def nginx(folder: Path) -> Iterator[Plain]:
    """nginx, which takes PUT /upload.bin and serves the file."""
    program = _needed("nginx", "nginx with the dav module")
    data = folder / "data"
    data.mkdir(parents=True)
    (port,) = free_ports(1)
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(user=getpass.getuser(), folder=folder, port=port))
    command = [program, "-p", str(folder), "-c", str(config), "-e", "stderr"]
    with started("nginx", command, {"PATH": os.environ["PATH"]}, folder) as process:
        until(lambda: _answers(port, "/"), process, seconds=30)
        yield Plain(name="nginx", process=process, port=port, stored=data / NAME)


@contextmanager
def pump(folder: Path, way: str) -> Iterator[Plain]:
    """`pump.py`, by one of its ways."""
    folder.mkdir()
    (port,) = free_ports(1)
    stored = folder / NAME
    command = [sys.executable, str(HERE / "pump.py"), way, str(port), str(stored)]
    with started(f"pump-{way}", command, {"PATH": os.environ["PATH"]}, folder) as process:
        until(lambda: "listening" in process.log.read_text(), process, seconds=30)
        yield Plain(name=f"pump, {way}", process=process, port=port, stored=stored)


def others() -> list[Callable[[Path], AbstractContextManager[Server]]]:
    """The other tus servers that are there."""
    return [tus_node, tuspyserver, *([tusd] if shutil.which("tusd") else [])]


def versions() -> str:
    """What can be compared here, with its versions."""
    node = HERE / "node" / "node_modules"
    found = {
        "nginx": _said("nginx", "-v").rpartition("/")[2],
        "Node.js": _said("node", "--version").removeprefix("v"),
        **{
            f"@tus/{package.parent.name}": str(json.loads(package.read_text())["version"])
            for package in sorted(node.glob("@tus/*/package.json"))
        },
        **{
            name: version(name)
            for name in ("tuspyserver", "uvicorn", "aiohttp", "uvloop")
            if find_spec(name)
        },
        "tusd": _said("tusd", "-version").partition("\n")[0].rpartition(" ")[2],
    }
    return ", ".join(f"{name} {number}" for name, number in found.items() if number)


def _said(program: str, option: str) -> str:
    if shutil.which(program) is None:
        return ""
    ended = subprocess.run([program, option], check=True, capture_output=True, text=True)
    return (ended.stdout + ended.stderr).strip()


@contextmanager
def _tus(
    name: str, folder: Path, command: Callable[[int], list[str]], environ: Mapping[str, str]
) -> Iterator[Server]:
    data = folder / "data"
    data.mkdir(parents=True)
    (port,) = free_ports(1)
    full = {"PATH": os.environ["PATH"], "HOME": str(folder), "PORT": str(port), **environ}
    with started(name, command(port), full, folder) as process:
        until(lambda: _answers(port, "/files/"), process, seconds=30)
        yield Server(name=name, process=process, port=port, data=data)


def _answers(port: int, path: str) -> bool:
    try:
        with client(port, TUS) as probe:
            return probe.request("OPTIONS" if path == "/files/" else "GET", path, {}).status != 503
    except OSError:
        return False


def _needed(program: str, what: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise SystemExit(f"{program} is missing: install {what}")
    return found
