"""Whatever happens, a log holds no token, no secret of the store, no metadata, body or query."""

import asyncio
import json
import signal
from base64 import b64encode

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient
from tests.conftest import MakeProcess
from tests.servers import Address
from tests.stores import MakeStore
from tests.tokens import claims, make_token, new_key, sign

FORM = (
    '--b\r\nContent-Disposition: form-data; name="chunk_index"; filename="MARK-form"\r\n\r\n'
    "MARK-index\r\n--b--\r\n"
)
JSON = "Content-Type: application/json"
TUS = "Tus-Resumable: 1.0.0"
OCTETS = "Content-Type: application/offset+octet-stream"


def raw(first: str, *lines: str, body: str = "", token: str | None = None) -> bytes:
    """A request as it goes over the wire."""
    head = [first, "Host: x", "Connection: close", *lines]
    head.append(f"Authorization: Bearer {token or make_token()}")
    if body:
        head.append(f"Content-Length: {len(body)}")
    return ("\r\n".join([*head, "", ""]) + body).encode("utf-8", "surrogateescape")


def requests(file: str) -> list[bytes]:
    """Requests that are refused, break, or are no HTTP, each with MARK in what must stay secret."""
    forged = sign(claims(user_id="MARK-claim"), key=new_key())
    odd = sign(claims(user_id="../MARK-owner"))
    mark = b64encode(b"MARK-value").decode()
    return [
        raw("GET /upload/files?token=MARK-query HTTP/1.1"),
        raw("GET /upload/files HTTP/1.1", token=forged),
        raw("GET /upload/files HTTP/1.1", token=odd),
        raw("GET /upload/files HTTP/1.1", token="MARK-token"),
        raw("GET /upload/files HTTP/1.1", "X: \x00MARK-line"),
        raw("GET /upload/files HTTP/1.1", "Authorization : Bearer MARK-space"),
        raw("GET /upload/files HTTP/1.1", "Cookie: MARK-cookie", "Referer: http://x/?MARK-referer"),
        raw("GET /upload/files HTTP/9.MARK-version"),
        raw("GET /upload/files HTTP/1.1", "X: " + "MARK-long" * 20_000),
        raw("POST /upload/init HTTP/1.1", JSON, body='{"original_file_name": MARK-json'),
        raw("POST /upload/init HTTP/1.1", JSON, body='{"original_file_name": ["MARK-list"]}'),
        raw("POST /upload/init HTTP/1.1", JSON, body='{"\udcff": "MARK-utf8"}'),
        raw("POST /upload/complete HTTP/1.1", JSON, body='{"upload_session_id": "MARK-id"}'),
        raw("POST /upload/chunk HTTP/1.1", "Content-Type: MARK-type", body=FORM),
        raw(
            "POST /upload/chunk HTTP/1.1",
            "Content-Type: multipart/form-data; boundary=b",
            body=FORM,
        ),
        raw("POST /files/ HTTP/1.1", TUS, "Upload-Length: MARK-length"),
        raw("POST /files/ HTTP/1.1", TUS, "Upload-Length: 1", "Upload-Metadata: MARK-metadata !"),
        raw(
            "POST /files/ HTTP/1.1", TUS, "Upload-Length: 1", f"Upload-Metadata: a {mark},a {mark}"
        ),
        raw("POST /files/ HTTP/1.1", TUS, "Upload-Concat: final;MARK-concat/x"),
        raw(f"PATCH {file} HTTP/1.1", TUS, OCTETS, "Upload-Offset: 9", body="MARK-conflict"),
        raw(
            f"PATCH {file} HTTP/1.1",
            TUS,
            OCTETS,
            "Upload-Offset: 5",
            "Upload-Checksum: sha1 MARK-checksum",
            body="MARK-body",
        ),
        raw(f"PATCH {file} HTTP/1.1", TUS, OCTETS, "Upload-Offset: 5", "Content-Length: 99")
        + b"MARK-cut",
        b"MARK-no-http\r\n\r\n",
    ]


@pytest.mark.parametrize("make_store", ["local", "s3"], indirect=True)
async def test_no_secret_is_in_the_log(
    make_process: MakeProcess,
    make_store: MakeStore,
    http: aiohttp.ClientSession,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """At LOG_LEVEL=debug, over uploads that succeed and requests of every kind that do not, neither
    we nor a library of ours writes what is secret."""
    process = await make_process(LOG_LEVEL="debug", LOG_FORMAT="json", BODY_TIMEOUT="1s")
    server = process.address
    rest = RestClient(http=http, server=server)
    await rest.uploaded(b"MARK-content", file_id=7, name="MARK-name.txt")
    upload = await unfinished(http, server)
    refused = await asyncio.gather(
        *[
            server.raw(request, eof=request.endswith(b"MARK-cut"))
            for request in requests(f"/files/{upload}")
        ]
    )
    await rest.files()
    code = await process.end(signal.SIGTERM)
    written = capfd.readouterr()
    log = written.out + written.err

    assert code == 0
    assert len([answer for answer in refused if answer.startswith(b"HTTP/1.")]) >= 20
    assert [json.loads(line)["event"] for line in log.splitlines() if line.startswith("{")]
    assert "MARK" not in log
    assert "TUFSSy" not in log  # what Base64 makes of it
    assert make_token() not in log
    assert make_token().split(".")[2] not in log
    for name, value in make_store(server.root).settings.items():
        assert name != "S3_SECRET_KEY" or value not in log


async def unfinished(http: aiohttp.ClientSession, server: Address) -> str:
    """An upload with five of its bytes, and with metadata."""
    mark = b64encode(b"MARK-value").decode()
    headers = {
        **server.tus(),
        "Upload-Length": "99",
        "Upload-Metadata": f"filename {mark},note {mark}",
        "Content-Type": "application/offset+octet-stream",
    }
    async with http.post(server.files, data=b"MARK-", headers=headers) as response:
        assert response.status == 201
        return response.headers["Location"].rsplit("/", 1)[1]
