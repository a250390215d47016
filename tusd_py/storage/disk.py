"""The calls to a local file system, blocking: atomic, complete, durable where they say so.

What has to wait for the medium is done in `Steps`.
"""

import contextlib
import errno
import fcntl
import os
import stat
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from tusd_py.block import write_all
from tusd_py.errors import StorageError
from tusd_py.storage.fsync import sync_folder
from tusd_py.storage.steps import Steps, Target

PIECE = 1 << 20
"""Bytes that are read into memory at once."""

MOST = 64 << 20
"""No small file is larger, in bytes."""

_CANNOT_COPY = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF}


class NotAFile(OSError):
    """There is something else, or something far too large: nobody here wrote it."""


def probe(folder: Path) -> None:
    """Make `folder` and prove that it can be written to."""
    make_folder(folder)
    path = folder / f".probe-{uuid.uuid4().hex}"
    try:
        path.write_bytes(b"probe")
    finally:
        path.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably, if they are not there."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    sync_folder(folder.parent)


def open_to_read(path: str | Path) -> int:
    """A descriptor for reading. Does not wait for who might write into a pipe."""
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def close(fd: int) -> None:
    """Close a descriptor."""
    os.close(fd)


def read(path: str | Path) -> bytes:
    """A whole small file. Raises `NotAFile`."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise NotAFile(errno.EINVAL, "not a file") from error
        raise
    try:
        about = os.fstat(fd)
        if stat.S_ISDIR(about.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(about.st_mode) or about.st_size > MOST:
            raise NotAFile(errno.EINVAL, "not a file")
        data = os.read(fd, about.st_size)
        while len(data) < about.st_size and (more := os.read(fd, about.st_size - len(data))):
            data += more
        return data
    finally:
        os.close(fd)


def size(path: str) -> int | None:
    """The size of a file in bytes; None if there is none."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None


def names(folder: str | Path) -> list[str]:
    """What a folder holds; nothing if there is none."""
    try:
        return os.listdir(folder)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            raise
        return []


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder itself, no link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def copy(fd: int, start: int, to_fd: int, position: int, size: int) -> None:
    """Copy `size` bytes from `start` of one file to `position` of another."""
    done = 0
    while done < size:
        count = _copy_some(fd, start + done, to_fd, position + done, size - done)
        if not count:
            raise StorageError("A file is shorter than its record says.")
        done += count


def show(fd: int, start: int, size: int, see: Callable[[memoryview], object]) -> None:
    """Let `see` have a look at `size` bytes of a file from `start` on."""
    buffer = memoryview(bytearray(min(size, PIECE)))
    while size:
        count = os.preadv(fd, [buffer[:size]], start)
        if not count:
            raise StorageError("A file is shorter than its record says.")
        see(buffer[:count])
        start += count
        size -= count


def tail(fd: int, size: int) -> tuple[int, bytes]:
    """How many bytes a file has before its last `size` ones, and these."""
    before = max(0, os.fstat(fd).st_size - size)
    return before, os.pread(fd, size, before)


def seal(path: str | Path, size: int, *, may_create: bool) -> Steps[None]:
    """Cut a file to `size` bytes and put it on the medium."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if may_create else 0)
    fd = os.open(path, flags, 0o644)
    try:
        found = os.fstat(fd).st_size
        if found < size:
            raise StorageError("Bytes of this upload were lost on the disk.")
        if found > size:
            os.ftruncate(fd, size)
        yield [fd]
    finally:
        os.close(fd)


def move(
    source: str | Path, target: str | Path, *, below: str | Path, beside: Sequence[Target] = ()
) -> Steps[None]:
    """Rename a file into folders made as needed, durably. Replaces an earlier file atomically.

    What is `beside` it comes onto the medium at the same time."""
    folder = os.path.dirname(target)
    for attempt in range(5):
        try:
            made = _make_folders(folder, str(below))
            os.rename(source, target)
        except FileNotFoundError:  # somebody pruned the folder, empty as it was
            if not os.path.exists(source):
                raise
            if attempt == 4:
                raise StorageError("The folder of the file keeps going away; try again.") from None
        else:
            break
    yield [str(folder), *(os.path.dirname(each) for each in made), *beside]


def sync_folders(folder: Path, *, below: Path, beside: Sequence[Target] = ()) -> Steps[None]:
    """Put the names in a folder, and in those above it down to `below`, on the medium, and what is
    `beside` them."""
    folders = [folder]
    while folders[-1] != below:
        folders.append(folders[-1].parent)
    yield [*(str(each) for each in folders), *beside]


def prune(folder: Path, *, below: Path) -> None:
    """Remove a folder and the folders above it, as long as they are empty and under `below`."""
    while folder != below:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def remove(path: str) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def remove_files(folder: str | Path) -> None:
    """Remove the files in a folder, and the folder unless somebody just made another in it. What
    is no folder stays: nobody here wrote it."""
    if not is_folder(folder):
        return
    for name in names(folder):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            os.unlink(f"{folder}/{name}")
    remove_empty(folder)


def remove_empty(folder: str | Path) -> None:
    """Remove a folder if it is there and empty."""
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise


def held(fd: int) -> int:
    """The same descriptor; until it is closed `remove_older` leaves its file alone."""
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd


def remove_older(path: Path, before: float) -> bool:
    """Remove a file that was last written before a time (seconds since 1970), and that nobody
    holds: a clock may jump."""
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        about = path.lstat()
        if about.st_mtime < before and not (stat.S_ISREG(about.st_mode) and _is_held(path)):
            path.unlink()
            return True
    return False


def _is_held(path: Path) -> bool:
    fd = open_to_read(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _copy_some(fd: int, start: int, to_fd: int, position: int, size: int) -> int:
    try:
        return os.copy_file_range(fd, to_fd, size, start, position)
    except OSError as error:
        if error.errno not in _CANNOT_COPY:
            raise
    data = os.pread(fd, size, start)
    write_all(to_fd, data, position)
    return len(data)


def _make_folders(folder: str, below: str) -> list[str]:
    """Make the missing folders between `below` and `folder`; return those that were made."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        return []
    except FileNotFoundError:
        parent = os.path.dirname(folder)
        if parent == below:
            raise
        return [*_make_folders(parent, below), *_make_folders(folder, below)]
    return [folder]
