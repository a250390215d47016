"""Whether a local file system has room for one upload more."""

import logging
import os
from pathlib import Path

from tusd_py.errors import DiskTooFull, NoSpace

logger = logging.getLogger(__name__)


class Space:
    """Blocking. `least` bytes below `folder` stay free for the uploads that have begun."""

    def __init__(self, folder: Path, least: int) -> None:
        self._folder = folder
        self._least = least
        self._is_short = False

    def require(self, size: int) -> None:
        """Raise `NoSpace` unless there is room for `size` bytes more.

        What the file system keeps for root does not count. Where it has no fixed number of inodes
        it tells of none at all (statvfs(3)).
        """
        found = os.statvfs(self._folder)
        free = found.f_bavail * found.f_frsize
        has_inodes = found.f_favail > 0 or found.f_files == 0
        self._log(is_short=free < self._least or not has_inodes, free=free, inodes=has_inodes)
        if not has_inodes:
            raise NoSpace
        if free - size < self._least:
            raise DiskTooFull

    def _log(self, *, is_short: bool, free: int, inodes: bool) -> None:
        """Tell once when room becomes short, and once when it is there again."""
        if is_short and not self._is_short:
            logger.error("disk_full", extra={"free": free, "inodes": inodes})
        if self._is_short and not is_short:
            logger.info("disk_has_room", extra={"free": free})
        self._is_short = is_short
