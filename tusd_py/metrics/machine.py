"""What is looked at when somebody asks: the version, the disk, the processes."""

import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from tusd_py import __version__
from tusd_py.metrics.crew import processes


def machine(*, disk: Path | None, crew: Path | None) -> CollectorRegistry:
    """How it is now. Blocking: for a thread."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Machine(disk, processes(crew)))
    return registry


class _Machine(Collector):
    """The whole machine, not one worker of it."""

    def __init__(self, disk: Path | None, pids: Mapping[str, str]) -> None:
        self._disk = disk
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        """See `Collector.collect`."""
        build = GaugeMetricFamily(
            "tusd_py_build_info",
            "Always 1, with the versions of the server and of Python.",
            labels=["version", "python"],
        )
        build.add_metric([__version__, platform.python_version()], 1)
        yield build
        if self._disk is not None:
            yield from _room(self._disk)
        yield from _processes(self._pids)


def _room(folder: Path) -> Iterator[Metric]:
    """Nothing where it cannot be looked at; what is kept for root is not free."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return
    for name, meaning, value in (
        ("free_bytes", "Room on the disk of the data folder.", found.f_bavail * found.f_frsize),
        ("size_bytes", "Size of the disk of the data folder.", found.f_blocks * found.f_frsize),
        ("free_inodes", "Files that this disk has room for.", found.f_favail),
        ("inodes", "Files it could hold in all; 0 where there is no such limit.", found.f_files),
    ):
        yield GaugeMetricFamily(f"tusd_py_disk_{name}", meaning, value)


def _processes(pids: Mapping[str, str]) -> Iterator[Metric]:
    """The usual metrics of a process (`process_*`), of each process of the server."""
    merged: dict[str, Metric] = {}
    for worker, pid in pids.items():
        for metric in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
            whole = merged.setdefault(
                metric.name, Metric(metric.name, metric.documentation, metric.type)
            )
            for sample in metric.samples:
                whole.add_sample(sample.name, {"worker": worker}, sample.value)
    yield from merged.values()
