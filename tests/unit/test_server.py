"""The life of a server: nobody idle holds it up, and then nobody listens."""

import asyncio
from pathlib import Path

import pytest

from tests.conftest import MakeProcess
from tests.servers import running


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
