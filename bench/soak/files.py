"""What is uploaded in the soak, and which files must be there in the end."""

import hashlib
import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

MIB = 2**20
PATCH = 64 * 2**10
SIZE = MIB
VARIETY = 61


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The bytes of a file, and the id under which the main service knows it."""

    file_id: int
    content: bytes
    digest: str

    @property
    def name(self) -> str:
        """Its file name."""
        return f"soak {self.file_id}.bin"


class Sources:
    """Files of random bytes, `VARIETY` of them again and again, each time under another id."""

    def __init__(self, chance: random.Random) -> None:
        contents = [chance.randbytes(SIZE) for _ in range(VARIETY)]
        self._files = [(content, hashlib.sha256(content).hexdigest()) for content in contents]
        self._numbers = count(1)

    def next(self) -> Source:
        """Other bytes than the one before."""
        number = next(self._numbers)
        content, digest = self._files[number % VARIETY]
        return Source(file_id=number, content=content, digest=digest)


@dataclass(slots=True, kw_only=True)
class Archive:
    """The data folder as the main service sees it. `kept` maps paths to digests."""

    root: Path
    kept: dict[Path, str] = field(default_factory=dict)

    def path(self, user: str, source: Source) -> Path:
        """Where a finished file belongs."""
        return self.root / "final" / user / str(source.file_id) / source.name

    def digest(self, path: Path) -> str:
        """The SHA-256 of a finished file; empty when it is not there."""
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:
            return ""

    def wrong(self) -> Iterator[str]:
        """A line for every finished file that is missing, has other bytes, or should not be."""
        found = set(_files(self.root / "final"))
        for path, digest in self.kept.items():
            if self.digest(path) != digest:
                yield f"{path}: {'other bytes' if path in found else 'missing'}"
        for path in found - self.kept.keys():
            yield f"{path}: nobody uploaded this"


def leftovers(root: Path) -> list[str]:
    """All in the data folder that is neither a finished file nor what is noted about one."""
    found = [str(path) for path in _files(root) if path.parent == root and path.name != "locks"]
    noted: set[Path] = set()
    for path in _files(root / "uploads"):
        match path.suffix:
            case ".info":
                place = _place(root, path)
                if place is None:
                    found.append(f"{path}: no record of a finished file")
                else:
                    noted.add(place)
            case ".place":
                if not path.with_name(f"{path.read_text()}.info").exists():
                    found.append(f"{path}: the claim of an upload that is gone")
            case _:
                found.append(str(path))
    found += [f"{path}: no record" for path in set(_files(root / "final")) - noted]
    found += [f"{path}: empty" for path, folders, files in os.walk(root) if not folders + files]
    return found


def _place(root: Path, record: Path) -> Path | None:
    """Where the file lies that a record is about; None when there is none."""
    try:
        fields = json.loads(record.read_bytes())
    except FileNotFoundError:
        return None
    if fields.get("completion") is None or fields.get("ending") is not None:
        return None
    file_id = fields["file_id"] or fields["id"]
    place = root / "final" / fields["owner"] / file_id / fields["filename"]
    return place if place.is_file() else None


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield Path(parent, name)
