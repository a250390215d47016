"""How a finished file describes itself: media type and file name, for every HTTP that serves it."""

import re
from urllib.parse import quote

UNKNOWN = "application/octet-stream"

_TYPE = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100}(?:; ?charset=[A-Za-z0-9_-]{1,40})?"
)
_ACTIVE = re.compile(
    r"text/html|application/xhtml|image/svg|text/xml|application/xml|javascript", re.I
)


def disposition(filename: str) -> str:
    """Content-Disposition with an ASCII name for old clients and the true one (RFC 6266, 8187)."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", filename)
    exact = quote(filename.encode("utf-8", "replace"), safe="!#$&+^`|~")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}"


def media_type(claimed: str | None) -> str:
    """The type the client claimed, if it is one."""
    return UNKNOWN if claimed is None or _TYPE.fullmatch(claimed) is None else claimed


def safe_media_type(claimed: str | None) -> str:
    """The type the client claimed, if it is one that does not run in a browser."""
    known = media_type(claimed)
    return UNKNOWN if _ACTIVE.search(known) else known
