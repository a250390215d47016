"""The life of a server: it drains on a signal, and leaves nothing half-done."""

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import MakeProcess
from tests.servers import Address, running

OCTETS = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}


async def created(http: aiohttp.ClientSession, address: Address, length: int = 100) -> str:
    """The URL of a new upload."""
    headers = {**address.tus(), "Upload-Length": str(length)}
    async with http.post(address.files, headers=headers) as response:
        assert response.status == 201
        return response.headers["Location"]


async def offset(http: aiohttp.ClientSession, address: Address, url: str) -> int:
    """The offset that HEAD tells."""
    async with http.head(url, headers=address.tus()) as response:
        assert response.status == 200
        return int(response.headers["Upload-Offset"])


class SlowPatch:
    """A PATCH of 100 bytes of which the server asked for the body, and got some."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    @classmethod
    async def begin(cls, address: Address, url: str, sent: bytes) -> "SlowPatch":
        """Send the head, wait until the server asks for the body, send some of it."""
        reader, writer = await asyncio.open_connection(address.host, address.port)
        lines = {
            "Host": f"{address.host}:{address.port}",
            **address.tus(),
            **OCTETS,
            "Content-Length": "100",
            "Expect": "100-continue",
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"PATCH {url.removeprefix(address.base)} HTTP/1.1\r\n{head}\r\n".encode())
        async with asyncio.timeout(5):
            assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        await writer.drain()
        return cls(reader, writer)

    async def answer(self) -> bytes:
        """All that comes up to the end of the connection."""
        try:
            async with asyncio.timeout(10):
                return await self.reader.read()
        finally:
            self._writer.close()


async def stored(address: Address, size: int) -> None:
    """Return once so many bytes of an upload are on the disk."""
    async with asyncio.timeout(5):
        while sum(path.stat().st_size for path in address.root.rglob("*.data")) < size:  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains(
    signum: signal.Signals, make_process: MakeProcess, http: aiohttp.ClientSession
) -> None:
    """A running PATCH commits and gets 503; the process leaves with exit code 0."""
    process = await make_process()
    address = process.address
    url = await created(http, address)
    patch = await SlowPatch.begin(address, url, b"x" * 40)
    await stored(address, 40)
    async with asyncio.timeout(5):
        code = await process.end(signum)
    answer = await patch.answer()
    await process.start()

    assert code == 0
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1" in answer
    assert await offset(http, address, url) == 40


async def test_a_second_signal_leaves_at_once(
    make_process: MakeProcess, http: aiohttp.ClientSession
) -> None:
    """Who does not want to wait for what still runs sends the signal again."""
    process = await make_process(SHUTDOWN_TIMEOUT="30s")
    address = process.address
    reader, writer = await asyncio.open_connection(address.host, address.port)
    body = b'{"main_service_file_id": 1'
    writer.write(
        b"POST /upload/init HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
        b"Content-Type: application/json\r\nExpect: 100-continue\r\n"
        b"Authorization: " + address.auth()["Authorization"].encode() + b"\r\n\r\n"
    )
    async with asyncio.timeout(5):
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(body)
    assert process.process is not None
    process.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(5):
        while True:
            try:
                _, probe = await asyncio.open_connection(address.host, address.port)
            except ConnectionRefusedError:
                break
            probe.close()
            await asyncio.sleep(0.02)
    async with asyncio.timeout(5):
        code = await process.end(signal.SIGTERM)
    writer.close()

    assert code in {-signal.SIGTERM, 0}


async def test_idle_connections_do_not_hold_a_server_up(make_process: MakeProcess) -> None:
    """Silent and kept-alive connections end when the server does."""
    process = await make_process(SHUTDOWN_TIMEOUT="30s")
    address = process.address
    silent = await asyncio.open_connection(address.host, address.port)
    alive = await asyncio.open_connection(address.host, address.port)
    alive[1].write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(5):
        await alive[0].readuntil(b"ok\n")
        code = await process.end()

    assert code == 0
    for reader, writer in (silent, alive):
        assert await reader.read() == b""
        writer.close()


async def test_a_server_that_stopped_listens_no_more(tmp_path: Path) -> None:
    """New connections are refused."""
    async with running(tmp_path) as address:
        _, writer = await asyncio.open_connection(address.host, address.port)
        writer.close()

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(address.host, address.port)
