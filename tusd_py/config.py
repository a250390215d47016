"""Config: the settings, one line each, from flags, environment and .env; checked at start."""

import argparse
import itertools
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from dotenv import dotenv_values

from tusd_py import setting_types as read
from tusd_py.setting_types import (
    Backend,
    DigestKind,
    Durability,
    EventLoop,
    LogFormat,
    LogLevel,
    Network,
    Notification,
    Rate,
    S3Download,
    SettingError,
    UrlStyle,
)
from tusd_py.verdict import Hook

T = TypeVar("T")

_KEY = "main_service_jwt_public_key"
_KEY_FILE = f"{_KEY}_file"


def _setting(parse: Callable[[str], T], meaning: str, shown: str, default: T) -> T:
    """One optional setting: how its text is read, what it means, its default as shown."""
    made: T = field(default=default, metadata={"parse": parse, "help": meaning, "shown": shown})
    return made


def _required(parse: Callable[[str], T], meaning: str) -> T:
    """One setting without which the server does not start, unless a program that it is a part of
    brings its own authentication."""
    made: T = field(default=None, metadata={"parse": parse, "help": meaning, "shown": "required"})  # type: ignore[assignment] # the type of the field says so
    return made


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings, each checked as it was read; `require_whole` checks them together. The variable
    of a field is its name in upper case.

    `load_config` makes one from texts, a program that the server is a part of from values.
    """

    main_service_jwt_public_key: str | None = _required(read.public_key, "RSA public key of the main service, PEM; line ends may be written as \\n (or give MAIN_SERVICE_JWT_PUBLIC_KEY_FILE)")
    main_service_jwt_public_key_file: Path | None = _setting(read.path, "file with that PEM, used when the key itself is not given", "none", None)
    jwt_algorithm: str = _setting(read.algorithm, "algorithm of the tokens; only RS256 is accepted", "RS256", "RS256")
    expected_jwt_issuer: str | None = _required(read.text, "`iss` that every token must have")
    expected_jwt_audience: str | None = _required(read.text, "`aud` that every token must have")
    jwt_user_id_claim: str | None = _setting(read.text, "claim that holds the user id, a string or an integer that can be a folder name", "user_id, then sub", None)
    storage_backend: Backend = _setting(read.backend, "where uploads and finished files are kept: local, or s3 for any S3-compatible store", "local", Backend.LOCAL)
    local_temp_chunk_path: Path = _setting(read.path, "folder of uploads in progress, with local storage of finished files too, in final/ below it; with s3 for what does not fit into memory, and for locks", "/tmp/hayula_chunks", Path("/tmp/hayula_chunks"))
    durability: Durability = _setting(read.durability, "what is on the medium of local storage when it is answered: default, finished files; strict, every offset and chunk, too", "default", Durability.DEFAULT)
    s3_access_key: str | None = _setting(read.text, "S3 access key id; without it and the secret, credentials are looked for where AWS's tools do (environment, profile, role)", "none", None)
    s3_secret_key: str | None = _setting(read.text, "S3 secret access key", "none", None)
    s3_bucket_name: str | None = _setting(read.text, "S3 bucket, required for s3; give it to this service alone", "none", None)
    s3_endpoint_url: str | None = _setting(read.http_url, "address of the S3 store, required for s3, such as https://s3.eu-central-1.amazonaws.com", "none", None)
    s3_region_name: str | None = _setting(read.text, "S3 region, where the store has several", "none", None)
    s3_part_size: int = _setting(read.part_size, "bytes of one part of a multipart upload, 5MiB to 5GiB; larger for files that need more than 10000 of them", "8MiB", 8 << 20)
    s3_memory: int = _setting(read.memory, "memory for parts on their way, of all uploads together; beyond it they are written to LOCAL_TEMP_CHUNK_PATH", "48MiB", 48 << 20)
    s3_url_style: UrlStyle = _setting(read.url_style, "URLs of finished files: plain, or presigned, which anybody can read for S3_URL_EXPIRES", "plain", UrlStyle.PLAIN)
    s3_url_expires: timedelta = _setting(read.url_life, "life of presigned URLs, 1s to 7d", "1h", timedelta(hours=1))
    s3_download: S3Download = _setting(read.s3_download, "how a finished file is downloaded from the tus face: stream through this server, or redirect (302) to a presigned URL", "stream", S3Download.STREAM)
    digest: DigestKind = _setting(read.digest, "digest of the whole file that every file gets, while it is received: none, or sha256; a client's own sha256 is checked in any case", "none", DigestKind.NONE)
    host: str = _setting(read.text, "address to listen on", "0.0.0.0", "0.0.0.0")
    port: int = _setting(read.port, "TCP port to listen on; 0 takes a free one", "8000", 8000)
    workers: int | None = _setting(read.workers, "processes that serve at this address, 1 to 64; one that ends is replaced, and limits hold for all together; auto is one for each processor core the server may use, at most 4", "auto", None)
    event_loop: EventLoop = _setting(read.event_loop, "the event loop of Python: uvloop, which is faster, where it is installed; or asyncio", "uvloop", EventLoop.UVLOOP)
    tus_base_path: str = _setting(read.base_path, "path of the tus face, with a slash at both ends", "/files/", "/files/")
    public_url: str | None = _setting(read.http_url, "scheme, host and path prefix that clients see, for Location, such as https://example.org/upload-service", "none", None)
    trusted_proxies: tuple[Network, ...] = _setting(read.networks, "addresses (CIDR, comma separated) whose Forwarded and X-Forwarded-* headers are believed; * for all", "none", ())
    max_upload_size: int | None = _setting(read.size, "most bytes of one upload, such as 5GiB or 500000", "unlimited", None)
    max_chunks: int = _setting(read.count, "most REST chunks of one upload", "10000", 10_000)
    max_metadata_size: int = _setting(read.field_size, "most bytes of the header Upload-Metadata, up to 64KiB", "16KiB", 16 << 10)
    max_open_uploads_per_user: int | None = _setting(read.count_or_unlimited, "most uploads of one user that are no finished files yet, or unlimited", "1000", read.count_or_unlimited("1000"))
    user_quota: int | None = _setting(read.size, "most bytes of all uploads of one user, finished and open, such as 50GiB", "unlimited", None)
    rate_limit: Rate | None = _setting(read.rate, "most requests of one user, such as 100/s, 6000/m or 50000/h", "none", None)
    min_free_disk: int = _setting(read.disk_space, "bytes of local storage that no new upload may use up, for those that have begun; 0 switches it off", "100MiB", 100 << 20)
    upload_expires_after: timedelta = _setting(read.duration, "life of an unfinished upload since its last byte, such as 90s, 15m, 24h or 7d", "24h", timedelta(hours=24))
    sweep_interval: timedelta = _setting(read.duration, "time between two passes of the expiry sweeper", "60s", timedelta(seconds=60))
    direct_io_size: int | None = _setting(read.size, "bodies and downloads of at least so many bytes go straight between the socket and the storage, past the HTTP library, where the connection allows it; unlimited for none", "256KiB", read.size("256KiB"))
    max_connections: int = _setting(read.count, "most connections at once; a new one takes the place of the one that is idle, or takes no answer, the longest, and is answered 503 when none is idle; less where the process may open fewer than 3 files a connection", "4096", 4096)
    max_requests_per_user: int = _setting(read.count, "most requests of one user at work at once; the next one is 429. HEAD, DELETE and OPTIONS do not count", "512", 512)
    header_timeout: timedelta = _setting(read.duration, "time for the head of a request, from its first byte or the start of the connection; then the connection closes", "15s", timedelta(seconds=15))
    body_timeout: timedelta = _setting(read.duration, "longest silence of a client in the middle of a body, or while it is given an answer; then the connection closes", "60s", timedelta(seconds=60))
    min_transfer_rate: int = _setting(read.transfer_rate, "fewest bytes a second of a body, on average over 30s, or BODY_TIMEOUT if that is longer, of waiting for the client; 0 for no limit", "256", 256)
    shutdown_delay: timedelta = _setting(read.delay, "time between SIGTERM and the end of normal service, in which /readyz is 503 already, for load balancers to notice", "0s", timedelta(0))
    shutdown_timeout: timedelta = _setting(read.duration, "time in which the process has left after SIGTERM and SHUTDOWN_DELAY; requests that still run are cut", "20s", timedelta(seconds=20))
    main_service_notify_url: str | None = _setting(read.endpoint, "address of the main service to which events are POSTed, such as https://example.org/uploads/events; without it nobody is notified", "none", None)
    main_service_notify_secret: tuple[bytes, ...] = _setting(read.webhook_secrets, "key that signs what is sent there (Standard Webhooks): whsec_ and base64 of 24 to 64 random bytes; required with the URL; several, comma separated, while one replaces another", "none", ())
    notify_events: frozenset[Notification] = _setting(read.notifications, "what the main service is told, comma separated: completed, created, terminated, expired, progress", "completed", frozenset({Notification.COMPLETED}))
    notify_wait: timedelta = _setting(read.delay, "longest that POST /upload/complete waits for the main service to take the notification; 0 for not at all", "2s", timedelta(seconds=2))
    notify_timeout: timedelta = _setting(read.duration, "time in which the main service has to answer a notification", "15s", timedelta(seconds=15))
    notify_give_up_after: timedelta = _setting(read.duration, "time since the first try after which a notification is not tried any more, until an operator says so", "24h", timedelta(hours=24))
    notify_progress_interval: timedelta = _setting(read.duration, "least time between two progress events of one upload", "10s", timedelta(seconds=10))
    hooks_http_url: str | None = _setting(read.endpoint, "address that is asked and told by POST what happens to uploads, in the JSON of tusd v2, such as http://127.0.0.1:9000/hooks; signed where MAIN_SERVICE_NOTIFY_SECRET is set", "none", None)
    hooks_enabled_events: frozenset[Hook] = _setting(read.hooks, "which hooks, comma separated: pre-create, post-create, post-receive, pre-finish, post-finish, pre-terminate, post-terminate", "pre-create,post-create,post-receive,post-finish,post-terminate", read.hooks("pre-create,post-create,post-receive,post-finish,post-terminate"))
    hooks_http_timeout: timedelta = _setting(read.duration, "time for the answer of a hook, all tries together; then it is taken to refuse", "15s", timedelta(seconds=15))
    hooks_http_retry: int = _setting(read.retries, "how often a hook is asked again that cannot be reached or answers 5xx", "3", 3)
    hooks_http_backoff: timedelta = _setting(read.delay, "time between two tries of a hook", "1s", timedelta(seconds=1))
    hooks_http_forward_headers: tuple[str, ...] = _setting(read.field_names, "header fields of the client that a hook gets as its own, comma separated, such as X-Request-Id; Authorization and Cookie are sent only when named here", "none", ())
    hooks_progress_interval: timedelta = _setting(read.duration, "time between two calls of post-receive while bytes of an upload come", "1s", timedelta(seconds=1))
    cors_allow_origins: tuple[str, ...] = _setting(read.origins, "origins of web pages that may use the server, exact, comma separated; * for all", "*", ("*",))
    demo: bool = _setting(read.flag, "whether / serves the demo page: true or false", "false", False)
    api_docs: bool = _setting(read.flag, "whether the REST face is described, at /openapi.json for programs and at /docs for people: true or false", "true", True)
    log_format: LogFormat = _setting(read.log_format, "text for people or json for machines", "text", LogFormat.TEXT)
    log_level: LogLevel = _setting(read.log_level, "debug, info, warning or error", "info", LogLevel.INFO)
    otel_exporter_otlp_endpoint: str | None = _setting(read.http_url, "OpenTelemetry collector, OTLP over HTTP, to which traces are sent, such as http://127.0.0.1:4318; needs the extra tusd_py[otel]; all other variables OTEL_* are read from the environment", "none", None)
# fmt: on


def load_config(
    flags: Mapping[str, str | None], environ: Mapping[str, str], dotenv: Path | None
) -> Config:
    """Read the settings: a flag wins, then the environment, then the file `dotenv`.

    `flags` are named as the fields; an empty text counts as not given.
    Raises `SettingError`, one line that names the variable and says what would be right.
    """
    file = _dotenv(dotenv) if dotenv is not None and dotenv.is_file() else {}
    raw = {}
    for each in fields(Config):
        variable = each.name.upper()
        for value in (flags.get(each.name), environ.get(variable), file.get(variable)):
            if value and value.strip():
                raw[each.name] = value
                break
    if flags.get(_KEY_FILE) and not flags.get(_KEY):
        raw.pop(_KEY, None)  # a flag wins, also over the key itself in the environment
    return _read(raw)


def require_whole(config: Config) -> None:
    """Raise `SettingError` when a setting lacks another one that it needs. The settings of tokens
    are not looked at: a program that the server is a part of may have no use for them."""
    if config.storage_backend is Backend.S3:
        for name in ("s3_bucket_name", "s3_endpoint_url"):
            if not getattr(config, name):
                raise SettingError(f"{name.upper()} is missing: STORAGE_BACKEND=s3 needs it.")
        for name, other in itertools.permutations(("s3_access_key", "s3_secret_key")):
            if not getattr(config, name) and getattr(config, other):
                raise SettingError(f"{name.upper()} is missing: give both keys, or neither.")
    if config.main_service_notify_url and not config.main_service_notify_secret:
        raise SettingError(
            "MAIN_SERVICE_NOTIFY_SECRET is missing: MAIN_SERVICE_NOTIFY_URL needs it; make one with "
            'echo "whsec_$(openssl rand -base64 32)".'
        )


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give a command every setting as a flag."""
    group = parser.add_argument_group(
        "settings", "Each is also an environment variable, or a line in a file .env."
    )
    for each in fields(Config):
        group.add_argument(
            "--" + each.name.replace("_", "-"),
            metavar=each.name.upper(),
            help=f"{each.metadata['help']} ({each.metadata['shown']})".replace("%", "%%"),
        )


def settings_table() -> str:
    """The settings as a table in Markdown (docs/configuration.md)."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for each in fields(Config):
        meaning = each.metadata["help"].replace("|", "\\|")
        lines.append(f"| `{each.name.upper()}` | {each.metadata['shown']} | {meaning} |")
    return "\n".join(lines) + "\n"


def _dotenv(path: Path) -> Mapping[str, str | None]:
    """The lines of a file .env, taken as they are: `$` in a secret stands for itself."""
    try:
        return dotenv_values(path, interpolate=False)
    except (OSError, ValueError) as error:
        raise SettingError(f"{path} cannot be read; make it a text file in UTF-8.") from error


def _read(raw: dict[str, str]) -> Config:
    if _KEY not in raw and _KEY_FILE in raw:
        raw[_KEY] = _key_file(raw[_KEY_FILE])
    values: dict[str, Any] = {
        each.name: _value(each, raw.get(each.name)) for each in fields(Config)
    }
    config = Config(**values)
    require_whole(config)
    return config


def _value(each: Field[object], text: str | None) -> object:
    variable = each.name.upper()
    if text is None:
        if each.metadata["shown"] == "required":
            raise SettingError(f"{variable} is missing: {each.metadata['help']}.")
        return each.default
    try:
        value: object = each.metadata["parse"](text)
    except ValueError as error:
        raise SettingError(f"{variable}: {error}") from error
    return value


def _key_file(name: str) -> str:
    try:
        return read.path(name).read_text()
    except (OSError, ValueError) as error:
        raise SettingError(
            f"MAIN_SERVICE_JWT_PUBLIC_KEY_FILE: {name} cannot be read; name a PEM file."
        ) from error
