"""Every request that reaches a handler gets its name, is counted, and may be traced."""

import time
from collections.abc import Callable

from aiohttp import web

from tusd_py.request import CURRENT, TRACE, UPLOAD
from tusd_py.watching import Tracer
from tusd_py.web.errors import REFUSAL, Handler
from tusd_py.web.naming import RequestNames

NO_ANSWER = 499
"""What is counted when the client went away, or the server left, before there was an answer."""

REST_VERBS = frozenset({"init", "chunk", "complete", "file", "files"})
METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})

Answered = Callable[[str, str, int, float], None]
"""Is told the face, the method, the status and the seconds."""


class Watch:
    """Stands before the handlers. Without a `tracer` nothing is traced."""

    def __init__(self, names: RequestNames, answered: Answered) -> None:
        self.names = names
        self.tracer: Tracer | None = None
        self._answered = answered

    def over(self, face: str, handler: Handler) -> Handler:
        """The handler, watched, of a face: `tus`, `rest` or `other`."""

        async def handle(request: web.Request) -> web.StreamResponse:
            self.names.name(request)
            since = time.perf_counter()
            status = NO_ANSWER
            try:
                if self.tracer is None:
                    response = await handler(request)
                else:
                    response = await _traced(self.tracer, face, handler, request)
                status = response.status
            except web.HTTPException as error:
                status = error.status
                raise
            else:
                return response
            finally:
                self._answered(face, request.method, status, time.perf_counter() - since)

        return handle

    def unhandled(self, request: web.BaseRequest, status: int) -> str:
        """A request is answered that was not HTTP, or whose handler failed; returns its id."""
        if CURRENT.get() is None:
            self._answered("other", "other", status, 0.0)
        return self.names.name(request).id


async def _traced(
    tracer: Tracer, face: str, handler: Handler, request: web.Request
) -> web.StreamResponse:
    with tracer.request(
        f"{face} {_verb(face, request)}",
        method=request.method if request.method in METHODS else "_OTHER",
        path=request.path,
        headers=request.headers,
    ) as asked:
        TRACE.set(asked.trace_id)
        response = await handler(request)
        refusal = request.get(REFUSAL)
        code = None if refusal is None else refusal.code
        asked.answered(response.status, UPLOAD.get(), code)
        return response


def _verb(face: str, request: web.Request) -> str:
    """One of few words: what a REST address is called, else the method."""
    name = request.match_info.get("name", "")
    if face == "rest" and name in REST_VERBS:
        return name
    return request.method if request.method in METHODS else "other"
