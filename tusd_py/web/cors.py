"""CORS (Fetch standard): which pages may read the answers, errors included."""

from collections.abc import Sequence

from aiohttp import web

from tusd_py.web.reply import EXPOSED as ADDED

METHODS = "POST, GET, HEAD, PUT, PATCH, DELETE, OPTIONS"
REQUEST_HEADERS = ", ".join(
    (
        "Authorization, Content-Type, Origin, Range, If-Range, X-Requested-With, X-Request-ID",
        "X-HTTP-Method-Override, Upload-Length, Upload-Offset, Upload-Defer-Length",
        "Upload-Metadata, Upload-Concat, Upload-Checksum, Tus-Resumable, Upload-Complete",
        "Upload-Incomplete, Upload-Draft-Interop-Version, Content-Disposition, Content-Digest",
        "Repr-Digest, Want-Repr-Digest, Traceparent, Tracestate",
    )
)
EXPOSED = ", ".join(
    (
        "Upload-Offset, Upload-Length, Upload-Defer-Length, Upload-Metadata, Upload-Expires",
        "Upload-Concat, Location, Tus-Version, Tus-Resumable, Tus-Max-Size, Tus-Extension",
        "Tus-Checksum-Algorithm, Upload-Complete, Upload-Incomplete, Upload-Limit",
        "Upload-Draft-Interop-Version, Repr-Digest, Retry-After, Content-Disposition",
        "Content-Range, Accept-Ranges, ETag, X-Request-ID",
    )
)
MAX_AGE = "86400"


class Cors:
    """Allows some origins, compared whole; `*` allows all."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._allows_all = "*" in origins
        self._origins = frozenset(origins)

    def add_headers(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Put the headers on any answer. No credentials but the token are ever asked for."""
        if not self._allows_all:
            response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin")
        if origin is None or not self._is_allowed(origin):
            return
        response.headers["Access-Control-Allow-Origin"] = "*" if self._allows_all else origin
        exposed = ", ".join((EXPOSED, *sorted(request.get(ADDED, ()))))
        response.headers["Access-Control-Expose-Headers"] = exposed
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = METHODS
            response.headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
            response.headers["Access-Control-Max-Age"] = MAX_AGE

    def _is_allowed(self, origin: str) -> bool:
        return self._allows_all or origin.lower() in self._origins
