"""The crowd of the soak: clients that make one upload after the other and look at the outcome."""

import asyncio
import hashlib
import json
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.soak.client import DONE, Client, Cut, GaveUp
from bench.soak.files import PATCH, Archive, Source, Sources
from bench.soak.line import NoAnswer
from bench.soak.rest import RestUpload
from bench.soak.tus import APPENDED, CREATED, TusUpload, Way

PARTIALS = 4
ABANDONED_SHARE = 0.03
DELETED_EARLY_SHARE = 0.04
DELETED_SHARE = 0.6
LISTED_SHARE = 0.02

KINDS: Sequence[tuple[int, str]] = (
    (40, "plain"),
    (15, "checksum"),
    (10, "with bytes"),
    (10, "deferred"),
    (15, "rest"),
    (10, "concatenation"),
)
"""How often each kind of upload is chosen."""

GONE = {404: "deleted", 410: "deleted"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A finished upload: its tus path and its file."""

    path: str
    file: Path
    source: Source


class Device:
    """One client, and the uploads it makes until time is over."""

    def __init__(self, client: Client, sources: Sources, archive: Archive) -> None:
        self._client = client
        self._sources = sources
        self._archive = archive
        self._tally = client.tally
        self._make: dict[str, Callable[[Source], Awaitable[Finished | None]]] = {
            "plain": lambda source: self._tus(source, Way.PLAIN),
            "checksum": lambda source: self._tus(source, Way.CHECKSUM),
            "with bytes": lambda source: self._tus(source, Way.WITH_UPLOAD),
            "deferred": lambda source: self._tus(source, Way.DEFERRED),
            "rest": self._rest,
            "concatenation": self._concatenation,
        }

    async def work(self) -> None:
        """Begin uploads until time is over, and end the last one."""
        weights, kinds = zip(*KINDS, strict=True)
        while time.monotonic() < self._client.services.until:
            (kind,) = self._client.chance.choices(kinds, weights)
            await self._upload(kind)
        await self._client.leave()

    async def _upload(self, kind: str) -> None:
        try:
            finished = await self._make[kind](self._sources.next())
            await self._client.settle()
            if finished is not None:
                await self._look_at(finished)
                self._tally.ends[f"finished, {kind}"] += 1
        except* NoAnswer:  # is blamed where it was missed
            self._tally.ends["gave up"] += 1
        except* GaveUp as group:
            self._tally.ends["gave up"] += 1
            self._tally.blame(f"gave up: {group.exceptions[0]}")

    async def _tus(self, source: Source, way: Way) -> Finished | None:
        upload = TusUpload(
            client=self._client, way=way, content=source.content, metadata=_metadata(source)
        )
        await upload.create()
        if self._is(ABANDONED_SHARE):
            await upload.send(stop=self._somewhere(source))
            self._tally.ends["abandoned"] += 1
            return None
        if self._is(DELETED_EARLY_SHARE):
            await upload.send(stop=self._somewhere(source))
            await upload.cut(Cut.STALL)
            await self._delete(upload.path, "DELETE of a running upload")
            self._tally.ends["deleted while it ran"] += 1
            return None
        await upload.send()
        return self._finished(upload.path, source)

    async def _rest(self, source: Source) -> Finished:
        upload = RestUpload(client=self._client, source=source)
        await upload.begin()
        await upload.send()
        finished = self._finished(f"/files/{upload.session}", source)
        told = await upload.complete()
        self._tally.check(told == str(finished.file), f"complete names {told}")
        return finished

    async def _concatenation(self, source: Source) -> Finished:
        size = len(source.content) // PARTIALS
        parts = [
            TusUpload(
                client=self._client,
                way=Way.PARTIAL,
                content=source.content[at : at + size],
                metadata=None,
            )
            for at in range(0, len(source.content), size)
        ]
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(_send_all(part))
        joined = " ".join(part.path for part in parts)
        request = self._client.tus(
            "POST of a concatenation",
            "POST",
            "/files/",
            upload_concat=f"final;{joined}",
            upload_metadata=_metadata(source),
        )
        answer = await self._client.insist(request, CREATED)
        return self._finished(answer.path, source)

    def _finished(self, path: str, source: Source) -> Finished:
        self._tally.finished.add(path.rpartition("/")[2])
        file = self._archive.path(self._client.user, source)
        return Finished(path=path, file=file, source=source)

    async def _look_at(self, finished: Finished) -> None:
        """Compare the digest, on disk or through GET; then delete the file, or keep it."""
        if self._is(0.5):
            request = self._client.tus("GET", "GET", finished.path)
            answer = await self._client.insist(request, DONE)
            digest = hashlib.sha256(answer.body).hexdigest()
        else:
            digest = self._archive.digest(finished.file)
        self._tally.digests += 1
        self._tally.check(digest == finished.source.digest, f"{finished.file}: other bytes")
        if self._is(LISTED_SHARE):
            await self._find_in_list(finished)
        if self._is(DELETED_SHARE):
            await self._delete(finished.path, "DELETE")
            there = self._archive.digest(finished.file)
            self._tally.check(not there, f"{finished.file}: there after DELETE")
            self._tally.ends["deleted"] += 1
        else:
            self._archive.kept[finished.file] = finished.source.digest

    async def _find_in_list(self, finished: Finished) -> None:
        request = self._client.rest("REST files", "GET", "files", b"")
        answer = await self._client.insist(request, DONE)
        is_listed = str(finished.file) in json.loads(answer.body)["files"]
        self._tally.check(is_listed, f"{finished.file}: not in the list")

    async def _delete(self, path: str, kind: str) -> None:
        """DELETE over tus or REST; afterwards the upload is gone in every process."""
        if self._is(0.5):
            await self._client.insist(self._client.tus(kind, "DELETE", path), APPENDED)
        else:
            body = json.dumps({"upload_session_id": path.rpartition("/")[2]}).encode()
            request = self._client.rest(f"REST {kind}", "DELETE", "file", body)
            await self._client.insist(request, DONE)
        await self._client.insist(self._client.tus("HEAD", "HEAD", path), GONE)

    def _somewhere(self, source: Source) -> int:
        return self._client.chance.randrange(0, len(source.content) - PATCH)

    def _is(self, share: float) -> bool:
        return self._client.chance.random() < share


async def run_crowd(devices: Sequence[Device]) -> None:
    """Let all devices work, until their last uploads have ended."""
    async with asyncio.TaskGroup() as group:
        for device in devices:
            group.create_task(device.work())


async def _send_all(part: TusUpload) -> None:
    await part.create()
    await part.send()


def _metadata(source: Source) -> str:
    name, number = source.name.encode(), str(source.file_id).encode()
    return f"filename {b64encode(name).decode()},main_service_file_id {b64encode(number).decode()}"
