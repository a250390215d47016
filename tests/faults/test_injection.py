"""What clients choose stays what it is: no name ends a header, a line or a path, no request writes
into the answer of another, and no cache keeps what is private."""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import unquote

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient
from tests.conftest import MakeServer
from tests.servers import Address
from tests.stores import MakeStore
from tusd_py.representation import disposition

EVIL = "evil.example"
NAMES = {
    "line break": f"a\r\nX-{EVIL}: 1\r\n\r\n<html>",
    "line feed": f"a\nSet-Cookie: {EVIL}",
    "return": f"a\rX-{EVIL}: 1",
    "NUL": "a\x00.txt",
    "quote": 'a"; filename="b.exe',
    "backslash": 'a\\"; filename=b.exe',
    "semicolon": "a; filename*=UTF-8''b.exe",
    "percent": "a%0d%0aX-Evil%3a%201.txt",
    "right to left": "a\u202egpj.exe",
    "separators of Unicode": "a\u2028b\u2029c\u0085d",
    "not ASCII": "\u20ac\U0001f600\u00fc.txt",
    "template": "${jndi:x}{{7*7}}<script>",
}
HEADERS = re.compile(rb"(?:[A-Za-z-]+: [\x20-\x7e]*\r\n)*")
both_stores = pytest.mark.parametrize("make_store", ["local", "s3"], indirect=True)


def head_of(answer: bytes) -> bytes:
    """The header lines of a raw answer."""
    return answer.partition(b"\r\n\r\n")[0].partition(b"\r\n")[2] + b"\r\n"


def request(server: Address, first: str, *lines: str) -> bytes:
    """A request with a token, after which the connection closes."""
    auth = [f"{name}: {value}" for name, value in server.auth().items()]
    head = [f"{first} HTTP/1.1", "Host: localhost", "Connection: close", *auth, *lines]
    return "\r\n".join([*head, "", ""]).encode()


def encoded(text: str) -> str:
    """A value of Upload-Metadata."""
    return b64encode(text.encode()).decode()


@both_stores
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
async def test_a_name_writes_no_header(
    make_server: MakeServer, make_store: MakeStore, http: aiohttp.ClientSession, name: str
) -> None:
    """As file name, as type and as any metadata: the answers have their own header lines only, and
    the name is in one pair of quotes, and exact after filename*."""
    server = await make_server()
    rest = RestClient(http=http, server=server)
    metadata = f"filename {encoded(name)},filetype {encoded(name)},note {encoded(name)}"
    headers = {
        "Upload-Length": "1",
        "Upload-Metadata": metadata,
        "Content-Type": "application/offset+octet-stream",
    }
    created = await rest.tus("POST", body=b"x", headers=headers)
    path = "/files/" + created.headers["Location"].rsplit("/", 1)[1]
    got = head_of(await server.raw(request(server, f"GET {path}"))).decode()
    head = head_of(await server.raw(request(server, f"HEAD {path}", "Tus-Resumable: 1.0.0")))
    listed = await server.raw(request(server, "GET /upload/files"))
    [file] = json.loads(listed.partition(b"\r\n\r\n")[2])["uploads"]
    [said] = re.findall(r"Content-Disposition: (.*)\r\n", got)

    assert created.status == 201
    assert HEADERS.fullmatch(got.encode())
    assert HEADERS.fullmatch(head)
    assert HEADERS.fullmatch(head_of(listed))
    assert said == disposition(file["file_name"])
    assert said.count('"') == 2
    assert unquote(said.rpartition("UTF-8''")[2]) == file["file_name"]
    assert "Content-Type: application/octet-stream" in got
    assert "X-Content-Type-Options: nosniff" in got


ODD_METADATA = ["a YQ==\x7f", "a\tYQ==", "\u20ac YQ==", "a YQ==,\x80", "a YQ==;b"]


@pytest.mark.parametrize("value", ODD_METADATA)
async def test_metadata_that_is_no_header_is_refused(server: Address, value: str) -> None:
    """HEAD sends the metadata back as it came, so only what a header can hold is taken."""
    lines = ["Tus-Resumable: 1.0.0", "Upload-Length: 1", f"Upload-Metadata: {value}"]
    answer = await server.raw(request(server, "POST /files/", *lines))

    assert answer.split()[1] == b"400"


async def test_a_concatenation_that_is_no_header_is_refused(server: Address) -> None:
    """HEAD sends Upload-Concat back, so it is refused when it is more than ASCII."""
    lines = ["Tus-Resumable: 1.0.0", "Upload-Concat: final;http://\u20ac/files/x y"]
    answer = await server.raw(request(server, "POST /files/", *lines))

    assert answer.split()[1] == b"400"
    assert b"ASCII" in answer


# --- caches ------------------------------------------------------------------------------------

FORGED = {
    "X-Forwarded-Host": EVIL,
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Port": "666",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Scheme": "https",
    "X-Original-URL": "/evil",
    "X-Rewrite-URL": "/evil",
    "X-Host": EVIL,
    "Forwarded": f"host={EVIL};proto=https",
}


async def answers(
    server: Address, http: aiohttp.ClientSession, extra: Mapping[str, str]
) -> dict[str, tuple[int, dict[str, str], bytes]]:
    """One answer of every kind, by what was asked."""
    tus = {**server.tus(), **extra}
    octets = {"Content-Type": "application/offset+octet-stream"}
    found = {}

    async def ask(name: str, method: str, path: str, **headers: str) -> aiohttp.ClientResponse:
        url = path if path.startswith("http") else server.base + path
        given = {**tus, **{key.replace("_", "-"): value for key, value in headers.items()}}
        async with http.request(
            method,
            url,
            headers=given,
            data=b"hello" if "Content-Type" in given else None,
            allow_redirects=False,
        ) as response:
            found[name] = (response.status, dict(response.headers), await response.read())
        return response

    made = await ask("creation", "POST", "/files/", Upload_Length="5", **octets)
    file = "/files/" + made.headers["Location"].rsplit("/", 1)[1]
    await ask("offset", "HEAD", file)
    await ask("download", "GET", file)
    await ask("part of a download", "GET", file, Range="bytes=1-2")
    await ask("no part of it", "GET", file, Range="bytes=9-")
    await ask("unchanged", "GET", file, If_None_Match=found["download"][1].get("ETag", "*"))
    await ask("list", "GET", "/upload/files")
    await ask("preflight by GET", "GET", file, X_HTTP_Method_Override="OPTIONS")
    await ask("preflight", "OPTIONS", file)
    await ask("no token", "GET", file, Authorization="none")
    await ask("no such upload", "GET", "/files/11111111-1111-4111-8111-111111111111")
    await ask("no such address", "GET", "/nowhere")
    await ask("no such method", "GET", "/files/")
    await ask("another version", "DELETE", file, Tus_Resumable="0.2.2")
    await ask("conflict", "PATCH", file, Upload_Offset="1", **octets)
    await ask("deletion", "DELETE", file)
    await ask("gone", "GET", file)
    return found


@both_stores
async def test_no_shared_cache_keeps_an_answer(
    make_server: MakeServer, make_store: MakeStore, http: aiohttp.ClientSession
) -> None:
    """Every answer says that it is nobody else's: no-store, or private and asked for again."""
    server = await make_server(S3_DOWNLOAD="redirect")
    found = await answers(server, http, {})

    assert {name: status for name, (status, _, _) in found.items()}["deletion"] == 204
    for name, (_, headers, _) in found.items():
        assert headers.get("Cache-Control") in {
            "no-store",
            "private, no-cache",
            "private, no-store",
        }, name


async def test_strangers_write_into_no_answer(
    make_server: MakeServer, http: aiohttp.ClientSession
) -> None:
    """What a client says about proxies is in no answer, and changes none."""
    server = await make_server(TRUSTED_PROXIES="192.0.2.1")
    plain = await answers(server, http, {})
    forged = await answers(server, http, FORGED)

    for name, (status, headers, body) in forged.items():
        assert status == plain[name][0], name
        assert headers.keys() == plain[name][1].keys(), name
        assert EVIL not in f"{headers}{body!r}", name
        assert "666" not in headers.get("Location", ""), name
        assert headers.get("Location", "http:").startswith("http:"), name


@pytest.mark.parametrize(
    "host", [f"{EVIL}/", f"x@{EVIL}", f"{EVIL}?", f"{EVIL}#", f"a,{EVIL}", f"a {EVIL}", "[::1"]
)
@pytest.mark.parametrize("name", ["Host", "X-Forwarded-Host"])
async def test_a_host_that_is_none_is_in_no_answer(
    make_server: MakeServer, host: str, name: str
) -> None:
    """A host that would change the meaning of an address makes Location a path, even when a trusted
    proxy says it (of a list the first one counts)."""
    server = await make_server(TRUSTED_PROXIES="127.0.0.1")
    lines = ["Tus-Resumable: 1.0.0", "Upload-Length: 5"]
    if name == "Host":
        ready = request(server, "POST /files/", *lines).replace(b"localhost", host.encode(), 1)
    else:
        ready = request(server, "POST /files/", *lines, f"{name}: {host}")
    answer = await server.raw(ready)

    assert answer.split()[1] == b"201"
    assert EVIL.encode() not in answer
    assert re.search(rb"\r\nLocation: (?:http://a)?/files/[0-9a-f-]{36}\r\n", answer)


async def test_an_answer_for_one_origin_is_not_for_another(
    make_server: MakeServer, http: aiohttp.ClientSession
) -> None:
    """Where origins are named every answer depends on Origin, with one, with another, or none."""
    server = await make_server(CORS_ALLOW_ORIGINS="https://a.example,https://b.example")
    for origin in ("https://a.example", "https://evil.example", ""):
        extra = {"Origin": origin} if origin else {}
        for name, (_, headers, _) in (await answers(server, http, extra)).items():
            allowed = headers.get("Access-Control-Allow-Origin")

            assert "Origin" in headers.get("Vary", ""), name
            assert allowed == (origin if "a.example" in origin else None), name
