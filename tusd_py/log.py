"""Log lines: an event name and fields, as text for people or JSON for machines."""

import asyncio
import contextlib
import functools
import itertools
import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

from tusd_py.request import known
from tusd_py.setting_types import LogFormat, LogLevel

ACCESS = "tusd_py.access"
"""The logger of requests."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_is_word = re.compile(r"[!#-~]+").fullmatch
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | None
_UNKNOWN = vars(logging.makeLogRecord({}))
_STANDARD = frozenset(_UNKNOWN) | {"message", "asctime"}


class _Record(logging.LogRecord):
    """What the lines need; nothing else is found out, for there are several in each request."""

    def __init__(
        self,
        name: str,
        level: int,
        _pathname: str,
        _lineno: int,
        msg: object,
        args: tuple[object, ...],
        exc_info: _ExcInfo,
        *_: object,
    ) -> None:
        vars(self).update(_UNKNOWN)
        self.name = name
        self.levelno = level
        self.levelname = logging.getLevelName(level)
        self.msg = msg
        self.args = args[0] if len(args) == 1 and isinstance(args[0], Mapping) else args
        self.exc_info = exc_info
        self.created = time.time()


class _Lines(logging.StreamHandler[TextIO]):
    """Standard error. The requests that end in one round of the event loop are written together:
    each time the loop writes, a thread may take the interpreter away from it. Nothing else waits:
    what happened to an upload is told before its record says so."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        self._lines.append(f"{self.format(record)}\n")
        if record.levelno >= logging.WARNING or record.name != ACCESS:
            self.flush()
        elif len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:  # there is none, or it ends
                self.flush()

    def flush(self) -> None:
        """Write what waits. Where nobody reads it, it is lost."""
        with self.lock or contextlib.nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                with contextlib.suppress(OSError, ValueError):
                    self.stream.write("".join(lines))
                    self.stream.flush()


class _TextFormatter(logging.Formatter):
    """`time level event name=value ...`"""

    def format(self, record: logging.LogRecord) -> str:
        level = record.levelname.lower()
        line = f"{_time(record)} {level} {_one_line(record.getMessage())}"
        for name, value in _fields(record).items():
            is_word = value.__class__ is str and _is_word(value)
            line += f" {name}={value if is_word else _plain(value)}"
        if record.exc_info:
            line += " \n" + _trace(record.exc_info[1])
        return line


_OWN = frozenset({"time", "level", "event"})
"""What the line says itself; no field may take its place."""


class _JsonFormatter(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **{name: value for name, value in _fields(record).items() if name not in _OWN},
        }
        if record.exc_info:
            line["exception"] = _trace(record.exc_info[1])
        return json.dumps(line, default=str)


def configure_logging(log_format: LogFormat, level: LogLevel) -> None:
    """Send the log of the whole process to standard error."""
    handler = _Lines(sys.stderr)
    handler.setFormatter(_TextFormatter() if log_format is LogFormat.TEXT else _JsonFormatter())
    logging.basicConfig(handlers=[handler], level=level.name, force=True)
    logging.setLogRecordFactory(_Record)
    logging._srcfile = None  # no line names its source ("Optimization" in the manual of logging)
    # aiohttp logs raw header lines of requests it cannot parse, and tokens may be in them.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    # The client of S3 logs keys, metadata and the bodies of records.
    for name in ("aiobotocore", "botocore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # That of OpenTelemetry says with every try what it cannot send; see tracing.exporter.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3").setLevel(logging.WARNING)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """What the line says of its own, and then what is known of the request; the former wins."""
    standard = len(_UNKNOWN) if isinstance(record, _Record) else 0  # they come first
    items = itertools.islice(vars(record).items(), standard, None)
    fields = {name: value for name, value in items if name not in _STANDARD}
    for name, value in known().items():
        fields.setdefault(name, value)
    return fields


@functools.lru_cache(maxsize=256)
def _one_line(text: str) -> str:
    """A text that cannot begin a line of its own."""
    return _CONTROL.sub(lambda match: json.dumps(match[0])[1:-1], text)


def _plain(value: object) -> str:
    """A value that cannot be mistaken for another field or another line."""
    text = str(value)
    if isinstance(value, int | float):
        return text
    return text if _is_word(text) else json.dumps(text)


def _trace(error: BaseException | None) -> str:
    """Where an exception came from and of what kind it is, and those that led to it. Not what it
    says: that may quote a token, a name or bytes of a client."""
    parts: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        kind = type(error)
        why = f": {error.strerror}" if isinstance(error, OSError) and error.errno else ""
        frames = "".join(traceback.format_tb(error.__traceback__))
        parts.append(f"{frames}{kind.__qualname__}{why}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\nthen\n".join(reversed(parts))


def _time(record: logging.LogRecord) -> str:
    second, fraction = divmod(record.created, 1.0)
    return f"{_second(int(second))}.{int(fraction * 1000):03d}+00:00"


@functools.lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
