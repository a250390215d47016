"""A body in chunked transfer coding whose framing breaks: 400 at once, and the prefix is kept."""

import asyncio

import aiohttp

from tests.servers import Address


async def test_broken_chunked_coding_is_told_at_once(
    server: Address, http: aiohttp.ClientSession
) -> None:
    """Bad input never gives a 5xx or a hang; what came before it counts."""
    created = await http.post(server.files, headers={**server.tus(), "Upload-Length": "10"})
    url = created.headers["Location"]
    head = [
        f"PATCH {url.removeprefix(server.base)} HTTP/1.1",
        "Host: test",
        "Expect: 100-continue",
        "Transfer-Encoding: chunked",
        "Content-Type: application/offset+octet-stream",
        "Upload-Offset: 0",
        *(f"{name}: {value}" for name, value in server.tus().items()),
    ]
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write("\r\n".join([*head, "", ""]).encode())
    async with asyncio.timeout(8):
        asked = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"5\r\nhello\r\nno number\r\n")
        answer = await reader.readuntil(b"\r\n\r\n")
    after = await http.head(url, headers=server.tus())
    writer.close()

    assert asked.startswith(b"HTTP/1.1 100")
    assert answer.startswith(b"HTTP/1.1 400")
    assert after.headers["Upload-Offset"] == "5"
