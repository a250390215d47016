"""The addresses beside the faces: health and counters, in plain text and without a token."""

from tusd_py.web.errors import InternalError, MethodNotAllowed
from tusd_py.web.openapi.refusals import TROUBLE, plain_responses
from tusd_py.web.openapi.schemas import Json, plain_text

_ALLOWED = MethodNotAllowed(("GET", "HEAD"))
_COUNTERS = """\
# HELP tusd_py_refusals_total Requests that were refused, by the code in the answer.
# TYPE tusd_py_refusals_total counter
tusd_py_refusals_total{code="missing_chunks"} 3.0
"""


def health_paths() -> Json:
    """Every address beside the faces."""
    return {
        "/healthz": _address(
            "alive",
            "Whether the process answers",
            "For a supervisor that restarts it.",
            "ok\n",
            plain_responses([_ALLOWED, InternalError()]),
        ),
        "/readyz": _address(
            "ready",
            "Whether new requests are welcome",
            "For a load balancer: the storage can be written to, and the server is not about to "
            "leave.",
            "ok\n",
            plain_responses([_ALLOWED, InternalError(), TROUBLE]),
        ),
        "/metrics": _address(
            "metrics",
            "Counters for Prometheus",
            "In its text format. Whoever reaches the port can read them.",
            _COUNTERS,
            plain_responses([_ALLOWED, InternalError()]),
        ),
    }


def _address(name: str, summary: str, description: str, example: str, others: Json) -> Json:
    """An address that is read with GET, or with HEAD for its status only."""
    asked: Json = {
        "summary": summary,
        "description": description,
        "tags": ["Health"],
        "security": [],
    }
    fine = "As it should be."
    return {
        "get": {
            "operationId": name,
            **asked,
            "responses": {"200": {"description": fine, "content": plain_text(example)}, **others},
        },
        "head": {
            "operationId": f"{name}Head",
            **asked,
            "x-scalar-ignore": True,
            "responses": {"200": {"description": fine}, **others},
        },
    }
