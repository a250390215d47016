"""What a benchmark ran on."""

import os
import platform
import re
from pathlib import Path


def machine() -> str:
    """The processor, memory, kernel and Python."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return ", ".join(
        [
            f"{os.cpu_count()} cores{f' ({model[1]})' if model else ''}",
            *([f"{int(memory[1]) / 2**20:.0f} GiB of memory"] if memory else []),
            f"Linux {platform.release()}",
            f"Python {platform.python_version()}",
        ]
    )


def file_system(path: Path) -> str:
    """The kind of file system that holds a path."""
    return _mount(path)[1]


def device(path: Path) -> str:
    """The name of the device of the file system that holds a path."""
    return Path(_mount(path)[0]).name


def _mount(path: Path) -> tuple[str, str]:
    found = {}
    for line in Path("/proc/mounts").read_text().splitlines():
        source, place, kind, *_ = line.split(" ")
        if path.is_relative_to(place):
            found[place] = source, kind
    return found[max(found, key=len)]


def stolen() -> tuple[int, int]:
    """Ticks of all cores so far: what other virtual machines had, and all."""
    ticks = [int(each) for each in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    return ticks[7], sum(ticks)


def touch_memory(size: int) -> None:
    """Write so many bytes of memory, and give it back.

    A virtual machine may hand memory that is free for some seconds back to its host, which then has
    to find it again at the first touch: ten times as slow as the copy that is measured.
    """
    block = bytes(1 << 20)
    file = os.memfd_create("touched")  # to allocate it alone would touch nothing
    try:
        for at in range(0, size, len(block)):
            os.pwrite(file, block, at)
    finally:
        os.close(file)
