"""What was refused, and which limit was in the way."""

from prometheus_client import CollectorRegistry, Counter

from tusd_py.errors import UploadError

LIMITS = (
    "max_upload_size",
    "max_chunks",
    "max_metadata_size",
    "max_open_uploads_per_user",
    "user_quota",
    "rate_limit",
    "min_free_disk",
    "max_connections",
    "max_requests_per_user",
    "header_timeout",
    "body_timeout",
    "min_transfer_rate",
)
"""The settings that limit, by name: each has a counter from the start, so that a rule can watch it
before it is met for the first time."""

WATCHED = ("internal_error", "unavailable", "no_space", "locked", "unauthorized")
"""Codes that rules watch: these have a counter from the start, too."""


class RefusalMetrics:
    """Counts refusals."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refusals = Counter(
            "tusd_py_refusals",
            "Requests that were refused, by the code in the answer.",
            ["code"],
            registry=registry,
        )
        self._limit_hits = Counter(
            "tusd_py_limit_hits",
            "Requests or connections that met a limit, by the setting that sets it.",
            ["limit"],
            registry=registry,
        )
        for code in WATCHED:
            self._refusals.labels(code)
        for limit in LIMITS:
            self._limit_hits.labels(limit)

    def refused(self, error: UploadError) -> None:
        """A request was answered with this error."""
        self._refusals.labels(error.code).inc()
        if error.limit is not None:
            self.limit_hit(error.limit)

    def limit_hit(self, limit: str) -> None:
        """A limit was met: the name of its setting, in lower case."""
        self._limit_hits.labels(limit).inc()
