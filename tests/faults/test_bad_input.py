"""Bad input never gives a 5xx, a hang or a file outside the data folder, and loses nothing."""

import asyncio
import json
import socket
import struct
import time
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import quote

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient
from tests.conftest import MakeServer
from tests.faults.scene import AUTH, ID, Scene, assert_refused_or_done, statuses
from tests.faults.snapshot import MARKER
from tests.servers import Address
from tusd_py.server import KEEP_ALIVE

CHUNK = b"POST /upload/chunk HTTP/1.1"
INIT = b"POST /upload/init HTTP/1.1"
LIST = b"GET /upload/files HTTP/1.1"
HEAD = b"HEAD /files/" + ID + b" HTTP/1.1"
PATCH = b"PATCH /files/" + ID + b" HTTP/1.1"
OFFSET = b"Content-Type: application/offset+octet-stream\r\nUpload-Offset: 5"
TUS = b"Tus-Resumable: 1.0.0"
FORM = b"Content-Type: multipart/form-data; boundary=b"
JSON = b"Content-Type: application/json"
ESCAPE = MARKER.encode()


@pytest.fixture
async def scene(http: aiohttp.ClientSession, make_server: MakeServer) -> Scene:
    """A scene on a server that waits one second for a silent body."""
    return await Scene.prepare(http, await make_server(BODY_TIMEOUT="1s"))


def request(first: bytes, *lines: bytes, body: bytes | None = None, auth: bool = True) -> bytes:
    """A request as it goes over the wire, with Content-Length where there is a body."""
    head = [first, b"Host: localhost", b"Connection: close", *([AUTH] if auth else []), *lines]
    if body is not None:
        head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(head) + b"\r\n\r\n" + (body or b"")


def field(name: bytes, value: bytes, head: bytes = b"") -> bytes:
    """One field of a form with the boundary `b`."""
    return (
        b'--b\r\nContent-Disposition: form-data; name="'
        + name
        + b'"'
        + head
        + b"\r\n\r\n"
        + value
        + b"\r\n"
    )


UPLOAD_ID = field(b"upload_session_id", ID)
INDEX = field(b"chunk_index", b"7")
BYTES = field(b"chunk", b"bytes", b'; filename="blob"')
END = b"--b--\r\n"
WHOLE = UPLOAD_ID + INDEX + BYTES + END


# --- forms ------------------------------------------------------------------------------------

FORMS: Mapping[str, bytes] = {
    "empty": b"",
    "only the end": END,
    "no boundary anywhere": b"bytes",
    "other boundary": WHOLE.replace(b"--b", b"--c"),
    "garbage": bytes(range(256)) * 40,
    "preamble": b"preamble\r\n" + WHOLE,
    "long preamble": b"x" * 300_000 + b"\r\n" + WHOLE,
    "epilogue": WHOLE + b"epilogue\r\n" * 10_000,
    "second form after the end": WHOLE + WHOLE,
    "line feeds only": WHOLE.replace(b"\r\n", b"\n"),
    "no end": UPLOAD_ID + INDEX + BYTES,
    "cut in a part head": UPLOAD_ID + INDEX + b"--b\r\nContent-Dispo",
    "boundary without line end": b"--b" + b"x" * 100,
    "endless part head": UPLOAD_ID + b"--b\r\nContent-Disposition: " + b"a" * 500_000,
    "endless part head lines": UPLOAD_ID + b"--b\r\n" + b"X-Header: value\r\n" * 50_000,
    "long field name": field(b"n" * 500_000, b"x") + WHOLE,
    "no part head": b"--b\r\n\r\nbytes\r\n" + WHOLE,
    "no disposition": b"--b\r\nContent-Type: text/plain\r\n\r\nbytes\r\n" + WHOLE,
    "other disposition": b'--b\r\nContent-Disposition: attachment; filename="x"\r\n\r\ny\r\n'
    + WHOLE,
    "no name": b"--b\r\nContent-Disposition: form-data\r\n\r\nbytes\r\n" + WHOLE,
    "empty name": field(b"", b"x") + WHOLE,
    "name without quotes": UPLOAD_ID.replace(b'"', b"") + INDEX + BYTES + END,
    "name with an open quote": UPLOAD_ID.replace(b'id"', b"id") + INDEX + BYTES + END,
    "name with a line break": field(b"chunk\r\nX: y", b"x") + WHOLE,
    "name with a folded line": field(b"chunk\r\n _index", b"x") + WHOLE,
    "name with NUL": field(b"chunk\x00", b"x") + WHOLE,
    "name that is not UTF-8": field(b"chunk\xff", b"x") + WHOLE,
    "name in RFC 5987": field(b"x\"; name*=UTF-8''chunk; y=\"", b"x") + WHOLE,
    "colon without name": b"--b\r\n: form-data\r\n\r\nx\r\n" + WHOLE,
    "space before the colon": WHOLE.replace(b"Disposition:", b"Disposition :"),
    "nested form": UPLOAD_ID
    + INDEX
    + b'--b\r\nContent-Disposition: form-data; name="chunk"\r\n'
    + b"Content-Type: multipart/mixed; boundary=n\r\n\r\n--n\r\n\r\nbytes\r\n--n--\r\n"
    + END,
    "nested form of one boundary": UPLOAD_ID
    + b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" * 500
    + END,
    "many fields": field(b"x", b"y") * 20_000 + WHOLE,
    "many boundaries": b"--b\r\n" * 50_000 + WHOLE,
    "charset nobody has": WHOLE.replace(
        b"\r\n\r\n7", b"\r\nContent-Type: text/plain; charset=x\r\n\r\n7"
    ),
    "charset utf-16": field(
        b"chunk_index", "7".encode("utf-16"), b"\r\nContent-Type: text/plain; charset=utf-16"
    )
    + UPLOAD_ID
    + BYTES
    + END,
    "charset field": field(b"_charset_", b"utf-7") + WHOLE,
    "transfer encoding base64": WHOLE.replace(
        b'"chunk"', b'"chunk"\r\nContent-Transfer-Encoding: base64'
    ),
    "content encoding gzip": WHOLE.replace(b'"chunk"', b'"chunk"\r\nContent-Encoding: gzip'),
    "part length that lies": WHOLE.replace(b'"chunk"', b'"chunk"\r\nContent-Length: 99999999999'),
    "id twice": UPLOAD_ID + UPLOAD_ID + INDEX + BYTES + END,
    "index twice": UPLOAD_ID + INDEX + INDEX + BYTES + END,
    "chunk twice": UPLOAD_ID + INDEX + BYTES + BYTES + END,
    "id missing": INDEX + BYTES + END,
    "index missing": UPLOAD_ID + BYTES + END,
    "chunk missing": UPLOAD_ID + INDEX + END,
    "index missing after the chunk": BYTES + UPLOAD_ID + END,
    "chunk before an unknown id": BYTES + INDEX + field(b"upload_session_id", b"x") + END,
    "chunk before an odd index": BYTES + UPLOAD_ID + field(b"chunk_index", b"-1") + END,
    "endless id": field(b"upload_session_id", b"1" * 1_000_000) + INDEX + BYTES + END,
    "endless id after the chunk": BYTES + INDEX + field(b"upload_session_id", b"1" * 1_000_000),
    "endless index": UPLOAD_ID + field(b"chunk_index", b"1" * 1_000_000) + BYTES + END,
    "id that is not UTF-8": field(b"upload_session_id", b"\xff\xfe") + INDEX + BYTES + END,
    "id with NUL": field(b"upload_session_id", ID + b"\x00") + INDEX + BYTES + END,
    "id that climbs": field(b"upload_session_id", b"../../" + ESCAPE) + INDEX + BYTES + END,
    "absolute id": field(b"upload_session_id", b"/tmp/" + ESCAPE) + INDEX + BYTES + END,
    "index that climbs": UPLOAD_ID + field(b"chunk_index", b"../../../" + ESCAPE) + BYTES + END,
    "index that is not UTF-8": UPLOAD_ID + field(b"chunk_index", b"\xff") + BYTES + END,
    "index as a file": UPLOAD_ID + field(b"chunk_index", b"7", b'; filename="7"') + BYTES + END,
    "file name that climbs": WHOLE.replace(b'"blob"', b'"../../' + ESCAPE + b'"'),
    "file name with NUL": WHOLE.replace(b'"blob"', b'"\x00' + ESCAPE + b'"'),
    "file name that is not UTF-8": WHOLE.replace(b'"blob"', b'"\xff\xfe"'),
    "file name with a lone quote": WHOLE.replace(b'"blob"', b'"a\\"b'),
    "endless file name": WHOLE.replace(b'"blob"', b'"' + b"a" * 500_000 + b'"'),
}


@pytest.mark.parametrize("name", FORMS)
async def test_odd_form(scene: Scene, name: str) -> None:
    """Whatever a form holds, it gets a status below 500."""
    answer = await scene.send(request(CHUNK, FORM, body=FORMS[name]))

    assert_refused_or_done(answer)
    assert len(statuses(answer)) == 1
    await scene.assert_nothing_lost()


CONTENT_TYPES: Mapping[str, bytes] = {
    "no boundary": b"multipart/form-data",
    "empty boundary": b"multipart/form-data; boundary=",
    "empty quoted boundary": b'multipart/form-data; boundary=""',
    "open quote": b'multipart/form-data; boundary="b',
    "long boundary": b"multipart/form-data; boundary=" + b"b" * 300,
    "boundary with spaces": b'multipart/form-data; boundary="b b "',
    "boundary that is not ASCII": b"multipart/form-data; boundary=\xc3\xa9",
    "boundary that is not UTF-8": b"multipart/form-data; boundary=\xff",
    "boundary with a line end": b'multipart/form-data; boundary="b\\\r\n"',
    "two boundaries": b"multipart/form-data; boundary=b; boundary=c",
    "boundary in RFC 5987": b"multipart/form-data; boundary*=utf-8''b",
    "continued boundary": b"multipart/form-data; boundary*0=b; boundary*1=c",
    "many parameters": b"multipart/form-data" + b"; a=b" * 1000 + b"; boundary=b",
    "mixed": b"multipart/mixed; boundary=b",
    "only multipart": b"multipart/; boundary=b",
    "slash": b"/",
    "semicolons": b";;;",
    "empty": b"",
    "urlencoded": b"application/x-www-form-urlencoded",
    "json": b"application/json",
    "offset": b"application/offset+octet-stream",
    "upper case": b"MULTIPART/FORM-DATA; BOUNDARY=b",
    "one megabyte": b"multipart/form-data; boundary=" + b"b" * 1_000_000,
}


@pytest.mark.parametrize("name", CONTENT_TYPES)
async def test_odd_content_type(scene: Scene, name: str) -> None:
    """A media type that cannot be read is a status below 500, on every endpoint with a body."""
    line = b"Content-Type: " + CONTENT_TYPES[name]
    answers = [
        await scene.send(request(CHUNK, line, body=WHOLE)),
        await scene.send(request(INIT, line, body=b"{}")),
        await scene.send(request(PATCH, TUS, b"Upload-Offset: 5", line, body=b"")),
        await scene.send(request(CHUNK, body=WHOLE)),
    ]

    for answer in answers:
        assert_refused_or_done(answer)
    await scene.assert_nothing_lost()


# --- JSON -------------------------------------------------------------------------------------

BODIES: Mapping[str, bytes] = {
    "empty": b"",
    "deep list": b"[" * 30_000,
    "deeper list": b"[" * 2_000_000,
    "deep object": b'{"a":' * 10_000,
    "deep inside": b'{"original_file_name": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "NaN": b'{"main_service_file_id": NaN, "total_chunks": NaN, "original_file_name": "a"}',
    "huge int": b'{"main_service_file_id": %s, "total_chunks": %s}' % (b"9" * 5000, b"9" * 5000),
    "large int": b'{"main_service_file_id": %s, "total_chunks": %s}' % (b"9" * 1000, b"9" * 1000),
    "huge exponent": b'{"main_service_file_id": 1e999999999, "total_chunks": 1e99999999}',
    "minus zero": b'{"main_service_file_id": -0, "total_chunks": -0}',
    "not UTF-8": b'{"original_file_name": "\xff", "main_service_file_id": 1}',
    "byte order mark": b"\xef\xbb\xbf" + b"{}",
    "UTF-16": '{"original_file_name": "a"}'.encode("utf-16"),
    "UTF-32": '{"original_file_name": "a"}'.encode("utf-32"),
    "NUL": b'{"upload_session_id": "\\u0000", "total_chunks": 1, "main_service_file_id": 1}',
    "raw NUL": b'{"upload_session_id": "\x00"}',
    "lone surrogate": b'{"upload_session_id": "\\ud800", "total_chunks": 1, '
    b'"main_service_file_id": 1, "original_file_name": "\\udfff"}',
    "same key twice": b'{"total_chunks": 1, "total_chunks": "x", "main_service_file_id": [], '
    b'"main_service_file_id": {}}',
    "id that climbs": b'{"upload_session_id": "../../%s", "total_chunks": 1, '
    b'"main_service_file_id": 1}' % ESCAPE,
    "large": b'{"a": "' + b"a" * 3_000_000 + b'"}',
    "many keys": json.dumps({str(number): number for number in range(100_000)}).encode(),
    "many colliding ints": b"[" + b"2305843009213693951," * 50_000 + b"1]",
    "trailing comma": b'{"total_chunks": 1,}',
    "comment": b'{"total_chunks": 1 /* one */}',
    "two values": b"{}{}",
    "form": WHOLE,
}
ENDPOINTS = [INIT, b"POST /upload/complete HTTP/1.1", b"DELETE /upload/file HTTP/1.1"]


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_odd_json(scene: Scene, name: str, is_chunked: bool) -> None:
    """Whatever comes instead of the JSON object, with a length or in chunks, is below 500."""
    body = BODIES[name]
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    for first in ENDPOINTS:
        if is_chunked:
            answer = await scene.send(request(first, JSON, b"Transfer-Encoding: chunked") + chunked)
        else:
            answer = await scene.send(request(first, JSON, body=body))

        assert_refused_or_done(answer)
        assert statuses(answer)[0] >= 400 or first == INIT
    await scene.assert_nothing_lost()


# --- heads ------------------------------------------------------------------------------------

HEADS: Mapping[str, bytes] = {
    "Expect that is not ASCII": request(PATCH, TUS, OFFSET, b"Expect: \x80", body=b""),
    "Expect nobody knows": request(PATCH, TUS, OFFSET, b"Expect: 200-maybe", body=b""),
    "Expect that is empty": request(PATCH, TUS, OFFSET, b"Expect:", body=b""),
    "Expect twice": request(CHUNK, FORM, b"Expect: 100-continue\r\nExpect: \xff", body=WHOLE),
    "Expect on a listing": request(LIST, b"Expect: \x80"),
    "Expect of a stranger": request(PATCH, TUS, b"Expect: \x80", body=b"", auth=False),
    "Host with an open bracket": LIST
    + b"\r\nHost: [::1\r\nConnection: close\r\n"
    + AUTH
    + b"\r\n\r\n",
    "Host on creation": b"POST /files/ HTTP/1.1\r\nHost: [::1\r\nConnection: close\r\n"
    + AUTH
    + b"\r\n"
    + TUS
    + b"\r\nUpload-Length: 1\r\n\r\n",
    "Host that is not ASCII": LIST
    + b"\r\nHost: \xff\xfe\r\nConnection: close\r\n"
    + AUTH
    + b"\r\n\r\n",
    "Host with a path": b"POST /files/ HTTP/1.1\r\nHost: a/b?c#d@e\r\nConnection: close\r\n"
    + AUTH
    + b"\r\n"
    + TUS
    + b"\r\nUpload-Length: 1\r\n\r\n",
    "two Hosts": request(LIST, b"Host: other"),
    "no Host": LIST + b"\r\nConnection: close\r\n" + AUTH + b"\r\n\r\n",
    "absolute form": request(b"GET http://localhost/upload/files HTTP/1.1"),
    "absolute form of another host": request(b"GET http://evil.example/upload/files HTTP/1.1"),
    "absolute form with a bracket": request(b"GET http://[::1/upload/files HTTP/1.1"),
    "absolute form with a port": request(b"GET http://localhost:99999999/upload/files HTTP/1.1"),
    "absolute form with user": request(b"GET http://a:b@[/upload/files HTTP/1.1"),
    "other scheme": request(b"GET file:///etc/passwd HTTP/1.1"),
    "authority form": request(b"CONNECT localhost:80 HTTP/1.1"),
    "asterisk form": request(b"OPTIONS * HTTP/1.1"),
    "asterisk form of GET": request(b"GET * HTTP/1.1"),
    "two slashes": request(b"GET //upload/files HTTP/1.1"),
    "target without slash": request(b"GET upload/files HTTP/1.1"),
    "target that is not ASCII": request(b"GET /files/\xff\xfe HTTP/1.1"),
    "target with a tab": request(b"GET /files/\t HTTP/1.1"),
    "target with broken escapes": request(b"GET /files/%zz%%%2 HTTP/1.1"),
    "target with escaped non-UTF-8": request(b"GET /files/%ff%fe HTTP/1.1"),
    "target with a fragment": request(b"GET /upload/files#x HTTP/1.1"),
    "long target": request(b"GET /files/" + b"a" * 100_000 + b" HTTP/1.1"),
    "long query": request(b"GET /upload/files?" + b"a=b&" * 30_000 + b" HTTP/1.1"),
    "100 KB header": request(LIST, b"X-Large: " + b"a" * 100_000),
    "100 KB header name": request(LIST, b"X" * 100_000 + b": a"),
    "100 KB of headers": request(LIST, *[b"X-%d: %s" % (n, b"a" * 90) for n in range(1000)]),
    "20 000 headers": request(LIST, *[b"a: b"] * 20_000),
    "header without colon": request(LIST, b"no colon"),
    "header without name": request(LIST, b": value"),
    "header with NUL": request(LIST, b"X: a\x00b"),
    "header with a lone CR": request(LIST, b"X: a\rb"),
    "header with a space before the colon": request(LIST, b"X : a"),
    "folded header": request(LIST, b"X: a\r\n b"),
    "header that is not UTF-8": request(LIST, b"X: \xff\xfe"),
    "length and chunks": request(
        PATCH, TUS, OFFSET, b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"
    ),
    "two lengths": request(PATCH, TUS, OFFSET, b"Content-Length: 0\r\nContent-Length: 1"),
    "same length twice": request(PATCH, TUS, OFFSET, b"Content-Length: 0\r\nContent-Length: 0"),
    "list of lengths": request(PATCH, TUS, OFFSET, b"Content-Length: 0, 0"),
    "negative length": request(PATCH, TUS, OFFSET, b"Content-Length: -1"),
    "signed length": request(PATCH, TUS, OFFSET, b"Content-Length: +0"),
    "length with underscore": request(PATCH, TUS, OFFSET, b"Content-Length: 1_0"),
    "length in words": request(PATCH, TUS, OFFSET, b"Content-Length: many"),
    "length in hex": request(PATCH, TUS, OFFSET, b"Content-Length: 0x0"),
    "empty length": request(PATCH, TUS, OFFSET, b"Content-Length:"),
    "huge length": request(CHUNK, FORM, b"Content-Length: " + b"9" * 30),
    "longest length": request(CHUNK, FORM, b"Content-Length: " + b"9" * 5000),
    "unknown transfer coding": request(PATCH, TUS, OFFSET, b"Transfer-Encoding: x"),
    "chunked twice": request(PATCH, TUS, OFFSET, b"Transfer-Encoding: chunked, chunked"),
    "chunked not last": request(PATCH, TUS, OFFSET, b"Transfer-Encoding: chunked, gzip"),
    "odd chunk size": request(CHUNK, FORM, b"Transfer-Encoding: chunked") + b"zz\r\n",
    "negative chunk size": request(CHUNK, FORM, b"Transfer-Encoding: chunked") + b"-1\r\n\r\n",
    "huge chunk size": request(CHUNK, FORM, b"Transfer-Encoding: chunked") + b"f" * 40 + b"\r\n",
    "chunk without line end": request(CHUNK, FORM, b"Transfer-Encoding: chunked") + b"1\r\naXX",
    "endless trailer": request(CHUNK, FORM, b"Transfer-Encoding: chunked")
    + b"0\r\n"
    + b"X: y\r\n" * 50_000,
    "TRACE": request(b"TRACE /upload/files HTTP/1.1"),
    "unknown method": request(b"FOO /upload/files HTTP/1.1"),
    "unknown method on an upload": request(b"FOO /files/" + ID + b" HTTP/1.1", TUS),
    "lower-case method": request(b"get /upload/files HTTP/1.1"),
    "long method": request(b"M" * 10_000 + b" /upload/files HTTP/1.1"),
    "method with odd letters": request(b"G\xffT /upload/files HTTP/1.1"),
    "PUT": request(b"PUT /files/" + ID + b" HTTP/1.1", TUS, body=b"x"),
    "PROPFIND": request(b"PROPFIND /files/ HTTP/1.1", TUS),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /upload/files\r\n\r\n",
    "HTTP/1.0": b"GET /upload/files HTTP/1.0\r\n\r\n",
    "HTTP/2.0": request(b"GET /upload/files HTTP/2.0"),
    "HTTP/1.11": request(b"GET /upload/files HTTP/1.11"),
    "HTTP/x": request(b"GET /upload/files HTTP/x"),
    "no version": b"GET /upload/files \r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200 + b"\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "NULs": b"\x00" * 1000 + b"\r\n\r\n",
    "empty lines": b"\r\n" * 5 + request(LIST),
    "upgrade to websocket": request(LIST, b"Upgrade: websocket", b"Connection: Upgrade"),
    "upgrade to h2c": request(LIST, b"Upgrade: h2c", b"HTTP2-Settings: AAA"),
    "override nobody knows": request(
        b"POST /files/" + ID + b" HTTP/1.1", TUS, b"X-HTTP-Method-Override: FOO"
    ),
    "override that is not ASCII": request(
        b"POST /files/ HTTP/1.1", TUS, b"X-HTTP-Method-Override: \xff"
    ),
    "override that is long": request(
        b"POST /files/ HTTP/1.1", TUS, b"X-HTTP-Method-Override: " + b"A" * 5000
    ),
    "override CONNECT": request(b"POST /files/ HTTP/1.1", TUS, b"X-HTTP-Method-Override: CONNECT"),
    "override on REST": request(INIT, JSON, b"X-HTTP-Method-Override: DELETE", body=b"{}"),
    "gzip that is none": request(INIT, JSON, b"Content-Encoding: gzip", body=b"{}"),
    "deflate that is none": request(CHUNK, FORM, b"Content-Encoding: deflate", body=WHOLE),
    "coding nobody has": request(INIT, JSON, b"Content-Encoding: x", body=b"{}"),
    "odd Origin": request(LIST, b"Origin: \xff\xfe"),
    "odd preflight": request(
        b"OPTIONS /upload/init HTTP/1.1", b"Origin: \xff", b"Access-Control-Request-Method: \xfe"
    ),
    "odd Forwarded": request(
        b"POST /files/ HTTP/1.1",
        TUS,
        b'Upload-Length: 1\r\nForwarded: for="[::1;proto=\xff;host=[\r\nX-Forwarded-Host: [::1',
    ),
    "odd cookie": request(LIST, b"Cookie: \xff=\xfe; ;;=; a=\x01"),
    "two tus versions": request(HEAD, TUS, b"Tus-Resumable: 0.2.2"),
    "tus version that is not ASCII": request(HEAD, b"Tus-Resumable: \xff"),
    "offset twice": request(PATCH, TUS, OFFSET, b"Upload-Offset: 5", body=b""),
    "offset that is not ASCII": request(PATCH, TUS, b"Upload-Offset: \xd9\xa1", body=b""),
    "offset that is huge": request(PATCH, TUS, b"Upload-Offset: " + b"9" * 5000, body=b""),
    "length that is huge": request(b"POST /files/ HTTP/1.1", TUS, b"Upload-Length: " + b"9" * 5000),
    "checksum that is odd": request(PATCH, TUS, OFFSET, b"Upload-Checksum: sha1 \xff", body=b"x"),
    "metadata that is odd": request(
        b"POST /files/ HTTP/1.1", TUS, b"Upload-Length: 1\r\nUpload-Metadata: \xff \xfe"
    ),
    "concatenation of many": request(
        b"POST /files/ HTTP/1.1", TUS, b"Upload-Concat: final;" + b"/a " * 20_000
    ),
    "concatenation that is odd": request(
        b"POST /files/ HTTP/1.1", TUS, b"Upload-Concat: final;http://[::1 \xff"
    ),
}


@pytest.mark.parametrize("name", HEADS)
async def test_odd_head(scene: Scene, name: str) -> None:
    """Whatever stands in a head, it gets a status below 500 or a closed connection."""
    answer = await scene.send(HEADS[name])

    assert_refused_or_done(answer)
    await scene.assert_nothing_lost()


RANGES = [
    b"bytes=",
    b"bytes=-",
    b"bytes=9-1",
    b"bytes=-0",
    b"bytes=99999999999999999999999999-",
    b"bytes=0-" + b"9" * 5000,
    b"bytes=" + b"0-0," * 2000 + b"0-0",
    b"bytes=\xff-",
    b"bytes=a-b",
    b"items=0-1",
    b"bytes 0-1",
    b"bytes=0-1\r\nRange: bytes=2-3",
    b"bytes=0-1\r\nIf-Range: \xff",
    b'bytes=0-1\r\nIf-Range: "',
    b"bytes=0-1\r\nIf-Modified-Since: \xff",
    b'bytes=0-1\r\nIf-None-Match: "\xff, *, W/',
]


@pytest.mark.parametrize("value", RANGES)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_odd_range(scene: Scene, method: bytes, value: bytes) -> None:
    """A range that makes no sense is ignored or 416, never a 5xx."""
    first = method + b" /files/" + scene.finished.encode() + b" HTTP/1.1"
    answer = await scene.send(request(first, b"Range: " + value))

    assert_refused_or_done(answer)
    assert len(statuses(answer)) == 1
    await scene.assert_nothing_lost()


IDS = [
    b"..",
    b".",
    b"../upload/files",
    b"..%2f..%2f" + ESCAPE,
    b"..%2F..%2Fetc%2Fpasswd",
    b"%2e%2e%2f%2e%2e%2f" + ESCAPE,
    b"%2e%2e/%2e%2e/" + ESCAPE,
    b"..%252f" + ESCAPE,
    b"..%5c..%5c" + ESCAPE,
    b"..\\..\\" + ESCAPE,
    b"%c0%ae%c0%ae%c0%af" + ESCAPE,
    b"/" + ESCAPE,
    b"/tmp/" + ESCAPE,
    b"%00",
    ID + b"%00",
    ID + b"%0d%0aX:%20y",
    ID + b"/",
    ID + b"/..",
    ID + b"/../" + ID,
    ID + b".info",
    b"42/" + ID,
    b"..%2f42%2f" + ID,
    ID.upper(),
    b"{" + ID + b"}",
    ID + b"?x=../../" + ESCAPE,
    ID + b";x=y",
    b"*",
    b"a" * 5000,
    b"%F0%9F%8E%A7",
    b"\xf0\x9f\x8e\xa7",
]


@pytest.mark.parametrize("upload_id", IDS)
async def test_odd_id(scene: Scene, upload_id: bytes) -> None:
    """An id that is none never reaches the disk, with any method."""
    for method in (b"HEAD", b"GET", b"PATCH", b"POST", b"OPTIONS"):
        first = method + b" /files/" + upload_id + b" HTTP/1.1"
        body = b"" if method in {b"PATCH", b"POST"} else None
        answer = await scene.send(request(first, TUS, OFFSET, body=body))

        assert_refused_or_done(answer)
        assert len(statuses(answer)) == 1
    await scene.assert_nothing_lost()


async def test_ids_that_climb_delete_nothing(scene: Scene) -> None:
    """DELETE with a path instead of an id deletes nothing."""
    for upload_id in (b"..", b"..%2f42", b"../final/42", b"%2e%2e%2ffinal", b"..%2f..%2fdata", b""):
        first = b"DELETE /files/" + upload_id + b" HTTP/1.1"
        answer = await scene.send(request(first, TUS))

        assert_refused_or_done(answer)
        assert statuses(answer)[0] >= 400
    await scene.assert_nothing_lost()


@pytest.mark.parametrize("climb", ["../../final/42/5/forged", "x/../../../final/42/5/forged"])
async def test_file_that_looks_like_a_record_is_none(scene: Scene, climb: str) -> None:
    """A user's file is never read as a record, whatever is sent as an id: a forged one would open
    and delete the files of others."""
    attacker = scene.rest
    victim = RestClient(http=attacker.http, server=attacker.server, user="43")
    await victim.uploaded(b"secret", file_id=6, name="secret.txt")
    (record,) = attacker.server.root.rglob(f"{scene.finished}.info")
    fields = json.loads(await asyncio.to_thread(record.read_bytes))
    path = attacker.server.location("43", 6, "secret.txt")
    forged = {**fields, "id": climb, "file_id": "../43/6", "filename": "secret.txt", "offset": 6}
    forged |= {"length": 6, "completion": {**fields["completion"], "location": path}}
    content = json.dumps(forged).encode()
    await attacker.uploaded(content, file_id=5, name="forged.info")
    quoted = quote(climb, safe="")
    verbs = [await attacker.tus(method, quoted) for method in ("GET", "HEAD", "PATCH", "DELETE")]
    answers = [
        await attacker.complete(climb, 1, 6),
        await attacker.chunk(climb, 0, b"secret"),
        await attacker.delete(climb),
    ]

    assert [answer.status for answer in answers] == [404] * 3
    assert {answer.status for answer in verbs} <= {400, 404, 415}
    assert all(b"secret" not in answer.body for answer in verbs)
    assert await attacker.server.fetch(path) == b"secret"
    await scene.assert_nothing_lost()


# --- names ------------------------------------------------------------------------------------

NAMES = [
    f"../../{MARKER}",
    f"../../../../../../../../tmp/{MARKER}",
    f"/tmp/{MARKER}",
    f"..\\..\\{MARKER}",
    f"..\x00/../{MARKER}",
    f"{MARKER}\x00",
    f"~/{MARKER}",
    f"$HOME/{MARKER}",
    f"./{MARKER}/../../{MARKER}",
    f"%2e%2e%2f{MARKER}",
    f"\uff0e\uff0e\uff0f{MARKER}",
    f"../../43/1/{MARKER}",
    f"../{MARKER}.info",
    f"{MARKER}/" * 100,
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("face", ["rest", "tus"])
async def test_name_that_climbs(scene: Scene, name: str, face: str) -> None:
    """No name leads out of final/{user}/{file_id}/."""
    if face == "rest":
        await scene.rest.uploaded(b"x", file_id=9, name=name)
    else:
        encoded = b64encode(name.encode()).decode()
        metadata = f"filename {encoded},main_service_file_id {b64encode(b'9').decode()}"
        upload_id = await scene.rest.create({"Upload-Length": "1", "Upload-Metadata": metadata})
        assert (await scene.rest.patch(upload_id, 0, b"x")).status == 204

    await scene.assert_nothing_lost()


@pytest.mark.parametrize("name", [*NAMES, "", "..", ".", ".hidden", "a\nb", "9" * 400, "-1", "1.5"])
async def test_file_id_that_climbs(scene: Scene, name: str) -> None:
    """main_service_file_id in the metadata of a tus upload is made harmless or refused."""
    metadata = f"filename YQ==,main_service_file_id {b64encode(name.encode()).decode()}"
    headers = {
        "Content-Type": "application/offset+octet-stream",
        "Upload-Length": "1",
        "Upload-Metadata": metadata,
    }
    answer = await scene.rest.tus("POST", body=b"x", headers=headers)

    assert answer.status in {201, 400}
    await scene.assert_nothing_lost()


# --- connections ------------------------------------------------------------------------------


async def test_pipelined_requests_are_answered_in_order(scene: Scene) -> None:
    """Requests sent at once are answered one after the other."""
    keep = b"Host: x\r\n" + AUTH + b"\r\n"
    answer = await scene.send(
        b"GET /healthz HTTP/1.1\r\n"
        + keep
        + b"\r\nGET /upload/nothing HTTP/1.1\r\n"
        + keep
        + b"\r\nGET /upload/files HTTP/1.1\r\n"
        + keep
        + b"Connection: close\r\n\r\n"
    )

    assert statuses(answer) == [200, 404, 200]
    await scene.assert_nothing_lost()


@pytest.mark.parametrize("first", [CHUNK, INIT, PATCH, b"POST /files/ HTTP/1.1"])
async def test_body_is_never_taken_for_a_request(scene: Scene, first: bytes) -> None:
    """A request hidden in the body of a refused one is not done."""
    token = scene.rest.server.auth()["Authorization"].encode()
    authorization = b"Authorization: " + token
    hidden = request(b"DELETE /files/" + ID + b" HTTP/1.1", TUS, authorization, auth=False)
    refused = [
        request(first, b"Content-Type: text/plain", body=hidden),
        request(first, b"Content-Type: text/plain", body=hidden, auth=False),
    ]
    for bad in refused:
        answer = await scene.send(bad.replace(b"Connection: close\r\n", b"", 1))

        assert_refused_or_done(answer)
        assert statuses(answer)[0] >= 400
        assert len(statuses(answer)) == 1
    await scene.assert_nothing_lost()


CUT = {
    "no byte": b"",
    "request line": b"GET /upl",
    "head": LIST + b"\r\nHost: x\r\nX: ",
    "form": request(CHUNK, FORM, body=WHOLE)[:-20],
    "form without length": request(CHUNK, FORM, b"Transfer-Encoding: chunked") + b"5\r\n--b",
    "json": request(INIT, JSON, body=b'{"main_service_file_id": 1')[:-5],
    "refused body": request(INIT, JSON, body=b"x" * 1000, auth=False)[:-500],
    "creation": request(
        b"POST /files/ HTTP/1.1",
        TUS,
        b"Upload-Length: 9\r\nContent-Type: application/offset+octet-stream",
        body=b"x" * 9,
    )[:-9],
}


@pytest.mark.parametrize("name", CUT)
async def test_client_that_hangs_up(scene: Scene, name: str) -> None:
    """A request that ends anywhere does no harm."""
    answer = await scene.send(CUT[name], eof=True)

    assert_refused_or_done(answer)
    await scene.assert_nothing_lost()


@pytest.mark.parametrize("name", CUT)
async def test_client_that_resets(scene: Scene, name: str) -> None:
    """A connection that is reset (TCP RST) anywhere does no harm."""
    server = scene.rest.server
    token = server.auth()["Authorization"].encode()
    ready = (
        CUT[name].replace(ID, scene.unfinished.encode()).replace(AUTH, b"Authorization: " + token)
    )
    await asyncio.to_thread(reset_after, server, ready)

    await scene.assert_nothing_lost()


def reset_after(server: Address, request_bytes: bytes) -> None:
    """Send some bytes, then close with RST."""
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(request_bytes)


async def test_reset_in_a_patch_keeps_its_bytes(scene: Scene) -> None:
    """Nothing is lost: what a PATCH brought before the reset counts, and it can go on."""
    rest = scene.rest
    upload_id = await rest.create({"Upload-Length": "2000000"})
    token = rest.server.auth()["Authorization"].encode()
    ready = request(
        b"PATCH /files/" + upload_id.encode() + b" HTTP/1.1",
        TUS,
        b"Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream",
        body=b"a" * 2_000_000,
    ).replace(AUTH, b"Authorization: " + token)
    await asyncio.to_thread(reset_after, rest.server, ready[:1_500_000])
    offset = await rest.offset(upload_id)
    patch = await rest.patch(upload_id, offset, b"a" * (2_000_000 - offset))
    download = await rest.tus("GET", upload_id)

    assert patch.status == 204
    assert download.body == b"a" * 2_000_000
    await scene.assert_nothing_lost()


@pytest.mark.parametrize(
    "start",
    [
        request(PATCH, TUS, OFFSET, b"Content-Length: 100"),
        request(CHUNK, FORM, b"Content-Length: 1000") + UPLOAD_ID + BYTES,
        request(INIT, JSON, b"Content-Length: 1000") + b"{",
        request(CHUNK, FORM, b"Transfer-Encoding: chunked") + b"5\r\n",
        request(CHUNK, FORM, b"Transfer-Encoding: chunked") + b"0" * 100_000,
        request(CHUNK, FORM, b"Transfer-Encoding: chunked") + b"1;" + b"a" * 100_000,
    ],
    ids=["patch", "chunk", "json", "chunked", "long chunk size", "long chunk extension"],
)
async def test_silent_body_closes_the_connection(scene: Scene, start: bytes) -> None:
    """BODY_TIMEOUT is silence, on every face: the connection closes."""
    began = time.monotonic()
    answer = await scene.send(start)
    took = time.monotonic() - began

    assert [status for status in statuses(answer) if status < 400] == []
    assert 0.8 < took < 8
    await scene.assert_nothing_lost()


async def test_silent_connections_close_within_thirty_seconds(
    http: aiohttp.ClientSession, make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unfinished heads and silent connections close within 30 s; here the limit is made shorter."""
    limit = KEEP_ALIVE
    monkeypatch.setattr("tusd_py.server.KEEP_ALIVE", 1.0)
    scene = await Scene.prepare(http, await make_server(HEADER_TIMEOUT="1s"))
    beginnings = [
        b"",
        b"\r\n",
        b"G",
        b"GET /upload/files HTTP/1.1\r\n",
        b"GET /upload/files HTTP/1.1\r\nHost: x\r\nX: half",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /heal",
    ]
    took = await asyncio.gather(*(life(scene.rest.server, bytes_) for bytes_ in beginnings))

    assert limit <= 30
    assert max(took) < 3
    await scene.assert_nothing_lost()


async def life(server: Address, beginning: bytes) -> float:
    """How many seconds the server keeps a connection that says no more; at most 10."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    began = time.monotonic()
    try:
        async with asyncio.timeout(10):
            writer.write(beginning)
            while await reader.read(65536):
                pass
    except (TimeoutError, ConnectionError):
        pass
    writer.close()
    return time.monotonic() - began
