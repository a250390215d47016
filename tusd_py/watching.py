"""The seams for who measures and traces. Being told never waits and never fails."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from enum import Enum
from typing import Protocol


class Outcome(Enum):
    """How a call to an object store ended."""

    OK = "ok"
    ABSENT = "absent"
    """What was asked for is not there; often that was the question."""
    CHANGED = "changed"
    """A condition was not met: somebody else was faster."""
    REFUSED = "refused"
    """The store does not do this: a key without the right, a wrong setting."""
    FAILED = "failed"
    """The store failed, or is busy."""
    UNREACHABLE = "unreachable"
    """No answer, or none of an object store."""


class StoreWatch(Protocol):
    """Is told of the calls to an object store."""

    def called(self, operation: str, outcome: Outcome, seconds: float, tries: int) -> None:
        """A call ended, after so many tries and seconds. `operation` is the store's name for it."""


class LockWatch(Protocol):
    """Is told of locks."""

    def waited(self, seconds: float) -> None:
        """Somebody had to wait for a lock, perhaps in vain."""

    def asked(self) -> None:
        """Somebody who holds a lock was asked to let go of it."""


class AppendWatch(Protocol):
    """Is told of bytes that came."""

    def appended(self, seconds: float, size: int) -> None:
        """So many bytes of one body came and were stored in that time."""


class Asked(Protocol):
    """A request that is traced, until it is answered."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    def answered(self, status: int, upload: str | None, error: str | None) -> None:
        """How: the status, the upload that it was about, the code of the refusal."""


class Tracer(StoreWatch, Protocol):
    """Writes down what a request consists of, for who looks for where the time went."""

    def request(
        self, name: str, *, method: str, path: str, headers: Mapping[str, str]
    ) -> AbstractContextManager[Asked]:
        """A request, from its head to its answer. `name` is one of few, `path` has no query."""

    def step(self, name: str, upload: str) -> AbstractContextManager[None]:
        """A part of the request that is being answered, about an upload; what it raises is noted
        by its kind."""
