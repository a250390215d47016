"""Proves that nothing was created outside a data folder."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARKER = "outsider-file"
"""Part of every name that a test sends in order to break out."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What lay around a data folder at one moment.

    The folder that holds the data folder belongs to the test: anything new there is a break-out.
    The folders above it, and those a server may stand in, are shared: there the marker tells.
    """

    root: Path
    around: frozenset[Path]

    @classmethod
    def take(cls, root: Path) -> "Snapshot":
        """Look at the surroundings of the data folder `root`."""
        return cls(root=root, around=frozenset(_around(root)))

    def escaped(self) -> list[str]:
        """What is new outside the data folder, or inside it outside user 42's finished files."""
        strays = {path for path in self.root.rglob(f"*{MARKER}*") if not self._is_filed(path)}
        return sorted(str(path) for path in set(_around(self.root)) - self.around | strays)

    def _is_filed(self, path: Path) -> bool:
        parts = path.relative_to(self.root).parts
        return len(parts) in {3, 4} and parts[:2] == ("final", "42")


def _around(root: Path) -> Iterator[Path]:
    own = root.parent
    for path in own.iterdir():
        if path != root:
            yield path
            yield from path.rglob("*")
    for folder in {*own.parents, Path.cwd(), Path.home(), Path(tempfile.gettempdir())}:
        yield from (path for path in folder.iterdir() if MARKER in path.name)
