"""What people, other programs and broken disks leave in a data folder in place of our files."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

Plant = Callable[[Path], None]
"""Puts something at a path, where nothing is."""

HUGE = 100 << 20


def uproot(path: Path) -> None:
    """Remove whatever is at a path."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _empty(path: Path) -> None:
    path.touch()


def _garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 40)


def _deep(path: Path) -> None:
    path.write_bytes(b"[" * 200_000)


def _list(path: Path) -> None:
    path.write_text("[1, 2, 3]")


def _future(path: Path) -> None:
    path.write_text('{"version": 99, "id": "unknown to us"}')


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, HUGE)


def _folder(path: Path) -> None:
    path.mkdir()


def _full_folder(path: Path) -> None:
    (path / "one" / "two").mkdir(parents=True)
    (path / "one" / "file").write_bytes(b"foreign")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY)  # a socket's path has 107 bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere/at/all")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _link_to_file(path: Path) -> None:
    path.symlink_to(outside(path) / "file")


def _link_to_folder(path: Path) -> None:
    path.symlink_to(outside(path))


def outside(path: Path) -> Path:
    """A folder beside the data folder, which holds a file that is nobody's business here."""
    while path.name != "data":
        path = path.parent
    folder = path.parent / "outside"
    folder.mkdir(exist_ok=True)
    (folder / "file").write_bytes(b"foreign")
    return folder


PLANTS: dict[str, Plant] = {
    "empty": _empty,
    "garbage": _garbage,
    "deep": _deep,
    "list": _list,
    "future": _future,
    "huge": _huge,
    "folder": _folder,
    "full_folder": _full_folder,
    "pipe": _pipe,
    "socket": _socket,
    "dangling": _dangling,
    "loop": _loop,
    "endless": _endless,
    "link_to_file": _link_to_file,
    "link_to_folder": _link_to_folder,
}
