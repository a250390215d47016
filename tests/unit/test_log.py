"""Log lines: an event name and fields, one line each, for people or machines."""

import asyncio
import errno
import json
import logging
import os
import sys
from collections.abc import Iterator

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tusd_py.log import ACCESS, configure_logging
from tusd_py.server import AccessLog
from tusd_py.setting_types import LogFormat, LogLevel

EVIL = [
    'x\n2026-01-01T00:00:00.000+00:00 info upload_completed upload="forged"',
    "x\r\nforged",
    'a" upload="forged',
    "a upload=forged",
    "\x1b[31mred",
    "\u2028forged",
    "\u0085forged",
    "\x00",
    "\udcff",
    "",
    "=",
]


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Leave the logging of the test run as it was."""
    root = logging.getLogger()
    names = ("aiohttp.server", "asyncio")
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in names}
    factory = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(factory)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in names:
        logging.getLogger(name).setLevel(levels[name])


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was written to standard error."""
    written = capsys.readouterr()
    assert written.out == ""
    return written.err.splitlines()


def test_a_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """`time level event name=value ...`"""
    configure_logging(LogFormat.TEXT, LogLevel.INFO)
    logging.getLogger("x").info("upload_created", extra={"upload": "id", "size": 7})
    [line] = lines(capsys)
    time, rest = line.split(" ", 1)

    assert time.endswith("+00:00")
    assert rest == "info upload_created upload=id size=7"


def test_a_line_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON object a line."""
    configure_logging(LogFormat.JSON, LogLevel.INFO)
    logging.getLogger("x").warning("swept", extra={"expired": 7, "why": "ü", "path": LogLevel})
    [line] = lines(capsys)
    fields = json.loads(line)

    assert fields.keys() == {"time", "level", "event", "expired", "why", "path"}
    assert (fields["level"], fields["event"], fields["expired"]) == ("warning", "swept", 7)


@pytest.mark.parametrize("log_format", LogFormat)
@pytest.mark.parametrize("value", EVIL, ids=repr)
def test_a_value_is_never_a_line(
    value: str, log_format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a client sent is one value in one line, and cannot be mistaken for another field."""
    configure_logging(log_format, LogLevel.INFO)
    logging.getLogger("x").info("event", extra={"path": value})
    [line] = lines(capsys)

    assert line.isascii()
    assert line.isprintable()
    if log_format is LogFormat.JSON:
        assert json.loads(line)["path"] == value
    else:
        shown = line.partition(" event path=")[2]
        assert value in {shown, json.loads(shown) if shown.startswith('"') else shown}


@pytest.mark.parametrize("log_format", LogFormat)
def test_an_event_name_is_never_a_line(
    log_format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    """Messages of libraries, in which anything may be, are one line as well."""
    configure_logging(log_format, LogLevel.INFO)
    logging.getLogger("library").warning("cannot parse %s", "x\nforged")

    assert len(lines(capsys)) == 1


def test_a_traceback_is_told_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Below its line."""
    configure_logging(LogFormat.TEXT, LogLevel.INFO)
    try:
        raise LookupError("why")
    except LookupError:
        logging.getLogger("x").exception("internal_error")
    first, *rest = lines(capsys)

    assert first.split(" ")[1:3] == ["error", "internal_error"]
    assert rest[-1] == "LookupError"


def test_a_traceback_is_a_field_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    """In the one line there is."""
    configure_logging(LogFormat.JSON, LogLevel.INFO)
    try:
        raise LookupError("why")
    except LookupError:
        logging.getLogger("x").error("internal_error", exc_info=sys.exc_info())
    [line] = lines(capsys)

    assert json.loads(line)["exception"].endswith("\nLookupError")


@pytest.mark.parametrize("level", LogLevel)
def test_the_level_counts(level: LogLevel, capsys: pytest.CaptureFixture[str]) -> None:
    """Events less important than LOG_LEVEL are not logged."""
    configure_logging(LogFormat.TEXT, level)
    for name in ("debug", "info", "warning", "error"):
        logging.getLogger("x").log(logging.getLevelNamesMapping()[name.upper()], "event")
    shown = [line.split(" ")[1] for line in lines(capsys)]

    assert shown == ["debug", "info", "warning", "error"][list(LogLevel).index(level) :]


def test_bad_header_lines_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """aiohttp prints bad header lines, in which a token may be: its logger is silent."""
    configure_logging(LogFormat.TEXT, LogLevel.DEBUG)
    logging.getLogger("aiohttp.server").error("Authorization: Bearer secret")

    assert lines(capsys) == []


def test_the_access_log_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    """A request is one line without query, headers or body."""
    configure_logging(LogFormat.TEXT, LogLevel.INFO)
    request = make_mocked_request(
        "GET", "/files/a%0Ab%20c?token=secret", headers={"Authorization": "Bearer secret"}
    )
    access = AccessLog(logging.getLogger("tusd_py.access"), "")
    access.log(request, web.Response(status=404), 0.25)
    [line] = lines(capsys)

    assert line.partition(" info ")[2] == (
        r'request method=GET path="/files/a\nb c" status=404 seconds=0.25'
    )


def test_an_exception_does_not_say_what_it_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    """A message may hold a token, a name or bytes of a client. What led to it is told, too, and
    what the system said."""
    configure_logging(LogFormat.TEXT, LogLevel.DEBUG)
    secret = "no-log-knows"
    try:
        try:
            raise OSError(errno.EIO, os.strerror(errno.EIO), secret)
        except OSError as error:
            raise ValueError(secret) from error
    except ValueError:
        logging.getLogger("x").exception("internal_error")
    said = "\n".join(lines(capsys))

    assert secret not in said
    assert "OSError: Input/output error\nthen\n" in said
    assert said.endswith("ValueError")


# --- when lines are written


async def test_requests_of_one_moment_are_written_together(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In order, and as soon as the loop goes on."""
    configure_logging(LogFormat.TEXT, LogLevel.INFO)
    for number in range(3):
        logging.getLogger(ACCESS).info("said", extra={"number": number})
    at_once = lines(capsys)
    for _ in range(2):
        await asyncio.sleep(0)

    assert at_once == []
    assert [line.rsplit("=")[-1] for line in lines(capsys)] == ["0", "1", "2"]


@pytest.mark.parametrize("logger", ["x", ACCESS])
async def test_events_and_warnings_do_not_wait(
    capsys: pytest.CaptureFixture[str], logger: str
) -> None:
    """Nor does what was said before: the process may be about to end."""
    configure_logging(LogFormat.TEXT, LogLevel.INFO)
    logging.getLogger(ACCESS).info("before")
    level = logging.WARNING if logger == ACCESS else logging.INFO
    logging.getLogger(logger).log(level, "now")

    assert [line.split()[-1] for line in lines(capsys)] == ["before", "now"]


async def test_a_thread_does_not_wait(capsys: pytest.CaptureFixture[str]) -> None:
    """A thread has no loop that would write for it."""
    configure_logging(LogFormat.TEXT, LogLevel.INFO)
    await asyncio.to_thread(logging.getLogger(ACCESS).info, "said")

    assert [line.split()[-1] for line in lines(capsys)] == ["said"]


async def test_nothing_waits_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    """What the loop did not come to write is written when the process ends."""
    configure_logging(LogFormat.TEXT, LogLevel.INFO)
    logging.getLogger(ACCESS).info("said")
    for handler in logging.getLogger().handlers:
        handler.flush()  # as `logging.shutdown` does

    assert [line.split()[-1] for line in lines(capsys)] == ["said"]


def test_no_field_takes_the_place_of_the_event(capsys: pytest.CaptureFixture[str]) -> None:
    """Who looks for an event in JSON finds it, whatever fields it has."""
    configure_logging(LogFormat.JSON, LogLevel.INFO)
    logging.getLogger("tusd_py").info("told", extra={"event": "7", "level": "x", "size": 3})
    fields = json.loads(capsys.readouterr().err)

    assert (fields["event"], fields["level"], fields["size"]) == ("told", "info", 3)
