"""LogSink: one log line an event, ids and sizes only."""

import logging
from dataclasses import replace

import pytest

from tests.uploads import UPLOAD
from tusd_py.events import Completed, Created, Event, Expired, Received, Terminated
from tusd_py.notify import LogSink

SECRET = replace(UPLOAD, filename="secret.pdf", metadata="filename c2VjcmV0LnBkZg==", offset=5)


@pytest.mark.parametrize(
    ("event", "name", "level"),
    [
        (Created(SECRET), "upload_created", logging.INFO),
        (Received(SECRET, 3), "bytes_received", logging.DEBUG),
        (Completed(SECRET), "upload_completed", logging.INFO),
        (Terminated(SECRET), "upload_terminated", logging.INFO),
        (Expired(SECRET), "upload_expired", logging.INFO),
    ],
)
async def test_every_event_has_a_line(
    event: Event, name: str, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The line names the event, the upload and its owner; never metadata or file names."""
    with caplog.at_level(logging.DEBUG):
        await LogSink().emit(event)
    [record] = caplog.records

    assert (record.getMessage(), record.levelno) == (name, level)
    assert vars(record)["upload"] == SECRET.id
    assert vars(record)["owner"] == "42"
    assert "secret" not in str(vars(record))
    assert "c2VjcmV0" not in str(vars(record))
