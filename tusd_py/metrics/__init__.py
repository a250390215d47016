"""What operators measure: the counters of a server, as Prometheus reads them."""

import asyncio
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from tusd_py.errors import UploadError
from tusd_py.events import Event
from tusd_py.metrics.crew import count_in
from tusd_py.metrics.locks import LockMetrics
from tusd_py.metrics.machine import machine
from tusd_py.metrics.outbox import OutboxMetrics
from tusd_py.metrics.refusals import LIMITS, RefusalMetrics
from tusd_py.metrics.requests import RequestMetrics
from tusd_py.metrics.store import StoreMetrics
from tusd_py.metrics.uploads import UploadMetrics

__all__ = ["LIMITS", "Metrics", "count_in"]


class Metrics:
    """A registry for each server. Counting never waits and never fails; no label comes from a
    client, and each has few values. With a `folder` the exposition is the sum of all who count
    there."""

    def __init__(self, folder: Path | None = None) -> None:
        counted = CollectorRegistry()
        self._shown = counted
        if folder is not None:
            self._shown = CollectorRegistry()
            MultiProcessCollector(self._shown, str(folder))  # type: ignore[no-untyped-call]
        self.refusals = RefusalMetrics(counted)
        self.requests = RequestMetrics(counted)
        self.uploads = UploadMetrics(counted)
        self.locks = LockMetrics(counted)
        self.store = StoreMetrics(counted)
        self._outbox = OutboxMetrics(counted)
        self._folder = folder
        self._disk: Path | None = None
        self._writing: asyncio.Task[bytes] | None = None

    def watch_disk(self, folder: Path) -> None:
        """From now on tell how much room the file system of this folder has."""
        self._disk = folder

    def refused(self, error: UploadError) -> None:
        """A request was answered with this error."""
        self.refusals.refused(error)

    def limit_hit(self, limit: str) -> None:
        """A limit was met: the name of its setting, in lower case."""
        self.refusals.limit_hit(limit)

    def outbox(self, pending: int, oldest_age: float, dead: int) -> None:
        """So many events wait to be delivered, the oldest for so many seconds, and so many were
        given up."""
        self._outbox.show(pending, oldest_age, dead)

    async def emit(self, event: Event) -> None:
        """See `EventSink.emit`."""
        self.uploads.note(event)

    async def exposition(self) -> tuple[bytes, str]:
        """All of it in the text format of Prometheus, and its media type. Those who ask at the same
        time get the same one: who asks often costs little."""
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(asyncio.to_thread(self._written))
        return await asyncio.shield(self._writing), CONTENT_TYPE_LATEST

    def _written(self) -> bytes:
        now = machine(disk=self._disk, crew=self._folder)
        return generate_latest(self._shown) + generate_latest(now)
