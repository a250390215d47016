"""Runs real programs: other people's clients and servers, and our examples."""

import asyncio
import hashlib
import os
import random
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"  # Debian's nginx is there


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a program left."""

    code: int
    stdout: str
    stderr: str


def program(name: str, package: str) -> str:
    """The path of a program, or the failure of the test that needs it."""
    path = shutil.which(name, path=PATH)
    if path is None:
        pytest.fail(f"{name} is missing: {package}", pytrace=False)
    return path


async def spawn(
    *command: str | Path, cwd: Path | None = None, **environ: str
) -> asyncio.subprocess.Process:
    """Start a program with a small environment and these variables."""
    return await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={"PATH": PATH, "LANG": "C.UTF-8", "HOME": os.environ.get("HOME", "/"), **environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def finish(process: asyncio.subprocess.Process, seconds: float = 60) -> Finished:
    """Wait for a program's end; it is killed when that takes too long."""
    try:
        async with asyncio.timeout(seconds):
            stdout, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Finished(code=process.returncode, stdout=stdout.decode(), stderr=stderr.decode())


async def run(*command: str | Path, cwd: Path | None = None, **environ: str) -> Finished:
    """Start a program and wait for its end."""
    return await finish(await spawn(*command, cwd=cwd, **environ))


async def listening(port: int, process: asyncio.subprocess.Process) -> None:
    """Wait until `process` accepts connections on a port of this machine."""
    async with asyncio.timeout(30):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
    left = await finish(process)
    pytest.fail(f"it left with {left.code}: {left.stderr}", pytrace=False)


def random_file(path: Path, size: int) -> str:
    """Write `size` bytes that no compression makes smaller; returns their SHA-256."""
    content = random.randbytes(size)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
