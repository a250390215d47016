"""The one table error -> status, and the one place where errors become answers."""

import asyncio
import logging
from collections.abc import Iterator

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tests.handed_over import handed_over, head
from tests.unit.test_errors import SAMPLES
from tusd_py import errors
from tusd_py.errors import StorageError, UploadError
from tusd_py.storage.s3.failures import Changed, NothingThere, PartsLost, StoreError
from tusd_py.web import errors as web_errors
from tusd_py.web.errors import (
    STATUS,
    ExpectationFailed,
    InternalError,
    MethodNotAllowed,
    NoSuchAddress,
    RangeNotSatisfiable,
    VersionMismatch,
    answering,
    finished,
    refuse_expectation,
    status_of,
)

CONTRACT: dict[type[UploadError], int] = {
    errors.BadRequest: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.Rejected: 400,
    errors.UploadNotFound: 404,
    errors.OffsetMismatch: 409,
    errors.MissingChunks: 409,
    errors.ChunkConflict: 409,
    errors.ChunkCountMismatch: 409,
    errors.IdMismatch: 409,
    errors.UploadUnfinished: 409,
    errors.Conflict: 409,
    errors.UploadGone: 410,
    errors.TooLarge: 413,
    errors.UploadTooLarge: 413,
    errors.TooManyChunks: 413,
    errors.QuotaExceeded: 413,
    errors.MetadataTooLarge: 431,
    errors.TooManyRequests: 429,
    errors.TooManyAtOnce: 429,
    errors.TooManyUploads: 429,
    errors.RateLimited: 429,
    errors.UnsupportedMediaType: 415,
    errors.UploadLocked: 423,
    errors.ChecksumMismatch: 460,
    errors.DigestMismatch: 460,
    errors.BodyError: 503,
    errors.BodyInterrupted: 503,
    errors.BodyMalformed: 400,
    errors.BodyStalled: 503,
    errors.BodyTooSlow: 503,
    errors.BodyStopped: 503,
    errors.UploadStopped: 400,
    errors.Trouble: 503,
    errors.HookFailed: 503,
    errors.StorageError: 503,
    errors.NoSpace: 507,
    errors.DiskTooFull: 507,
    NoSuchAddress: 404,
    MethodNotAllowed: 405,
    VersionMismatch: 412,
    RangeNotSatisfiable: 416,
    ExpectationFailed: 417,
    InternalError: 500,
}


def tree(kind: type[UploadError]) -> Iterator[type[UploadError]]:
    """All classes below one."""
    for each in kind.__subclasses__():
        yield each
        yield from tree(each)


def sample(kind: type[UploadError]) -> UploadError:
    """An error of a class."""
    match kind:
        case web_errors.MethodNotAllowed:
            return MethodNotAllowed(("GET", "HEAD"))
        case web_errors.RangeNotSatisfiable:
            return RangeNotSatisfiable(10)
        case _ if kind in SAMPLES:
            return SAMPLES[kind]
        case web_errors.NoSuchAddress | web_errors.VersionMismatch:
            return kind()
        case web_errors.ExpectationFailed | web_errors.InternalError:
            return kind()
    return kind("Do this.")


def form(_request: web.Request, error: UploadError, status: int) -> web.Response:
    """A face that is plain text."""
    return web.Response(status=status, text=str(error))


async def answer_to(error: BaseException, method: str = "GET") -> web.StreamResponse:
    """What becomes of an error."""

    async def handle(_request: web.Request) -> web.StreamResponse:
        raise error

    return await answering(make_mocked_request(method, "/secret-path"), handle, form)


def test_the_contract_names_every_error() -> None:
    """No error class is left out of the contract; a backend's own kinds are `StorageError` to all
    others."""
    ours = {each for each in tree(UploadError) if each.__module__.startswith("tusd_py.")}
    of_backends = {each for each in ours if each.__module__.startswith("tusd_py.storage.")}

    assert ours - of_backends == set(CONTRACT)
    assert all(issubclass(each, StorageError) for each in of_backends)


@pytest.mark.parametrize(
    "error",
    [StoreError("SlowDown"), PartsLost(), Changed(), NothingThere("nothing")],
    ids=lambda error: type(error).__name__,
)
def test_a_client_does_not_see_which_storage_it_is(error: StorageError) -> None:
    """Trouble with an object store has the status and the word of trouble with any storage."""
    assert status_of(error) == CONTRACT[StorageError]
    assert error.code == StorageError.code


@pytest.mark.parametrize("kind", CONTRACT, ids=lambda kind: kind.__name__)
def test_every_error_has_its_status(kind: type[UploadError]) -> None:
    """The table is total: each class has the status of the contract."""
    assert status_of(sample(kind)) == CONTRACT[kind]


def test_the_table_holds_no_other_class() -> None:
    """Every row of the table is a class of the tree."""
    assert set(STATUS) <= set(tree(UploadError))


@pytest.mark.parametrize("kind", CONTRACT, ids=lambda kind: kind.__name__)
def test_every_error_has_a_word(kind: type[UploadError]) -> None:
    """Programs get a stable word in small letters."""
    assert kind.code == kind.code.lower()
    assert kind.code.replace("_", "").isalpha()


@pytest.mark.parametrize("kind", CONTRACT, ids=lambda kind: kind.__name__)
def test_every_error_has_a_sentence(kind: type[UploadError]) -> None:
    """People get one line that tells what to do."""
    assert str(sample(kind)).endswith(".")
    assert "\n" not in str(sample(kind))


@pytest.mark.parametrize("kind", CONTRACT, ids=lambda kind: kind.__name__)
async def test_every_error_becomes_an_answer(kind: type[UploadError]) -> None:
    """Whatever is raised becomes the answer, in the words of the face."""
    error = sample(kind)
    response = await answer_to(error)

    assert isinstance(response, web.Response)
    assert response.status == CONTRACT[kind]
    assert response.text == str(error)


async def test_who_is_not_authorized_learns_how() -> None:
    """401 carries WWW-Authenticate: Bearer."""
    response = await answer_to(errors.Unauthorized("No."))

    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_other_methods_are_named() -> None:
    """405 carries Allow."""
    response = await answer_to(MethodNotAllowed(("GET", "HEAD")))

    assert response.headers["Allow"] == "GET, HEAD"


async def test_the_size_is_told() -> None:
    """416 carries Content-Range."""
    response = await answer_to(RangeNotSatisfiable(10))

    assert response.headers["Content-Range"] == "bytes */10"


@pytest.mark.parametrize(
    "error",
    [errors.UploadLocked(), errors.StorageError("x"), errors.NoSpace(), errors.BodyStopped()],
    ids=lambda error: type(error).__name__,
)
async def test_trouble_passes(error: UploadError) -> None:
    """What may work later carries Retry-After."""
    response = await answer_to(error)

    assert response.headers["Retry-After"] == "1"


@pytest.mark.parametrize("kind", [errors.TooManyAtOnce, errors.TooManyUploads, errors.RateLimited])
async def test_who_asks_too_much_learns_when_to_ask_again(
    kind: type[errors.TooManyRequests],
) -> None:
    """429 carries Retry-After (RFC 6585, 4)."""
    error = sample(kind)
    assert isinstance(error, errors.TooManyRequests)

    response = await answer_to(error)

    assert response.headers["Retry-After"] == str(error.retry_after)


@pytest.mark.parametrize("error", [errors.BadRequest("x"), errors.UploadNotFound()])
async def test_refusals_stay(error: UploadError) -> None:
    """What will not work later does not."""
    response = await answer_to(error)

    assert "Retry-After" not in response.headers


async def test_a_refused_body_is_not_waited_for() -> None:
    """The connection closes after a refusal when the body was not read, else it stays."""
    async with handed_over(head("Content-Length: 5")) as arrival:
        unread = finished(arrival.request, errors.BadRequest("No."), form)
        await arrival.send(b"hello")
        await arrival.request.read()
        read = finished(arrival.request, errors.BadRequest("No."), form)

    assert unread.keep_alive is False
    assert read.keep_alive is not False


async def test_a_connection_that_fell_silent_closes() -> None:
    """After a body that ended before its end nobody waits for the rest of it."""
    async with handed_over(head("Content-Length: 5")) as arrival:
        finished(arrival.request, errors.BodyStalled(), form)
        async with asyncio.timeout(5):
            rest = await arrival.reader.read()

    assert rest == b""


async def test_a_fault_of_ours_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """The client gets 500 and no word of what it was; the log has it."""
    response = await answer_to(LookupError("the secret reason"))

    assert isinstance(response, web.Response)
    assert response.status == 500
    assert "secret" not in (response.text or "")
    assert [record.getMessage() for record in caplog.records] == ["internal_error"]
    assert "the secret reason" in caplog.text


@pytest.mark.parametrize("error", [ConnectionResetError(), asyncio.CancelledError()])
async def test_what_nobody_can_answer_goes_on(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection that is gone, and cancellation, are not swallowed or logged."""
    with caplog.at_level(logging.DEBUG), pytest.raises(type(error)):
        await answer_to(error)

    assert caplog.records == []


@pytest.mark.parametrize("value", ["100-continue", "100-Continue", " 100-continue "])
async def test_100_continue_is_met(value: str) -> None:
    """The one expectation is met when the body is read, not before."""
    assert await refuse_expectation(make_mocked_request("PUT", "/", {"Expect": value})) is None


@pytest.mark.parametrize("value", ["", "100", "200-ok", "\x80", "100-continue, x"])
async def test_other_expectations_are_refused(value: str) -> None:
    """Any other is 417, and the connection closes."""
    response = await refuse_expectation(make_mocked_request("PUT", "/", {"Expect": value}))

    assert response is not None
    assert response.status == 417
    assert response.keep_alive is False
