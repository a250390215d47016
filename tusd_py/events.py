"""What happened, as values for those who want to know."""

from dataclasses import dataclass

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
class Terminated:
    """A client removed an upload."""

    upload: Upload


@dataclass(frozen=True, slots=True)
class Expired:
    """The time of an unfinished upload was over."""

    upload: Upload


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """How many objects a storage removed, and how many it set aside."""

    removed: int = 0
    quarantined: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one pass of the sweeper did, in uploads; `cleaned` and `quarantined` in objects."""

    expired: int = 0
    finished: int = 0
    forgotten: int = 0
    cleaned: int = 0
    quarantined: int = 0
    failed: int = 0


Event = Created | Received | Completed | Terminated | Expired | Swept
