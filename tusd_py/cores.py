"""How many processor cores this process may use."""

import contextlib
import math
import os
from pathlib import Path

MOST_WORKERS = 4
"""More do not pay by themselves: beyond it disks and networks are the limit, and memory counts."""

_CGROUPS = Path("/sys/fs/cgroup")


def workers_for_cores(cgroups: Path = _CGROUPS) -> int:
    """One worker for each core that this process may use, at most `MOST_WORKERS`: the cores it may
    run on (sched_setaffinity(2)), or as many as the quota of its container is worth."""
    cores: float = len(os.sched_getaffinity(0))
    quota = _quota(cgroups)
    if quota is not None:
        cores = min(cores, quota)
    return min(MOST_WORKERS, max(1, math.ceil(cores)))


def _quota(cgroups: Path) -> float | None:
    """Cores that the control group allows, as containers see it; None without a limit."""
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        allowed, period = (cgroups / "cpu.max").read_text().split()  # version 2; "max" is no number
        return int(allowed) / int(period)
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        cores = int((cgroups / "cpu/cpu.cfs_quota_us").read_text()) / int(
            (cgroups / "cpu/cpu.cfs_period_us").read_text()
        )
        return cores if cores > 0 else None
    return None
