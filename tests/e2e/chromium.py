"""Headless Chromium, one for all tests of a process; each test has a profile of its own in it."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.commands import program

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-component-update",
    "--disable-renderer-backgrounding",
    "--disable-sync",
    "--remote-debugging-port=0",
)
_ADDRESS = re.compile(r"DevTools listening on (ws://\S+)")


@contextmanager
def running_chromium() -> Iterator[str]:
    """Where Playwright connects to it. Blocks while it starts and ends, for about a second."""
    command = program("chromium", "apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
        said = Path(folder) / "said"
        with said.open("wb") as output:
            process = subprocess.Popen(
                [command, *FLAGS, f"--user-data-dir={folder}/profile", "about:blank"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={"PATH": "/usr/bin:/bin", "HOME": folder, "LANG": "C.UTF-8"},
            )
        try:
            yield _address(process, said)
        finally:
            process.terminate()
            process.wait(20)


def _address(process: subprocess.Popen[bytes], said: Path) -> str:
    for _ in range(600):
        if match := _ADDRESS.search(said.read_text(errors="replace")):
            return match[1]
        if process.poll() is not None:
            break
        _wait_a_moment(process)
    raise RuntimeError(f"Chromium does not start: {said.read_text(errors='replace')[-2000:]}")


def _wait_a_moment(process: subprocess.Popen[bytes]) -> None:
    """Wait for a moment, or for its end."""
    try:
        process.wait(0.05)
    except subprocess.TimeoutExpired:
        return
