"""A whole server: in this process, or spread over workers that have in common what users share."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tusd_py.app import Part, create_app
from tusd_py.config import Config
from tusd_py.cores import workers_for_cores
from tusd_py.descriptors import connections_that_fit
from tusd_py.errors import UploadError
from tusd_py.listeners import Listeners
from tusd_py.metrics import Metrics, count_in
from tusd_py.runtime import calm_garbage_collector, loop_factory
from tusd_py.server import log_listening, serve, serve_as_worker
from tusd_py.setting_types import SettingError
from tusd_py.tracing import preload
from tusd_py.web.ledger import Ledger
from tusd_py.workers import Line, Supervisor

BEFORE_LATE = 0.98
"""Part of SHUTDOWN_TIMEOUT after which workers that have not left are killed."""

_IN_MEMORY = Path("/dev/shm")


def run_server(config: Config, announce: Callable[[int], None]) -> None:
    """Serve until a signal comes. `announce` is called with the port once requests are taken.

    Raises `UploadError` when the storage cannot be used, `AddressUnavailable`, or `CannotServe`.
    """
    workers = min(config.workers or workers_for_cores(), config.max_connections)
    if workers > 1:
        _run_workers(config, workers, announce)
        return
    with asyncio.Runner(loop_factory=loop_factory(config.event_loop)) as runner:
        runner.run(serve(create_app(config), config, announce))


def _run_workers(config: Config, count: int, announce: Callable[[int], None]) -> None:
    listeners = Listeners(config.host, config.port, count)
    port = listeners.port
    ledger = Ledger(count)
    most = connections_that_fit(-(-config.max_connections // count))

    def work(number: int, line: Line) -> int:
        sockets = listeners.keep(number)
        count_in(counters, number)
        part = Part(
            metrics=Metrics(counters),
            debts=ledger.debts,
            at_work=ledger.at_work(number),
            sweeps=number == 0,
        )
        own = own_share(config, number, count, most)
        try:
            with asyncio.Runner(loop_factory=loop_factory(config.event_loop)) as runner:
                runner.run(serve_as_worker(create_app(own, part), own, sockets, line))
        except UploadError as error:
            line.cannot_serve(str(error), 2)
            return 2
        if line.is_orphaned:
            shutil.rmtree(counters, ignore_errors=True)
        return 0

    def begun() -> None:
        announce(port)
        log_listening(config, port, workers=count)

    preload(config.otel_exporter_otlp_endpoint)
    with _private_folder() as counters:
        calm_garbage_collector()  # before the workers, so that they share what there is
        Supervisor(
            count,
            work,
            on_serving=begun,
            on_end=ledger.forget,
            on_leaving=listeners.close,
            patience=(
                config.shutdown_delay.total_seconds()
                + config.shutdown_timeout.total_seconds() * BEFORE_LATE
            ),
        ).run()


def own_share(config: Config, number: int, count: int, most: int) -> Config:
    """The settings of one of `count` workers: what is limited for all together is divided."""
    connections = (config.max_connections + number) // count
    return replace(
        config, max_connections=min(connections, most), s3_memory=config.s3_memory // count
    )


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder for counters, in memory where that is possible; removed in the end.

    Raises `SettingError` when there is no place for it.
    """
    for place in (_IN_MEMORY, None):
        try:
            folder = Path(tempfile.mkdtemp(prefix="tusd_py-", dir=place))
        except OSError:
            continue
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    raise SettingError(
        "WORKERS: several need a folder for their counters in /dev/shm or in TMPDIR, and neither "
        "can be written to; mount one, or set WORKERS=1."
    )
