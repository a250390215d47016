"""The request that is being answered: what was asked, and what is known of it by now."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestInfo:
    """What a client asked. `id` is safe in any log line and header; `uri` has the query, in which
    there may be a secret; `remote` is the address of the peer; `headers` has for each name, in any
    case, the values of its lines."""

    id: str
    method: str
    uri: str
    remote: str
    headers: Mapping[str, tuple[str, ...]]


CURRENT: ContextVar[RequestInfo | None] = ContextVar("request", default=None)
"""The request that is being answered, in its task, its threads and what they begin."""

OWNER: ContextVar[str | None] = ContextVar("owner", default=None)
"""The user who asks, once that is verified."""

UPLOAD: ContextVar[str | None] = ContextVar("upload", default=None)
"""The id of the upload that is worked on."""

TRACE: ContextVar[str | None] = ContextVar("trace", default=None)
"""The id of the trace that the request is part of, while traces are written."""


def known() -> dict[str, str]:
    """What every log line says that is written meanwhile."""
    request = CURRENT.get()
    found = {
        "upload": UPLOAD.get(),
        "owner": OWNER.get(),
        "request_id": None if request is None else request.id,
        "trace_id": TRACE.get(),
    }
    return {name: value for name, value in found.items() if value is not None}
