"""Config: every setting, where it comes from, and what is said when it is wrong."""

import argparse
import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.tokens import PRIVATE_KEY, PUBLIC_PEM, public_pem
from tusd_py.config import Config, add_flags, load_config, settings_table
from tusd_py.setting_types import (
    Backend,
    DigestKind,
    Durability,
    EventLoop,
    LogFormat,
    LogLevel,
    Notification,
    Rate,
    S3Download,
    SettingError,
    UrlStyle,
)
from tusd_py.verdict import Hook

KEY_1, KEY_2 = (b64encode(digit * size).decode() for digit, size in ((b"1", 24), (b"2", 32)))
REQUIRED = {
    "MAIN_SERVICE_JWT_PUBLIC_KEY": PUBLIC_PEM,
    "EXPECTED_JWT_ISSUER": "main-service",
    "EXPECTED_JWT_AUDIENCE": "upload-service",
}
S3 = {
    "STORAGE_BACKEND": "s3",
    "S3_BUCKET_NAME": "uploads",
    "S3_ENDPOINT_URL": "https://s3.example",
}
ALL = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
PEM = serialization.Encoding.PEM
EC_PEM = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(PEM, SPKI).decode()
WEAK_PEM = public_pem(rsa.generate_private_key(public_exponent=65537, key_size=1024))
PRIVATE_PEM = PRIVATE_KEY.private_bytes(
    PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()

WHSEC = "whsec_" + "QUFB" * 8
LONG_WHSEC = "whsec_" + "QkJC" * 21 + "Qg=="

GOOD: list[tuple[str, str, object]] = [
    ("JWT_ALGORITHM", "RS256", "RS256"),
    ("JWT_ALGORITHM", "rs256", "RS256"),
    ("EXPECTED_JWT_ISSUER", " https://main.example/ ", "https://main.example/"),
    ("EXPECTED_JWT_AUDIENCE", "a", "a"),
    ("JWT_USER_ID_CLAIM", "uid", "uid"),
    ("STORAGE_BACKEND", "LOCAL", Backend.LOCAL),
    ("DURABILITY", " Strict ", Durability.STRICT),
    ("DURABILITY", "default", Durability.DEFAULT),
    ("DIGEST", " SHA256 ", DigestKind.SHA256),
    ("DIGEST", "none", DigestKind.NONE),
    ("LOCAL_TEMP_CHUNK_PATH", "/data", Path("/data")),
    ("LOCAL_TEMP_CHUNK_PATH", "data", Path.cwd() / "data"),
    ("LOCAL_TEMP_CHUNK_PATH", "~/data", Path.home() / "data"),
    ("S3_ACCESS_KEY", "AKIA", "AKIA"),
    ("S3_SECRET_KEY", "a/b+c=", "a/b+c="),
    ("S3_BUCKET_NAME", "uploads", "uploads"),
    ("S3_ENDPOINT_URL", "https://s3.example/", "https://s3.example"),
    ("S3_ENDPOINT_URL", "http://127.0.0.1:8333", "http://127.0.0.1:8333"),
    ("S3_REGION_NAME", "eu-1", "eu-1"),
    ("S3_PART_SIZE", "5MiB", 5 << 20),
    ("S3_PART_SIZE", "16 MiB", 16 << 20),
    ("S3_MEMORY", "0", 0),
    ("S3_MEMORY", "1GiB", 1 << 30),
    ("S3_URL_STYLE", "plain", UrlStyle.PLAIN),
    ("S3_URL_STYLE", "Presigned", UrlStyle.PRESIGNED),
    ("S3_URL_EXPIRES", "1s", timedelta(seconds=1)),
    ("S3_URL_EXPIRES", "7d", timedelta(days=7)),
    ("S3_DOWNLOAD", "stream", S3Download.STREAM),
    ("S3_DOWNLOAD", "REDIRECT", S3Download.REDIRECT),
    ("HOST", "::1", "::1"),
    ("PORT", "0", 0),
    ("PORT", "65535", 65535),
    ("WORKERS", "1", 1),
    ("WORKERS", " 64 ", 64),
    ("WORKERS", "Auto", None),
    ("EVENT_LOOP", "UVLOOP", EventLoop.UVLOOP),
    ("EVENT_LOOP", " asyncio", EventLoop.ASYNCIO),
    ("TUS_BASE_PATH", "/api/files/", "/api/files/"),
    ("PUBLIC_URL", "https://e.org/up/", "https://e.org/up"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/", "http://c:4318"),
    ("TRUSTED_PROXIES", "*", ALL),
    (
        "TRUSTED_PROXIES",
        "10.0.0.0/8, ::1",
        (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128")),
    ),
    ("MAX_UPLOAD_SIZE", "0", 0),
    ("MAX_UPLOAD_SIZE", "500000", 500_000),
    ("MAX_UPLOAD_SIZE", "500MB", 500_000_000),
    ("MAX_UPLOAD_SIZE", "5 GiB", 5 << 30),
    ("MAX_UPLOAD_SIZE", "1tib", 1 << 40),
    ("MAX_UPLOAD_SIZE", "unlimited", None),
    ("MAX_CHUNKS", "1", 1),
    ("MAX_METADATA_SIZE", "0", 0),
    ("MAX_METADATA_SIZE", "64KiB", 64 << 10),
    ("MAX_OPEN_UPLOADS_PER_USER", "1", 1),
    ("MAX_OPEN_UPLOADS_PER_USER", "Unlimited", None),
    ("USER_QUOTA", "50GiB", 50 << 30),
    ("USER_QUOTA", "unlimited", None),
    ("RATE_LIMIT", "100/s", Rate(count=100, seconds=1)),
    ("RATE_LIMIT", "6000 / M", Rate(count=6000, seconds=60)),
    ("RATE_LIMIT", "1/h", Rate(count=1, seconds=3600)),
    ("RATE_LIMIT", "none", None),
    ("MIN_FREE_DISK", "0", 0),
    ("MIN_FREE_DISK", "2GiB", 2 << 30),
    ("UPLOAD_EXPIRES_AFTER", "90", timedelta(seconds=90)),
    ("UPLOAD_EXPIRES_AFTER", "15m", timedelta(minutes=15)),
    ("UPLOAD_EXPIRES_AFTER", "7d", timedelta(days=7)),
    ("SWEEP_INTERVAL", "1h", timedelta(hours=1)),
    ("BODY_TIMEOUT", "0.5s", timedelta(seconds=0.5)),
    ("MIN_TRANSFER_RATE", "1KiB", 1024),
    ("MIN_TRANSFER_RATE", "0", 0),
    ("HEADER_TIMEOUT", "0.5s", timedelta(seconds=0.5)),
    ("MAX_CONNECTIONS", "1", 1),
    ("DIRECT_IO_SIZE", "1MiB", 1 << 20),
    ("DIRECT_IO_SIZE", "unlimited", None),
    ("MAX_REQUESTS_PER_USER", "1", 1),
    ("SHUTDOWN_DELAY", "0", timedelta(0)),
    ("SHUTDOWN_DELAY", "0.0 s", timedelta(0)),
    ("SHUTDOWN_DELAY", "10s", timedelta(seconds=10)),
    ("SHUTDOWN_TIMEOUT", "5 s", timedelta(seconds=5)),
    ("MAIN_SERVICE_NOTIFY_SECRET", WHSEC, (b"A" * 24,)),
    ("MAIN_SERVICE_NOTIFY_SECRET", f" {WHSEC} ,{LONG_WHSEC},", (b"A" * 24, b"B" * 64)),
    ("MAIN_SERVICE_NOTIFY_SECRET", LONG_WHSEC.rstrip("="), (b"B" * 64,)),
    ("NOTIFY_EVENTS", "completed", frozenset({Notification.COMPLETED})),
    (
        "NOTIFY_EVENTS",
        " Created,EXPIRED, progress ,completed,terminated,",
        frozenset(Notification),
    ),
    ("NOTIFY_WAIT", "0", timedelta(0)),
    ("NOTIFY_TIMEOUT", "30s", timedelta(seconds=30)),
    ("NOTIFY_GIVE_UP_AFTER", "7d", timedelta(days=7)),
    ("NOTIFY_PROGRESS_INTERVAL", "1m", timedelta(minutes=1)),
    ("MAIN_SERVICE_NOTIFY_SECRET", f"whsec_{KEY_1}, whsec_{KEY_2}", (b"1" * 24, b"2" * 32)),
    ("HOOKS_HTTP_URL", "http://127.0.0.1:9000/a/?b=c", "http://127.0.0.1:9000/a/?b=c"),
    ("HOOKS_ENABLED_EVENTS", "pre-create, Post-Finish,", {Hook.PRE_CREATE, Hook.POST_FINISH}),
    ("HOOKS_HTTP_TIMEOUT", "3s", timedelta(seconds=3)),
    ("HOOKS_HTTP_RETRY", "0", 0),
    ("HOOKS_HTTP_BACKOFF", "0", timedelta(0)),
    ("HOOKS_HTTP_FORWARD_HEADERS", "Cookie, x-request-id", ("Cookie", "x-request-id")),
    ("HOOKS_PROGRESS_INTERVAL", "0.5s", timedelta(seconds=0.5)),
    ("CORS_ALLOW_ORIGINS", "*", ("*",)),
    (
        "CORS_ALLOW_ORIGINS",
        "https://A.example, http://b.example:81/",
        ("https://a.example", "http://b.example:81"),
    ),
    ("CORS_ALLOW_ORIGINS", "null,capacitor://localhost", ("null", "capacitor://localhost")),
    ("DEMO", "true", True),
    ("DEMO", "Off", False),
    ("API_DOCS", "false", False),
    ("LOG_FORMAT", "json", LogFormat.JSON),
    ("LOG_LEVEL", "DEBUG", LogLevel.DEBUG),
]


def load(environ: Mapping[str, str] | None = None, **flags: str) -> Config:
    """The settings of a server that has all it needs."""
    return load_config(flags, {**REQUIRED, **(environ or {})}, None)


def complaint(environ: Mapping[str, str]) -> str:
    """What is said of wrong settings."""
    with pytest.raises(SettingError) as caught:
        load(environ)
    return str(caught.value)


# --- defaults and values


def test_the_defaults() -> None:
    """What the contract says of a server that was told only what it must be told."""
    config = load()

    assert config.jwt_algorithm == "RS256"
    assert config.jwt_user_id_claim is None
    assert config.storage_backend is Backend.LOCAL
    assert config.local_temp_chunk_path == Path("/tmp/hayula_chunks")
    assert (config.host, config.port) == ("0.0.0.0", 8000)
    assert (config.workers, config.event_loop) == (None, EventLoop.UVLOOP)
    assert config.tus_base_path == "/files/"
    assert config.public_url is None
    assert config.trusted_proxies == ()
    assert config.max_upload_size is None
    assert config.max_metadata_size == 16 << 10
    assert config.max_open_uploads_per_user == 1000
    assert config.user_quota is None
    assert config.rate_limit is None
    assert config.min_free_disk == 100 << 20
    assert config.upload_expires_after == timedelta(hours=24)
    assert config.body_timeout == timedelta(seconds=60)
    assert config.header_timeout == timedelta(seconds=15)
    assert config.min_transfer_rate == 256
    assert (config.max_connections, config.max_requests_per_user) == (4096, 512)
    assert config.shutdown_delay == timedelta(0)
    assert config.cors_allow_origins == ("*",)
    assert config.demo is False
    assert config.api_docs is True
    assert (config.log_format, config.log_level) == (LogFormat.TEXT, LogLevel.INFO)


@pytest.mark.parametrize(("variable", "text", "value"), GOOD)
def test_a_good_value(variable: str, text: str, value: object) -> None:
    """Each setting takes what its help says."""
    assert getattr(load({variable: text}), variable.lower()) == value


@pytest.mark.parametrize(
    ("variable", "text", "right"),
    [
        ("JWT_ALGORITHM", "HS256", "RS256"),
        ("JWT_ALGORITHM", "HS512", "RS256"),
        ("JWT_ALGORITHM", "none", "RS256"),
        ("JWT_ALGORITHM", "RS512", "RS256"),
        ("JWT_ALGORITHM", "RS256,HS256", "RS256"),
        ("MAIN_SERVICE_JWT_PUBLIC_KEY", "secret", "PEM"),
        ("MAIN_SERVICE_JWT_PUBLIC_KEY", PRIVATE_PEM, "PEM"),
        ("MAIN_SERVICE_JWT_PUBLIC_KEY", EC_PEM, "RSA"),
        ("MAIN_SERVICE_JWT_PUBLIC_KEY", WEAK_PEM, "2048"),
        ("MAIN_SERVICE_JWT_PUBLIC_KEY", "ü", "PEM"),
        ("EXPECTED_JWT_ISSUER", "  ", "missing"),
        ("EXPECTED_JWT_AUDIENCE", "\t", "missing"),
        ("STORAGE_BACKEND", "gcs", "local"),
        ("DURABILITY", "none", "default or strict"),
        ("DIGEST", "md5", "none or sha256"),
        ("LOCAL_TEMP_CHUNK_PATH", "~nobody-of-this-name/data", "folder"),
        ("S3_ENDPOINT_URL", "s3.example", "https://"),
        ("S3_PART_SIZE", "5242879", "5MiB to 5GiB"),
        ("S3_PART_SIZE", "5368709121", "5MiB to 5GiB"),
        ("S3_PART_SIZE", "unlimited", "5MiB to 5GiB"),
        ("S3_PART_SIZE", "-8MiB", "5GiB"),
        ("S3_PART_SIZE", "large", "5GiB"),
        ("S3_MEMORY", "unlimited", "96MiB"),
        ("S3_MEMORY", "-1", "5GiB"),
        ("S3_URL_STYLE", "signed", "presigned"),
        ("S3_URL_EXPIRES", "0.5s", "1s to 7d"),
        ("S3_URL_EXPIRES", "8d", "1s to 7d"),
        ("S3_URL_EXPIRES", "never", "90s"),
        ("S3_DOWNLOAD", "proxy", "redirect"),
        ("PORT", "http", "65535"),
        ("PORT", "-1", "65535"),
        ("PORT", "65536", "65535"),
        ("PORT", "80.5", "65535"),
        ("PORT", "\uff18\uff10", "65535"),
        ("WORKERS", "0", "from 1 to 64"),
        ("WORKERS", "65", "from 1 to 64"),
        ("WORKERS", "many", "or auto"),
        ("EVENT_LOOP", "trio", "uvloop or asyncio"),
        ("TUS_BASE_PATH", "/", "/files/"),
        ("TUS_BASE_PATH", "files", "/files/"),
        ("TUS_BASE_PATH", "/files", "/files/"),
        ("TUS_BASE_PATH", "/a b/", "/files/"),
        ("TUS_BASE_PATH", "/../", "/files/"),
        ("TUS_BASE_PATH", "/{x}/", "/files/"),
        ("TUS_BASE_PATH", "/upload/", "another path"),
        ("PUBLIC_URL", "example.org", "https://example.org"),
        ("PUBLIC_URL", "ftp://example.org", "https://example.org"),
        ("PUBLIC_URL", "https://", "https://example.org"),
        ("PUBLIC_URL", "https://e.org/?q", "https://example.org"),
        ("PUBLIC_URL", "https://e.org/#f", "https://example.org"),
        ("PUBLIC_URL", "http://[::1", "https://example.org"),
        ("TRUSTED_PROXIES", "proxy.example", "10.0.0.0/8"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "10.0.0.0/8"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,", "10.0.0.0/8"),
        ("MAX_UPLOAD_SIZE", "-1", "5GiB"),
        ("MAX_UPLOAD_SIZE", "5 parsecs", "5GiB"),
        ("MAX_UPLOAD_SIZE", "1.5GB", "5GiB"),
        ("MAX_UPLOAD_SIZE", "1" * 30, "5GiB"),
        ("MAX_CHUNKS", "0", "above 0"),
        ("MAX_CHUNKS", "-1", "above 0"),
        ("MAX_CHUNKS", "unlimited", "above 0"),
        ("MAX_METADATA_SIZE", "65KiB", "up to 64KiB"),
        ("MAX_METADATA_SIZE", "unlimited", "up to 64KiB"),
        ("MAX_METADATA_SIZE", "long", "up to 64KiB"),
        ("MAX_OPEN_UPLOADS_PER_USER", "0", "or unlimited"),
        ("MAX_OPEN_UPLOADS_PER_USER", "-1", "or unlimited"),
        ("USER_QUOTA", "much", "5GiB"),
        ("RATE_LIMIT", "100", "100/s"),
        ("RATE_LIMIT", "0/s", "100/s"),
        ("RATE_LIMIT", "-1/s", "100/s"),
        ("RATE_LIMIT", "1.5/s", "100/s"),
        ("RATE_LIMIT", "100/d", "100/s"),
        ("MIN_FREE_DISK", "unlimited", "100MiB"),
        ("MIN_FREE_DISK", "-1", "100MiB"),
        ("UPLOAD_EXPIRES_AFTER", "0", "24h"),
        ("UPLOAD_EXPIRES_AFTER", "-1h", "24h"),
        ("UPLOAD_EXPIRES_AFTER", "soon", "24h"),
        ("UPLOAD_EXPIRES_AFTER", "999999999d", "24h"),
        ("SWEEP_INTERVAL", "0s", "90s"),
        ("BODY_TIMEOUT", "1e3", "90s"),
        ("SHUTDOWN_TIMEOUT", "never", "90s"),
        ("SHUTDOWN_DELAY", "-1s", "90s"),
        ("HEADER_TIMEOUT", "0", "90s"),
        ("MIN_TRANSFER_RATE", "unlimited", "0 for no limit"),
        ("MIN_TRANSFER_RATE", "slow", "0 for no limit"),
        ("MAX_CONNECTIONS", "0", "above 0"),
        ("MAX_REQUESTS_PER_USER", "0", "above 0"),
        ("MAIN_SERVICE_NOTIFY_URL", "example.org/events", "https://example.org/hook"),
        ("MAIN_SERVICE_NOTIFY_URL", "ftp://example.org/", "https://example.org/hook"),
        ("MAIN_SERVICE_NOTIFY_URL", "https:///events", "https://example.org/hook"),
        ("MAIN_SERVICE_NOTIFY_URL", "https://e.org:99999/", "https://example.org/hook"),
        ("MAIN_SERVICE_NOTIFY_URL", "https://e.org/a b", "https://example.org/hook"),
        ("MAIN_SERVICE_NOTIFY_URL", "https://e.org/#f", "https://example.org/hook"),
        ("MAIN_SERVICE_NOTIFY_URL", "http://[::1", "https://example.org/hook"),
        ("MAIN_SERVICE_NOTIFY_SECRET", "secret", "whsec_"),
        ("MAIN_SERVICE_NOTIFY_SECRET", "whsec_" + "A" * 28, "24 to 64 random bytes"),
        ("MAIN_SERVICE_NOTIFY_SECRET", "whsec_" + "A" * 92, "24 to 64 random bytes"),
        ("MAIN_SERVICE_NOTIFY_SECRET", "whsec_" + "?" * 32, "base64"),
        ("MAIN_SERVICE_NOTIFY_SECRET", f"{WHSEC};{WHSEC}", "commas"),
        ("NOTIFY_EVENTS", "finished", "completed"),
        ("NOTIFY_EVENTS", ",", "completed"),
        ("NOTIFY_WAIT", "-1s", "90s"),
        ("NOTIFY_TIMEOUT", "0", "90s"),
        ("NOTIFY_GIVE_UP_AFTER", "never", "90s"),
        ("MAIN_SERVICE_NOTIFY_SECRET", "secret", "whsec_"),
        ("MAIN_SERVICE_NOTIFY_SECRET", "whsec_c2hvcnQ=", "24 to 64"),
        ("HOOKS_HTTP_URL", "example.org/hooks", "https://example.org/hook"),
        ("HOOKS_HTTP_URL", "ftp://example.org/hooks", "https://example.org/hook"),
        ("HOOKS_HTTP_URL", "http://example.org/hooks#a", "https://example.org/hook"),
        ("HOOKS_HTTP_URL", "http://[::1/hooks", "https://example.org/hook"),
        ("HOOKS_HTTP_URL", "http://a.org/\r\nX: y", "https://example.org/hook"),
        ("HOOKS_ENABLED_EVENTS", "pre-create,pre-birth", "pre-finish"),
        ("HOOKS_ENABLED_EVENTS", ",", "pre-finish"),
        ("HOOKS_HTTP_RETRY", "-1", "0 to 100"),
        ("HOOKS_HTTP_RETRY", "101", "0 to 100"),
        ("HOOKS_HTTP_FORWARD_HEADERS", "Cookie: a", "X-Request-Id"),
        ("HOOKS_HTTP_FORWARD_HEADERS", "Cookie,Host", "Host belongs to one request"),
        ("HOOKS_HTTP_FORWARD_HEADERS", "webhook-id", "webhook-id belongs to one request"),
        ("HOOKS_PROGRESS_INTERVAL", "0", "90s"),
        ("CORS_ALLOW_ORIGINS", "example.org", "https://example.org"),
        ("CORS_ALLOW_ORIGINS", "https://e.org/path", "https://example.org"),
        ("CORS_ALLOW_ORIGINS", "https://*.e.org x", "https://example.org"),
        ("DEMO", "maybe", "true or false"),
        ("LOG_FORMAT", "xml", "json"),
        ("LOG_LEVEL", "loud", "debug"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_bad_value(variable: str, text: str, right: str) -> None:
    """A bad value is one line that names the variable and says what would be right."""
    line = complaint({variable: text})

    assert "\n" not in line
    assert line.startswith(f"{variable}: ") or right == "missing"
    assert variable in line
    assert right in line
    assert line.endswith(".")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "https://u:p@e.org/a/?b=c"])
def test_an_address_to_notify_needs_a_secret(url: str) -> None:
    """Without a secret nobody could tell what comes from here; the address is taken as it is."""
    line = complaint({"MAIN_SERVICE_NOTIFY_URL": url})
    both = load({"MAIN_SERVICE_NOTIFY_URL": url, "MAIN_SERVICE_NOTIFY_SECRET": WHSEC})

    assert line.startswith("MAIN_SERVICE_NOTIFY_SECRET is missing: ")
    assert "\n" not in line
    assert both.main_service_notify_url == url


def test_no_webhook_secret_is_repeated() -> None:
    """A secret of a wrong form is not shown."""
    assert "c2VjcmV0" not in complaint({"MAIN_SERVICE_NOTIFY_SECRET": "whsec_c2VjcmV0"})


def test_no_secret_is_repeated() -> None:
    """A wrong key is not shown: it may be the private one."""
    assert PRIVATE_PEM.splitlines()[1] not in complaint(
        {"MAIN_SERVICE_JWT_PUBLIC_KEY": PRIVATE_PEM}
    )


@pytest.mark.parametrize("variable", REQUIRED)
def test_a_missing_value(variable: str) -> None:
    """What is required is asked for by name."""
    environ = {name: value for name, value in REQUIRED.items() if name != variable}
    with pytest.raises(SettingError, match=f"^{variable} is missing: ") as caught:
        load_config({}, environ, None)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("backend", ["s3", " S3 "])
def test_s3_needs_its_settings(backend: str) -> None:
    """STORAGE_BACKEND=s3 asks for a bucket and an endpoint, one after the other."""
    environ = {"STORAGE_BACKEND": backend}
    asked = []
    for _ in range(2):
        name = complaint(environ).partition(" ")[0]
        asked.append(name)
        environ[name] = "https://s3.example"

    assert asked == ["S3_BUCKET_NAME", "S3_ENDPOINT_URL"]
    assert load(environ).storage_backend is Backend.S3


@pytest.mark.parametrize(
    ("given", "missing"),
    [("S3_ACCESS_KEY", "S3_SECRET_KEY"), ("S3_SECRET_KEY", "S3_ACCESS_KEY")],
)
def test_one_key_is_not_enough(given: str, missing: str) -> None:
    """Credentials are two keys, or none: then they come from where AWS's tools look."""
    environ = {**S3, given: "secret"}
    line = complaint({**environ, missing: ""})

    assert line.startswith(f"{missing} is missing: ")
    assert complaint(environ) == line
    assert load({**environ, missing: "other"}).storage_backend is Backend.S3
    assert load(S3).s3_access_key is None
    assert load(S3).s3_secret_key is None


def test_s3_settings_without_s3_ask_for_nothing() -> None:
    """Whoever keeps files on the disk may have a key in the environment for other programs."""
    assert load({"S3_ACCESS_KEY": "a"}).storage_backend is Backend.LOCAL


def test_the_defaults_of_s3() -> None:
    """What the contract says of a server that was told only where its bucket is."""
    config = load(S3)

    assert config.s3_region_name is None
    assert (config.s3_part_size, config.s3_memory) == (8 << 20, 48 << 20)
    assert (config.s3_url_style, config.s3_download) == (UrlStyle.PLAIN, S3Download.STREAM)
    assert config.s3_url_expires == timedelta(hours=1)


def test_every_setting_is_tested() -> None:
    """No setting is added without a good value here."""
    tested = {variable.lower() for variable, _, _ in GOOD}
    untested = {each.name for each in fields(Config)} - tested

    assert untested == {
        *("main_service_jwt_public_key", "main_service_jwt_public_key_file"),
        "main_service_notify_url",
    }


# --- the public key


def test_a_key_with_written_line_ends() -> None:
    """Line ends of the PEM may be written as a backslash and an n."""
    config = load({"MAIN_SERVICE_JWT_PUBLIC_KEY": PUBLIC_PEM.replace("\n", "\\n")})

    assert (config.main_service_jwt_public_key or "").strip() == PUBLIC_PEM.strip()


def test_a_key_from_a_file(tmp_path: Path) -> None:
    """MAIN_SERVICE_JWT_PUBLIC_KEY_FILE names a file with the PEM."""
    path = tmp_path / "key.pem"
    path.write_text(PUBLIC_PEM)
    environ = {"MAIN_SERVICE_JWT_PUBLIC_KEY": "", "MAIN_SERVICE_JWT_PUBLIC_KEY_FILE": str(path)}

    assert load(environ).main_service_jwt_public_key == PUBLIC_PEM.strip()


def test_a_key_from_a_file_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is the home here as in every other path."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key.pem").write_text(PUBLIC_PEM)
    environ = {"MAIN_SERVICE_JWT_PUBLIC_KEY": "", "MAIN_SERVICE_JWT_PUBLIC_KEY_FILE": "~/key.pem"}

    assert load(environ).main_service_jwt_public_key == PUBLIC_PEM.strip()


def test_the_key_wins_over_the_file(tmp_path: Path) -> None:
    """When both are given the file is not even read."""
    environ = {"MAIN_SERVICE_JWT_PUBLIC_KEY_FILE": str(tmp_path / "none")}

    assert load(environ).main_service_jwt_public_key == PUBLIC_PEM.strip()


@pytest.mark.parametrize("content", [None, b"secret", b"\xff\xfe"])
def test_a_file_without_a_key(content: bytes | None, tmp_path: Path) -> None:
    """A file that is not there, or holds no key, is one line that names the variable."""
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    environ = {"MAIN_SERVICE_JWT_PUBLIC_KEY": "", "MAIN_SERVICE_JWT_PUBLIC_KEY_FILE": str(path)}
    line = complaint(environ)

    assert "MAIN_SERVICE_JWT_PUBLIC_KEY" in line
    assert "\n" not in line


# --- where values come from


@pytest.fixture
def dotenv(tmp_path: Path) -> Path:
    """A file .env that sets the port."""
    path = tmp_path / ".env"
    path.write_text("PORT=1\n")
    return path


@pytest.mark.parametrize(
    ("flag", "environ", "expected"),
    [
        ("3", "2", 3),
        ("", "2", 2),
        (None, "2", 2),
        (None, "", 1),
        ("", "", 1),
        (None, None, 1),
        ("3", None, 3),
    ],
)
def test_which_value_counts(
    flag: str | None, environ: str | None, expected: int, dotenv: Path
) -> None:
    """The flag wins, then the environment, then .env; an empty text counts as not given."""
    variables = REQUIRED if environ is None else {**REQUIRED, "PORT": environ}
    config = load_config({"port": flag}, variables, dotenv)

    assert config.port == expected


def test_everything_empty_is_the_default() -> None:
    """Empty settings are unset ones, as compose files write them."""
    assert load({each.name.upper(): "" for each in fields(Config)} | REQUIRED) == load()


def test_a_missing_dotenv_is_no_error(tmp_path: Path) -> None:
    """Most servers have none."""
    assert load_config({}, REQUIRED, tmp_path / ".env") == load()


def test_dotenv_holds_a_key(tmp_path: Path) -> None:
    """The key may stand in .env, quoted, over several lines or one."""
    path = tmp_path / ".env"
    environ = {name: value for name, value in REQUIRED.items() if "KEY" not in name}
    for written in (PUBLIC_PEM, PUBLIC_PEM.replace("\n", "\\n")):
        path.write_text(f'# comment\nMAIN_SERVICE_JWT_PUBLIC_KEY="{written}"\n')
        config = load_config({}, environ, path)

        assert (config.main_service_jwt_public_key or "").strip() == PUBLIC_PEM.strip()


def test_dotenv_is_taken_literally(tmp_path: Path) -> None:
    """A secret with a dollar sign is that secret."""
    path = tmp_path / ".env"
    path.write_text("S3_SECRET_KEY='a${HOME}b'\n")

    assert load_config({}, REQUIRED, path).s3_secret_key == "a${HOME}b"


def test_a_dotenv_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A .env that is no text is one line, not a traceback."""
    path = tmp_path / ".env"
    path.write_bytes(b"PORT=\xff\xfe\n")

    with pytest.raises(SettingError, match=r"\.env"):
        load_config({}, REQUIRED, path)


def test_unknown_variables_are_nobodys_business() -> None:
    """The environment is full of other programs' variables."""
    assert load({"PATH": "/bin", "PORTS": "x"}) == load()


# --- flags and tables


def test_every_setting_is_a_flag() -> None:
    """`LOCAL_TEMP_CHUNK_PATH` is `--local-temp-chunk-path`."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser)
    parsed = vars(parser.parse_args(["--local-temp-chunk-path", "/data", "--port=9"]))

    assert parsed.keys() == {each.name for each in fields(Config)}
    assert (parsed["local_temp_chunk_path"], parsed["port"]) == ("/data", "9")


def test_every_setting_is_in_the_table() -> None:
    """The table in the documentation has one row a setting, with its default and its help."""
    rows = settings_table().splitlines()[2:]

    assert [row.split("|")[1].strip(" `") for row in rows] == [
        each.name.upper() for each in fields(Config)
    ]
    assert all(row.count(" | ") == 2 for row in rows)


def test_a_config_does_not_change() -> None:
    """Settings are read once."""
    with pytest.raises(AttributeError):
        load().port = 1  # type: ignore[misc] # what must not be possible
