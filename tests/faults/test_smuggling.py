"""Request smuggling: where one request ends and the next begins is never a matter of opinion.

What is ambiguous is refused and the connection closes, so that a request hidden in a body is never
done (RFC 9112, 3.2, 5.1, 6.1, 6.3 and 11.2).
"""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import MakeServer
from tests.e2e.test_nginx import nginx
from tests.faults.scene import statuses
from tests.servers import Address

BODY = b'{"main_service_file_id": 1, "original_file_name": "a"}'
LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"

LENGTHS = {
    "twice the same": LENGTH + b"\r\n" + LENGTH,
    "twice, another": LENGTH + b"\r\nContent-Length: 5",
    "a list": LENGTH + b", %d" % len(BODY),
    "plus": LENGTH.replace(b": ", b": +"),
    "negative": b"Content-Length: -1",
    "space before the colon": LENGTH.replace(b":", b" :"),
    "space inside": b"Content-Length: 5 4",
    "hexadecimal": b"Content-Length: 0x36",
    "underscore": b"Content-Length: 5_4",
    "point": LENGTH + b".0",
    "no digits": b"Content-Length:",
    "foreign digits": "Content-Length: \u0665\u0664".encode(),
    "beyond 64 bits": b"Content-Length: 18446744073709551670",
    "folded": LENGTH.replace(b": ", b":\r\n "),
    "first line folded": b" " + LENGTH,
    "NUL": LENGTH + b"\x00",
    "bare CR": LENGTH + b"\rX: y",
    "bare LF after": LENGTH + b"\nX: y",
    "bare LF before": b"X: y\n" + LENGTH,
}
CODINGS = {
    "unknown": b"Transfer-Encoding: xchunked",
    "identity": b"Transfer-Encoding: identity",
    "gzip": b"Transfer-Encoding: gzip",
    "not last": b"Transfer-Encoding: chunked, identity",
    "twice": CHUNKED + b"\r\n" + CHUNKED,
    "twice, another": CHUNKED + b"\r\nTransfer-Encoding: identity",
    "space before the colon": CHUNKED.replace(b":", b" :"),
    "folded": CHUNKED.replace(b": ", b":\r\n "),
    "vertical tab": CHUNKED.replace(b": ", b": \x0b"),
    "quoted": b'Transfer-Encoding: "chunked"',
    "parameter": CHUNKED + b";a=b",
    "empty": b"Transfer-Encoding:",
    "underscore": CHUNKED.replace(b"-", b"_"),
    "NUL": CHUNKED + b"\x00",
    "bare CR": b"X: y\r" + CHUNKED,
    "bare LF": b"X: y\n" + CHUNKED,
}
BOTH = {
    "length first": LENGTH + b"\r\n" + CHUNKED,
    "coding first": CHUNKED + b"\r\n" + LENGTH,
    "zero and coding": b"Content-Length: 0\r\n" + CHUNKED,
    "in capitals": LENGTH + b"\r\n" + CHUNKED.upper(),
    "behind a tab": LENGTH + b"\r\n" + CHUNKED.replace(b": ", b":\t"),
    "after another": LENGTH + b"\r\nTransfer-Encoding: identity, chunked",
}


@pytest.fixture
async def victim(server: Address, http: aiohttp.ClientSession) -> str:
    """The path of an upload that a hidden request would delete."""
    async with http.post(server.files, headers={**server.tus(), "Upload-Length": "5"}) as response:
        return response.headers["Location"].removeprefix(server.base)


def hidden(server: Address, victim: str) -> bytes:
    """The request that must not be done, as whoever can write a body would write it."""
    lines = [f"DELETE {victim} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in server.tus().items()]
    return "\r\n".join([*lines, "", ""]).encode()


def around(server: Address, framing: bytes, first: str = "POST /upload/init HTTP/1.1") -> bytes:
    """The head of a request whose body has a framing."""
    lines = [first, "Host: x", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in server.auth().items()]
    return "\r\n".join([*lines, ""]).encode() + framing + b"\r\n\r\n"


async def is_there(server: Address, http: aiohttp.ClientSession, victim: str) -> bool:
    """Whether the upload was spared."""
    async with http.head(server.base + victim, headers=server.tus()) as response:
        return response.status == 200


@pytest.mark.parametrize("framing", LENGTHS.values(), ids=LENGTHS)
async def test_odd_length_is_refused(
    server: Address, http: aiohttp.ClientSession, victim: str, framing: bytes
) -> None:
    """A length that can be read in two ways is 400, and nothing after it is done."""
    answer = await server.raw(around(server, framing) + BODY + hidden(server, victim))

    assert statuses(answer) == [400]
    assert await is_there(server, http, victim)


@pytest.mark.parametrize("framing", [*CODINGS.values(), *BOTH.values()], ids=[*CODINGS, *BOTH])
async def test_odd_coding_is_refused(
    server: Address, http: aiohttp.ClientSession, victim: str, framing: bytes
) -> None:
    """A coding that is not plain `chunked`, or that comes with a length, is 400."""
    body = b"0\r\n\r\n" + hidden(server, victim)
    answer = await server.raw(around(server, framing) + body)

    assert statuses(answer) == [400]
    assert await is_there(server, http, victim)


CHUNKS = {
    "negative": b"-1\r\n",
    "plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "beyond 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "space": b"5 \r\nhello\r\n0\r\n\r\n",
    "longer than told": b"4\r\nhello\r\n0\r\n\r\n",
    "shorter than told": b"6\r\nhello\r\n0\r\n\r\n",
    "bare LF": b"5\nhello\n0\n\n",
    "LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS)
async def test_odd_chunks_end_the_connection(
    server: Address, http: aiohttp.ClientSession, victim: str, chunks: bytes
) -> None:
    """Chunks that can be cut in two ways are refused, and nothing after them is done."""
    answer = await server.raw(around(server, CHUNKED) + chunks + hidden(server, victim))

    assert statuses(answer) == [400]
    assert await is_there(server, http, victim)


REFUSED = {
    "401": ("POST /files/ HTTP/1.1", ["Authorization: Bearer a.b.c"], 401),
    "404": (
        "PATCH /files/11111111-1111-4111-8111-111111111111 HTTP/1.1",
        ["Upload-Offset: 0"],
        404,
    ),
    "405": ("PUT /files/ HTTP/1.1", [], 405),
    "409": ("PATCH @ HTTP/1.1", ["Upload-Offset: 3"], 409),
    "413": ("PATCH @ HTTP/1.1", ["Upload-Offset: 0"], 413),
    "417": ("POST /files/ HTTP/1.1", ["Expect: nothing"], 417),
    "nowhere": ("POST /nowhere HTTP/1.1", [], 404),
    "a list": ("GET /upload/files HTTP/1.1", [], 200),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
async def test_the_body_of_a_refused_request_is_no_request(
    server: Address, http: aiohttp.ClientSession, victim: str, name: str, is_chunked: bool
) -> None:
    """Whatever a request is refused for, and while the connection lives on: its body stays a body,
    and the request after it is the one after it, or is not answered."""
    first, lines, status = REFUSED[name]
    body = hidden(server, victim)
    fields = {**server.tus(), "Content-Type": "application/offset+octet-stream", "Host": "x"}
    head = [first.replace("@", victim), *lines]
    head += [f"{key}: {v}" for key, v in fields.items() if f"{key}: " not in "".join(lines)]
    sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if is_chunked else body
    head.append("Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {len(body)}")
    after = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await server.raw("\r\n".join([*head, "", ""]).encode() + sent + after)

    assert statuses(answer)[0] == status
    assert statuses(answer)[1:] in ([], [200])
    assert await is_there(server, http, victim)


HOSTS = {"none": b"", "two": b"Host: x\r\nHost: y\r\n", "the same twice": b"Host: x\r\n" * 2}


@pytest.mark.parametrize("hosts", HOSTS.values(), ids=HOSTS)
async def test_one_host(server: Address, hosts: bytes) -> None:
    """Without Host, or with two of them, a request is 400 (RFC 9112, 3.2)."""
    answer = await server.raw(b"GET /healthz HTTP/1.1\r\n" + hosts + b"\r\n")

    assert statuses(answer) == [400]


TARGETS = {
    "absolute form": (b"GET http://x/healthz HTTP/1.1", [200]),
    "of another host": (b"GET http://evil.example/healthz HTTP/1.1", [200]),
    "no slash": (b"GET healthz HTTP/1.1", [400]),
    "tabs": (b"GET\t/healthz\tHTTP/1.1", [400]),
    "NUL": (b"GET /healthz\x00 HTTP/1.1", [400]),
    "bare CR": (b"GET /healthz\rX: y HTTP/1.1", [400]),
    "small letters": (b"get /healthz HTTP/1.1", [400]),
    "another version": (b"GET /healthz HTTP/1.2", [400]),
    "authority": (b"CONNECT evil.example:80 HTTP/1.1", [404]),
    "up": (b"GET /x/../healthz HTTP/1.1", [404]),
    "encoded slash": (b"GET %2fhealthz HTTP/1.1", [400]),
    "two slashes": (b"GET //healthz HTTP/1.1", [404]),
}


@pytest.mark.parametrize(("first", "expected"), TARGETS.values(), ids=TARGETS)
async def test_targets(server: Address, first: bytes, expected: list[int]) -> None:
    """A request target is a path of this server, or is refused; nothing is fetched for anybody."""
    answer = await server.raw(first + b"\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert statuses(answer) == expected


async def test_nothing_is_smuggled_through_nginx(
    make_server: MakeServer, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Behind nginx, which keeps its connections to us for the requests of others: the same."""
    server = await make_server(TRUSTED_PROXIES="127.0.0.1")
    wanted = {**server.tus(), "Upload-Length": "5"}
    async with http.post(server.files, headers=wanted) as response:
        victim = response.headers["Location"].removeprefix(server.base)
    body = b"0\r\n\r\n" + hidden(server, victim)
    odd = [*BOTH.values(), LENGTHS["twice the same"], LENGTHS["twice, another"]]
    async with nginx(tmp_path, server) as front:
        answers = await asyncio.gather(*[front.raw(around(front, each) + body) for each in odd])
        async with http.get(f"{front.base}/upload/files", headers=server.auth()) as response:
            after = response.status

    assert after == 200
    assert await is_there(server, http, victim)
    assert [statuses(answer) for answer in answers if statuses(answer) not in ([400], [501])] == []


async def test_two_requests_at_once_are_two(server: Address) -> None:
    """Requests without doubt are answered on one connection in their order, bodies read or not."""
    first = around(server, LENGTH) + BODY
    refused = around(server, LENGTH, "POST /upload/nothing HTTP/1.1") + BODY
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with asyncio.timeout(20):
        both = await server.raw(first + first + last)
        closed = await server.raw(refused + last)

    assert statuses(both) == [200, 200, 200]
    assert statuses(closed) in ([404], [404, 200])
