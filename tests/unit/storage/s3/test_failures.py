"""The border to the object store: absence only where it is proven, failure for all else."""

import asyncio
import socket
from collections.abc import Callable

import aiohttp
import pytest
from aiobotocore.response import AioReadTimeoutError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from tusd_py.errors import NoSpace, StorageError, UploadError, UploadNotFound
from tusd_py.storage.s3.failures import (
    AnswerBroken,
    Changed,
    NothingThere,
    PartsLost,
    StoreError,
    translated,
)

URL = "http://s3.example/bucket/secret-name"


def answer(code: str | None, status: int = 400) -> ClientError:
    """What the client raises for an error of the store."""
    error = {} if code is None else {"Code": code, "Message": "of the store"}
    return ClientError(
        {"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}},
        "GetObject",
    )


def raised(error: Exception) -> UploadError:
    """What becomes of it."""
    with pytest.raises(UploadError) as caught, translated():
        raise error
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("NoSuchKey", UploadNotFound),
        ("NoSuchUpload", PartsLost),
        ("InvalidPart", PartsLost),
        ("InvalidPartOrder", PartsLost),
        ("PreconditionFailed", Changed),
        ("ConditionalRequestConflict", Changed),
        ("412", Changed),
        ("InvalidRange", NothingThere),
        ("416", NothingThere),
        ("QuotaExceeded", NoSpace),
        ("XMinioStorageFull", NoSpace),
        ("InsufficientStorage", NoSpace),
        ("507", NoSpace),
        ("NoSuchBucket", StoreError),
        ("404", StoreError),
        ("NotFound", StoreError),
        ("403", StoreError),
        ("AccessDenied", StoreError),
        ("InvalidAccessKeyId", StoreError),
        ("SignatureDoesNotMatch", StoreError),
        ("ExpiredToken", StoreError),
        ("SlowDown", StoreError),
        ("InternalError", StoreError),
        ("ServiceUnavailable", StoreError),
        ("RequestTimeout", StoreError),
        ("EntityTooLarge", StoreError),
        ("EntityTooSmall", StoreError),
        ("BadDigest", StoreError),
        ("NotImplemented", StoreError),
        ("", StoreError),
        (None, StoreError),
    ],
)
def test_an_answer_of_the_store(code: str | None, kind: type[UploadError]) -> None:
    """Each word of the store has one meaning here; one that is not known is a failure."""
    error = raised(answer(code))

    assert type(error) is kind
    assert "of the store" not in str(error)


@pytest.mark.parametrize("kind", [StoreError, PartsLost, Changed, NothingThere])
def test_a_failure_is_never_an_absence(kind: type[UploadError]) -> None:
    """All kinds of failure are 503 for the client."""
    assert issubclass(kind, StorageError)
    assert not issubclass(kind, UploadNotFound)


def test_the_store_s_word_is_kept() -> None:
    """Operators are told what the store said."""
    error = raised(answer("SlowDown", 503))

    assert isinstance(error, StoreError)
    assert error.reason == "SlowDown"
    assert "SlowDown" in str(error)


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url=URL),
        ConnectTimeoutError(endpoint_url=URL),
        ReadTimeoutError(endpoint_url=URL),
        ConnectionClosedError(endpoint_url=URL),
        HTTPClientError(error=OSError("reset")),
        ResponseStreamingError(error=OSError("reset")),
        IncompleteReadError(actual_bytes=1, expected_bytes=2),
        NoCredentialsError(),
        BotoCoreError(),
        ConnectionResetError(104, "reset"),
        BrokenPipeError(32, "broken"),
        socket.gaierror(-2, "unknown name"),
        TimeoutError(),
        OSError(24, "too many open files"),
        FileNotFoundError(2, "not here"),
        aiohttp.ClientPayloadError("a body that ended too early"),
        aiohttp.ServerDisconnectedError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_store_that_cannot_be_reached(error: Exception) -> None:
    """No answer, or half of one, is a failure; the client is not told of addresses."""
    failure = raised(error)

    assert isinstance(failure, StoreError)
    assert failure.reason == type(error).__name__
    assert URL not in str(failure)


@pytest.mark.parametrize("make", [NoSpace, UploadNotFound, lambda: StorageError("ours")])
def test_our_own_words_go_through(make: Callable[[], UploadError]) -> None:
    """What is said in our words already stays as it is."""
    error = make()
    with pytest.raises(UploadError) as caught, translated():
        raise error

    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "is_begun"),
    [
        (ReadTimeoutError(endpoint_url=URL), False),
        (AioReadTimeoutError(endpoint_url=URL), True),
        (aiohttp.ClientPayloadError(), True),
    ],
    ids=["no-answer", "silent", "cut"],
)
def test_only_an_answer_that_had_begun_is_broken(error: Exception, is_begun: bool) -> None:
    """Who got no answer at all has tried often enough; half an answer is asked for again."""
    with pytest.raises(StoreError) as raised, translated():
        raise error

    assert isinstance(raised.value, AnswerBroken) == is_begun


def test_mistakes_are_not_hidden() -> None:
    """A mistake of ours is no failure of the store."""
    with pytest.raises(KeyError), translated():
        raise KeyError


async def test_a_cancelled_call_is_cancelled() -> None:
    """Cancelling goes through."""
    with pytest.raises(asyncio.CancelledError), translated():
        raise asyncio.CancelledError
