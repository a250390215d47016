"""The servers that are compared, as processes that store into one SeaweedFS."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.client import client
from bench.processes import Process, free_ports, started, until
from bench.s3.weed import ACCESS_KEY, BUCKET, CREDENTIALS, REGION, SECRET_KEY
from tusd_py.tokens import ensure_key_pair, make_token

USER = "42"
ISSUER = "main-service"
AUDIENCE = "upload-service"
NODE = Path(__file__).parent / "node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A tus server; every request to it has `headers`."""

    name: str
    process: Process
    port: int
    headers: Mapping[str, str]
    is_ours: bool

    def metadata(self, number: int) -> dict[str, str]:
        """What the metadata of upload `number` must be for `key` to be true."""
        return {"filename": "upload.bin", "main_service_file_id": str(number)}

    def key(self, number: int, path: str) -> str:
        """Where the file of upload `number` ends, whose tus path is `path`."""
        return f"{USER}/{number}/upload.bin" if self.is_ours else path.rpartition("/")[2]


@contextmanager
def ours(endpoint: str, folder: Path) -> Iterator[Server]:
    """`python -m tusd_py` with its default settings, but one process."""
    folder.mkdir()
    private, public = ensure_key_pair(folder / "keys")
    token = make_token(private, user=USER, issuer=ISSUER, audience=AUDIENCE, seconds=24 * 3600)
    (port,) = free_ports(1)
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "MAIN_SERVICE_JWT_PUBLIC_KEY": public,
        "EXPECTED_JWT_ISSUER": ISSUER,
        "EXPECTED_JWT_AUDIENCE": AUDIENCE,
        "STORAGE_BACKEND": "s3",
        "S3_ENDPOINT_URL": endpoint,
        "S3_BUCKET_NAME": BUCKET,
        "S3_REGION_NAME": REGION,
        "S3_ACCESS_KEY": ACCESS_KEY,
        "S3_SECRET_KEY": SECRET_KEY,
        "LOCAL_TEMP_CHUNK_PATH": str(folder / "tmp"),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WORKERS": "1",
        "SWEEP_INTERVAL": "1h",  # the bucket is emptied behind the server's back
    }
    headers = {"Authorization": f"Bearer {token}", "Tus-Resumable": "1.0.0"}
    with started("tusd_py", [sys.executable, "-m", "tusd_py"], environ, folder) as process:
        until(lambda: _is_ready(port), process, seconds=30)
        yield Server(
            name="tusd_py",
            process=process,
            port=port,
            headers=headers,
            is_ours=True,
        )


@contextmanager
def tus_node(endpoint: str, folder: Path, *, checksums: str | None = None) -> Iterator[Server]:
    """@tus/server with @tus/s3-store; `checksums` is the SDK's requestChecksumCalculation."""
    node = shutil.which("node")
    if node is None:
        raise SystemExit("node is missing: install Node.js 20.19 or newer")
    if not (NODE / "node_modules").is_dir():
        raise SystemExit(f"@tus/server is missing: npm ci --prefix {NODE}")
    folder.mkdir()
    (port,) = free_ports(1)
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "NODE_ENV": "production",
        "S3_ENDPOINT_URL": endpoint,
        "S3_BUCKET_NAME": BUCKET,
        "S3_REGION_NAME": REGION,
        "PORT": str(port),
        **CREDENTIALS,
        **({"CHECKSUMS": checksums} if checksums else {}),
    }
    name = "@tus/server" + (f" {checksums}" if checksums else "")
    command = [node, "--no-warnings", str(NODE / "server.mjs")]
    with started(name, command, environ, folder) as process:
        until(lambda: "listening" in process.log.read_text(), process, seconds=30)
        yield Server(
            name=name,
            process=process,
            port=port,
            headers={"Tus-Resumable": "1.0.0"},
            is_ours=False,
        )


def _is_ready(port: int) -> bool:
    try:
        with client(port, {}) as probe:
            return probe.request("GET", "/readyz", {}).status == 200
    except OSError:
        return False
