"""Folders that are open so that the names in them can be put on the medium: each once, however
many wait for that."""

import os
import threading
from dataclasses import dataclass

from tusd_py.storage.fsync import open_folder


@dataclass(slots=True, eq=False)
class Folder:
    """An open folder, and how many need it."""

    path: str
    fd: int
    users: int = 1


class Folders:
    """For many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Folder] = {}

    def open(self, path: str) -> Folder:
        """The folder that is there now; it is open until it is closed as often. Raises
        `FileNotFoundError`, `NotSynced`."""
        with self._lock:
            folder = self._open.get(path)
            if folder is not None and _is_at(folder.fd, path):
                folder.users += 1
            else:
                folder = self._open[path] = Folder(path, open_folder(path))
            return folder

    def close(self, folder: Folder) -> None:
        """One less needs it."""
        with self._lock:
            folder.users -= 1
            if folder.users:
                return
            if self._open.get(folder.path) is folder:
                del self._open[folder.path]
            os.close(folder.fd)


def _is_at(fd: int, path: str) -> bool:
    """Whether it is still this folder: one may have been removed, and another made there."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except OSError:  # opening it tells why
        return False
