"""Who is told what happens: today the log, and what is counted."""

import logging
from collections.abc import Sequence
from dataclasses import asdict

from tusd_py.events import (
    Completed,
    Created,
    Event,
    Expired,
    Received,
    Recorded,
    Swept,
    Terminated,
)
from tusd_py.interfaces import EventSink

logger = logging.getLogger(__name__)

_NAMES: dict[type[Event], str] = {
    Created: "upload_created",
    Completed: "upload_completed",
    Terminated: "upload_terminated",
    Expired: "upload_expired",
}


class LogSink:
    """See `EventSink`: one log line an event, ids and sizes only."""

    async def emit(self, event: Event) -> None:
        """See `EventSink.emit`. A pass of the sweeper that found nothing to do is no news."""
        if isinstance(event, Swept):
            if not event.is_idle:
                logger.info("swept", extra=asdict(event))
            return
        if isinstance(event, Recorded):
            return
        upload = event.upload
        fields: dict[str, object] = {"upload": upload.id, "owner": upload.owner}
        if isinstance(event, Received):
            logger.debug("bytes_received", extra={**fields, "size": event.size})
            return
        logger.info(_NAMES[type(event)], extra={**fields, "size": upload.offset})


class FanOut:
    """See `EventSink`: tells each of several, one after the other."""

    def __init__(self, sinks: Sequence[EventSink]) -> None:
        self._sinks = tuple(sinks)

    async def emit(self, event: Event) -> None:
        """See `EventSink.emit`. The first failure keeps it from those that come later."""
        for sink in self._sinks:
            await sink.emit(event)
