"""The life of a server: listen, serve, drain, leave."""

import asyncio
import errno
import functools
import logging
import signal
import time
from collections.abc import Callable

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from tusd_py.config import Config
from tusd_py.web.connection import Connection

KEEP_ALIVE = 25.0
"""Seconds an idle connection, or one with an unfinished request head, stays open."""

MAX_FIELD = 64 << 10
"""Longest header field in bytes: Upload-Concat and Upload-Metadata are long."""

READ_BUFFER = 64 << 10
"""aiohttp loses what is buffered when a client vanishes, so the buffer is small."""

logger = logging.getLogger(__name__)


class AccessLog(AbstractAccessLogger):
    """One line a request, without query, headers or bodies: tokens could be in them."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """See aiohttp; `time` is the duration in seconds."""
        self.logger.info(
            "request",
            extra={
                "method": request.method,
                "path": request.path,
                "status": response.status,
                "seconds": round(time, 4),
            },
        )


class AddressUnavailable(Exception):
    """Nothing can listen there. `str(error)` is one line that tells what to do."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        reason = "is in use" if error.errno == errno.EADDRINUSE else "cannot be listened on"
        super().__init__(f"{host}:{port} {reason}; choose another HOST or PORT (--port).")


class RunningServer:
    """A server that listens on `port`."""

    def __init__(self, runner: web.AppRunner, listener: asyncio.Server) -> None:
        self.port: int = listener.sockets[0].getsockname()[1]
        self._runner = runner
        self._listener = listener

    async def stop(self) -> None:
        """Refuse new connections, let running requests commit and end, close everything.

        What does not end within SHUTDOWN_TIMEOUT is cancelled; acknowledged bytes stay.
        """
        self._listener.close()
        for connection in self._connections():
            connection.leave()
        await self._runner.cleanup()

    def _connections(self) -> list[Connection]:
        server = self._runner.server
        connections = server.connections if server is not None else []
        return [each for each in connections if isinstance(each, Connection)]


async def start(app: web.Application, config: Config) -> RunningServer:
    """Listen. Raises `StorageError`, or `AddressUnavailable`."""
    runner = web.AppRunner(
        app,
        handle_signals=False,
        # aiohttp waits that long twice: for requests to end, and for them to be cancelled.
        shutdown_timeout=config.shutdown_timeout.total_seconds() / 2,
    )
    await runner.setup()
    assert runner.server is not None
    loop = asyncio.get_running_loop()
    connection = functools.partial(
        Connection,
        runner.server,
        loop=loop,
        access_log_class=AccessLog,
        access_log=logging.getLogger("tusd_py.access"),
        keepalive_timeout=KEEP_ALIVE,
        max_field_size=MAX_FIELD,
        max_line_size=MAX_FIELD,
        read_bufsize=READ_BUFFER,
        auto_decompress=False,
    )
    try:
        listener = await loop.create_server(connection, config.host, config.port, backlog=1024)
    except OSError as error:
        await runner.cleanup()
        raise AddressUnavailable(config.host, config.port, error) from error
    return RunningServer(runner, listener)


async def serve(
    app: web.Application, config: Config, announce: Callable[[int], None] = lambda _port: None
) -> None:
    """Serve until SIGTERM or SIGINT; a second signal leaves at once.

    `announce` is called with the port once the server listens. Raises as `start` does.
    """
    leaving = asyncio.Event()
    loop = asyncio.get_running_loop()
    server = await start(app, config)
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, _leave, loop, leaving)
    announce(server.port)
    logger.info("listening", extra={"host": config.host, "port": server.port})
    await leaving.wait()
    logger.info("draining")
    started = time.monotonic()
    await server.stop()
    logger.info("stopped", extra={"seconds": round(time.monotonic() - started, 3)})


def _leave(loop: asyncio.AbstractEventLoop, leaving: asyncio.Event) -> None:
    leaving.set()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(each)
