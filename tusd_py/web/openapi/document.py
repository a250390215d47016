"""The OpenAPI document of the REST face, as a value.

Version 3.1, because there JSON Schema is what the standard says, `null` and constants included, and
the tools that matter read it.
"""

import json

from tusd_py import __version__
from tusd_py.web.openapi.health import health_paths
from tusd_py.web.openapi.operations import rest_paths
from tusd_py.web.openapi.refusals import phrase
from tusd_py.web.openapi.schemas import SCHEMAS, Json, ref

_DESCRIPTION = """\
Files in numbered chunks, over networks that break: open a session (`POST /upload/init`), send the
chunks in any order (`POST /upload/chunk`), make the file of them (`POST /upload/complete`).

- Every request needs `Authorization: Bearer` with a token of the main service: a JWT signed with
  RS256. The files of a user are seen by nobody else.
- An error has a status, a `code` for programs that stays the same between versions, and a
  `message` that says what to do. Send a request again after 423, 429, 503 and 507, not before
  `Retry-After` is over, and after a broken connection; a chunk or a completion that is sent twice
  does no harm.
- Integers are written without a fraction or an exponent: `10`, and not `10.0`.
- Answers may have more fields than are named here; fields of a request that are not named here are
  ignored. Every answer has the headers that a page of another origin needs to read it (CORS).

The same uploads can be sent over [tus 1.0.0](https://tus.io/protocols/resumable-upload) at
`{tus}`: a session is an upload there, under the same id, and a finished file is fetched with
`GET {tus}{{upload_session_id}}`. That face is not part of this document; its protocol is its own
description.
"""


def document(*, server: str, tus_base_path: str) -> Json:
    """The whole document. `server` is the address of this server as its clients see it, or a
    reference relative to that of the document."""
    paths = rest_paths() | health_paths()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tusd_py: resumable uploads",
            "version": __version__,
            "summary": "Large files over unreliable networks, in chunks.",
            "description": _DESCRIPTION.format(tus=tus_base_path),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": server, "description": "This server."}],
        "security": [{"token": []}],
        "tags": [
            {"name": "Upload", "description": "From the first chunk to the file."},
            {"name": "Files", "description": "What has been uploaded."},
            {"name": "Health", "description": "For supervisors, load balancers and Prometheus."},
            {
                "name": "Preflight",
                "description": "What browsers ask first.",
                "x-scalar-ignore": True,
            },
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token of the main service, signed with RS256.",
                }
            },
            "schemas": SCHEMAS,
            "responses": _shared_out(paths),
        },
    }


def _shared_out(paths: Json) -> Json:
    """Moves every answer that several requests have in common out of `paths`, and returns those
    answers by name."""
    places: dict[str, list[tuple[Json, str]]] = {}
    for responses in _all_responses(paths):
        for status, response in responses.items():
            text = json.dumps(response, sort_keys=True)
            places.setdefault(text, []).append((responses, status))
    shared: Json = {}
    for same in places.values():
        if len(same) < 2:
            continue
        responses, status = same[0]
        name = _unused(shared, "".join(phrase(int(status)).title().split()))
        shared[name] = responses[status]
        for responses, status in same:
            responses[status] = ref("responses", name)
    return shared


def _all_responses(paths: Json) -> list[Json]:
    found = []
    for address in paths.values():
        assert isinstance(address, dict)
        found += [operation["responses"] for operation in address.values()]
    return found


def _unused(names: Json, name: str) -> str:
    """The name, with a number if it is taken."""
    number = 2
    free = name
    while free in names:
        free = f"{name}{number}"
        number += 1
    return free
