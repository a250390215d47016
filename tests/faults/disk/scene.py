"""A server on a small disk, with something to lose, and what must hold while the disk fails."""

import asyncio
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.conformance.rest.client import FORM, RestClient, form
from tests.conformance.tus.client import (
    OCTETS,
    Answer,
    Connection,
    Headers,
    Tus,
    connected,
    content_of,
    metadata,
)
from tests.servers import Address, settings, taken
from tests.small_disk import MIB, SmallDisk, Trouble
from tusd_py.app import open_service
from tusd_py.config import load_config
from tusd_py.events import Swept
from tusd_py.sweeper import sweep

HALF = MIB // 2
NAME = "big.bin"
NEIGHBOUR = content_of(100_000)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request with a body, sent in two halves."""

    tus: Tus
    method: str
    url: str
    headers: Headers
    body: bytes

    @asynccontextmanager
    async def begun(self, sent: int) -> AsyncIterator["BegunRequest"]:
        """The server has taken the head and so many bytes of the body; with 0 nothing at all."""
        async with connected(self.tus.address) as connection:
            begun = BegunRequest(request=self, connection=connection, sent=sent)
            if sent:
                await connection.send(begun.head({"Expect": "100-continue"}))
                assert (await connection.head()).status == 100
                await connection.send(self.body[:sent])
                await taken(connection.writer)
            yield begun


@dataclass(frozen=True, kw_only=True)
class BegunRequest:
    """The rest of such a request."""

    request: Request
    connection: Connection
    sent: int

    def head(self, extra: Headers) -> bytes:
        """The head as bytes."""
        request = self.request
        headers = {**request.headers, "Content-Length": str(len(request.body)), **extra}
        return request.tus.wire(request.method, request.url, headers)

    async def ended(self) -> Answer:
        """Send what is left, and return the answer."""
        sending = asyncio.create_task(self._send())
        try:
            async with asyncio.timeout(30):
                answer = (await self.connection.answers())[-1]
        finally:
            sending.cancel()
            await asyncio.wait([sending])
        return answer

    async def _send(self) -> None:
        with suppress(ConnectionError):
            if not self.sent:
                await self.connection.send(self.head({}))
            await self.connection.send(self.request.body[self.sent :])


@dataclass(frozen=True, kw_only=True)
class Scene:
    """User 42 at a server on a small disk; user 7 has a finished file there."""

    disk: SmallDisk
    tus: Tus
    rest: RestClient
    precious: str

    @classmethod
    async def prepare(
        cls, http: aiohttp.ClientSession, server: Address, disk: SmallDisk
    ) -> "Scene":
        """Upload what the neighbour has."""
        tus = Tus(http=http, address=server)
        precious = await tus.of("7").upload(NEIGHBOUR, metadata(filename="keep.bin"))
        rest = RestClient(http=http, server=server)
        return cls(disk=disk, tus=tus, rest=rest, precious=precious)

    @asynccontextmanager
    async def trouble(self, kind: Trouble, left: int = 0) -> AsyncIterator[None]:
        """A while in which the disk is short of something; others are served all the time."""
        with self.disk.trouble(kind, left):
            yield
            await self._assert_others_are_served()

    async def _assert_others_are_served(self) -> None:
        """The process lives on, and nobody loses anything."""
        neighbour = self.tus.of("7")
        assert await neighbour.download(self.precious) == NEIGHBOUR
        assert len(await neighbour.listed()) == 1
        assert await self.status("/healthz") == 200

    async def status(self, path: str) -> int:
        """What a GET without a token is answered."""
        async with self.tus.http.get(self.tus.address.base + path) as response:
            return response.status

    def patch(self, url: str, offset: int, body: bytes, headers: Headers | None = None) -> Request:
        """A PATCH."""
        own = {"Content-Type": OCTETS, "Upload-Offset": str(offset), **(headers or {})}
        return Request(tus=self.tus, method="PATCH", url=url, headers=own, body=body)

    def post(self, headers: Headers, body: bytes) -> Request:
        """A creation with bytes."""
        own = {"Content-Type": OCTETS, **headers}
        return Request(
            tus=self.tus, method="POST", url=self.tus.address.files, headers=own, body=body
        )

    def chunk(self, upload_id: str, index: int, content: bytes, *, late: bool = False) -> Request:
        """A REST chunk; `late` puts the fields that say where it belongs behind it."""
        texts = [("upload_session_id", upload_id.encode()), ("chunk_index", str(index).encode())]
        fields = [("chunk", content), *texts] if late else [*texts, ("chunk", content)]
        return Request(
            tus=self.tus,
            method="POST",
            url=f"{self.tus.address.base}/upload/chunk",
            headers={**FORM, "Tus-Resumable": None},
            body=form(*fields),
        )

    def stored(self, upload_id: str) -> bytes:
        """The bytes that lie on the disk for an unfinished upload of user 42."""
        return (self.disk.root / "data" / "uploads" / "42" / f"{upload_id}.data").read_bytes()

    def noted(self) -> list[str]:
        """The records of uploads of user 42."""
        return sorted(path.name for path in self.disk.root.glob("data/uploads/42/*.info"))

    async def finished(self, file_id: str | int, name: str = NAME) -> str | None:
        """The SHA-256 of a finished file of user 42."""
        return await self.tus.address.sha256("42", file_id, name)

    def litter(self) -> list[str]:
        """What lies in the data folder that no finished upload needs."""
        return litter(self.disk.root / "data")

    def expire(self, upload_id: str) -> None:
        """Let the time of an unfinished upload of user 42 be over."""
        path = self.disk.root / "data" / "uploads" / "42" / f"{upload_id}.info"
        record = json.loads(path.read_bytes())
        path.write_text(json.dumps({**record, "expires_at": record["created_at"]}))

    async def sweep_later(self) -> Swept:
        """What another sweeper does to whom all files are two hours old."""
        return await sweep_later(self.disk.root / "data")


async def sweep_later(root: Path, **overrides: str) -> Swept:
    """What a sweeper does to whom all files in a data folder are two hours old."""
    make_old(root)
    return await sweep_now(root, **overrides)


async def sweep_now(root: Path, **overrides: str) -> Swept:
    """What a sweeper of another process does in a data folder."""
    async with open_service(load_config({}, settings(root, **overrides), None)) as service:
        return await sweep(service)


def make_old(root: Path) -> None:
    """Let all that lies in a folder be two hours old."""
    then = time.time() - 7200
    for path in root.rglob("*"):
        os.utime(path, (then, then), follow_symlinks=False)


def upload_id_of(url: str) -> str:
    """The last part of the URL of an upload."""
    return url.rpartition("/")[2]


def sha256(content: bytes) -> str:
    """The SHA-256 of what was meant to be stored."""
    return hashlib.sha256(content).hexdigest()


def litter(root: Path) -> list[str]:
    """What lies in a data folder that no finished upload needs."""
    found = [path.relative_to(root) for path in root.rglob("*")]
    return sorted(str(path) for path in found if not _is_needed(path))


def _is_needed(path: Path) -> bool:
    match path.parts:
        case ("locks",) | ("uploads",) | ("uploads", _) | ("final", *_):
            return True
        case ("uploads", _, name):
            return name.endswith((".info", ".place"))
    return False
