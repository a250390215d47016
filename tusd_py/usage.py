"""What the uploads of a user take, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tusd_py.upload import Upload


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What one open upload takes: `size` bytes, and `waiting` chunks beside them, index -> size.

    With `is_told` the client said how long it is, and chunks that wait are part of that.
    """

    size: int
    is_told: bool
    waiting: Mapping[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All of it in bytes."""
        return self.size + sum(self.waiting.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What all uploads of a user take, by id: the open ones, and in bytes the finished files."""

    open: Mapping[str, Held]
    finished: Mapping[str, int]

    @property
    def size(self) -> int:
        """All of it in bytes."""
        return sum(held.total for held in self.open.values()) + sum(self.finished.values())


def held(upload: Upload, waiting: Mapping[int, int]) -> Held:
    """What an open upload takes: its length from the creation on; while that is not known, the
    bytes that came, chunks before their turn too."""
    if upload.length is not None:
        return Held(size=upload.length, is_told=True)
    later = {index: size for index, size in waiting.items() if index >= len(upload.chunks)}
    return Held(size=upload.offset, is_told=False, waiting=later)
