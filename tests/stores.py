"""What a server under test has stored, seen past the server: in a folder, or in a bucket."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from tests.weed import Bucket


class Store(Protocol):
    """Where a server stores. A finished file is called `{user}/{file_id}/{filename}`; the name of
    anything else begins with a dot, as no user's id does."""

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a server that stores here."""

    def location(self, name: str) -> str:
        """How the server calls a finished file towards the world: a path or a URL."""

    def named_by(self, location: str) -> str:
        """The name of the finished file that a location stands for; fails when it is none."""

    async def everything(self) -> dict[str, int]:
        """The names of all that is kept here, for however short, and how many bytes each has."""

    async def read(self, name: str) -> bytes | None:
        """The bytes under a name; None when there is nothing."""

    async def holds(self, name: str, content: bytes) -> bool:
        """Whether bytes stand somewhere under a name, or may, where nobody can look."""

    async def remove(self, name: str) -> None:
        """Take a finished file away, past the server."""

    async def empty(self) -> None:
        """Take everything away, past the server."""

    def out_of_reach(self) -> AbstractAsyncContextManager[None]:
        """A while in which the server does not get at anything here."""


MakeStore = Callable[[Path], Store]
"""The store of a server whose data folder is given."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A data folder of local storage. With `is_direct` every body and download goes straight
    between the socket and a file; else none does."""

    root: Path
    is_direct: bool = True

    @property
    def settings(self) -> dict[str, str]:
        return {"DIRECT_IO_SIZE": "1" if self.is_direct else "unlimited"}

    def location(self, name: str) -> str:
        return f"{self.root}/final/{name}"

    def named_by(self, location: str) -> str:
        assert location.startswith(f"{self.root}/final/"), location
        return location.removeprefix(f"{self.root}/final/")

    async def everything(self) -> dict[str, int]:
        found = {self._name(path): size for path, size in _files(self.root)}
        return dict(sorted(found.items()))

    async def read(self, name: str) -> bytes | None:
        try:
            return await asyncio.to_thread(self._path(name).read_bytes)
        except FileNotFoundError:
            return None

    async def holds(self, name: str, content: bytes) -> bool:
        return content in (await self.read(name) or b"")

    async def remove(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    async def empty(self) -> None:
        shutil.rmtree(self.root)
        self.root.mkdir()

    @asynccontextmanager
    async def out_of_reach(self) -> AsyncIterator[None]:
        away = self.root.with_name("away")
        self.root.rename(away)
        self.root.touch()
        try:
            yield
        finally:
            self.root.unlink()
            away.rename(self.root)

    def _name(self, path: Path) -> str:
        name = str(path.relative_to(self.root))
        return name.removeprefix("final/") if name.startswith("final/") else f"./{name}"

    def _path(self, name: str) -> Path:
        return self.root / (name if name.startswith(".") else f"final/{name}")


@dataclass(frozen=True, kw_only=True)
class InBucket:
    """A bucket of an S3 store, and the data folder that its server still has."""

    bucket: Bucket
    root: Path

    @property
    def settings(self) -> dict[str, str]:
        return {**self.bucket.settings, "DIRECT_IO_SIZE": "unlimited"}

    def location(self, name: str) -> str:
        return self.bucket.url(name)

    def named_by(self, location: str) -> str:
        name = unquote(location.removeprefix(self.bucket.url("")))
        assert self.location(name) == location, location
        return name

    async def everything(self) -> dict[str, int]:
        local = {f"./{path.relative_to(self.root)}": size for path, size in _files(self.root)}
        parts = {f"./{key} {upload}": size for key, upload, size in await self.bucket.parts()}
        return dict(sorted({**await self.bucket.keys(), **local, **parts}.items()))

    async def read(self, name: str) -> bytes | None:
        if name.startswith("./"):
            return (self.root / name).read_bytes() if (self.root / name).is_file() else None
        return await self.bucket.read(name)

    async def holds(self, name: str, content: bytes) -> bool:
        data = await self.read(name)
        return content in data if data is not None else name.startswith("./")

    async def remove(self, name: str) -> None:
        await self.bucket.delete(name)

    async def empty(self) -> None:
        await asyncio.to_thread(self.bucket.empty)

    @asynccontextmanager
    async def out_of_reach(self) -> AsyncIterator[None]:
        self.bucket.weed.kill()
        try:
            yield
        finally:
            await asyncio.to_thread(self.bucket.weed.start)


def _files(root: Path) -> Iterator[tuple[Path, int]]:
    """Every file below a folder with its size, but for those that vanish meanwhile."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder) / name
            try:
                yield path, path.lstat().st_size
            except FileNotFoundError:
                continue
