"""A tus client that concatenates finished partial uploads."""

import asyncio
from dataclasses import dataclass, field

import aiohttp

from tests.conformance.tus.client import OCTETS, metadata
from tests.faults.kill.scene import Scene, Stroke


@dataclass(kw_only=True)
class Joiner:
    """Joins partial uploads that hold `pieces`; `url` is the file's, once an answer told it."""

    scene: Scene
    pieces: list[bytes]
    urls: list[str] = field(default_factory=list)
    url: str | None = None

    @property
    def content(self) -> bytes:
        """The whole file."""
        return b"".join(self.pieces)

    @property
    def upload_id(self) -> str:
        """The id of the upload."""
        assert self.url is not None
        return self.url.rpartition("/")[2]

    async def create(self) -> None:
        """Upload the partial ones."""
        for piece in self.pieces:
            fields = {
                "Upload-Concat": "partial",
                "Upload-Length": str(len(piece)),
                "Content-Type": OCTETS,
            }
            answer = await self.scene.tus.post(fields, piece)
            assert answer.status == 201, answer
            self.urls.append(self.scene.tus.url(answer.headers["Location"]))

    async def work(self) -> None:
        """Concatenate, until that is acknowledged or the server is dead."""
        named = metadata(filename=self.scene.filename, main_service_file_id=str(self.scene.file_id))
        paths = " ".join(self.scene.tus.path(url) for url in self.urls)
        try:
            answer = await self.scene.tus.post({"Upload-Concat": f"final;{paths}", **named})
        except aiohttp.ClientError:
            return
        assert answer.status == 201, answer
        self.url = self.scene.tus.url(answer.headers["Location"])

    async def return_after(self, stroke: Stroke) -> None:
        """The partial uploads are whole; the file was there if that was acknowledged, and otherwise
        as a whole or not at all."""
        is_told = self.url is not None
        self.scene.require_whole(stroke, self.content, is_told=is_told)
        offsets = [await self.scene.tus.offset(url) for url in self.urls]

        assert offsets == [len(piece) for piece in self.pieces]

    async def finish(self) -> None:
        """Concatenate, once more if that was done already; then delete the partial uploads, and
        what the killed concatenation left."""
        await self.work()
        assert self.url is not None
        for upload_id in await asyncio.to_thread(self.scene.upload_ids):
            url = f"{self.scene.server.address.files}{upload_id}"
            if url != self.url:
                answer = await self.scene.tus.delete(url)
                assert answer.status in {204, 410}, answer
