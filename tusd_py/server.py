"""The life of a server: listen, serve, drain, leave."""

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from tusd_py.app import METRICS
from tusd_py.config import Config
from tusd_py.descriptors import connections_that_fit
from tusd_py.listeners import BACKLOG, AddressUnavailable
from tusd_py.log import ACCESS
from tusd_py.runtime import calm_garbage_collector, loop_name
from tusd_py.web.connection import Connection, Patience
from tusd_py.web.crowd import Crowd
from tusd_py.web.last_word import Doorstep
from tusd_py.web.naming import RequestNames
from tusd_py.web.plain import LEAVING
from tusd_py.web.pump import Pump
from tusd_py.web.watch import Watch
from tusd_py.workers import Line

KEEP_ALIVE = 25.0
"""Seconds a connection stays open after an answer when no other request begins."""

TO_END, TO_BE_CANCELLED, BEFORE_LATE = 0.55, 0.1, 0.95
"""Parts of SHUTDOWN_TIMEOUT: for requests to end while others still get an answer; for them to end
after that, and again to be cancelled; after which the process leaves, come what may."""

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


class RunningServer:
    """A server that listens on `port`."""

    def __init__(
        self,
        runner: web.AppRunner,
        listeners: Sequence[asyncio.Server],
        crowd: Crowd,
        doorstep: Doorstep,
        leaving: asyncio.Event,
        config: Config,
    ) -> None:
        self.port: int = listeners[0].sockets[0].getsockname()[1]
        self._runner = runner
        self._listeners = listeners
        self._crowd = crowd
        self._doorstep = doorstep
        self._leaving = leaving
        self._delay = config.shutdown_delay.total_seconds()
        self._timeout = config.shutdown_timeout.total_seconds()

    async def stop(self) -> None:
        """Say so, serve on for SHUTDOWN_DELAY, let running requests commit and end, close.

        Until they have ended newcomers still get an answer: 503 when they bring bytes. What does
        not end within SHUTDOWN_TIMEOUT is cancelled; acknowledged bytes stay.
        """
        self._leaving.set()
        await asyncio.sleep(self._delay)

        logger.info("draining")
        self._crowd.is_leaving = True
        await self._runner.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout * TO_END):
                await self._crowd.settled()

        for listener in self._listeners:
            listener.close()
        for connection in self._connections():
            connection.leave()
        left = self._connections()
        await self._runner.cleanup()
        for connection in left:
            connection.drop()
        self._doorstep.clear()

    def _connections(self) -> list[Connection]:
        server = self._runner.server
        connections = server.connections if server is not None else []
        return [each for each in connections if isinstance(each, Connection)]


async def start(
    app: web.Application, config: Config, sockets: Sequence[socket.socket] = ()
) -> RunningServer:
    """Listen, on `sockets` if they are given. Raises `StorageError`, or `AddressUnavailable`."""
    app[LEAVING] = leaving = asyncio.Event()
    pump = Pump()

    async def close(_app: web.Application) -> None:
        pump.close()

    app.on_cleanup.append(close)
    runner = web.AppRunner(
        app,
        handle_signals=False,
        shutdown_timeout=config.shutdown_timeout.total_seconds() * TO_BE_CANCELLED,
    )
    await runner.setup()
    assert runner.server is not None
    loop = asyncio.get_running_loop()
    crowd, doorstep = Crowd(config.max_connections), Doorstep()
    connection = functools.partial(
        Connection,
        runner.server,
        loop=loop,
        access_log_class=AccessLog,
        access_log=logging.getLogger(ACCESS),
        max_field_size=MAX_FIELD,
        max_line_size=MAX_FIELD,
        read_bufsize=READ_BUFFER,
        auto_decompress=False,
        crowd=crowd,
        doorstep=doorstep,
        patience=Patience(
            head=config.header_timeout.total_seconds(),
            between=KEEP_ALIVE,
            answer=config.body_timeout.total_seconds(),
        ),
        met=app[METRICS].limit_hit,
        watch=Watch(RequestNames(), app[METRICS].requests.answered),
        pump=pump,
        direct=config.direct_io_size,
    )
    try:
        if sockets:
            listeners = [
                await loop.create_server(connection, sock=each, backlog=BACKLOG) for each in sockets
            ]
        else:
            listeners = [
                await loop.create_server(connection, config.host, config.port, backlog=BACKLOG)
            ]
    except OSError as error:
        await runner.cleanup()
        raise AddressUnavailable(config.host, config.port, error) from error
    return RunningServer(runner, listeners, crowd, doorstep, leaving, config)


async def serve(
    app: web.Application, config: Config, announce: Callable[[int], None] = lambda _port: None
) -> None:
    """Serve until SIGTERM or SIGINT; a second signal leaves at once.

    `announce` is called with the port once the server listens. Raises as `start` does.
    """
    leaving = _leaving_on_signals()
    config = replace(config, max_connections=connections_that_fit(config.max_connections))
    server = await start(app, config)
    calm_garbage_collector()
    announce(server.port)
    log_listening(config, server.port)
    await leaving.wait()
    logger.info("leaving")
    seconds = await _stop(server, config)
    logger.info("stopped", extra={"seconds": seconds})


async def serve_as_worker(
    app: web.Application, config: Config, sockets: Sequence[socket.socket], line: Line
) -> None:
    """Serve on `sockets` until the parent says so or is gone, or as `serve`. The parent, which
    speaks for the server in the log, is told when requests are taken. Raises as `start` does."""
    leaving = _leaving_on_signals()
    loop = asyncio.get_running_loop()

    def leave() -> None:
        loop.remove_reader(line.leave)
        leaving.set()

    loop.add_reader(line.leave, leave)
    server = await start(app, config, sockets)
    calm_garbage_collector()
    line.serving()
    logger.debug("worker_serves", extra={"pid": os.getpid()})
    await leaving.wait()
    logger.debug("worker_leaves", extra={"pid": os.getpid()})
    await _stop(server, config)


def log_listening(config: Config, port: int, *, workers: int = 1) -> None:
    """The line that tells that a server takes requests."""
    logger.info(
        "listening",
        extra={
            "host": config.host,
            "port": port,
            "workers": workers,
            "loop": loop_name(config.event_loop),
        },
    )


def _leaving_on_signals() -> asyncio.Event:
    """An event that the first SIGTERM or SIGINT sets."""
    leaving = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, _leave, loop, leaving)
    return leaving


async def _stop(server: RunningServer, config: Config) -> float:
    """Stop, in time; returns how many seconds it took."""
    _leave_within(config.shutdown_delay.total_seconds(), config.shutdown_timeout.total_seconds())
    started = time.monotonic()
    await server.stop()
    return round(time.monotonic() - started, 3)


def _leave(loop: asyncio.AbstractEventLoop, leaving: asyncio.Event) -> None:
    """Begin to leave; the next signal ends the process without a word."""
    leaving.set()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(each)
        # not SIG_DFL: the kernel keeps that from the first process of a container
        signal.signal(each, lambda signum, _frame: os._exit(128 + signum))


def _leave_within(delay: float, timeout: float) -> None:
    """End the process in time, also when a thread or a client holds up the clean end."""

    def leave() -> None:
        logger.error("cut_short")
        os._exit(0)

    timer = threading.Timer(delay + timeout * BEFORE_LATE, leave)
    timer.daemon = True
    timer.start()
