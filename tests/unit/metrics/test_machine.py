"""The version, the disk and the processes are looked at when somebody asks."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.conftest import MakeProcess
from tests.exposition import exposition, read
from tests.servers import Address
from tusd_py import __version__
from tusd_py.metrics import Metrics
from tusd_py.metrics.crew import processes

PROCESS = {
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
}


async def test_a_server_alone(server: Address) -> None:
    """One process, which is worker 0, the disk of the data folder, and the version."""
    found = await exposition(server)

    disk = os.statvfs(server.root)
    assert found.labels("tusd_py_build_info", "version") == {__version__}
    assert found.value("tusd_py_disk_size_bytes") == disk.f_blocks * disk.f_frsize
    assert 0 < found.value("tusd_py_disk_free_bytes") <= disk.f_blocks * disk.f_frsize
    assert found.value("tusd_py_disk_inodes") == disk.f_files
    assert {name for name, _ in found.series if name.startswith("process_")} == PROCESS
    assert found.labels("process_resident_memory_bytes", "worker") == {"0"}
    assert found.value("process_resident_memory_bytes", worker="0") > 10 << 20


async def test_a_folder_that_is_gone_is_not_shown(tmp_path: Path) -> None:
    """Everything else is."""
    metrics = Metrics()
    metrics.watch_disk(tmp_path / "gone")
    found = read((await metrics.exposition())[0].decode())

    assert "tusd_py_disk_free_bytes" not in found.names
    assert "tusd_py_build_info" in found.names


async def test_the_outbox_is_as_it_was_told() -> None:
    """Nothing waits until somebody says so; then the last word counts."""
    metrics = Metrics()
    before = read((await metrics.exposition())[0].decode())
    metrics.outbox(7, 12.5, 2)
    metrics.outbox(3, 1.5, 2)
    after = read((await metrics.exposition())[0].decode())

    names = ("tusd_py_outbox_pending", "tusd_py_outbox_oldest_seconds", "tusd_py_outbox_dead")
    assert [before.value(name) for name in names] == [0, 0, 0]
    assert [after.value(name) for name in names] == [3, 1.5, 2]


def test_a_process_that_is_named_no_more(tmp_path: Path) -> None:
    """Names are numbers of workers; what else lies there is none."""
    (tmp_path / "0.pid").write_text("17")
    (tmp_path / "counter_0.db").touch()

    assert processes(tmp_path) == {"0": "17"}
    assert processes(None) == {"0": "self"}


@pytest.mark.parametrize("make_store", ["local"], indirect=True)
async def test_workers_are_one_server(make_process: MakeProcess) -> None:
    """Whichever worker answers shows each process, and each series once; what one saw last of the
    whole is not added up."""
    process = await make_process(WORKERS="2")
    async with asyncio.timeout(20):
        while True:  # the second worker starts when the first one serves
            found = await exposition(process.address)
            if found.labels("process_open_fds", "worker") == {"0", "1", "parent"}:
                break

    assert found.total("tusd_py_build_info") == 1
    assert found.value("tusd_py_uploads_open") == 0
    assert found.value("tusd_py_uploads_total", event="completed") == 0
    assert found.value("tusd_py_disk_size_bytes") > 0
    assert not [labels for _, labels in found.series if "pid" in dict(labels)]
