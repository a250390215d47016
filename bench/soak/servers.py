"""The servers of the soak: processes on one data folder, what they use, and what they log."""

import asyncio
import functools
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from bench.processes import Process, free_ports, started, until
from bench.soak.line import Line, NoAnswer
from tusd_py.config import Config
from tusd_py.tokens import ensure_key_pair, make_token

ISSUER = "main-service"
AUDIENCE = "upload-service"
DAY = 24 * 3600
BODY_TIMEOUT = 4.0
EXPIRES_AFTER = 90.0
SWEEP_INTERVAL = 5.0
TICK = 1 / os.sysconf("SC_CLK_TCK")

SETTINGS = {
    "STORAGE_BACKEND": "local",
    "WORKERS": "1",
    "BODY_TIMEOUT": f"{BODY_TIMEOUT:.0f}s",
    "UPLOAD_EXPIRES_AFTER": f"{EXPIRES_AFTER:.0f}s",
    "SWEEP_INTERVAL": f"{SWEEP_INTERVAL:.0f}s",
    "DURABILITY": "default",
    "RATE_LIMIT": "none",
    "USER_QUOTA": "unlimited",
    "MAX_OPEN_UPLOADS_PER_USER": "100000",
    "MAX_CONNECTIONS": "4096",
    "MAX_REQUESTS_PER_USER": "4096",
    "MIN_TRANSFER_RATE": "0",
    "MIN_FREE_DISK": "100MiB",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "info",
}
"""What the soak needs to differ, and what must not come in its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a process uses: bytes in memory, descriptors, threads, CPU seconds so far."""

    rss: int
    descriptors: int
    threads: int
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One of the processes."""

    process: Process
    port: int

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.popen.pid

    def usage(self) -> Usage:
        """What it uses now. Raises `RuntimeError` when it is not there any more."""
        if self.process.popen.poll() is not None:
            raise RuntimeError(f"{self.process.name} ended: {self.process.popen.returncode}")
        folder = Path(f"/proc/{self.pid}")
        pages = int((folder / "statm").read_text().split()[1])
        stat = (folder / "stat").read_text().rpartition(") ")[2].split()
        return Usage(
            rss=pages * os.sysconf("SC_PAGE_SIZE"),
            descriptors=len(os.listdir(folder / "fd")),
            threads=int(stat[17]),
            cpu=(int(stat[11]) + int(stat[12])) * TICK,
        )

    def descriptors(self) -> Counter[str]:
        """What its descriptors are, by kind."""
        found: Counter[str] = Counter()
        for link in Path(f"/proc/{self.pid}/fd").iterdir():
            target = os.readlink(link) if link.is_symlink() else "closed"
            found[target.partition(":[")[0]] += 1
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """All the processes, and tokens of the users."""

    servers: Sequence[Server]
    root: Path
    tokens: Mapping[str, str]

    @property
    def ports(self) -> list[int]:
        """Where they listen."""
        return [server.port for server in self.servers]

    def usage(self) -> list[Usage]:
        """What each uses now."""
        return [server.usage() for server in self.servers]


@contextmanager
def cluster(folder: Path, *, processes: int, users: int) -> Iterator[Cluster]:
    """Start so many processes on one data folder below `folder`."""
    root = folder / "data"
    private, public = ensure_key_pair(folder / "keys")
    tokens = {
        user: make_token(private, user=user, issuer=ISSUER, audience=AUDIENCE, seconds=DAY)
        for user in (str(number) for number in range(1, users + 1))
    }
    known = {field.name.upper() for field in fields(Config)}
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "MAIN_SERVICE_JWT_PUBLIC_KEY": public,
        "EXPECTED_JWT_ISSUER": ISSUER,
        "EXPECTED_JWT_AUDIENCE": AUDIENCE,
        "LOCAL_TEMP_CHUNK_PATH": str(root),
        "HOST": "127.0.0.1",
        **{name: value for name, value in SETTINGS.items() if name in known},
    }
    with ExitStack() as stack:
        servers = []
        for number, port in enumerate(free_ports(processes), 1):
            work = folder / f"work-{number}"
            work.mkdir()
            process = stack.enter_context(
                started(
                    f"server-{number}",
                    [sys.executable, "-m", "tusd_py"],
                    {**environ, "PORT": str(port)},
                    work,
                )
            )
            servers.append(Server(process=process, port=port))
        for server in servers:
            until(functools.partial(_is_ready, server.port), server.process, seconds=60)
        yield Cluster(servers=servers, root=root, tokens=tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What the servers logged: how many lines of trouble of each kind, with the first of them, and
    how often each upload was said to be completed."""

    troubles: Counter[str]
    examples: Mapping[str, str]
    completed: Counter[str]


def read_logs(cluster: Cluster) -> Log:
    """Everything that the processes logged so far."""
    troubles: Counter[str] = Counter()
    examples: dict[str, str] = {}
    completed: Counter[str] = Counter()
    for server in cluster.servers:
        with server.process.log.open(errors="replace") as lines:
            for line in lines:
                try:
                    fields = json.loads(line)
                    level, event = str(fields["level"]), str(fields["event"])
                except (ValueError, TypeError, KeyError):
                    level, event, fields = "no log line", "", {}
                if level not in {"info", "debug"}:
                    first_line = event.partition("\n")[0]
                    kind = f"{level} {first_line} {fields.get('why', '')}".rstrip()
                    troubles[kind] += 1
                    examples.setdefault(kind, f"{server.process.name}: {line.rstrip()[:3000]}")
                if event == "upload_completed":
                    completed[str(fields["upload"])] += 1
    return Log(troubles=troubles, examples=examples, completed=completed)


def _is_ready(port: int) -> bool:
    async def ask() -> bool:
        line = await Line.open(port)
        await line.send("GET", "/readyz", {}, b"", 0)
        answer = await line.answer("GET")
        line.close()
        return answer.status == 200

    try:
        return asyncio.run(ask())
    except (OSError, NoAnswer):
        return False
