"""A disk of which one knows how long it takes to put something on the medium.

An ext4 in a file in memory, behind a file system in user space (FUSE) that waits at each flush.
"""

import ctypes.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IMAGE_BYTES = 4 << 30
"""Size of the file system; a hole as long as nothing is written."""

FLUSH_SECONDS = 0.002
"""As that of a disk on a network, or of a common SSD."""

_IMAGE = "image"


@contextmanager
def slow_disk(memory: Path) -> Iterator[Path | None]:
    """A folder on such a disk; None where it cannot be made: that needs root, /dev/fuse and
    libfuse."""
    is_able = os.geteuid() == 0 and os.path.exists("/dev/fuse")
    if not (is_able and ctypes.util.find_library("fuse3")):
        yield None
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="slow-") as made:
        image, shown, mounted = (Path(made, name) for name in (_IMAGE, "shown", "mounted"))
        shown.mkdir()
        mounted.mkdir()
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        serving = subprocess.Popen([sys.executable, "-m", __name__, image, shown])
        try:
            _wait_for(shown / _IMAGE)
            subprocess.run(["mount", "-o", "loop", shown / _IMAGE, mounted], check=True)
            try:
                yield mounted
            finally:
                subprocess.run(["umount", mounted], check=True)
        finally:
            subprocess.run(["umount", shown], check=True)
            serving.wait(10)


def _wait_for(path: Path) -> None:
    for _ in range(100):
        if path.exists():
            return
        time.sleep(0.05)
    raise RuntimeError("The slow disk does not come up.")


def _serve(image: str, shown: str) -> None:
    """Show the image as a file in a folder, until that is unmounted."""
    import mfusepy  # looks for the C library when it is imported

    class Slow(mfusepy.Operations):  # type: ignore[misc]  # mfusepy has no types
        use_ns = True

        def __init__(self) -> None:
            self._fd = os.open(image, os.O_RDWR)

        def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
            if path == "/":
                return {"st_mode": 0o40755, "st_nlink": 2}
            size = os.fstat(self._fd).st_size
            return {"st_mode": 0o100600, "st_nlink": 1, "st_size": size}

        def readdir(self, path: str, fh: int) -> list[str]:
            return [".", "..", _IMAGE]

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            return os.pread(self._fd, size, offset)

        def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
            return os.pwrite(self._fd, data, offset)

        def fsync(self, path: str, datasync: int, fh: int) -> int:
            time.sleep(FLUSH_SECONDS)
            return 0

    mfusepy.FUSE(Slow(), shown, foreground=True, nothreads=True)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
