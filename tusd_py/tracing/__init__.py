"""Traces for OpenTelemetry: written where the settings name a collector, and the extra is there."""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tusd_py.watching import Tracer

if TYPE_CHECKING:
    from tusd_py.tracing.spans import Spans

ENDPOINT_OF_TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"

logger = logging.getLogger(__name__)


def preload(endpoint: str | None) -> None:
    """Import what is needed, so that worker processes share it. Starts nothing."""
    if is_wanted(endpoint):
        with contextlib.suppress(ImportError):
            import tusd_py.tracing.spans  # noqa: F401


def is_wanted(endpoint: str | None) -> bool:
    """Whether traces shall be written to a collector at `endpoint`, or at the one that the
    environment names for traces alone (OpenTelemetry, "Environment Variable Specification")."""
    if not endpoint and not os.environ.get(ENDPOINT_OF_TRACES):
        return False
    is_disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return not is_disabled and os.environ.get("OTEL_TRACES_EXPORTER", "").strip() != "none"


@asynccontextmanager
async def open_tracer(
    endpoint: str | None, *, warns: bool = True, grace: float = 2.0
) -> AsyncIterator[Tracer | None]:
    """Who writes traces to the collector; None when nobody shall, or can: an upload server takes
    uploads without. With `warns` the log says why it cannot.

    What is left to be sent in the end has `grace` seconds.
    """
    if not is_wanted(endpoint):
        yield None
        return
    why = _obstacle()
    spans = None
    if why is None:
        try:
            spans = await asyncio.to_thread(_open, endpoint)
        except ImportError:
            why = "the extra is missing: pip install 'tusd_py[otel]'"
        except (ValueError, TypeError, OSError) as error:
            why = f"a variable OTEL_* has a value that cannot be used ({type(error).__name__})"
    if why is not None and warns:
        logger.warning("tracing_off", extra={"why": why})
    try:
        yield spans
    finally:
        if spans is not None:
            await _close(spans, grace)


def _obstacle() -> str | None:
    """Why the settings cannot be met."""
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = os.environ.get(name, "").strip()
        if protocol and protocol != "http/protobuf":
            return f"{name}: only http/protobuf is spoken"
        if protocol:
            break
    if os.environ.get("OTEL_TRACES_EXPORTER", "").strip() not in {"", "otlp"}:
        return "OTEL_TRACES_EXPORTER: only otlp and none are known"
    return None


def _open(endpoint: str | None) -> "Spans":
    """Imports the library only where it is used; starts its thread."""
    from tusd_py.tracing.spans import Spans

    own = os.environ.get(ENDPOINT_OF_TRACES)
    return Spans(own or f"{endpoint}/v1/traces")


async def _close(spans: "Spans", grace: float) -> None:
    """In a thread that nobody has to wait for: a collector that is silent does not hold us up."""
    loop = asyncio.get_running_loop()
    is_closed = asyncio.Event()

    def close() -> None:
        spans.close()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(is_closed.set)

    threading.Thread(target=close, name="traces", daemon=True).start()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(grace):
            await is_closed.wait()
