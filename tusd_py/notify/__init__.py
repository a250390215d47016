"""Who is told what happens: today the log."""

import logging

from tusd_py.events import Completed, Created, Event, Expired, Received, Terminated

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
        """See `EventSink.emit`."""
        upload = event.upload
        fields: dict[str, object] = {"upload": upload.id, "owner": upload.owner}
        if isinstance(event, Received):
            logger.debug("bytes_received", extra={**fields, "size": event.size})
            return
        logger.info(_NAMES[type(event)], extra={**fields, "size": upload.offset})
