"""systemd is told when requests are taken, and nobody else is troubled."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.e2e.commands import REPOSITORY
from tests.servers import settings
from tests.unit.test_cli import running
from tusd_py.systemd import tell_ready


def listener(address: str) -> socket.socket:
    """The end of the socket that systemd has."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    channel.bind(address)
    channel.settimeout(20)
    return channel


@pytest.mark.parametrize("is_abstract", [False, True], ids=["path", "abstract"])
def test_readiness_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_abstract: bool
) -> None:
    """At the address of NOTIFY_SOCKET, which no child sees then (sd_notify(3))."""
    name = f"tusd_py-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if is_abstract else name)
    with listener(f"\0{name}" if is_abstract else name) as systemd:
        tell_ready()
        tell_ready()
        told = systemd.recv(100)
        systemd.setblocking(False)
        with pytest.raises(BlockingIOError):
            systemd.recv(100)

    assert told == b"READY=1"
    assert "NOTIFY_SOCKET" not in os.environ


@pytest.mark.parametrize("address", ["", "vsock:2:1", "/nowhere/at/all"])
def test_who_does_not_listen_is_no_trouble(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Without systemd, or with an address that leads nowhere, the server runs all the same."""
    monkeypatch.setenv("NOTIFY_SOCKET", address)

    tell_ready()

    assert "NOTIFY_SOCKET" not in os.environ


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_server_is_ready_when_it_takes_requests(tmp_path: Path, workers: str) -> None:
    """The process that systemd started says so itself, also when it has workers."""
    environ = {**settings(tmp_path / "data", WORKERS=workers), "PYTHONPATH": str(REPOSITORY)}
    address = str(tmp_path / "notify")
    with listener(address) as systemd:
        systemd.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        async with running(cwd=tmp_path, environ={**environ, "NOTIFY_SOCKET": address}) as server:
            told, ancillary, *_ = await _received(systemd)
            sender = int.from_bytes(ancillary[0][2][:4], "little")
            server.send_signal(signal.SIGTERM)
            code = await server.wait()

    assert (told, sender, code) == (b"READY=1", server.pid, 0)


async def _received(
    channel: socket.socket,
) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
    """The next message, and the credentials of who sent it (unix(7))."""
    return await asyncio.to_thread(channel.recvmsg, 100, socket.CMSG_SPACE(12))
