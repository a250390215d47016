"""The server behind nginx, Caddy and HAProxy with TLS, as examples/ configures them."""

import asyncio
import hashlib
import ipaddress
import os
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.conftest import MakeServer
from tests.e2e.commands import REPOSITORY, finish, listening, program, run, spawn
from tests.e2e.relay import relay
from tests.e2e.test_nginx import FRAME, replaced
from tests.servers import Address, free_port

MIB = 2**20
CONTENT = random.Random(5).randbytes(6 * MIB)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
EXAMPLES = REPOSITORY / "examples"
PATCH = {"Content-Type": "application/offset+octet-stream"}
CLAIMS = {
    "Forwarded": "for=6.6.6.6;host=evil.example;proto=http",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Port": "666",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-For": "6.6.6.6",
}

Command = tuple[str | Path, ...]
Configure = Callable[[Path, int, int], Awaitable[Command]]


async def nginx(folder: Path, port: int, target: int) -> Command:
    """examples/nginx.conf with a TLS listener."""
    listen = f"listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/tls.pem;"
    changes = {
        "listen 80;": f"{listen} ssl_certificate_key {folder}/tls.pem;",
        "server upload-service:8000;": f"server 127.0.0.1:{target};",
    }
    (folder / "site.conf").write_text(replaced((EXAMPLES / "nginx.conf").read_text(), changes))
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(FRAME.format(folder=folder, user=user))
    path = program("nginx", "apt-get install nginx-light")
    return (path, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf")


async def caddy(folder: Path, port: int, target: int) -> Command:
    """examples/proxies/Caddyfile with a certificate that is there."""
    changes = {
        "uploads.example.org {": f"https://localhost:{port} {{\n\tbind 127.0.0.1\n"
        f"\ttls {folder}/tls.pem {folder}/tls.pem",
        "upload-service:8000": f"127.0.0.1:{target}",
    }
    text = replaced((EXAMPLES / "proxies/Caddyfile").read_text(), changes)
    options = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"
    (folder / "Caddyfile").write_text(options + text)
    path = program("caddy", "apt-get install caddy")
    return (path, "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile")


async def haproxy(folder: Path, port: int, target: int) -> Command:
    """examples/proxies/haproxy.cfg with a certificate that is there."""
    changes = {
        "bind :443 ssl crt /etc/haproxy/uploads.pem": f"bind 127.0.0.1:{port} ssl crt "
        f"{folder}/tls.pem",
        "upload-service:8000": f"127.0.0.1:{target}",
    }
    text = replaced((EXAMPLES / "proxies/haproxy.cfg").read_text(), changes)
    (folder / "haproxy.cfg").write_text(text)
    return (program("haproxy", "apt-get install haproxy"), "-db", "-f", folder / "haproxy.cfg")


PROXIES: dict[str, Configure] = {"nginx": nginx, "caddy": caddy, "haproxy": haproxy}
ON_DISK = pytest.mark.parametrize("make_store", ["local"], indirect=True)
EACH = pytest.mark.parametrize("configure", PROXIES.values(), ids=PROXIES)


def certificate() -> bytes:
    """A key and a certificate of localhost, signed by itself, good for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + made.public_bytes(serialization.Encoding.PEM)


def with_certificate(folder: Path) -> ssl.SSLContext:
    """Make a folder that has a key and its certificate in tls.pem; returns who trusts it."""
    folder.mkdir()
    (folder / "tls.pem").write_bytes(certificate())
    return ssl.create_default_context(cafile=str(folder / "tls.pem"))


class Front:
    """A proxy with TLS, and a client that trusts its certificate, and no other."""

    def __init__(self, server: Address, port: int, trust: ssl.SSLContext) -> None:
        self.server = server
        self.port = port
        self.trust = trust
        self.base = f"https://localhost:{port}"
        self.http: aiohttp.ClientSession

    async def create(self, **headers: str) -> str:
        """A new upload of the whole content; returns the Location."""
        wanted = {"Upload-Length": str(len(CONTENT)), "Upload-Metadata": "filename YS5iaW4="}
        every = {**self.server.tus(), **wanted, **headers}
        async with self.http.post(f"{self.base}/files/", headers=every) as response:
            assert response.status == 201, await response.text()
            return response.headers["Location"]


@asynccontextmanager
async def fronted(
    configure: Configure, folder: Path, server: Address, target: int
) -> AsyncIterator[Front]:
    """A proxy in front of a port, in the foreground."""
    trust = with_certificate(folder)
    port = free_port()
    command = await configure(folder, port, target)
    process = await spawn(*command, XDG_DATA_HOME=str(folder), XDG_CONFIG_HOME=str(folder))
    try:
        await listening(port, process)
        front = Front(server, port, trust)
        connector = aiohttp.TCPConnector(ssl=trust)
        async with aiohttp.ClientSession(connector=connector) as front.http:
            yield front
    finally:
        if process.returncode is None:
            process.terminate()
        await finish(process)


async def blocks(content: bytes) -> AsyncIterator[bytes]:
    """A body in pieces."""
    for at in range(0, len(content), 256 * 1024):
        yield content[at : at + 256 * 1024]


@ON_DISK
@EACH
async def test_an_upload_that_was_cut_goes_on(
    make_server: MakeServer, tmp_path: Path, configure: Configure
) -> None:
    """In the middle of a PATCH all that was sent has passed the proxy; when the client vanishes it
    is kept, and goes on through the proxy; Location is https, whatever a client claims."""
    server = await make_server(TRUSTED_PROXIES="127.0.0.1")
    async with (
        relay(server) as wire,
        fronted(configure, tmp_path / "proxy", server, wire.port) as front,
    ):
        upload = await front.create(**CLAIMS)
        lines = {
            **server.tus(),
            **PATCH,
            "Upload-Offset": "0",
            "Content-Length": str(len(CONTENT)),
            "Host": f"localhost:{front.port}",
        }
        head = f"PATCH /files/{upload.rpartition('/')[2]} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        before = wire.sent

        _, writer = await asyncio.open_connection("localhost", front.port, ssl=front.trust)
        writer.write(head.encode() + b"\r\n" + CONTENT[: 4 * MIB])
        await wire.carried(before + 4 * MIB)  # although two more are to come
        writer.transport.abort()
        async with front.http.head(upload, headers=server.tus()) as response:
            begin = int(response.headers["Upload-Offset"])
        rest = {**server.tus(), **PATCH, "Upload-Offset": str(begin)}
        async with front.http.patch(upload, data=blocks(CONTENT[begin:]), headers=rest) as response:
            status = response.status
        async with front.http.get(upload, headers=server.auth()) as response:
            digest = hashlib.sha256(await response.read()).hexdigest()

    assert upload.startswith(f"{front.base}/files/")
    assert 0 < begin <= 4 * MIB
    assert (status, digest) == (204, DIGEST)


@ON_DISK
@EACH
async def test_only_the_two_faces_are_shown(
    make_server: MakeServer, tmp_path: Path, configure: Configure
) -> None:
    """/files without its slash creates, a long header passes, REST is reached; what is for
    operators is not."""
    server = await make_server(TRUSTED_PROXIES="127.0.0.1")
    long = f"filename YS5iaW4=,note {'QUJD' * 3500}"
    created = {**server.tus(), "Upload-Length": "10", "Upload-Metadata": long}
    asked = [("POST", "/files", created), ("GET", "/upload/files", server.auth())]
    hidden: list[tuple[str, str, dict[str, str]]] = [
        ("GET", path, {}) for path in ("/metrics", "/healthz", "/readyz", "/")
    ]
    statuses = []
    async with fronted(configure, tmp_path / "proxy", server, server.port) as front:
        for method, path, headers in (*asked, *hidden):
            async with front.http.request(
                method, front.base + path, headers=headers, allow_redirects=False
            ) as response:
                statuses.append(response.status)

    assert statuses == [201, 200, *[404] * 4]


async def test_the_caddyfile_is_formatted() -> None:
    """`caddy fmt` has nothing to change."""
    done = await run(
        program("caddy", "apt-get install caddy"), "fmt", EXAMPLES / "proxies/Caddyfile"
    )

    assert done.stdout == (EXAMPLES / "proxies/Caddyfile").read_text()


async def test_traefik_does_not_cut_long_uploads() -> None:
    """The file is YAML; the router leads to a service that is there; readTimeout is off."""
    static, dynamic = yaml.safe_load_all((EXAMPLES / "proxies/traefik.yaml").read_text())
    entry_points, http = static["entryPoints"], dynamic["http"]
    [router] = http["routers"].values()

    assert set(router["entryPoints"]) == set(entry_points)
    assert router["service"] in http["services"]
    assert set(router["middlewares"]) <= set(http["middlewares"])
    for each in entry_points.values():
        assert each["transport"]["respondingTimeouts"]["readTimeout"] == "0s"
    assert "buffering" not in str(http)
