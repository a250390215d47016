"""Small files: each is there whole or not at all, and replaced atomically."""

import contextlib
import os
import random
from pathlib import Path

from tusd_py.block import write_all
from tusd_py.storage.steps import Steps


def replace(
    path: str | Path, data: bytes, *, durable: bool, ready: str | None = None
) -> Steps[None]:
    """Replace a small file atomically; with `durable` it is on the medium afterwards. The file
    `ready` has its bytes already, on the medium.

    `remove_older` may take the new file for a dead one's when a clock jumps: then there is another.
    """
    while True:
        if ready is None:
            temporary = temporary_for(path)
            yield from make(temporary, data, durable=durable)
        else:
            temporary, ready = ready, None
        try:
            os.rename(temporary, path)
        except FileNotFoundError:
            continue
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        break
    if durable:
        yield [os.path.dirname(path)]


def add(path: str, data: bytes, *, durable: bool) -> Steps[None]:
    """Make a small file where there was none; nobody sees a part of it. When the medium does not
    take it, it is gone again."""
    temporary = temporary_for(path)
    fd = _new(temporary)
    made = temporary
    try:
        write_all(fd, data, 0)
        os.rename(temporary, path)
        made = path
        if durable:
            yield [fd, os.path.dirname(path)]
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(made)
        raise
    finally:
        os.close(fd)


def make(path: str, data: bytes, *, durable: bool) -> Steps[None]:
    """Make a small file, whole unless the machine fails. Raises `FileExistsError`."""
    fd = made(path, data)
    try:
        try:
            if durable:
                yield [fd]
        finally:
            os.close(fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def made(path: str, data: bytes) -> int:
    """Make a small file; it is open. Raises `FileExistsError`."""
    fd = _new(path)
    try:
        write_all(fd, data, 0)
    except BaseException:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
    return fd


def temporary_for(path: str | Path) -> str:
    """A name beside a file for the one that is to replace it."""
    return f"{path}.{random.getrandbits(128):032x}.tmp"


def _new(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
