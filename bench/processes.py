"""Processes that the benchmark starts, and what /proc says of them."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
KIB = 2**10


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process with its children; `log` holds what it printed."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def cpu(self) -> float:
        """CPU seconds used so far."""
        return sum(_ticks(pid) for pid in _tree(self.popen.pid)) * TICK

    def rss(self) -> int:
        """Bytes in memory now."""
        return sum(_status(pid, "VmRSS") for pid in _tree(self.popen.pid))

    def peak_rss(self) -> int:
        """Most bytes in memory since `forget_peak`, the peaks of all processes added up."""
        return sum(_status(pid, "VmHWM") for pid in _tree(self.popen.pid))

    def largest_peak(self) -> int:
        """Most bytes in memory since `forget_peak` of the process that had most."""
        return max(_status(pid, "VmHWM") for pid in _tree(self.popen.pid))

    def forget_peak(self) -> None:
        """Begin another peak."""
        for pid in _tree(self.popen.pid):
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def nameless_bytes(self) -> int:
        """Bytes on disk in files that it has open and that have no name, as temporary ones have."""
        found: dict[int, int] = {}
        for pid in _tree(self.popen.pid):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):  # it was closed meanwhile
                    if str(link.readlink()).endswith("(deleted)"):
                        status = link.stat()
                        found[status.st_ino] = status.st_blocks * 512
        return sum(found.values())

    def settle(self, *, seconds: float = 30.0) -> None:
        """Wait until it has used no CPU to speak of for half a second."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            before = self.cpu()
            time.sleep(0.5)
            if self.cpu() - before <= 2 * TICK:
                return
        raise TimeoutError(f"{self.name} did not settle within {seconds} s")


@contextmanager
def started(
    name: str, command: list[str], environ: Mapping[str, str], folder: Path
) -> Iterator[Process]:
    """Run a command in `folder`, its output in a log beside it, and end it afterwards."""
    log = folder.parent / f"{name.replace('/', '-')}.log"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            command, env=dict(environ), cwd=folder, stdout=output, stderr=output
        )
    try:
        yield Process(name=name, popen=popen, log=log)
    finally:
        popen.terminate()
        try:
            popen.wait(timeout=20)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


def until(is_true: Callable[[], bool], process: Process, *, seconds: float) -> None:
    """Poll until it is true; RuntimeError with the log when the process ends or time is over."""
    deadline = time.monotonic() + seconds
    while not is_true():
        if process.popen.poll() is not None or time.monotonic() > deadline:
            said = process.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{process.name} did not start:\n{said}")
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """TCP ports of 127.0.0.1 on which nobody listens right now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _tree(root: int) -> list[int]:
    """The process ids of a process and all below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it ended meanwhile
                parent = int(_fields(int(entry.name))[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _fields(pid: int) -> list[str]:
    """What /proc/PID/stat has after the name of the program: state, parent, ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()


def _ticks(pid: int) -> int:
    try:
        fields = _fields(pid)
    except OSError:
        return 0
    return sum(int(ticks) for ticks in fields[11:15])  # its own and those of children that ended


def _status(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * KIB for line in lines if line.startswith(f"{name}:"))
