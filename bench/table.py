"""Plain tables."""

from collections.abc import Sequence
from statistics import median


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A title, and columns as wide as they have to be; the first one is aligned to the left."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (columns, *rows)
    ]
    return "\n".join([title, *(f"  {line.rstrip()}" for line in lines)])


def middle(values: Sequence[float], digits: int = 0) -> str:
    """The median and the range, `151 (140-163)`."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    low, high = min(values), max(values)
    return f"{median(values):.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"
