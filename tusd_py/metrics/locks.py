"""The locks of a server: who waited, and who was asked to let go."""

from prometheus_client import CollectorRegistry, Counter, Histogram

SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0)


class LockMetrics:
    """See `LockWatch`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waits = Histogram(
            "tusd_py_lock_wait_seconds",
            "Time that requests waited for a lock that another one held; in vain included.",
            buckets=SECONDS,
            registry=registry,
        )
        self._handovers = Counter(
            "tusd_py_lock_handovers",
            "Requests that held a lock and were asked to let go of it.",
            registry=registry,
        )

    def waited(self, seconds: float) -> None:
        """See `LockWatch.waited`."""
        self._waits.observe(seconds)

    def asked(self) -> None:
        """See `LockWatch.asked`."""
        self._handovers.inc()
