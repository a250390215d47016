"""What is on the medium: how much of an upload a power failure leaves."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tusd_py.upload import Upload, shrunk

SOON = 4 << 20
"""Up to so many bytes are on the medium soon: putting them there is no long call."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """`synced` bytes of an upload are on the medium. All that was acknowledged in the life `boot`
    of the machine (proc_sys_kernel(5), random/boot_id) is there as long as that lasts."""

    boot: str
    synced: int


def boot_id() -> str:
    """The present life of the machine. It outlives our process and a container's."""
    with open(os.open(_BOOT_ID, os.O_RDONLY | os.O_CLOEXEC), encoding="ascii") as file:
        return file.read().strip()


def fields(medium: Medium) -> Mapping[str, object]:
    """What the record says of it."""
    return {"boot": medium.boot, "synced": medium.synced}


def noted(record: Mapping[str, object]) -> Medium | None:
    """What a record says; None when it says nothing. Raises `ValueError`."""
    match record.get("medium"):
        case None:
            return None
        case {"boot": str(boot), "synced": int(synced)} if synced >= 0:
            return Medium(boot=boot, synced=synced)
    raise ValueError("medium")


def synced(upload: Upload) -> int:
    """How many bytes of an upload are on the medium for certain."""
    if upload.completion is not None:
        return upload.offset
    return min(upload.backing.synced, upload.offset) if isinstance(upload.backing, Medium) else 0


def is_of(upload: Upload, boot: str) -> bool:
    """Whether the machine runs since the record of an upload was written."""
    return isinstance(upload.backing, Medium) and upload.backing.boot == boot


def left(upload: Upload) -> Upload:
    """The upload after a failure of power, or of the medium: what was synced, and no more."""
    return shrunk(upload, synced(upload))
