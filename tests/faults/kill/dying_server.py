"""A server that kills itself with SIGKILL between two steps of finishing an upload.

`python -m tests.faults.kill.dying_server MOMENT`, with the settings in the environment.
"""

import asyncio
import logging
import os
import signal
import sys
from enum import Enum
from pathlib import Path

from tusd_py.app import create_app
from tusd_py.config import load_config
from tusd_py.log import configure_logging
from tusd_py.server import serve


class Moment(Enum):
    """When the server dies: before or after it does one of the steps, in their order."""

    BEFORE_CLAIM = "before-claim"
    AFTER_CLAIM = "after-claim"
    BEFORE_MOVE = "before-move"
    AFTER_MOVE = "after-move"
    BEFORE_EVENT = "before-event"
    AFTER_EVENT = "after-event"
    BEFORE_FLAG = "before-flag"
    AFTER_FLAG = "after-flag"


def die() -> None:
    """Die now, without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(moment: Moment) -> None:
    """Die at a moment of the first upload that is finished."""
    when, step = moment.value.split("-")
    if step == "event":
        _die_at_event(when)
    else:
        _die_at_rename(when, step)


def _die_at_rename(when: str, step: str) -> None:
    rename = os.rename

    def deadly(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        is_moment = _step(Path(source), Path(target)) == step
        if is_moment and when == "before":
            die()
        rename(source, target)
        if is_moment:
            die()

    os.rename = deadly  # type: ignore[assignment]  # as it is called here


def _step(source: Path, target: Path) -> str | None:
    """The step of finishing that a rename is."""
    if target.suffix == ".place":
        return "claim"
    if target.suffix == ".info":
        return "flag" if b'"completion"' in source.read_bytes() else None
    return "move" if "final" in target.parts else None


def _die_at_event(when: str) -> None:
    handler = _Deadly()
    handlers = logging.getLogger().handlers
    handlers.insert(0 if when == "before" else len(handlers), handler)


class _Deadly(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "upload_completed":
            die()


def main() -> None:
    """Serve until death."""
    config = load_config({}, os.environ, None)
    configure_logging(config.log_format, config.log_level)
    die_at(Moment(sys.argv[1]))
    asyncio.run(serve(create_app(config), config))


if __name__ == "__main__":
    main()
