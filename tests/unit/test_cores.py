"""Cores: as many workers as the server has cores to itself."""

import os
from pathlib import Path

import pytest

from tusd_py.cores import MOST_WORKERS, workers_for_cores

OWN = min(MOST_WORKERS, len(os.sched_getaffinity(0)))


@pytest.mark.parametrize(
    ("files", "workers"),
    [
        ({}, OWN),
        ({"cpu.max": "max 100000\n"}, OWN),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "150000 100000\n"}, min(2, OWN)),
        ({"cpu.max": "6400000 100000\n"}, OWN),
        ({"cpu.max": "nonsense"}, OWN),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, OWN),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
    ],
    ids=["none", "max", "half", "one", "one-and-a-half", "many", "nonsense", "v1-none", "v1-one"],
)
def test_the_quota_of_a_container_counts(
    files: dict[str, str], workers: int, tmp_path: Path
) -> None:
    """One for each core, or what the quota is worth, if that is less; at most four."""
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    assert workers_for_cores(tmp_path) == workers
