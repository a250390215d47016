"""Spans of OpenTelemetry: one for each request, and in it one for each longer step.

What names a user is not in them: traces often go to others than logs do. A log line has both the
user and the id of the trace.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import attach, detach, get_current
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tusd_py import __version__
from tusd_py.errors import Trouble, UploadError
from tusd_py.tracing.exporter import QuietExporter
from tusd_py.watching import Outcome

SERVICE = "tusd_py"
"""The name of the service where OTEL_SERVICE_NAME says no other."""

MAX_PATH = 256
"""Characters of a path; those of the faces are shorter."""

_W3C = TraceContextTextMapPropagator()
_FAULTS = {Outcome.REFUSED, Outcome.FAILED, Outcome.UNREACHABLE}


class Spans:
    """See `Tracer`. Sends to the collector at `endpoint`, as the variables OTEL_* say, from a
    thread of its own. Blocking while it is made."""

    def __init__(self, endpoint: str) -> None:
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(QuietExporter(endpoint)))
        self._tracer = self._provider.get_tracer(SERVICE, __version__)

    def close(self) -> None:
        """Send what is left. Blocking, for as long as the collector lets us wait."""
        self._provider.shutdown()

    @contextmanager
    def request(
        self, name: str, *, method: str, path: str, headers: Mapping[str, str]
    ) -> Iterator["_Asked"]:
        """See `Tracer.request`. Part of the trace that a header `traceparent` names (W3C Trace
        Context)."""
        above = _W3C.extract(headers, context=get_current())
        span = self._tracer.start_span(
            name,
            context=above,
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "url.path": _text(path)},
        )
        with _current(span):
            yield _Asked(span)

    @contextmanager
    def step(self, name: str, upload: str) -> Iterator[None]:
        """See `Tracer.step`."""
        span = self._tracer.start_span(name, attributes={"tusd_py.upload_id": upload})
        with _current(span):
            yield

    def called(self, operation: str, outcome: Outcome, seconds: float, tries: int) -> None:
        """See `StoreWatch.called`. Only what a request needs is traced."""
        if not trace.get_current_span().is_recording():
            return
        now = time.time_ns()
        span = self._tracer.start_span(
            f"S3 {operation}",
            kind=SpanKind.CLIENT,
            start_time=now - int(seconds * 1e9),
            attributes={
                "rpc.system": "aws-api",
                "rpc.service": "S3",
                "rpc.method": operation,
                "tusd_py.tries": tries,
            },
        )
        if outcome is not Outcome.OK:
            span.set_attribute("error.type", outcome.value)
        if outcome in _FAULTS:
            span.set_status(StatusCode.ERROR)
        span.end(now)


class _Asked:
    """See `Asked`."""

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def trace_id(self) -> str:
        """See `Asked.trace_id`."""
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    def answered(self, status: int, upload: str | None, error: str | None) -> None:
        """See `Asked.answered`. What a client did wrong is no error of this span."""
        self._span.set_attribute("http.response.status_code", status)
        if upload is not None:
            self._span.set_attribute("tusd_py.upload_id", upload)
        if error is not None:
            self._span.set_attribute("error.type", error)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)


@contextmanager
def _current(span: Span) -> Iterator[None]:
    """What is begun meanwhile is part of it."""
    token = attach(trace.set_span_in_context(span))
    try:
        yield
    except BaseException as error:
        _note(span, error)
        raise
    finally:
        detach(token)
        span.end()


def _note(span: Span, error: BaseException) -> None:
    """The kinds of an error and of what led to it, not what they say: that may quote a client."""
    span.set_attribute("error.type", type(error).__qualname__)
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        span.add_event("exception", {"exception.type": type(cause).__qualname__})
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    is_fault = isinstance(error, Trouble) or not isinstance(error, UploadError)
    if is_fault and isinstance(error, Exception):
        span.set_status(StatusCode.ERROR)


def _resource() -> Resource:
    """What the variables say of the service, and what they do not say."""
    told = Resource.create()
    ours: dict[str, str | int] = {"service.version": __version__, "process.pid": os.getpid()}
    ours = {name: value for name, value in ours.items() if name not in told.attributes}
    if str(told.attributes.get("service.name", "")).startswith("unknown_service"):
        ours["service.name"] = SERVICE
    return told.merge(Resource(ours))


def _text(path: str) -> str:
    """As it can be sent: a lone surrogate would break the whole batch."""
    return path[:MAX_PATH].encode("utf-8", "backslashreplace").decode()
