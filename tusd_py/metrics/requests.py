"""The requests of a server: how many, how they were answered, how long that took."""

from prometheus_client import CollectorRegistry, Counter, Histogram

METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
"""Methods that are counted by name; a client may send any word."""

SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0),
)

_USUAL = {
    "tus": {"POST": 201, "HEAD": 200, "PATCH": 204, "GET": 200, "DELETE": 204},
    "rest": {"POST": 200, "GET": 200, "DELETE": 200},
    "other": {"GET": 200},
}
_TROUBLE = (500, 503, 507)


class RequestMetrics:
    """Counts requests. What rules watch is there from the start: each face's methods with the
    status of success and those of the server's own trouble."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "tusd_py_requests",
            "Requests that were answered, by face, method and status; 499 is no answer.",
            ["face", "method", "status"],
            registry=registry,
        )
        seconds = Histogram(
            "tusd_py_request_duration_seconds",
            "Time from the head of a request until its answer was made, or the file was sent.",
            ["face"],
            buckets=SECONDS,
            registry=registry,
        )
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._seconds = {face: seconds.labels(face) for face in _USUAL}
        for face, methods in _USUAL.items():
            for method, success in methods.items():
                for status in (success, *_TROUBLE):
                    self._counter(face, method, status)

    def answered(self, face: str, method: str, status: int, seconds: float) -> None:
        """A request was answered: by the tus face, the REST face (`rest`) or neither (`other`)."""
        known = method if method in METHODS else "other"
        counter = self._counters.get((face, known, status)) or self._counter(face, known, status)
        counter.inc()
        self._seconds[face].observe(seconds)

    def _counter(self, face: str, method: str, status: int) -> Counter:
        """Finding it by its labels takes longer than counting."""
        found = self._requests.labels(face, method, str(status))
        self._counters[face, method, status] = found
        return found
