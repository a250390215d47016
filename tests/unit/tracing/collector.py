"""A collector of OpenTelemetry: takes OTLP over HTTP and keeps the spans."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True, kw_only=True)
class Span:
    """A span as it came."""

    name: str
    trace: str
    id: str
    parent: str
    kind: str
    is_error: bool
    seconds: float
    attributes: Mapping[str, object]
    events: tuple[str, ...]
    resource: Mapping[str, object]


@dataclass
class Collector:
    """Answers `status`, and keeps what came with 200."""

    port: int = 0
    status: int = 200
    calls: int = 0
    spans: list[Span] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT says."""
        return f"http://127.0.0.1:{self.port}"

    def named(self, name: str) -> list[Span]:
        """The spans of a name."""
        return [span for span in self.spans if span.name == name]

    def below(self, parent: Span) -> list[Span]:
        """The spans that are part of another one."""
        return [span for span in self.spans if span.parent == parent.id]

    async def has(self, *names: str) -> None:
        """Return once spans of these names came."""
        async with asyncio.timeout(10):
            while not set(names) <= {span.name for span in self.spans}:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.02)

    async def take(self, request: web.Request) -> web.Response:
        """POST /v1/traces."""
        self.calls += 1
        if self.status == 200:
            body = await request.read()
            if request.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            self.headers.append(dict(request.headers))
            self._keep(ExportTraceServiceRequest.FromString(body))
        return web.Response(status=self.status, content_type="application/x-protobuf")

    def _keep(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            about = _values(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [_span(each, about) for each in scope.spans]


def _span(span: WireSpan, resource: Mapping[str, object]) -> Span:
    return Span(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        is_error=span.status.code == Status.STATUS_CODE_ERROR,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        attributes=_values(span.attributes),
        events=tuple(
            str(_values(event.attributes).get("exception.type", event.name))
            for event in span.events
        ),
        resource=resource,
    )


def _values(pairs: Iterable[KeyValue]) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "") for pair in pairs}


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector that listens."""
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    collector.port = runner.addresses[0][1]
    try:
        yield collector
    finally:
        await runner.cleanup()
