"""After an answer to a request whose body nobody reads, nobody waits for it either."""

import asyncio
from pathlib import Path

import pytest

from tests.servers import Address, running

TOO_MUCH = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"


async def refused(address: Address) -> asyncio.StreamWriter:
    """A connection on which a body without an end was refused with 413."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    head = [
        "POST /files/ HTTP/1.1",
        "Host: test",
        "Transfer-Encoding: chunked",
        "Content-Type: application/offset+octet-stream",
        "Upload-Length: 5",
        *(f"{name}: {value}" for name, value in address.tus().items()),
    ]
    writer.write("\r\n".join([*head, "", ""]).encode() + TOO_MUCH)
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    return writer


@pytest.mark.parametrize("is_client_gone", [True, False])
async def test_a_refused_body_does_not_hold_up_the_end(
    tmp_path: Path, is_client_gone: bool
) -> None:
    """Where nothing is left to answer the server leaves at once (design 2.3, shutdown)."""
    loop = asyncio.get_running_loop()
    async with running(tmp_path / "data", SHUTDOWN_TIMEOUT="9s") as address:
        writer = await refused(address)
        if is_client_gone:
            writer.transport.abort()
            await asyncio.sleep(0)
        before = loop.time()
    writer.close()

    assert loop.time() - before < 3
