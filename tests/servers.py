"""Starts the real server for a test: in this process, or as a process that can be killed."""

import asyncio
import hashlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.stores import Folder, Store
from tests.tokens import AUDIENCE, ISSUER, PUBLIC_PEM, make_token
from tusd_py.app import create_app
from tusd_py.config import load_config
from tusd_py.server import start


def settings(root: Path, **overrides: str) -> dict[str, str]:
    """The environment of a server whose data folder is `root`."""
    return {
        "MAIN_SERVICE_JWT_PUBLIC_KEY": PUBLIC_PEM,
        "EXPECTED_JWT_ISSUER": ISSUER,
        "EXPECTED_JWT_AUDIENCE": AUDIENCE,
        "LOCAL_TEMP_CHUNK_PATH": str(root),
        "HOST": "127.0.0.1",
        "PORT": "0",
        "SHUTDOWN_TIMEOUT": "5s",
        "WORKERS": "1",
        **overrides,
    }


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server under test listens, and what a test needs to talk to it."""

    host: str
    port: int
    root: Path
    store: Store

    @property
    def base(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def files(self) -> str:
        return f"{self.base}/files/"

    def auth(self, user: str | int = "42") -> dict[str, str]:
        """The Authorization header of a user."""
        return {"Authorization": f"Bearer {make_token(user)}"}

    def tus(self, user: str | int = "42") -> dict[str, str]:
        """Authorization and Tus-Resumable."""
        return {"Tus-Resumable": "1.0.0", **self.auth(user)}

    def location(self, user: str | int, file_id: str | int, filename: str) -> str:
        """Where the contract puts a finished file: its path or its URL."""
        return self.store.location(f"{user}/{file_id}/{filename}")

    async def file(self, user: str | int, file_id: str | int, filename: str) -> bytes | None:
        """A finished file; None when there is none."""
        return await self.store.read(f"{user}/{file_id}/{filename}")

    async def sha256(self, user: str | int, file_id: str | int, filename: str) -> str | None:
        """The SHA-256 of a finished file; None when there is none."""
        content = await self.file(user, file_id, filename)
        return None if content is None else hashlib.sha256(content).hexdigest()

    async def fetch(self, location: object) -> bytes | None:
        """The file that the server calls so; None when it is not there."""
        return await self.store.read(self.store.named_by(str(location)))

    async def finished(self) -> dict[str, int]:
        """Every user's finished files, `{user}/{file_id}/{filename}`, in order, and their sizes."""
        everything = await self.store.everything()
        return {name: size for name, size in everything.items() if not name.startswith(".")}

    async def contents(self) -> list[bytes | None]:
        """What is in every user's finished files."""
        return [await self.store.read(name) for name in await self.finished()]

    async def size(self) -> int:
        """Bytes of all that is stored, also for a short time, and of what is noted about it."""
        return sum((await self.store.everything()).values())

    async def holding(self, content: bytes) -> list[str]:
        """The names of all that has these bytes in it."""
        everything = await self.store.everything()
        return [name for name in everything if await self.store.holds(name, content)]

    async def raw(self, request: bytes, *, seconds: float = 15.0, eof: bool = False) -> bytes:
        """Send bytes as they are and return all that comes back until the server closes
        (so put `Connection: close` into the request) or so many `seconds` are over."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        answer = bytearray()
        try:
            async with asyncio.timeout(seconds):
                try:
                    writer.write(request)
                    await writer.drain()
                    if eof:
                        writer.write_eof()
                    while block := await reader.read(65536):
                        answer += block
                except ConnectionError:
                    pass
        except TimeoutError:
            pass
        finally:
            writer.close()
        return bytes(answer)


@asynccontextmanager
async def running(
    root: Path, store: Store | None = None, **overrides: str
) -> AsyncIterator[Address]:
    """The server inside this event loop, listening on a real TCP port; without a `store` it stores
    in the folder."""
    place = store or Folder(root=root)
    config = load_config({}, settings(root, **{**place.settings, **overrides}), None)
    running_server = await start(await asyncio.to_thread(create_app, config), config)
    try:
        yield Address(host="127.0.0.1", port=running_server.port, root=root, store=place)
    finally:
        await running_server.stop()


@dataclass(kw_only=True)
class ServerProcess:
    """The server as a process of its own, for tests that kill it or start two of them. `under` is
    a command that becomes the server, and its arguments."""

    root: Path
    store: Store
    overrides: dict[str, str] = field(default_factory=dict)
    under: tuple[str, ...] = ()
    port: int = 0
    process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> Address:
        return Address(host="127.0.0.1", port=self.port, root=self.root, store=self.store)

    async def start(self) -> Address:
        """Start it and wait until it listens; the port stays the same over restarts."""
        self.port = self.port or free_port()
        environ = {
            **{k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG", "PYTHONPATH"}},
            **settings(self.root, **{**self.store.settings, **self.overrides}),
            "PORT": str(self.port),
        }
        self.process = await asyncio.create_subprocess_exec(
            *self.under, sys.executable, "-m", "tusd_py", env=environ, cwd=self.root
        )
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except ConnectionRefusedError:
                    if self.process.returncode is not None:
                        raise RuntimeError(f"server left: {self.process.returncode}") from None
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return self.address

    async def end(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit code (negative: the signal)."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signum)
        async with asyncio.timeout(30):
            return await self.process.wait()


async def taken(writer: asyncio.StreamWriter) -> None:
    """Return when the server has read all that was written to a connection of ours."""
    line: socket.socket = writer.get_extra_info("socket")
    ours, theirs = name_of(line.getsockname()), name_of(line.getpeername())
    async with asyncio.timeout(10):
        while writer.transport.get_write_buffer_size() or _waiting(ours, theirs):  # noqa: ASYNC110 - sockets tell nobody
            await asyncio.sleep(0.005)


def _waiting(ours: str, theirs: str) -> bool:
    """Whether bytes wait in our queue for the network, or in the server's to be read (proc(5))."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    queues = {(line[1], line[2]): line[4].split(":") for line in lines}
    sending, _ = queues.get((ours, theirs), ("0", "0"))
    _, reading = queues.get((theirs, ours), ("0", "0"))
    return bool(int(sending, 16) or int(reading, 16))


def name_of(name: tuple[str, int]) -> str:
    """An IPv4 address and port as /proc/net/tcp has them (proc(5))."""
    number = int.from_bytes(socket.inet_aton(name[0]), sys.byteorder)
    return f"{number:08X}:{name[1]:04X}"


def free_port() -> int:
    """A TCP port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
