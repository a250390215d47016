"""The results as a picture: for each piece of work a bar for each contestant."""

from collections.abc import Sequence
from html import escape
from itertools import accumulate
from statistics import median

from bench.speed.contest import Case

WIDTH = 760
LEFT = 210
"""Where the bars begin; names stand before it."""
ROOM = 400
"""How long the longest bar of a piece of work is."""
BAR, STEP = 14, 20
TITLE = 42
"""What the title of a piece of work takes."""
OURS, THEIRS, INK, FAINT = "#1f6f8b", "#b8c4cc", "#1c2430", "#5d6875"


def svg(cases: Sequence[Case]) -> str:
    """A drawing; a line on a bar is the range of the rounds."""
    heights = [TITLE + STEP * len(case.runs) for case in cases]
    tops = [0, *accumulate(heights)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {tops[-1] + 16}"'
        ' font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{tops[-1] + 16}" fill="#fff"/>',
        *(line for case, top in zip(cases, tops, strict=False) for line in _case(case, top)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _case(case: Case, top: int) -> list[str]:
    values = {name: [case.measure.of(run) for run in runs] for name, runs in case.runs.items()}
    most = max(max(each) for each in values.values())
    unit = case.measure.unit + (" (less is better)" if case.measure.is_cost else "")
    lines = [
        f'<text x="16" y="{top + 30}" fill="{INK}" font-weight="600">{escape(case.title)}'
        f'<tspan fill="{FAINT}" font-weight="400">, {escape(unit)}</tspan></text>'
    ]
    for at, (name, each) in enumerate(values.items()):
        y = top + TITLE + STEP * at
        low, middle, high = (ROOM * of(each) / most for of in (min, median, max))
        color = OURS if name.startswith("tusd_py") else THEIRS
        text = f"{median(each):,.{case.measure.digits}f}"
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end" fill="{INK}">{escape(name)}'
            "</text>",
            f'<rect x="{LEFT}" y="{y}" width="{middle:.1f}" height="{BAR}" fill="{color}"/>',
            f'<path d="M{LEFT + low:.1f} {y + BAR / 2}H{LEFT + high:.1f}" stroke="{INK}"/>',
            f'<text x="{LEFT + high + 8:.1f}" y="{y + 11}" fill="{FAINT}">{text}</text>',
        ]
    return lines
