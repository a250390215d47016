"""Blocking work on files in steps: from one to the next something has to come onto the medium.

A generator that yields what has to be there before it goes on. So whoever runs it can wait for the
medium elsewhere, and together with others.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tusd_py.storage import fsync

T = TypeVar("T")

Target = int | str
"""An open file, or the path of a folder: the names in it."""

Steps = Generator[Sequence[Target], None, T]
"""Ends with what it returns. `NotSynced` is raised in it where the medium refused a target."""


@dataclass(frozen=True, slots=True)
class Returned(Generic[T]):
    """There are no more steps: what they returned."""

    value: T


def step(steps: Steps[T], refused: OSError | None) -> Sequence[Target] | Returned[T]:
    """The next step, after what the last one yielded came onto the medium or was refused: what it
    yields, or the end."""
    try:
        return next(steps) if refused is None else steps.throw(refused)
    except StopIteration as end:
        return Returned(end.value)


def synced(target: Target) -> Steps[None]:
    """The only step: put a target on the medium. Raises `NotSynced`."""
    yield [target]


def sync(targets: Iterable[Target]) -> dict[Target, OSError]:
    """Put targets on the medium; tells which of them it refused.

    Several files begin before the first is waited for: a file system that has to write once for all
    of them does so, and the others find it done.
    """
    each_once = list(dict.fromkeys(targets))
    if len(each_once) > 1:
        for target in each_once:
            if isinstance(target, int):
                fsync.begin(target)
    refused: dict[Target, OSError] = {}
    for target in each_once:
        try:
            if isinstance(target, int):
                fsync.sync(target)
            else:
                fsync.sync_folder(target)
        except OSError as error:
            refused[target] = error
    return refused


def at_once(
    steps: Steps[T],
    sync: Callable[[Sequence[Target]], Mapping[Target, OSError]] = sync,
) -> T:
    """Do all steps here and now."""
    made = step(steps, None)
    while not isinstance(made, Returned):
        made = step(steps, next(iter(sync(made).values()), None))
    return made.value
