"""Webhook: one try, against real receivers of every kind."""

import asyncio
import datetime
import ipaddress
import os
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.receiver import SECRET, Receiver, receiving, with_headers
from tusd_py.notify.signing import Signer
from tusd_py.notify.webhook import Outcome, Webhook, outcome
from tusd_py.setting_types import webhook_secrets

BODY = b'{"type": "test"}'
HOUR = 3600.0


async def post(url: str, *, within: float = 10.0) -> Outcome:
    """Try once to deliver something to an address."""
    async with Webhook.open(url, Signer(webhook_secrets(SECRET)), within) as webhook:
        return await webhook.post("id-1", BODY)


async def test_a_delivery() -> None:
    """A POST of JSON, signed; 204 is a delivery."""
    async with receiving() as receiver:
        done = await post(receiver.url)
    [told] = receiver.told

    assert done == Outcome()
    assert (told.body, told.id) == (BODY, "id-1")
    assert told.headers["content-type"] == "application/json"
    assert told.headers["user-agent"].startswith("tusd_py/")
    assert "cookie" not in told.headers


@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_what_is_a_delivery(status: int) -> None:
    """Any 2xx."""
    assert outcome(status, None) == Outcome()


@pytest.mark.parametrize("status", [100, 300, 304, 400, 401, 404, 500, 502])
def test_what_is_none(status: int) -> None:
    """Anything else, and nothing more is made of it."""
    assert outcome(status, None) == Outcome(why=f"status {status}")


def test_gone() -> None:
    """410: never this event, and nothing at all for an hour."""
    assert outcome(410, "1") == Outcome(why="status 410", is_gone=True, leave_alone=HOUR)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("99999999", HOUR),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2115 07:28:00 -0000", HOUR),
        ("-5", None),
        ("soon", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("9" * 5000, None),
    ],
    ids=["7", "0", "long", "past", "future", "negative", "word", "no-date", "huge"],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """Seconds or a date; an hour at most; nonsense is as if it were not there. With 429 and 503 it
    is meant for all events, else for this one."""
    assert outcome(429, value) == Outcome(
        why="status 429", leave_alone=seconds, retry_after=seconds
    )
    assert outcome(503, value).leave_alone == seconds
    assert outcome(500, value) == Outcome(why="status 500", retry_after=seconds)


def test_retry_after_as_a_date_soon() -> None:
    """A date is a time from now."""
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    seconds = outcome(503, format_datetime(soon, usegmt=True)).retry_after

    assert seconds is not None
    assert 90 < seconds <= 100


async def test_a_redirect_is_not_followed() -> None:
    """A 3xx is a failure; nobody is told at the address that it names."""
    async with receiving() as elsewhere, receiving() as receiver:
        receiver.answers = [with_headers(307, Location=elsewhere.url)]
        done = await post(receiver.url)

    assert done == Outcome(why="status 307")
    assert elsewhere.told == []


async def hanging(_request: web.Request) -> web.StreamResponse:
    """No answer at all."""
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_receiver_that_says_nothing() -> None:
    """No answer in time is a failure."""
    async with receiving(Receiver(always=hanging)) as receiver:
        assert await post(receiver.url, within=0.2) == Outcome(why="no answer in time")


async def endless(request: web.Request) -> web.StreamResponse:
    """A body without an end, as fast as it is taken."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(1 << 20):
        await response.write(bytes(1 << 16))
    raise AssertionError


async def dribbling(request: web.Request) -> web.StreamResponse:
    """A body without an end, a byte now and then."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b".")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("answer", [endless, dribbling], ids=["endless", "dribbling"])
async def test_a_body_without_an_end(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> None:
    """The status counts; the body is not read to its end, nor waited for."""
    async with receiving(Receiver(always=answer)) as receiver, asyncio.timeout(20):
        assert await post(receiver.url, within=60) == Outcome()


@asynccontextmanager
async def speaking(answer: bytes) -> AsyncIterator[str]:
    """A server that answers so, whatever it is asked, and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(BODY)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.mark.parametrize(
    "answer",
    [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000],
    ids=["nothing", "nonsense", "half", "long-header"],
)
async def test_an_answer_that_is_none(answer: bytes) -> None:
    """What is no HTTP is a failure, and raises nothing."""
    async with speaking(answer) as url:
        done = await post(url)

    assert done.why is not None
    assert "answer" in done.why


async def test_an_answer_that_breaks_off() -> None:
    """A 200 whose body breaks off is a delivery: the status was there."""
    async with speaking(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc") as url:
        assert await post(url) == Outcome()


async def test_nobody_there() -> None:
    """The reason is told in words that quote no address."""
    assert await post("http://127.0.0.1:1/") == Outcome(why="no connection (Connection refused)")


# --- TLS


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that signed itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "main service")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(pem)
    )
    return file


async def test_a_certificate_of_a_stranger(tmp_path: Path) -> None:
    """Who is not known to the authorities of the system is told nothing."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate(tmp_path))
    async with receiving(context=context) as receiver:
        done = await post(receiver.url)

    assert done == Outcome(why="its certificate is not valid")
    assert receiver.told == []


async def test_no_tls_where_there_should_be() -> None:
    """A receiver without TLS at an https address is told nothing."""
    async with receiving() as receiver:
        done = await post(receiver.url.replace("http:", "https:"))

    assert done == Outcome(why="it does not speak TLS as it should")


TRY = """
import asyncio, sys
from tusd_py.notify.signing import Signer
from tusd_py.notify.webhook import Webhook
from tusd_py.setting_types import webhook_secrets

async def main() -> None:
    async with Webhook.open(sys.argv[1], Signer(webhook_secrets(sys.argv[2])), 10) as webhook:
        print(await webhook.post("id-1", b"{}"))

asyncio.run(main())
"""


async def test_an_authority_of_ones_own(tmp_path: Path) -> None:
    """SSL_CERT_FILE names who is believed."""
    file = await asyncio.to_thread(certificate, tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    async with receiving(context=context) as receiver:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", TRY, receiver.url, SECRET),
            env={**os.environ, "SSL_CERT_FILE": str(file)},
        )
        code = await process.wait()

    assert code == 0
    assert len(receiver.told) == 1


# --- proxies


@asynccontextmanager
async def proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy that notes the address it is asked for, and answers itself."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).decode().split()[1])
        await reader.readuntil(BODY)
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


async def test_a_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy that HTTP_PROXY names is asked."""
    async with proxy() as (address, asked):
        monkeypatch.setenv("http_proxy", address)
        done = await post("http://main-service.invalid/events")

    assert done == Outcome()
    assert asked == ["http://main-service.invalid/events"]


async def test_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who NO_PROXY names is asked without it."""
    async with proxy() as (address, asked), receiving() as receiver:
        monkeypatch.setenv("http_proxy", address)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        done = await post(receiver.url)

    assert done == Outcome()
    assert (len(receiver.told), asked) == (1, [])
