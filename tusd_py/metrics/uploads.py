"""The uploads of a server: what became of them, and how fast their bytes come."""

import time
from dataclasses import asdict

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tusd_py.events import Completed, Created, Event, Expired, Received, Swept, Terminated

SECONDS = (
    *(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0),
)
RATES = tuple(float(1 << power) for power in range(14, 33, 2))
"""16 KiB/s to 4 GiB/s."""

LARGE = 1 << 20
"""An append of fewer bytes says nothing of a rate."""

_NAMES: dict[type[Event], str] = {
    Created: "created",
    Completed: "completed",
    Terminated: "terminated",
    Expired: "expired",
}


class UploadMetrics:
    """Counts what happens to uploads. One worker sweeps; what it saw is more than the 0 of those
    that saw nothing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        uploads = Counter(
            "tusd_py_uploads",
            "Uploads that were created, completed, terminated, or that expired.",
            ["event"],
            registry=registry,
        )
        self._events = {kind: uploads.labels(name) for kind, name in _NAMES.items()}
        self._received = Counter(
            "tusd_py_received_bytes", "Bytes of uploads that were stored.", registry=registry
        )
        self._open = Gauge(
            "tusd_py_uploads_open",
            "Uploads that were neither complete nor ended, as the last pass of the sweeper saw.",
            multiprocess_mode="max",
            registry=registry,
        )
        self._unreadable = Gauge(
            "tusd_py_unreadable_records",
            "Records that the last pass of the sweeper could not read and left where they are.",
            multiprocess_mode="max",
            registry=registry,
        )
        self._swept_at = Gauge(
            "tusd_py_last_sweep_timestamp_seconds",
            "When the last pass of the sweeper ended, since 1970; 0 before the first one.",
            multiprocess_mode="max",
            registry=registry,
        )
        swept = Counter(
            "tusd_py_swept",
            "What the sweeper did: uploads expired, finished after a crash, forgotten or failed, "
            "objects cleaned or quarantined.",
            ["deed"],
            registry=registry,
        )
        self._deeds = {deed: swept.labels(deed) for deed in _deeds(Swept())}
        self._seconds = Histogram(
            "tusd_py_append_duration_seconds",
            "Time in which the bytes of one request, or of one chunk, came and were stored.",
            buckets=SECONDS,
            registry=registry,
        )
        self._rates = Histogram(
            "tusd_py_append_bytes_per_second",
            "How fast they came and were stored, where they were at least 1 MiB.",
            buckets=RATES,
            registry=registry,
        )

    def note(self, event: Event) -> None:
        """Something happened."""
        if isinstance(event, Received):
            self._received.inc(event.size)
        elif isinstance(event, Swept):
            for deed, count in _deeds(event).items():
                self._deeds[deed].inc(count)
            self._open.set(event.open)
            self._unreadable.set(event.unreadable)
            self._swept_at.set(time.time())
        elif (counter := self._events.get(type(event))) is not None:
            counter.inc()

    def appended(self, seconds: float, size: int) -> None:
        """So many bytes were appended, or kept until their turn, in that time."""
        self._seconds.observe(seconds)
        if size >= LARGE and seconds > 0:
            self._rates.observe(size / seconds)


def _deeds(swept: Swept) -> dict[str, int]:
    """What a pass did; not what it saw."""
    seen = {"unreadable", "open"}
    return {name: count for name, count in asdict(swept).items() if name not in seen}
