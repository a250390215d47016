"""Who measures hears of each call to the store, from the client's own events.

All tries of a call are one call. A call that is cancelled is not told of.
"""

from __future__ import annotations

import time
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tusd_py.watching import Outcome, StoreWatch

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_KEY = "tusd_py_call"

_OUTCOMES = {404: Outcome.ABSENT, 416: Outcome.ABSENT, 409: Outcome.CHANGED, 412: Outcome.CHANGED}


class _Operation(Protocol):
    """What botocore knows of a call."""

    name: str


class _Answer(Protocol):
    """An answer of the store."""

    status_code: int


@dataclass(slots=True)
class _Call:
    """A call that goes on."""

    operation: str
    since: float
    tries: int = 1


def watch_calls(client: S3Client, watches: Sequence[StoreWatch]) -> None:
    """Tell each of `watches` of every call that the client makes."""
    if not watches:
        return

    def begin(*, model: _Operation, context: MutableMapping[str, Any], **_: object) -> None:
        context[_KEY] = _Call(model.name, time.perf_counter())

    def tried(*, attempts: int, request_dict: MutableMapping[str, Any], **_: object) -> None:
        call = request_dict.get("context", {}).get(_KEY)
        if isinstance(call, _Call):
            call.tries = attempts

    def answered(*, http_response: _Answer, context: MutableMapping[str, Any], **_: object) -> None:
        _tell(context, outcome_of(http_response.status_code), watches)

    def broken(*, context: MutableMapping[str, Any], **_: object) -> None:
        _tell(context, Outcome.UNREACHABLE, watches)

    events = client.meta.events
    events.register("before-call.s3", begin)
    events.register("needs-retry.s3", tried)
    events.register("after-call.s3", answered)
    events.register("after-call-error.s3", broken)


def outcome_of(status: int) -> Outcome:
    """How a call ended that was answered with this status."""
    if status < 400:
        return Outcome.OK
    return _OUTCOMES.get(status, Outcome.REFUSED if status < 500 else Outcome.FAILED)


def _tell(
    context: MutableMapping[str, Any], outcome: Outcome, watches: Sequence[StoreWatch]
) -> None:
    call = context.pop(_KEY, None)
    if not isinstance(call, _Call):
        return
    seconds = time.perf_counter() - call.since
    for watch in watches:
        watch.called(call.operation, outcome, seconds, call.tries)
