"""A folder as tusd's file store leaves it, and the command that takes it over."""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.commands import Finished, finish
from tests.servers import Address, settings

NAMES = {"user": "42", "filename": "audio.mp3", "filetype": "audio/mpeg"}


@dataclass(frozen=True, kw_only=True)
class TusdFolder:
    """Its files are those of tusd 2.10, or of 1.x; tusd saw the folder at `seen`."""

    root: Path
    seen: str = "/srv/tusd-data/data"

    def upload(
        self,
        content: bytes | None,
        *,
        length: int | None = None,
        metadata: Mapping[str, str] = NAMES,
        upload_id: str | None = None,
        is_deferred: bool = False,
        is_partial: bool = False,
        partials: Sequence[str] | None = None,
        version: int = 2,
        age: float = 0,
        **storage: str,
    ) -> str:
        """An upload with these bytes, of None the file is missing; returns its id. `age` in
        seconds, of the bytes."""
        upload_id = upload_id or secrets.token_hex(16)
        kept: dict[str, str] = {"Path": f"{self.seen}/{upload_id}", "Type": "filestore"}
        if version == 2:
            kept["InfoPath"] = f"{self.seen}/{upload_id}.info"
        size = len(content or b"") if length is None else length
        self.write(
            upload_id,
            {
                "ID": upload_id,
                "Size": 0 if is_deferred else size,
                "SizeIsDeferred": is_deferred,
                "Offset": 0,
                "MetaData": dict(metadata) or None,
                "IsPartial": is_partial,
                "IsFinal": partials is not None,
                "PartialUploads": None if partials is None else list(partials),
                "Storage": {**kept, **storage},
            },
        )
        if content is not None:
            path = self.root / upload_id
            path.write_bytes(content)
            os.utime(path, (path.stat().st_mtime - age,) * 2)
        return upload_id

    def write(self, upload_id: str, info: object) -> Path:
        """An `.info` file as Go writes JSON: in one line, `<`, `>` and `&` escaped."""
        text = json.dumps(info, separators=(",", ":"), ensure_ascii=False)
        for character in "<>&":
            text = text.replace(character, f"\\u{ord(character):04x}")
        path = self.root / f"{upload_id}.info"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def contents(self) -> dict[str, tuple[bytes, float]]:
        """Every file in it, its bytes and when they were written."""
        files = [path for path in self.root.rglob("*") if path.is_file()]
        return {
            str(path.relative_to(self.root)): (path.read_bytes(), path.stat().st_mtime)
            for path in files
        }


async def import_tusd(
    folder: Path, at: Address, *arguments: str, under: Sequence[str] = ()
) -> Finished:
    """Run `tusd-py import-tusd`, with the settings of a server that may be running."""
    process = await asyncio.create_subprocess_exec(
        *(*under, sys.executable, "-m", "tusd_py", "import-tusd", str(folder), *arguments),
        env={
            **{name: value for name, value in os.environ.items() if name in {"PATH", "PYTHONPATH"}},
            "PYTHONDONTWRITEBYTECODE": "1",
            **settings(at.root, **at.store.settings),
        },
        cwd=at.root,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    return await finish(process)


def fates(done: Finished) -> dict[str, str]:
    """What the report says of each upload, by its id there: one word."""
    lines = [line.partition(" ") for line in done.stdout.splitlines()[:-1]]
    return {rest.split(":")[0].split(" as ")[0].strip(): word for word, _, rest in lines}
