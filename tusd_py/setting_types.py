"""How the text of each kind of setting is read; `ValueError` says what would be right."""

import base64
import ipaddress
import re
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tusd_py.verdict import Hook, is_field_name

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {
    "": 1,
    "b": 1,
    **{unit: 1000**n for n, unit in enumerate(("kb", "mb", "gb", "tb"), 1)},
    **{unit: 1024**n for n, unit in enumerate(("kib", "mib", "gib", "tib"), 1)},
}


_OF_ONE_REQUEST = {
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


class SettingError(Exception):
    """A setting is missing or wrong. `str(error)` names it and says what would be right."""


class Backend(Enum):
    """Where finished files go."""

    LOCAL = "local"
    S3 = "s3"


class Durability(Enum):
    """What is on the medium when it is answered."""

    DEFAULT = "default"
    STRICT = "strict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many times in so many seconds."""

    count: int
    seconds: int


class EventLoop(Enum):
    """What waits for sockets and timers."""

    UVLOOP = "uvloop"
    ASYNCIO = "asyncio"


class DigestKind(Enum):
    """Which digest of the whole file every file gets."""

    NONE = "none"
    SHA256 = "sha256"


class UrlStyle(Enum):
    """Which URLs of finished files users are told."""

    PLAIN = "plain"
    PRESIGNED = "presigned"


class S3Download(Enum):
    """Who sends a finished file that lies in an S3 store."""

    STREAM = "stream"
    REDIRECT = "redirect"


class Notification(Enum):
    """What the main service can be told of an upload."""

    CREATED = "created"
    PROGRESS = "progress"
    COMPLETED = "completed"
    TERMINATED = "terminated"
    EXPIRED = "expired"


class LogFormat(Enum):
    """For whom the log is written."""

    TEXT = "text"
    JSON = "json"


class LogLevel(Enum):
    """The least important events that are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def text(value: str) -> str:
    """Any text but spaces."""
    if not value.strip():
        raise ValueError("give a text.")
    return value.strip()


def path(value: str) -> Path:
    """A path, made absolute."""
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError:
        raise ValueError("give a folder or file; there is no such user's home.") from None


def port(value: str) -> int:
    """A TCP port."""
    number = _integer(value, "give a port from 0 to 65535")
    if number > 65535:
        raise ValueError("give a port from 0 to 65535.")
    return number


def count(value: str) -> int:
    """A number above zero."""
    number = _integer(value, "give a whole number above 0")
    if not number:
        raise ValueError("give a whole number above 0.")
    return number


def workers(value: str) -> int | None:
    """A number of processes; None for `auto`."""
    if value.strip().lower() == "auto":
        return None
    number = _integer(value, "give a whole number from 1 to 64, or auto")
    if not 1 <= number <= 64:
        raise ValueError("give a whole number from 1 to 64, or auto.")
    return number


def event_loop(value: str) -> EventLoop:
    """uvloop or asyncio."""
    try:
        return EventLoop(value.strip().lower())
    except ValueError:
        raise ValueError("choose uvloop or asyncio.") from None


def count_or_unlimited(value: str) -> int | None:
    """A number above zero; None for `unlimited`."""
    if _is_unlimited(value):
        return None
    try:
        return count(value)
    except ValueError:
        raise ValueError("give a whole number above 0, or unlimited.") from None


def rate(value: str) -> Rate | None:
    """So many times in a second, a minute or an hour; None for `none`."""
    if _is_unlimited(value):
        return None
    match = re.fullmatch(r"([0-9]{1,9})\s*/\s*([smh])", value.strip().lower())
    if match is None or not int(match[1]):
        raise ValueError("give a rate such as 100/s, 6000/m or 50000/h, or none.")
    return Rate(count=int(match[1]), seconds=_UNITS[match[2]])


def size(value: str) -> int | None:
    """Bytes, with or without a unit; None for `unlimited`."""
    if _is_unlimited(value):
        return None
    match = re.fullmatch(r"([0-9]{1,15})\s*([a-z]*)", value.strip().lower())
    if match is None or match[2] not in _SIZES:
        raise ValueError("give bytes, such as 500000, 500MB or 5GiB, or unlimited.")
    factor: int = _SIZES[match[2]]
    return int(match[1]) * factor


def transfer_rate(value: str) -> int:
    """Bytes a second, with or without a unit; 0 for no limit."""
    try:
        bytes_a_second = size(value)
    except ValueError:
        bytes_a_second = None
    if bytes_a_second is None:
        raise ValueError("give bytes a second, such as 256 or 1KiB, or 0 for no limit.")
    return bytes_a_second


def delay(value: str) -> timedelta:
    """A length of time, in seconds unless it has a unit; 0 for none."""
    if re.fullmatch(r"0+(?:\.0+)?\s*[smhd]?", value.strip().lower()):
        return timedelta(0)
    return duration(value)


def duration(value: str) -> timedelta:
    """A length of time above zero, in seconds unless it has a unit."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*([smhd]?)", value.strip().lower())
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < seconds < 10**10:
        raise ValueError("give a time such as 90s, 15m, 24h or 7d.")
    return timedelta(seconds=seconds)


def flag(value: str) -> bool:
    """true or false."""
    if value.strip().lower() in {"true", "1", "yes", "on"}:
        return True
    if value.strip().lower() in {"false", "0", "no", "off"}:
        return False
    raise ValueError("say true or false.")


def backend(value: str) -> Backend:
    """local or s3."""
    try:
        return Backend(value.strip().lower())
    except ValueError:
        raise ValueError("choose local or s3.") from None


def durability(value: str) -> Durability:
    """default or strict."""
    try:
        return Durability(value.strip().lower())
    except ValueError:
        raise ValueError("choose default or strict.") from None


def digest(value: str) -> DigestKind:
    """none or sha256."""
    try:
        return DigestKind(value.strip().lower())
    except ValueError:
        raise ValueError("choose none or sha256.") from None


def part_size(value: str) -> int:
    """Bytes of a part, as S3 allows them: whole MiB, rounded up."""
    number = size(value)
    if number is None or not 5 << 20 <= number <= 5 << 30:
        raise ValueError("give bytes from 5MiB to 5GiB, such as 16MiB.")
    return -(-number >> 20) << 20


def memory(value: str) -> int:
    """Bytes of memory."""
    number = size(value)
    if number is None:
        raise ValueError("give bytes, such as 96MiB.")
    return number


def disk_space(value: str) -> int:
    """Bytes of a disk; 0 for none."""
    try:
        number = size(value)
    except ValueError:
        number = None
    if number is None:
        raise ValueError("give bytes, such as 100MiB, or 0 for none.")
    return number


def field_size(value: str) -> int:
    """Bytes of a header field, of which aiohttp reads MAX_FIELD (server.py)."""
    try:
        number = size(value)
    except ValueError:
        number = None
    if number is None or number > 64 << 10:
        raise ValueError("give bytes up to 64KiB, such as 16KiB.")
    return number


def url_life(value: str) -> timedelta:
    """As long as a presigned URL may live (SigV4: at most seven days)."""
    life = duration(value)
    if not timedelta(seconds=1) <= life <= timedelta(days=7):
        raise ValueError("give a time from 1s to 7d, such as 15m.")
    return life


def url_style(value: str) -> UrlStyle:
    """plain or presigned."""
    try:
        return UrlStyle(value.strip().lower())
    except ValueError:
        raise ValueError("choose plain or presigned.") from None


def s3_download(value: str) -> S3Download:
    """stream or redirect."""
    try:
        return S3Download(value.strip().lower())
    except ValueError:
        raise ValueError("choose stream or redirect.") from None


def log_format(value: str) -> LogFormat:
    """text or json."""
    try:
        return LogFormat(value.strip().lower())
    except ValueError:
        raise ValueError("choose text or json.") from None


def log_level(value: str) -> LogLevel:
    """One of four levels."""
    try:
        return LogLevel(value.strip().lower())
    except ValueError:
        raise ValueError("choose debug, info, warning or error.") from None


def algorithm(value: str) -> str:
    """RS256: a symmetric family, or none at all, would let clients make their own tokens."""
    if value.strip().upper() != "RS256":
        raise ValueError("only RS256 is accepted.")
    return "RS256"


def public_key(value: str) -> str:
    """An RSA public key of at least 2048 bits, in PEM."""
    pem = value.replace("\\n", "\n").strip()
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("give an RSA public key in PEM (-----BEGIN PUBLIC KEY-----).") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < 2048:
        raise ValueError("give an RSA public key of at least 2048 bits.")
    return pem


def base_path(value: str) -> str:
    """A path with a slash at both ends."""
    if re.fullmatch(r"/(?:[A-Za-z0-9._~-]+/)+", value.strip()) is None or "/." in value:
        raise ValueError("give a path with a slash at both ends, such as /files/.")
    if value.strip().startswith("/upload/"):
        raise ValueError("/upload/ is the REST face; choose another path.")
    return value.strip()


def http_url(value: str) -> str:
    """An http or https address without a trailing slash."""
    stripped = value.strip().rstrip("/")
    try:
        parts = urlsplit(stripped)
    except ValueError:
        raise ValueError("give an address such as https://example.org.") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("give an address such as https://example.org.")
    return stripped


def endpoint(value: str) -> str:
    """An http or https address that is called as it is, with its path and query."""
    stripped = value.strip()
    try:
        parts = urlsplit(stripped)
        right = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        right = False
    if not right or parts.fragment or re.search(r"[\s\x00-\x1f\x7f]", stripped):
        raise ValueError("give an address such as https://example.org/hook.")
    return stripped


def notifications(value: str) -> frozenset[Notification]:
    """Kinds of events, by name."""
    names = {part.strip().lower() for part in value.split(",")} - {""}
    known = {each.value for each in Notification}
    if not names or not names <= known:
        raise ValueError(f"name some of {', '.join(each.value for each in Notification)}.")
    return frozenset(map(Notification, names))


def webhook_secrets(value: str) -> tuple[bytes, ...]:
    """Keys of 24 to 64 bytes, as Standard Webhooks writes them; the first is the newest."""
    return tuple(_webhook_secret(part.strip()) for part in value.split(",") if part.strip())


def _webhook_secret(value: str) -> bytes:
    right = "give whsec_ and base64 of 24 to 64 random bytes; several with commas between"
    if not value.startswith("whsec_"):
        raise ValueError(f"{right}.")
    encoded = value.removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        raise ValueError(f"{right}.") from None
    if not 24 <= len(key) <= 64:
        raise ValueError(f"{right}.")
    return key


def hooks(value: str) -> frozenset[Hook]:
    """Hooks by their names in tusd."""
    names = {part.strip().lower() for part in value.split(",")} - {""}
    known = {each.value for each in Hook}
    if not names or not names <= known:
        raise ValueError(f"name some of {', '.join(each.value for each in Hook)}.")
    return frozenset(map(Hook, names))


def retries(value: str) -> int:
    """A number that may be 0."""
    number = _integer(value, "give a whole number from 0 to 100")
    if number > 100:
        raise ValueError("give a whole number from 0 to 100.")
    return number


def field_names(value: str) -> tuple[str, ...]:
    """Names of header fields that one request can take from another."""
    names = tuple(part.strip() for part in value.split(",") if part.strip())
    if not names or not all(map(is_field_name, names)):
        raise ValueError("give names of header fields such as Cookie, X-Request-Id.")
    for name in names:
        if name.lower() in _OF_ONE_REQUEST or name.lower().startswith("webhook-"):
            raise ValueError(f"{name} belongs to one request; name others, such as X-Request-Id.")
    return names


def networks(value: str) -> tuple[Network, ...]:
    """Networks in CIDR notation; * stands for all."""
    if value.strip() == "*":
        return (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in value.split(","))
    except ValueError:
        raise ValueError("give addresses such as 10.0.0.0/8, 127.0.0.1, or *.") from None


def origins(value: str) -> tuple[str, ...]:
    """Origins as browsers send them; * stands for all."""
    found = tuple(part.strip().rstrip("/").lower() for part in value.split(",") if part.strip())
    for origin in found:
        if origin != "*" and re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s]+|null", origin) is None:
            raise ValueError("give origins such as https://example.org, or *.")
    return found


def _is_unlimited(value: str) -> bool:
    return value.strip().lower() in {"unlimited", "none"}


def _integer(value: str, right: str) -> int:
    if re.fullmatch(r"[0-9]{1,9}", value.strip()) is None:
        raise ValueError(f"{right}.")
    return int(value)
