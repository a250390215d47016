"""What operators measure: the counters of this process, as Prometheus reads them."""

from dataclasses import asdict

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    generate_latest,
)

from tusd_py.errors import UploadError
from tusd_py.events import Event, Swept

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
        self._swept = Counter(
            "tusd_py_swept",
            "What the sweeper did: uploads expired, finished after a crash, forgotten or failed, "
            "objects cleaned or quarantined.",
            ["deed"],
            registry=self._registry,
        )
        for deed in asdict(Swept()):
            if deed != "unreadable":
                self._swept.labels(deed)
        self._unreadable = Gauge(
            "tusd_py_unreadable_records",
            "Records that the last pass of the sweeper could not read and left where they are.",
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

    async def emit(self, event: Event) -> None:
        """See `EventSink.emit`."""
        if isinstance(event, Swept):
            deeds = asdict(event)
            self._unreadable.set(deeds.pop("unreadable"))
            for deed, count in deeds.items():
                self._swept.labels(deed).inc(count)

    def exposition(self) -> tuple[bytes, str]:
        """All counters in the text format of Prometheus, and its media type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
