"""A server process to be killed, started again on the same folder, and listened to: its log is
kept over all of its lives."""

import asyncio
import os
import re
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import Address, free_port, settings
from tests.stores import Folder

REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(kw_only=True)
class MortalServer:
    """One server on one folder and one port, alive or not.

    `launcher` is a command that runs it (`unshare ...`), `module` what Python runs, with
    `arguments`; `overrides` are settings, `environ` anything else in its environment.
    """

    root: Path
    overrides: dict[str, str] = field(default_factory=dict)
    launcher: tuple[str, ...] = ()
    module: str = "tusd_py"
    arguments: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> Address:
        """Where it listens while it is alive."""
        return Address(
            host="127.0.0.1", port=self.port, root=self.root, store=Folder(root=self.root)
        )

    @property
    def log(self) -> Path:
        """What all its lives wrote to standard error."""
        return self.root.with_name(f"{self.root.name}-{self.port}.log")

    @property
    def pid(self) -> int:
        """The process id of the server itself, not of what launched it."""
        assert self.process is not None
        pid = self.process.pid
        for _ in self.launcher[:1]:
            (pid,) = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return pid

    async def start(self) -> None:
        """Start it and wait until it listens; the port stays the same over restarts."""
        async with asyncio.timeout(60):
            while not await self._starts():  # noqa: ASYNC110 - ports tell nobody
                await asyncio.sleep(0.1)

    def strike(self) -> float:
        """Kill it with SIGKILL; returns when that was (`time.monotonic`)."""
        pid = self.pid
        moment = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        return moment

    async def death(self) -> int:
        """Wait until it is dead; returns its exit code (negative: the signal)."""
        assert self.process is not None
        async with asyncio.timeout(30):
            return await self.process.wait()

    async def kill(self) -> None:
        """Kill it and wait until it is dead."""
        self.strike()
        await self.death()

    async def end(self) -> None:
        """Kill it if it is alive."""
        if self.process is not None and self.process.returncode is None:
            await self.kill()

    def events(self, name: str) -> list[str]:
        """The ids of the uploads that its log tells of in lines of this event, in order."""
        found = re.findall(rf"^\S+ info {name} upload=(\S+)", self.log.read_text(), re.MULTILINE)
        return [str(upload_id) for upload_id in found]

    async def _starts(self) -> bool:
        """Start it once; False when somebody else has the port at present."""
        assert self.process is None or self.process.returncode is not None
        await asyncio.to_thread(self.root.mkdir, exist_ok=True)
        self.port = self.port or free_port()
        await asyncio.to_thread(self.log.touch)
        before = (await asyncio.to_thread(self.log.stat)).st_size
        self.process = process = await self._launch()
        while True:
            said = (await asyncio.to_thread(self.log.read_bytes))[before:]
            if b" info listening " in said:
                return True
            if process.returncode is not None:
                if b" is in use;" in said:
                    return False
                raise RuntimeError(f"the server left: {said.decode()}")
            await asyncio.sleep(0.01)

    async def _launch(self) -> asyncio.subprocess.Process:
        command = (*self.launcher, sys.executable, "-m", self.module, *self.arguments)
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        given = settings(self.root, **{"PORT": str(self.port), **self.overrides})
        with await asyncio.to_thread(self.log.open, "ab") as log:
            return await asyncio.create_subprocess_exec(
                *command,
                env={**kept, "PYTHONPATH": str(REPOSITORY), **given, **self.environ},
                cwd=self.root,
                stderr=log,
            )
