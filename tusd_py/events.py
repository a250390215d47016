"""What happened to an upload, as values for those who want to know."""

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


Event = Created | Received | Completed | Terminated | Expired
