"""Traces: what a collector gets of real requests, and what happens without one."""

import asyncio
import builtins
import functools
import signal
import socket
from collections.abc import AsyncIterator, Callable
from types import ModuleType

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient
from tests.conformance.tus.client import Tus, content_of
from tests.conftest import MakeProcess, MakeServer
from tests.json_log import json_log
from tests.servers import Address
from tests.unit.tracing.collector import Collector, collecting
from tusd_py.tracing import is_wanted

pytestmark = pytest.mark.parametrize("make_store", ["local"], indirect=True)

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are sent every 50 ms, not every 5 s; nothing of the environment of the tests counts."""
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """A collector that listens."""
    async with collecting() as collector:
        yield collector


@pytest.fixture
async def server(make_server: MakeServer, collector: Collector) -> Address:
    """A server that sends its traces there."""
    return await make_server(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)


@pytest.fixture
def tus(http: aiohttp.ClientSession, server: Address) -> Tus:
    """User 42 of it."""
    return Tus(http=http, address=server)


async def until(condition: Callable[[], bool]) -> None:
    """Return once it is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what others do tells nobody
            await asyncio.sleep(0.02)


def has_called(collector: Collector, before: int) -> bool:
    """Whether there was another call."""
    return collector.calls > before


async def test_a_request_and_its_steps(tus: Tus, collector: Collector) -> None:
    """A PATCH that completes an upload is a span with the append and the assembling in it. No query
    and no user is in it."""
    url = await tus.create(1000)
    await tus.patch(f"{url}?token=MARK-query", 0, content_of(1000))
    await collector.has("tus POST", "tus PATCH")
    [span] = collector.named("tus PATCH")
    parts = {part.name: part for part in collector.below(span)}
    upload_id = url.rsplit("/", 1)[1]

    assert (span.kind, span.parent, span.is_error) == ("SERVER", "", False)
    assert span.attributes == {
        "http.request.method": "PATCH",
        "http.response.status_code": 204,
        "url.path": f"/files/{upload_id}",
        "tusd_py.upload_id": upload_id,
    }
    assert parts.keys() == {"append", "assemble"}
    assert parts["append"].attributes == {"tusd_py.upload_id": upload_id}
    assert parts["append"].seconds + parts["assemble"].seconds <= span.seconds
    assert span.resource["service.name"] == "tusd_py"
    assert "MARK" not in repr(collector.spans)


async def test_rest_verbs_have_names(
    http: aiohttp.ClientSession, server: Address, collector: Collector
) -> None:
    """Not the method: all of them are POSTs."""
    await RestClient(http=http, server=server).uploaded(b"content")

    await collector.has("rest init", "rest chunk", "rest complete")


async def test_a_trace_goes_on(
    tus: Tus, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    """`traceparent` names the trace and the span above; log lines name the trace."""
    with json_log(capsys) as log:
        await tus.post({"Upload-Length": "5", "traceparent": f"00-{TRACE}-{SPAN}-01"})
        await collector.has("tus POST")
        told = {line["event"]: line.get("trace_id") for line in log.lines}
    [span] = collector.named("tus POST")

    assert (span.trace, span.parent) == (TRACE, SPAN)
    assert told["upload_created"] == told["request"] == TRACE


@pytest.mark.parametrize(
    "given",
    ["", "00-x-y-01", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01", "00-" * 999],
    ids=["empty", "no-hex", "zero", "version", "long"],
)
async def test_a_broken_traceparent_begins_a_trace(
    tus: Tus, collector: Collector, given: str
) -> None:
    """It is ignored, as the text demands (W3C Trace Context, 4.3)."""
    answer = await tus.post({"Upload-Length": "5", "traceparent": given})
    await collector.has("tus POST")
    [span] = collector.named("tus POST")

    assert answer.status == 201
    assert span.parent == ""
    assert span.trace != TRACE


async def test_who_calls_may_want_no_trace(tus: Tus, collector: Collector) -> None:
    """A request that is not sampled above is not sampled here; the log names its trace still."""
    await tus.post({"Upload-Length": "5", "traceparent": f"00-{TRACE}-{SPAN}-00"})
    await tus.send("GET", f"{tus.address.base}/healthz")
    await collector.has("other GET")

    assert collector.named("tus POST") == []


async def test_what_a_client_did_wrong(tus: Tus, collector: Collector) -> None:
    """Has the code of the refusal, and is no error of this service."""
    url = await tus.create(10)
    await tus.patch(url, 7, b"x")
    await collector.has("tus PATCH")
    [span] = collector.named("tus PATCH")

    assert span.attributes["http.response.status_code"] == 409
    assert span.attributes["error.type"] == "offset_mismatch"
    assert not span.is_error


async def test_what_the_storage_did_wrong(tus: Tus, collector: Collector) -> None:
    """Is an error, of the step and of the request, by its kind and not by its words."""
    url = await tus.create(10)
    [folder] = (tus.address.root / "uploads").iterdir()
    await asyncio.to_thread((tus.address.root / "final").rmdir)
    await asyncio.to_thread((tus.address.root / "final").touch)
    answer = await tus.patch(url, 0, b"0123456789")
    await collector.has("tus PATCH", "assemble")
    [span], [step] = collector.named("tus PATCH"), collector.named("assemble")

    assert folder.name == "42"
    assert answer.status == 503
    assert (span.is_error, span.attributes["error.type"]) == (True, "unavailable")
    assert (step.is_error, step.attributes["error.type"]) == (True, "StorageError")
    assert step.events[0] == "StorageError"
    assert len(step.events) > 1


async def test_no_bytes_of_a_path_break_a_batch(server: Address, collector: Collector) -> None:
    """Paths that are not UTF-8, or long, are cut and escaped; the spans beside them arrive."""
    for path in (b"/\xff\xfe", b"/%ED%B3%BF", b"/" + b"a" * 5000):
        await server.raw(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await server.raw(HEALTH)
    await until(lambda: "/healthz" in {span.attributes["url.path"] for span in collector.spans})

    assert max(len(str(span.attributes["url.path"])) for span in collector.spans) <= 256


async def test_standard_variables_are_obeyed(
    make_server: MakeServer,
    http: aiohttp.ClientSession,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Name and attributes of the service, headers of the exporter, its own address for traces."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "uploads")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.endpoint}/v1/traces")
    tus = Tus(http=http, address=await make_server())
    await tus.create(10)
    await collector.has("tus POST")
    resource = collector.spans[0].resource

    assert resource["service.name"] == "uploads"
    assert resource["deployment.environment.name"] == "test"
    assert collector.headers[0]["api-key"] == "secret"


async def test_the_sampler_is_obeyed(
    make_server: MakeServer,
    http: aiohttp.ClientSession,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OTEL_TRACES_SAMPLER chooses which requests are traced; those of other traces go on."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    address = await make_server(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    tus = Tus(http=http, address=address)
    await tus.create(10)
    await tus.post({"Upload-Length": "5", "traceparent": f"00-{TRACE}-{SPAN}-01"})
    await collector.has("tus POST")

    assert [span.trace for span in collector.named("tus POST")] == [TRACE]


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")]
)
def test_traces_can_be_switched_off(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, make_store: object
) -> None:
    """By the variables that OpenTelemetry has for it, with a collector named all the same."""
    before = is_wanted("http://127.0.0.1:4318")
    monkeypatch.setenv(name, value)

    assert (before, is_wanted("http://127.0.0.1:4318")) == (True, False)
    assert not is_wanted(None)


OBSTACLES = {
    "grpc": ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf"),
    "exporter": ({"OTEL_TRACES_EXPORTER": "zipkin"}, "otlp"),
    "number": ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "OTEL_"),
}


@pytest.mark.parametrize(("environ", "why"), OBSTACLES.values(), ids=OBSTACLES)
async def test_what_cannot_be_met_is_told(
    make_server: MakeServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    why: str,
) -> None:
    """One warning at start, and the server takes uploads without traces."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with json_log(capsys) as log:
        address = await make_server(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
        answer = await address.raw(HEALTH)
        [told] = log.of("tracing_off")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert told["level"] == "warning"
    assert why in str(told["why"])


async def test_a_missing_extra_is_told(
    make_server: MakeServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says what to install."""
    real = builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> ModuleType:
        if name.startswith("tusd_py.tracing.spans"):
            raise ModuleNotFoundError("No module named 'opentelemetry'")
        return real(name, *args, **kwargs)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(builtins, "__import__", without)
    with json_log(capsys) as log:
        await make_server(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
        [told] = log.of("tracing_off")

    assert "pip install 'tusd_py[otel]'" in str(told["why"])


async def test_a_collector_that_fails_and_comes_back(
    tus: Tus, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line when spans are lost, however often, and one when they arrive again."""
    with json_log(capsys) as log:
        collector.status = 400
        while collector.calls < 3:
            before = collector.calls
            await tus.create(10)
            await until(functools.partial(has_called, collector, before))
        collector.status = 200
        await tus.create(10)
        await until(lambda: bool(log.of("traces_sent")))
        events = [str(line["event"]) for line in log.lines]

    assert [event for event in events if event.startswith("traces_")] == [
        "traces_lost",
        "traces_sent",
    ]
    assert not [line for line in log.lines if "opentelemetry" in str(line)]


async def test_a_collector_that_is_silent(
    make_process: MakeProcess, http: aiohttp.ClientSession, capfd: pytest.CaptureFixture[str]
) -> None:
    """It takes connections and never answers: uploads go as ever, and the server leaves in time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = await make_process(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        tus = Tus(http=http, address=process.address)
        for _ in range(3):
            await tus.upload(b"content")
        code = await process.end(signal.SIGTERM)
    log = capfd.readouterr().err

    assert code == 0
    assert "stopped" in log
    assert "cut_short" not in log
    assert "Traceback" not in log


async def test_workers_send_what_they_have_when_they_leave(
    make_process: MakeProcess, http: aiohttp.ClientSession, collector: Collector
) -> None:
    """Each worker has its own thread for it, begun after the fork; what was traced last arrives."""
    process = await make_process(WORKERS="2", OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    tus = Tus(http=http, address=process.address)
    for _ in range(8):
        async with aiohttp.ClientSession() as session:
            answer = await Tus(http=session, address=tus.address).post({"Upload-Length": "5"})
            assert answer.status == 201
    code = await process.end(signal.SIGTERM)

    assert code == 0
    assert len(collector.named("tus POST")) == 8
    assert process.process is not None
    pids = {span.resource["process.pid"] for span in collector.spans}
    assert process.process.pid not in pids
