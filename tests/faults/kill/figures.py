"""What the rounds of a run came to, as a table."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass

FIGURES = "kill round"
"""The property of a test's report that holds the figures of a round."""

_HEAD = ("kind", "rounds", "kills", "mid-work", "MiB", "seconds", "lost ms", "lost KiB")


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One round: how often the server was killed and how often that hit it at work, bytes of the
    file, seconds in all; of bytes that nobody had acknowledged, how many were lost at most by one
    kill, and how many seconds of transfer those were."""

    kind: str
    kills: int
    hits: int
    size: int
    seconds: float
    lost_size: int
    lost_seconds: float

    def as_property(self) -> dict[str, object]:
        """These figures as pytest carries them between processes."""
        return asdict(self)


def table(rounds: Iterable[Figures]) -> list[str]:
    """The lines of a table: a row a kind, and the sum."""
    by_kind: dict[str, list[Figures]] = defaultdict(list)
    for each in rounds:
        by_kind[each.kind].append(each)
        by_kind["in all"].append(each)
    by_kind["in all"] = by_kind.pop("in all")
    return [_line(_HEAD), *(_line(_row(kind, some)) for kind, some in by_kind.items())]


def _row(kind: str, some: list[Figures]) -> tuple[str, ...]:
    return (
        kind,
        f"{len(some)}",
        f"{sum(each.kills for each in some)}",
        f"{sum(each.hits for each in some)}",
        f"{sum(each.size for each in some) / (1 << 20):.0f}",
        f"{sum(each.seconds for each in some):.0f}",
        f"{max(each.lost_seconds for each in some) * 1000:.0f}",
        f"{max(each.lost_size for each in some) / (1 << 10):.0f}",
    )


def _line(cells: Iterable[str]) -> str:
    return " | ".join(f"{cell:>{len(name)}}" for cell, name in zip(cells, _WIDE, strict=True))


_WIDE = ("concatenation", *_HEAD[1:])
