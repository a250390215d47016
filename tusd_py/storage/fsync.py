"""Onto the medium: what outlives a failure of power."""

import contextlib
import os


class NotSynced(OSError):
    """The medium did not take it. What was written since it last did may be gone, although it can
    still be read and although a second try may succeed (fsync(2))."""


def sync(fd: int) -> None:
    """Put a file on the medium. Raises `NotSynced`."""
    try:
        os.fsync(fd)
    except OSError as error:
        raise NotSynced(error.errno, error.strerror) from error


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Put the names in a folder on the medium. Raises as `open_folder`."""
    fd = open_folder(folder)
    try:
        sync(fd)
    finally:
        os.close(fd)


def open_folder(folder: str | os.PathLike[str]) -> int:
    """A descriptor with which the names in a folder can be put on the medium. Raises
    `FileNotFoundError`, and `NotSynced` for what else keeps them from it."""
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NotSynced(error.errno, error.strerror) from error


def begin(fd: int) -> None:
    """Let a file begin to go there, without waiting (posix_fadvise(2), POSIX_FADV_DONTNEED: Linux
    writes what is dirty). Tells no failure: `sync` will."""
    with contextlib.suppress(OSError):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
