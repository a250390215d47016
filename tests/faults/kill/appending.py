"""A tus client that sends one file in PATCHes, and knows what it may rely on."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field

import aiohttp

from tests.conformance.tus.client import OCTETS, Answer, checksum, metadata
from tests.faults.kill.scene import Scene, Stroke
from tests.faults.kill.sending import Sending

MIB = 1 << 20
ALGORITHMS = ("sha1", "sha256", "sha512", "md5", "crc32")


@dataclass(kw_only=True)
class Appender:
    """Sends `content`. Every offset in a 2xx counts as `acknowledged`; `base` is the offset of the
    request that runs, or ran last. With `is_checked` every PATCH has a checksum. A curious one asks
    for the offset in the middle of its own PATCHes."""

    scene: Scene
    content: bytes
    largest: int
    rate: float | None
    is_checked: bool = False
    is_curious: bool = False
    url: str | None = None
    acknowledged: int = 0
    base: int = 0
    sending: Sending = field(default_factory=lambda: Sending(body=b""))

    @property
    def fields(self) -> dict[str, str]:
        """The header lines that create the upload."""
        scene = self.scene
        named = metadata(filename=scene.filename, main_service_file_id=str(scene.file_id))
        return {"Upload-Length": str(len(self.content)), **named}

    @property
    def upload_id(self) -> str:
        """The id of the upload."""
        assert self.url is not None
        return self.url.rpartition("/")[2]

    async def create(self) -> None:
        """Create the upload without a byte."""
        self.url = self.scene.tus.url((await self.scene.tus.post(self.fields)).headers["Location"])

    async def create_with_bytes(self) -> None:
        """Create the upload with all its bytes in the same request."""
        self.sending = Sending(body=self.content, rate=self.rate)
        fields = {**self.scene.tus.lines(self.fields), "Content-Type": OCTETS}
        answer = await self.sending.request(self.scene.server.address, "POST", "/files/", fields)
        if answer is not None:
            assert answer.status == 201, answer
            self.url = self.scene.tus.url(answer.headers["Location"])
            self._note(answer)

    async def find(self) -> None:
        """Without an answer to its creation the upload is found in the data folder, or made."""
        if self.url is None:
            for upload_id in await asyncio.to_thread(self.scene.upload_ids):
                self.url = f"{self.scene.server.address.files}{upload_id}"
        if self.url is None:
            await self.create()

    async def work(self) -> None:
        """Send what is missing, until all is acknowledged or the server is dead."""
        while self.acknowledged < len(self.content):
            answer = await self._patch()
            if answer is None:
                return
            if answer.status == 503 and self.is_curious:  # by its own question
                if not await self._ask():
                    return
                continue
            assert answer.status == 204, answer
            self._note(answer)

    async def return_after(self, stroke: Stroke) -> None:
        """Ask for the offset: all that was acknowledged is there, nothing that was not sent, and
        of what was on its way at most one second's is lost."""
        is_told = self.acknowledged == len(self.content)
        self.scene.require_whole(stroke, self.content, is_told=is_told)
        offset = await self.scene.tus.offset(self._url)
        offered = self.base + self.sending.offered

        assert self.acknowledged <= offset <= offered
        if self.is_checked:
            assert offset in {self.acknowledged, self.base + len(self.sending.body)}
        elif self.acknowledged < offered:
            self.scene.require_small_loss(stroke, self.sending, offset - self.base)
        self.acknowledged = offset

    async def finish(self) -> None:
        """Send the rest, as fast as it goes."""
        self.rate = None
        self.largest = len(self.content)
        await self.work()

        assert self.acknowledged == len(self.content)

    @property
    def _url(self) -> str:
        assert self.url is not None
        return self.url

    async def _patch(self) -> Answer | None:
        dice, start = self.scene.dice, self.acknowledged
        size = dice.randint(1, self.largest) if dice.random() < 0.5 else self.largest
        self.base = start
        self.sending = Sending(body=self.content[start : start + size], rate=self.rate)
        fields = {"Content-Type": OCTETS, "Upload-Offset": str(start)}
        if self.is_checked:
            fields |= checksum(dice.choice(ALGORITHMS), self.sending.body)
        running = self.sending.request(
            self.scene.server.address,
            "PATCH",
            self.scene.tus.path(self._url),
            self.scene.tus.lines(fields),
        )
        if self.is_curious and self.rate is not None and dice.random() < 0.4:
            return await self._asked_meanwhile(running, after=dice.uniform(0.0, 0.5))
        return await running

    async def _asked_meanwhile(
        self, running: Awaitable[Answer | None], after: float
    ) -> Answer | None:
        patch = asyncio.ensure_future(running)
        await asyncio.wait([patch], timeout=after)
        await self._ask()
        return await patch

    async def _ask(self) -> bool:
        """Ask for the offset; whether the server is alive."""
        try:
            answer = await self.scene.tus.head(self._url)
        except aiohttp.ClientError:
            return False
        assert answer.status in {200, 423}, answer
        if answer.status == 200:
            self._note(answer)
        return True

    def _note(self, answer: Answer) -> None:
        offset = int(answer.headers["Upload-Offset"])

        assert offset >= self.acknowledged
        self.acknowledged = offset
