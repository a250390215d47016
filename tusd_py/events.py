"""What happened, as values for those who want to know."""

from dataclasses import dataclass, field, replace
from enum import Enum

from tusd_py.upload import Upload


@dataclass(frozen=True, slots=True)
class Created:
    """An upload exists."""

    upload: Upload


@dataclass(frozen=True, slots=True)
class Received:
    """`size` more bytes of an upload are stored."""

    upload: Upload
    size: int


@dataclass(frozen=True, slots=True)
class Completed:
    """An upload became a file. Emitted at least once, before its record says so."""

    upload: Upload


@dataclass(frozen=True, slots=True)
class Recorded:
    """The record of a completed upload says so now: whoever asks for it finds the file."""

    upload: Upload


@dataclass(frozen=True, slots=True)
class Terminated:
    """A client removed an upload, or its creation failed: nobody learned its id."""

    upload: Upload


@dataclass(frozen=True, slots=True)
class Expired:
    """The time of an unfinished upload was over."""

    upload: Upload


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """How many objects a storage removed, how many it set aside, and how many records it left that
    cannot be read."""

    removed: int = 0
    quarantined: int = 0
    unreadable: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one pass of the sweeper did, in uploads; `cleaned` and `quarantined` in objects.

    `unreadable` records it found and left: a newer server wrote them, or the disk fails. It saw so
    many uploads that are `open`: neither complete nor ended, after what it did.
    """

    expired: int = 0
    finished: int = 0
    forgotten: int = 0
    cleaned: int = 0
    quarantined: int = 0
    failed: int = 0
    unreadable: int = 0
    open: int = field(default=0, compare=False)

    @property
    def is_idle(self) -> bool:
        """Whether there was nothing to do."""
        return replace(self, unreadable=0) == Swept()


Event = Created | Received | Completed | Recorded | Terminated | Expired | Swept


class Notice(Enum):
    """Whether the main service heard that an upload is complete."""

    NONE = "nobody is to be told"
    QUEUED = "it will be told"
    DELIVERED = "it was told"
