"""A disk with a journal, as ext4 has unless somebody switched it off."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import device, file_system

IMAGE_BYTES = 4 << 30
"""Size of the file system that is made; a hole as long as nothing is written."""


@contextmanager
def journaled(disk: Path) -> Iterator[tuple[Path, str]]:
    """A folder on `disk` and what it is; where its ext4 has no journal, and who runs this may mount
    one (root), in an ext4 of its own that lies in a file there."""
    kind = file_system(disk)
    if kind != "ext4" or _has_journal(disk):
        yield disk, kind
        return
    if os.geteuid() != 0:
        yield disk, f"{kind} without a journal"
        return
    with tempfile.TemporaryDirectory(dir=disk, prefix="journal-") as made:
        image, mounted = Path(made, "image"), Path(made, "mounted")
        mounted.mkdir()
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
        try:
            yield mounted, f"{kind} in a file on {kind}"
        finally:
            subprocess.run(["umount", mounted], check=True)


def _has_journal(disk: Path) -> bool:
    told = Path("/sys/fs/ext4", device(disk), "journal_task")
    return not told.is_file() or told.read_text().strip().isdigit()
