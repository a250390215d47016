"""Names that clients choose, as path segments that are safe on every storage."""

import re

from tusd_py.errors import BadRequest

MAX_BYTES = 255
"""Longest path segment in UTF-8 bytes (NAME_MAX of Linux file systems)."""

_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def is_segment(name: str) -> bool:
    """Whether `name` can be a path segment as it is. A leading dot is kept for the server."""
    return (
        0 < len(name.encode("utf-8", "surrogatepass")) <= MAX_BYTES
        and not name.startswith(".")
        and _UNSAFE.search(name) is None
    )


def safe_filename(name: str) -> str:
    """`name` byte for byte when it is harmless, else made harmless and still readable.

    Separators, control characters and lone surrogates become `_`; `.` and `..` become `_` and
    `__`; a name over 255 UTF-8 bytes loses the end of its stem and keeps its extension.
    Raises `BadRequest` when it is empty.
    """
    if not name:
        raise BadRequest("The file name is empty; give the file a name.")
    safe = _UNSAFE.sub("_", name)
    if safe in {".", ".."}:
        return "_" * len(safe)
    if len(safe.encode()) <= MAX_BYTES:
        return safe
    stem, dot, extension = safe.rpartition(".")
    if not dot or len(extension.encode()) > 32:
        stem, dot, extension = safe, "", ""
    room = MAX_BYTES - len((dot + extension).encode())
    return stem.encode()[:room].decode(errors="ignore") + dot + extension
