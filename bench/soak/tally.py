"""What the clients of the soak met: answers by kind, disconnects, and whatever was wrong."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import quantiles

from bench.soak.line import Answer

NAMED = 20
"""So many of the things that were wrong are told in full."""

LET_GO = "The server let go of this request"
LOCKED = "Another request is at work on this upload"


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counters of one phase; `wrong` has a line for each broken promise, `finished` the ids of the
    uploads that became files."""

    answers: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    cuts: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)
    requests: int = 0
    acknowledged: int = 0
    digests: int = 0

    def note(
        self, operation: str, answer: Answer, expected: Mapping[int, str], seconds: float
    ) -> None:
        """Count an answer, with the reason why it may have this status; without one it is wrong.

        `expected` maps the statuses that are right here to their reason, empty for success.
        """
        self.requests += 1
        self.seconds.setdefault(operation, []).append(seconds)
        why = expected.get(answer.status)
        if why is None:
            why = _hand_over(answer)
        if why is None:
            why = "NOT EXPLAINED"
            self.blame(f"{operation}: {answer.status} {answer.text[:100]}")
        self.answers[operation, answer.status, why] += 1

    def blame(self, what: str) -> None:
        """Note a broken promise."""
        self.wrong.append(what)

    def check(self, is_true: bool, what: str) -> None:
        """Blame unless it is true."""
        if not is_true:
            self.blame(what)

    def by_request(self) -> list[Sequence[str]]:
        """How often each kind of request was answered with which status, with a head."""
        statuses = sorted({status for _, status, _ in self.answers})
        counts: Counter[tuple[str, int]] = Counter()
        for (kind, status, _), count in self.answers.items():
            counts[kind, status] += count
        head = ["request", *(str(status or "closed") for status in statuses)]
        return [
            head,
            *(
                [kind, *(_shown(counts[kind, status]) for status in statuses)]
                for kind in sorted({kind for kind, _, _ in self.answers})
            ),
        ]

    def reasons(self) -> list[Sequence[str]]:
        """How often each status that is no success came for which reason, with a head."""
        counts: Counter[tuple[int, str]] = Counter()
        for (_, status, why), count in self.answers.items():
            if why:
                counts[status, why] += count
        rows = [
            (str(status or "closed"), why, f"{count:,}")
            for (status, why), count in sorted(counts.items())
        ]
        return [("status", "why", "count"), *rows]

    def latency(self, operation: str) -> str:
        """Median, 99th percentile and longest, in ms."""
        values = self.seconds.get(operation, [])
        if len(values) < 2:
            return "none"
        steps = quantiles(values, n=100, method="inclusive")
        return " / ".join(f"{1000 * value:.0f}" for value in (steps[49], steps[98], max(values)))


def _hand_over(answer: Answer) -> str | None:
    """Why a request is turned away when another one wants the same upload; a HEAD has no text."""
    if answer.status == 423 and (not answer.text or LOCKED in answer.text):
        return "its turn did not come in time"
    if answer.status == 503 and LET_GO in answer.text:
        return "let go for a newer request"
    return None


def _shown(count: int) -> str:
    return f"{count:,}" if count else ""
