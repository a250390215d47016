"""The one table error -> status, and the one place where errors become answers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from tusd_py import errors
from tusd_py.errors import UploadError
from tusd_py.web.reply import put

logger = logging.getLogger(__name__)

STATUS: dict[type[UploadError], int] = {
    errors.BadRequest: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.Rejected: 400,
    errors.UploadNotFound: 404,
    errors.Conflict: 409,
    errors.UploadGone: 410,
    errors.TooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.UploadLocked: 423,
    errors.TooManyRequests: 429,
    errors.MetadataTooLarge: 431,
    errors.ChecksumMismatch: 460,
    errors.BodyError: 503,
    errors.BodyMalformed: 400,
    errors.UploadStopped: 400,
    errors.Trouble: 503,
    errors.NoSpace: 507,
}
"""The class nearest in the tree counts. A silent client gets 503, not 408, because
tus-js-client gives up on every 4xx but 409 and 423."""

REASON = {413: "Content Too Large", 460: "Checksum Mismatch"}

REFUSAL: web.RequestKey[UploadError] = web.RequestKey("refusal", UploadError)
"""Why a request was refused, for who counts."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Format = Callable[[web.Request, UploadError, int], web.Response]


class NoSuchAddress(UploadError):
    """Nothing is served under this path."""

    code = "not_found"

    def __init__(self) -> None:
        super().__init__("Nothing is served at this address.")


class MethodNotAllowed(UploadError):
    """The address is right, the method is not."""

    code = "method_not_allowed"

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(f"Use one of {', '.join(allowed)} here.")
        self.allowed = allowed


class VersionMismatch(UploadError):
    """The client speaks no tus version that the server does."""

    code = "version_mismatch"

    def __init__(self) -> None:
        super().__init__("Send the header Tus-Resumable: 1.0.0.")


class RangeNotSatisfiable(UploadError):
    """No byte of the file is in the range that was asked for."""

    code = "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"The file has {size} bytes; ask for a range within it.")
        self.size = size


class ExpectationFailed(UploadError):
    """The client expects what this server does not do."""

    code = "expectation_failed"

    def __init__(self) -> None:
        super().__init__("The only expectation met here is 100-continue.")


_OF_HTTP: dict[type[UploadError], int] = {
    NoSuchAddress: 404,
    MethodNotAllowed: 405,
    VersionMismatch: 412,
    RangeNotSatisfiable: 416,
    ExpectationFailed: 417,
}


class InternalError(UploadError):
    """A fault of ours; the log has it."""

    code = "internal_error"

    def __init__(self) -> None:
        super().__init__("The server failed; it has logged why.")


def status_of(error: UploadError) -> int:
    """The status of an error."""
    table = STATUS | _OF_HTTP
    for kind in type(error).__mro__:
        if kind in table:
            return table[kind]
    return 500


async def refuse_expectation(request: web.Request) -> web.Response | None:
    """aiohttp's hook for `Expect`: refuse what is not known; 100 is sent when the body is read."""
    if request.headers.get("Expect", "").strip().lower() == "100-continue":
        return None
    error = ExpectationFailed()
    response = web.Response(status=status_of(error), text=f"{error}\n")
    response.force_close()
    return response


async def answering(request: web.Request, handler: Handler, form: Format) -> web.StreamResponse:
    """Run a handler; whatever it raises becomes an answer in the words of the face."""
    try:
        return await handler(request)
    except UploadError as error:
        return finished(request, error, form)
    except web.HTTPException:
        raise
    except ConnectionError:
        raise
    except Exception:
        logger.exception("internal_error", extra={"method": request.method, "path": request.path})
        return finished(request, InternalError(), form)


def finished(request: web.Request, error: UploadError, form: Format) -> web.Response:
    """The answer to an error, with the headers that its kind demands."""
    response = form(request, error, status_of(error))
    request[REFUSAL] = error
    response.headers.update(headers_of(error))
    if isinstance(error, errors.Rejected | errors.UploadStopped):
        put(request, response, error.reply)
    if request.can_read_body and not request.content.is_eof():
        response.force_close()
    if isinstance(error, errors.BodyError) and request.protocol is not None:
        response.force_close()  # also when all of the body came: no other request follows here
        hang_up(request)
    return response


def headers_of(error: UploadError) -> dict[str, str]:
    """The headers that the kind of an error demands."""
    match error:
        case errors.Unauthorized():
            return {"WWW-Authenticate": "Bearer"}
        case MethodNotAllowed():
            return {"Allow": ", ".join(error.allowed)}
        case RangeNotSatisfiable():
            return {"Content-Range": f"bytes */{error.size}"}
        case errors.TooManyRequests():
            return {"Retry-After": str(error.retry_after)}
        case errors.Trouble() | errors.BodyStopped():
            return {"Retry-After": "1"}
    return {}


def hang_up(request: web.Request) -> None:
    """Close the connection soon after the answer: nobody waits for the rest of the body."""
    transport = request.transport
    if transport is not None:
        asyncio.get_running_loop().call_later(0.5, transport.close)
