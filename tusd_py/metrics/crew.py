"""Several processes that count as one server: where they count, and which they are."""

import os
from pathlib import Path

from prometheus_client import values

PARENT = "parent"
"""What the process is called that watches the workers."""

_PID = ".pid"


def count_in(folder: Path, worker: int) -> None:
    """From now on what this process counts lies in `folder`, for all workers to add up. Numbers of
    workers are used again: who replaces a worker counts on from where that one was.

    Before any `Metrics` is made, and never undone: prometheus_client knows one place in a process.
    """
    _note(folder, str(worker), os.getpid())
    _note(folder, PARENT, os.getppid())
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    counted_by = values.MultiProcessValue(lambda: worker)  # type: ignore[no-untyped-call]
    values.ValueClass = counted_by


def processes(folder: Path | None) -> dict[str, str]:
    """The processes of a server: the number of the worker -> process id. Alone it is number 0."""
    if folder is None:
        return {"0": "self"}
    return {path.stem: path.read_text() for path in sorted(folder.glob(f"*{_PID}"))}


def _note(folder: Path, name: str, pid: int) -> None:
    """Who reads meanwhile finds one or the other, whole."""
    new = folder / f"{name}.new-{os.getpid()}"
    new.write_text(str(pid))
    new.replace(folder / f"{name}{_PID}")
