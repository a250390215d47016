"""Checksums a client can claim for a body, and the digest that verifies itself."""

import base64
import hashlib
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tusd_py.errors import BadRequest, ChecksumMismatch

SHA256_SIZE = 32
"""Bytes of a SHA-256."""

_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{43}=")

SHA256_PATTERN = f"^({_HEX.pattern}|{_BASE64.pattern})$"
"""What `sha256_of_text` takes, as a regular expression of ECMA-262."""


class _Hash(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc32:
    """CRC-32 (ISO-HDLC) with the face of hashlib; four bytes, big-endian."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


ALGORITHMS: dict[str, tuple[Callable[[], _Hash], int]] = {
    "sha1": (lambda: hashlib.sha1(usedforsecurity=False), 20),
    "sha256": (hashlib.sha256, 32),
    "sha512": (hashlib.sha512, 64),
    "md5": (lambda: hashlib.md5(usedforsecurity=False), 16),
    "crc32": (_Crc32, 4),
}
"""Name as in Tus-Checksum-Algorithm -> how to compute it, size of its digest in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checksum:
    """What the client claims about a body (tus 1.0.0, Checksum extension).

    Raises `BadRequest` for an unknown algorithm or a digest of the wrong size.
    """

    algorithm: str
    digest: bytes

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise BadRequest(f"Upload-Checksum: use one of {', '.join(ALGORITHMS)}.")
        _, size = ALGORITHMS[self.algorithm]
        if len(self.digest) != size:
            raise BadRequest(f"Upload-Checksum: a {self.algorithm} digest has {size} bytes.")


class Digest:
    """The digest of the bytes that really came."""

    def __init__(self, checksum: Checksum) -> None:
        self._claimed = checksum
        make, _ = ALGORITHMS[checksum.algorithm]
        self._hash = make()

    def update(self, block: bytes | memoryview, /) -> None:
        """Take the next bytes of the body."""
        self._hash.update(block)

    def verify(self) -> None:
        """Raise `ChecksumMismatch` unless the bytes are the claimed ones."""
        if self._hash.digest() != self._claimed.digest:
            raise ChecksumMismatch("Checksum Mismatch: the bytes were discarded; send them again.")


def sha256_of(value: bytes) -> bytes:
    """The SHA-256 in a client's metadata: as `sha256_of_text`, or the 32 bytes themselves."""
    is_text = value.isascii() and value.decode().isprintable()
    if len(value) == SHA256_SIZE and not is_text:  # an MD5 is 32 digits, but never meant
        return value
    return sha256_of_text(value.decode("ascii", "replace"))


def sha256_of_text(text: str) -> bytes:
    """The SHA-256 that a client wrote: 64 hexadecimal digits, or Base64. Raises `BadRequest`."""
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    if _BASE64.fullmatch(text):
        return base64.b64decode(text)
    raise BadRequest("sha256: send the digest of the whole file, in hexadecimal or in Base64.")
