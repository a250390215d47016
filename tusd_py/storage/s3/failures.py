"""The border to the object store: what its client raises, in our words.

"Not found" means absence only where the store names what is absent; all else is a failure.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from aiobotocore.response import AioReadTimeoutError
from aiohttp import ClientError as ConnectionTrouble
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError

from tusd_py.errors import NoSpace, StorageError, UploadNotFound

_LOST = {"NoSuchUpload", "InvalidPart", "InvalidPartOrder"}
_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "412"}
_EMPTY = {"InvalidRange", "416"}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507"}
_NO_STORE = "that was no answer of an S3 store"
_NONSENSE = (
    ResponseParserError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
)
"""What the client raises over an answer that is none: odd dates, redirections without an end."""


class StoreError(StorageError):
    """The store refused or could not be reached. `reason` is its word for it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The object store does not do this now ({reason}); try again later.")
        self.reason = reason


class AnswerBroken(StoreError):
    """An answer broke off, or fell silent, after it had begun. (One that did not begin was tried
    again by the client already.)"""


class PartsLost(StorageError):
    """Parts of a multipart upload are not there any more, though they had been stored."""

    def __init__(self) -> None:
        super().__init__("The object store lost bytes of this upload; ask for the offset.")


class Changed(StorageError):
    """Somebody else wrote the object meanwhile."""

    def __init__(self) -> None:
        super().__init__("The object was written by somebody else; try again.")


class NothingThere(StorageError):
    """A range was asked for of an object that has no bytes."""


@contextmanager
def translated() -> Iterator[None]:
    """Let what the client raises become ours."""
    try:
        yield
    except ClientError as error:
        raise _of_answer(error) from error
    except (ResponseStreamingError, AioReadTimeoutError) as error:
        raise AnswerBroken(type(error).__name__) from error
    except BotoCoreError as error:
        raise StoreError(type(error).__name__) from error
    except (ConnectionTrouble, OSError, TimeoutError) as error:
        raise AnswerBroken(type(error).__name__) from error
    except _NONSENSE as error:
        if not _is_of_client(error):
            raise
        raise StoreError(_NO_STORE) from error


@contextmanager
def complete() -> Iterator[None]:
    """Let a field that an answer lacks be a failure of the store."""
    try:
        yield
    except KeyError as error:
        raise StoreError(_NO_STORE) from error


def told(value: str | None) -> str:
    """A field that every store gives. Raises `StoreError` when this answer has none."""
    if not value:
        raise StoreError(_NO_STORE)
    return value


def _of_answer(error: ClientError) -> StorageError | NoSpace | UploadNotFound:
    reason = _reason(error)
    if reason == "NoSuchKey":
        return UploadNotFound()
    if reason in _LOST:
        return PartsLost()
    if reason in _CHANGED:
        return Changed()
    if reason in _EMPTY:
        return NothingThere("The object has fewer bytes than were asked for.")
    if reason in _FULL:
        return NoSpace()
    return StoreError(reason)


def _is_of_client(error: Exception) -> bool:
    """Whether the client of the store stumbled, over an answer; else the mistake is ours."""
    frames = traceback.walk_tb(error.__traceback__)
    names = {str(frame.f_globals.get("__name__")).partition(".")[0] for frame, _ in frames}
    return not names.isdisjoint({"aiobotocore", "botocore"})


def _reason(error: ClientError) -> str:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "no answer")
    return str(error.response.get("Error", {}).get("Code") or status)
