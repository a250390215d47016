"""What operators measure: the counters of a server, as Prometheus reads them."""

import asyncio
import os
from dataclasses import asdict
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

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


def count_in(folder: Path, worker: int) -> None:
    """From now on what this process counts lies in `folder`, for all workers to add up. Numbers of
    workers are used again: who replaces a worker counts on from where that one was.

    Before any `Metrics` is made, and never undone: prometheus_client knows one place in a process.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    counted_by = values.MultiProcessValue(lambda: worker)  # type: ignore[no-untyped-call]
    values.ValueClass = counted_by


class Metrics:
    """A registry for each server. Counting never waits and never fails; no label comes from a
    client. With a `folder` the exposition is the sum of all who count there."""

    def __init__(self, folder: Path | None = None) -> None:
        self._registry = self._shown = CollectorRegistry()
        if folder is not None:
            self._shown = CollectorRegistry()
            MultiProcessCollector(self._shown, str(folder))  # type: ignore[no-untyped-call]
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
            multiprocess_mode="mostrecent",
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

    async def exposition(self) -> tuple[bytes, str]:
        """All counters in the text format of Prometheus, and its media type."""
        if self._shown is self._registry:
            return generate_latest(self._registry), CONTENT_TYPE_LATEST
        return await asyncio.to_thread(generate_latest, self._shown), CONTENT_TYPE_LATEST
