"""What every piece of work is given: folders, a file, and how much of everything."""

from dataclasses import dataclass
from pathlib import Path

from bench.client import Slice
from bench.speed.contest import GIB, MIB

SMALL = 64 << 10
PARALLEL = 16
PATCH = 5 * MIB
CHUNK = 8 * MIB
OURS = "tusd_py"
TWO = f"{OURS}, 2 processes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of everything; a scale of 1 is what the targets are about."""

    large: int
    parallel: int
    small: int
    strict: int
    chunks: int
    complete_chunks: int
    concatenated: int
    open: int

    @classmethod
    def scaled(cls, scale: float) -> "Sizes":
        """Sizes for a quick look are a fraction."""

        def some(full: int) -> int:
            return max(1, round(full * scale))

        return cls(
            large=some(1024) * MIB,
            parallel=some(10) * PATCH,
            small=some(2000),
            strict=some(320),
            chunks=some(64),
            complete_chunks=some(512),
            concatenated=some(512) * MIB,
            open=some(1000),
        )

    def needed(self) -> int:
        """Bytes that a folder must have room for, at most."""
        most = max(8 * self.concatenated, self.complete_chunks * CHUNK, PARALLEL * self.parallel)
        return most + 2 * self.large


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every piece of work needs."""

    memory: Path
    disk: Path
    file: Slice
    rounds: int
    sizes: Sizes

    def part(self, index: int, size: int) -> Slice:
        """The bytes of upload `index`, of those that have this size; they come again some time."""
        return self.file.part(index * size % (self.file.size - size + 1), size)


def size_text(size: int) -> str:
    """A size in the largest unit that divides it."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")):
        if size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} bytes"
