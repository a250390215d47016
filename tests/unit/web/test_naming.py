"""The id of a request: taken if it is safe, told in every answer and in every line of the log."""

import asyncio

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from tests.conformance.rest.client import RestClient
from tests.conformance.tus.client import OCTETS, Tus, connected
from tests.json_log import json_log
from tests.servers import Address
from tusd_py.request import CURRENT, OWNER, UPLOAD, known
from tusd_py.storage.pool import Pool
from tusd_py.web.naming import RequestNames

GOOD = ["a", "4bf92f3577b34da6a3ce929d0e0e4736", "A.b_c-9", "x" * 128]
BAD = ["", "x" * 129, "a b", "a=b", 'a"b', "a/b", "ü", "a,b", "a;b", "a\tb", "<x>"]


@pytest.fixture
def tus(http: aiohttp.ClientSession, server: Address) -> Tus:
    """User 42 of a server."""
    return Tus(http=http, address=server)


@pytest.mark.parametrize("given", GOOD, ids=lambda each: each[:8])
async def test_a_safe_id_is_echoed(tus: Tus, given: str) -> None:
    """In a success and in a refusal."""
    answers = [
        await tus.post({"Upload-Length": "5", "X-Request-ID": given}),
        await tus.send("GET", f"{tus.address.files}none", {"X-Request-ID": given}),
    ]

    assert [answer.status for answer in answers] == [201, 404]
    assert [answer.headers["X-Request-ID"] for answer in answers] == [given, given]


@pytest.mark.parametrize("given", BAD, ids=lambda each: ascii(each)[:8])
async def test_an_unsafe_id_is_replaced(server: Address, given: str) -> None:
    """By one of ours: it would stand in log lines and headers."""
    head = f"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-ID: {given}\r\nConnection: close\r\n\r\n"
    answer = (await server.raw(head.encode())).decode()

    [told] = [
        line.partition(": ")[2]
        for line in answer.split("\r\n")
        if line.lower().startswith("x-request-id:")
    ]
    assert answer.startswith("HTTP/1.1 200 ")
    assert told
    assert told != given
    assert told.replace("-", "").isalnum()


REQUESTS = {
    "unauthorized": (401, b"GET /upload/files HTTP/1.1\r\nHost: x\r\n"),
    "nowhere": (404, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n"),
    "method": (405, b"POST /healthz HTTP/1.1\r\nHost: x\r\n"),
    "expectation": (417, b"POST /files/ HTTP/1.1\r\nHost: x\r\nExpect: more\r\n"),
    "no-http": (400, b"GET / HTTP/9.9\r\nHost: x\r\n"),
    "bad-header": (400, b"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n"),
    "preflight": (200, b"OPTIONS /files/ HTTP/1.1\r\nHost: x\r\nOrigin: http://a\r\n"),
}


@pytest.mark.parametrize(("status", "head"), REQUESTS.values(), ids=REQUESTS)
async def test_every_answer_has_an_id(server: Address, status: int, head: bytes) -> None:
    """Errors too, those of the HTTP library and those of what is not HTTP."""
    answer = (await server.raw(head + b"Connection: close\r\n\r\n")).lower()

    assert answer.split(b" ", 2)[1] == str(status).encode()
    assert answer.count(b"\r\nx-request-id: ") == 1


async def test_pages_may_read_it(tus: Tus) -> None:
    """CORS exposes it, and lets pages send it, and the header of a trace."""
    answer = await tus.send("OPTIONS", tus.address.files, {"Origin": "http://a"})

    assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]
    allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"X-Request-ID", "Traceparent", "Tracestate"} <= set(allowed)


async def test_requests_of_one_connection_have_their_own(server: Address) -> None:
    """The id of one is not that of the next, and no id comes back."""
    told = []
    async with connected(server) as connection:
        for _ in range(3):
            await connection.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            [answer] = await connection.answers()
            told.append(answer.headers["X-Request-ID"])

    assert len(set(told)) == 3


def test_processes_have_different_words() -> None:
    """Ids of two workers never meet."""
    words = {RequestNames().new().partition("-")[0] for _ in range(10)}

    assert len(words) == 10


async def test_what_is_known_of_a_request() -> None:
    """Its id, method, target and header lines, in any case; for hooks and log lines."""
    headers = CIMultiDict([("X-Request-ID", "one"), ("Accept", "a"), ("accept", "b")])
    request = make_mocked_request("PATCH", "/files/x?token=secret", headers=headers)
    info = RequestNames().name(request)

    assert CURRENT.get() is info
    assert (info.id, info.method, info.uri) == ("one", "PATCH", "/files/x?token=secret")
    assert dict(info.headers) == {"X-Request-Id": ("one",), "Accept": ("a", "b")}
    assert info.headers["ACCEPT"] == ("a", "b")
    assert info.headers.get("absent") is None
    assert known() == {"request_id": "one"}


async def test_a_thread_knows_the_request() -> None:
    """What storage does in threads is done for the request that asked."""
    pool = Pool(1, "test")
    OWNER.set("42")
    UPLOAD.set("first")
    first = pool.ask(known)
    UPLOAD.set("second")
    second = pool.ask(known)

    assert await first == {"owner": "42", "upload": "first"}
    assert await second == {"owner": "42", "upload": "second"}


async def test_every_line_of_a_request_names_it(
    tus: Tus, http: aiohttp.ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line that is written while a request is answered has its id, and the user and the upload
    once they are known; also those written in threads, and those of a failure."""
    rest = RestClient(http=http, server=tus.address)
    with json_log(capsys) as log:
        created = await tus.post(
            {"Upload-Length": "5", "Content-Type": OCTETS, "X-Request-ID": "create"}, b"he"
        )
        url = tus.url(created.headers["Location"])
        upload_id = url.rsplit("/", 1)[1]
        await tus.head(url, {"X-Request-ID": "head"})
        await tus.patch(url, 2, b"llo", {"X-Request-ID": "patch"})
        session = await rest.init()
        await rest.chunk(session, 0, b"x")
        [record] = tus.address.root.glob(f"uploads/**/{upload_id}.info")
        await asyncio.to_thread(record.write_text, "torn")
        await tus.head(url, {"X-Request-ID": "torn"})
        await asyncio.sleep(0)
        lines = log.lines
    of = {
        name: [line for line in lines if line.get("request_id") == name]
        for name in ("create", "head", "patch", "torn")
    }
    chunks = [line for line in lines if line.get("path") == "/upload/chunk"]

    assert {"upload_created", "bytes_received", "request"} <= {
        each["event"] for each in of["create"]
    }
    assert {"upload_completed", "request"} <= {each["event"] for each in of["patch"]}
    assert [line["event"] for line in of["head"]] == ["request"]
    assert {"unreadable_record", "request"} <= {each["event"] for each in of["torn"]}
    for found in of.values():
        assert {(line["upload"], line["owner"]) for line in found} == {(upload_id, "42")}
    assert [(line["upload"], line["owner"]) for line in chunks] == [(session, "42")]
    assert [line for line in lines if "request_id" not in line and line["event"] == "request"] == []
