"""The server behind a real nginx that runs examples/nginx.conf."""

import asyncio
import hashlib
import io
import json
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import aiohttp
import pytest

from tests.conftest import MakeServer
from tests.e2e.commands import REPOSITORY, finish, listening, program, run, sha256, spawn
from tests.e2e.relay import relay
from tests.servers import Address, free_port
from tests.tokens import make_token

MIB = 2**20
EXAMPLE = REPOSITORY / "examples/nginx.conf"
FRAME = """
{user}
daemon off;
pid {folder}/pid;
worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""
PATCH = {"Content-Type": "application/offset+octet-stream"}

Front = Callable[..., Awaitable[Address]]


def replaced(text: str, changes: dict[str, str]) -> str:
    """`text` with every key, which must be there, replaced by its value."""
    for old, new in changes.items():
        assert old in text, f"{EXAMPLE} has no {old!r}"
        text = text.replace(old, new)
    return text


@asynccontextmanager
async def nginx(
    folder: Path, target: Address, changes: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Address]:
    """nginx with the example's configuration in front of `target`, in the foreground."""
    path = program("nginx", "apt-get install nginx-light")
    port = free_port()
    site = replaced(
        EXAMPLE.read_text(),
        {
            "listen 80;": f"listen 127.0.0.1:{port};",
            "server upload-service:8000;": f"server 127.0.0.1:{target.port};",
            **changes,
        },
    )
    (folder / "site.conf").write_text(site)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(FRAME.format(folder=folder, user=user))
    process = await spawn(
        path, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"
    )
    try:
        await listening(port, process)
        yield replace(target, port=port)
    finally:
        if process.returncode is None:
            process.terminate()
        await finish(process)


@pytest.fixture
async def front(make_server: MakeServer, tmp_path: Path) -> AsyncIterator[Front]:
    """`await front(changes, **ENV)`: nginx in front of a server that trusts it."""
    async with AsyncExitStack() as stack:

        async def start(changes: dict[str, str] | None = None, **environ: str) -> Address:
            server = await make_server(**{"TRUSTED_PROXIES": "127.0.0.1", **environ})
            folder = tmp_path / "nginx"
            folder.mkdir()
            return await stack.enter_async_context(nginx(folder, server, changes or {}))

        yield start


async def create(http: aiohttp.ClientSession, at: Address, length: int, **headers: str) -> str:
    """A new upload; returns the Location."""
    wanted = {"Upload-Length": str(length), "Upload-Metadata": "filename YS5iaW4="}
    async with http.post(at.files, headers={**at.tus(), **wanted, **headers}) as response:
        assert response.status == 201
        return response.headers["Location"]


async def offset(http: aiohttp.ClientSession, at: Address, upload: str) -> int:
    """What HEAD says."""
    async with http.head(upload, headers=at.tus()) as response:
        assert response.status == 200
        return int(response.headers["Upload-Offset"])


async def stored(at: Address, upload: str) -> str | None:
    """The SHA-256 of a finished upload's file."""
    return await at.sha256("42", upload.rsplit("/", 1)[1], "a.bin")


async def test_tus_upload_and_download(front: Front, http: aiohttp.ClientSession) -> None:
    """A file goes through nginx in both directions, whole and in ranges."""
    at = await front()
    content = random.randbytes(20 * MIB)
    upload = await create(http, at, len(content))
    headers = {**at.tus(), **PATCH, "Upload-Offset": "0"}

    async with http.patch(upload, data=as_stream(content), headers=headers) as response:
        status = response.status
    async with http.get(upload, headers=at.auth()) as response:
        whole = await response.read()
    async with http.get(upload, headers={**at.auth(), "Range": "bytes=5000000-"}) as response:
        part = await response.read()

    assert status == 204
    assert upload.startswith(at.files)
    assert await stored(at, upload) == hashlib.sha256(content).hexdigest()
    assert whole == content
    assert part == content[5_000_000:]


async def as_stream(content: bytes) -> AsyncIterator[bytes]:
    """A body whose length is not told: it is sent chunked."""
    for at in range(0, len(content), 256 * 1024):
        yield content[at : at + 256 * 1024]


async def test_rest_upload(front: Front, http: aiohttp.ClientSession) -> None:
    """REST chunks above nginx's own limit of 1 MB pass."""
    at = await front()
    content = random.randbytes(7 * MIB)
    body = {"main_service_file_id": 7, "original_file_name": "a.bin"}
    async with http.post(f"{at.base}/upload/init", json=body, headers=at.auth()) as response:
        session = json.loads(await response.read())["data"]["upload_session_id"]

    statuses = []
    for index in range(2):
        form = aiohttp.FormData({"upload_session_id": session, "chunk_index": str(index)})
        chunk = content[index * 4 * MIB : (index + 1) * 4 * MIB]
        form.add_field("chunk", io.BytesIO(chunk), filename="chunk")
        async with http.post(f"{at.base}/upload/chunk", data=form, headers=at.auth()) as response:
            statuses.append(response.status)
    end = {"upload_session_id": session, "total_chunks": 2, "main_service_file_id": 7}
    async with http.post(f"{at.base}/upload/complete", json=end, headers=at.auth()) as response:
        statuses.append(response.status)

    assert statuses == [200, 200, 200]
    assert await at.sha256("42", 7, "a.bin") == hashlib.sha256(content).hexdigest()


async def test_upload_goes_on_after_a_cut(
    make_server: MakeServer, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """nginx keeps no bytes back: what a client sent before it vanished is on the server."""
    server = await make_server(TRUSTED_PROXIES="127.0.0.1")
    content = random.randbytes(8 * MIB)
    async with relay(server) as wire, nginx(tmp_path, replace(server, port=wire.port)) as at:
        upload = await create(http, at, len(content))
        lines = {**at.tus(), **PATCH, "Upload-Offset": "0", "Content-Length": str(len(content))}
        head = f"PATCH {upload.removeprefix(at.base)} HTTP/1.1\r\nHost: {at.host}:{at.port}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        before = wire.sent

        _, writer = await asyncio.open_connection(at.host, at.port)
        writer.write(head.encode() + b"\r\n" + content[: 5 * MIB])
        await wire.carried(before + 5 * MIB)  # although three more are to come
        writer.close()
        begin = await offset(http, at, upload)
        headers = {**at.tus(), **PATCH, "Upload-Offset": str(begin)}
        async with http.patch(upload, data=as_stream(content[begin:]), headers=headers) as response:
            status = response.status

    assert 0 < begin <= 5 * MIB
    assert status == 204
    assert await stored(server, upload) == hashlib.sha256(content).hexdigest()


async def test_location_is_what_the_browser_used(front: Front, http: aiohttp.ClientSession) -> None:
    """Behind TLS the Location starts with https and the public name."""
    at = await front({"X-Forwarded-Proto $scheme": "X-Forwarded-Proto https"})

    location = await create(http, at, 10, Host="uploads.example:8443")

    assert location.startswith("https://uploads.example:8443/files/")


async def test_a_client_cannot_forge_the_location(
    front: Front, http: aiohttp.ClientSession
) -> None:
    """What a client claims about proxies does not pass nginx, although the server trusts nginx."""
    at = await front()
    claims = {
        "Forwarded": "for=6.6.6.6;host=evil.example;proto=https",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "666",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-For": "6.6.6.6",
    }

    location = await create(http, at, 10, **claims)

    assert location.startswith(at.files)


async def test_an_untrusted_proxy_is_not_believed(
    front: Front, http: aiohttp.ClientSession
) -> None:
    """Without TRUSTED_PROXIES the server answers as if there were no X-Forwarded-Proto."""
    at = await front(
        {"X-Forwarded-Proto $scheme": "X-Forwarded-Proto https"}, TRUSTED_PROXIES="10.0.0.0/8"
    )

    location = await create(http, at, 10)

    assert location.startswith("http://")


async def test_refusals_reach_a_browser(front: Front, http: aiohttp.ClientSession) -> None:
    """The limit is the server's: its 413 has the headers without which a browser sees nothing."""
    at = await front(MAX_UPLOAD_SIZE=str(2 * MIB))
    wanted = {**at.tus(), "Origin": "https://app.example", "Upload-Length": str(3 * MIB)}

    async with http.post(at.files, headers=wanted) as response:
        status, headers = response.status, response.headers

    assert status == 413
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Tus-Resumable"] == "1.0.0"


async def test_creation_without_the_slash(front: Front, http: aiohttp.ClientSession) -> None:
    """`POST /files` creates an upload, and is no redirect that turns it into a GET."""
    at = await front()
    wanted = {**at.tus(), "Upload-Length": "10"}

    async with http.post(f"{at.base}/files", headers=wanted, allow_redirects=False) as response:
        status = response.status

    assert status == 201


async def test_long_headers_pass(front: Front, http: aiohttp.ClientSession) -> None:
    """An Upload-Concat of 200 pieces, 20 kB in one line, passes nginx."""
    at = await front()
    pieces = []
    for index in range(200):
        upload = await create(http, at, 1, **PATCH, **{"Upload-Concat": "partial"})
        headers = {**at.tus(), **PATCH, "Upload-Offset": "0"}
        async with http.patch(upload, data=bytes([index]), headers=headers) as response:
            assert response.status == 204
        pieces.append(upload)
    final = {"Upload-Concat": f"final;{' '.join(pieces)}", "Upload-Metadata": "filename YS5iaW4="}

    async with http.post(at.files, headers={**at.tus(), **final}) as response:
        status, upload = response.status, response.headers.get("Location", "")

    assert len(final["Upload-Concat"]) > 12_000
    assert status == 201
    assert await stored(at, upload) == hashlib.sha256(bytes(range(200))).hexdigest()


@pytest.mark.parametrize("face", ["rest", "tus"])
async def test_the_scripts_work_through_nginx(front: Front, tmp_path: Path, face: str) -> None:
    """The curl examples upload through the nginx example."""
    at = await front()
    path = tmp_path / "a.bin"
    path.write_bytes(random.randbytes(5 * MIB))
    program("curl", "apt-get install curl")

    done = await run(
        "sh",
        REPOSITORY / f"examples/curl/upload-{face}.sh",
        *["-u", at.base, "-i", "7", "-c", str(2 * MIB)],
        path,
        TOKEN=make_token(),
    )

    assert done.code == 0, done.stderr
    assert await at.sha256("42", 7, "a.bin") == sha256(path)
