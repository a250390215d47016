"""The calls to an object store: how many, how they ended, how long they took."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from tusd_py.watching import Outcome

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

OPERATIONS = (
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateMultipartUpload",
    "DeleteObject",
    "GetObject",
    "HeadObject",
    "ListMultipartUploads",
    "ListObjectsV2",
    "ListParts",
    "PutObject",
    "UploadPart",
    "UploadPartCopy",
)
"""The calls there are; another one would be counted as `other`."""


class StoreMetrics:
    """See `StoreWatch`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "tusd_py_s3_calls",
            "Calls to the S3 store, by operation and outcome; all tries are one call.",
            ["operation", "outcome"],
            registry=registry,
        )
        self._retries = Counter(
            "tusd_py_s3_retries",
            "Further tries of calls to the S3 store.",
            ["operation"],
            registry=registry,
        )
        self._seconds = Histogram(
            "tusd_py_s3_call_duration_seconds",
            "Time until the S3 store had answered, with all tries and the bytes that were sent.",
            ["operation"],
            buckets=SECONDS,
            registry=registry,
        )

    def begin(self) -> None:
        """There is a store: every series is there from now on."""
        for operation in OPERATIONS:
            self._retries.labels(operation)
            self._seconds.labels(operation)
            for outcome in Outcome:
                self._calls.labels(operation, outcome.value)

    def called(self, operation: str, outcome: Outcome, seconds: float, tries: int) -> None:
        """See `StoreWatch.called`."""
        known = operation if operation in OPERATIONS else "other"
        self._calls.labels(known, outcome.value).inc()
        self._seconds.labels(known).observe(seconds)
        if tries > 1:
            self._retries.labels(known).inc(tries - 1)
