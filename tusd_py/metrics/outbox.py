"""What waits to be told to the main service."""

from prometheus_client import CollectorRegistry, Gauge


class OutboxMetrics:
    """The outbox of a node, which its workers share: who looked last is right. Among workers there
    is nothing to see until one has looked."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._pending = Gauge(
            "tusd_py_outbox_pending",
            "Events that wait to be delivered to the main service.",
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        self._oldest = Gauge(
            "tusd_py_outbox_oldest_seconds",
            "For how long the oldest of them waits; 0 when none does.",
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        self._dead = Gauge(
            "tusd_py_outbox_dead",
            "Events whose delivery was given up.",
            multiprocess_mode="mostrecent",
            registry=registry,
        )

    def show(self, pending: int, oldest_age: float, dead: int) -> None:
        """What there is now."""
        self._pending.set(pending)
        self._oldest.set(oldest_age)
        self._dead.set(dead)
