"""The log of this process, as machines read it."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tusd_py.log import configure_logging
from tusd_py.setting_types import LogFormat, LogLevel

Line = dict[str, object]


class Log:
    """What was written since it began."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self._lines: list[Line] = []

    @property
    def lines(self) -> list[Line]:
        """All lines so far."""
        new = self._capture.readouterr().err.splitlines()
        self._lines += [json.loads(line) for line in new]
        return self._lines

    def of(self, event: str) -> list[Line]:
        """The lines of an event."""
        return [line for line in self.lines if line["event"] == event]


@contextmanager
def json_log(capture: pytest.CaptureFixture[str]) -> Iterator[Log]:
    """Everything from debug on; afterwards the log is as it was."""
    root = logging.getLogger()
    handlers, level, factory = root.handlers[:], root.level, logging.getLogRecordFactory()
    names = ("aiohttp.server", "asyncio", "aiobotocore", "botocore", "opentelemetry", "urllib3")
    levels = {name: logging.getLogger(name).level for name in names}
    configure_logging(LogFormat.JSON, LogLevel.DEBUG)
    try:
        yield Log(capture)
    finally:
        logging.setLogRecordFactory(factory)
        root.handlers[:] = handlers
        root.setLevel(level)
        for name in names:
            logging.getLogger(name).setLevel(levels[name])
