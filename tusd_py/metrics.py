"""What operators measure: the counters of this process, as Prometheus reads them."""

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest

from tusd_py.errors import UploadError

LIMITS = ("max_upload_size", "max_chunks")
"""The settings that limit, by name: each has a counter from the start, so that a rule can watch it
before it is met for the first time."""


class Metrics:
    """A registry for each server. Counting never waits and never fails; no label comes from a
    client."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._refusals = Counter(
            "tusd_py_refusals",
            "Requests that were refused, by the code in the answer.",
            ["code"],
            registry=self._registry,
        )
        self._limit_hits = Counter(
            "tusd_py_limit_hits",
            "Requests or connections that met a limit, by the setting that sets it.",
            ["limit"],
            registry=self._registry,
        )
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

    def exposition(self) -> tuple[bytes, str]:
        """All counters in the text format of Prometheus, and its media type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
