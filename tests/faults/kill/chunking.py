"""A REST client that sends the chunks of one file over several connections in any order, and knows
which of them it may rely on."""

import asyncio
from dataclasses import dataclass, field

import aiohttp

from tests.conformance.rest.client import FORM, Answer, RestClient, chunk_form
from tests.faults.kill.scene import Scene, Stroke
from tests.faults.kill.sending import Sending


@dataclass(kw_only=True)
class Chunker:
    """Sends `chunks` over `lines` connections; `order` is what has not been acknowledged, in the
    order of sending. `completed` is what an answered `complete` told: where the file is."""

    scene: Scene
    chunks: list[bytes]
    order: list[int]
    lines: int
    rate: float | None = None
    completions: int = 1
    session: str = ""
    begun: set[int] = field(default_factory=set)
    acknowledged: set[int] = field(default_factory=set)
    completed: str | None = None

    @property
    def content(self) -> bytes:
        """The whole file."""
        return b"".join(self.chunks)

    async def create(self) -> None:
        """Open the session."""
        self.session = await self._rest.init(self.scene.file_id, self.scene.filename)

    async def send(self, indices: list[int]) -> None:
        """Send some chunks, until all are acknowledged or the server is dead."""
        waiting = [index for index in indices if index not in self.acknowledged]
        await asyncio.gather(*(self._send_from(waiting) for _ in range(self.lines)))

    async def work(self) -> None:
        """Send what is missing and complete, in several calls at once."""
        await self.send(self.order)
        if len(self.acknowledged) == len(self.chunks):
            await asyncio.gather(*(self._complete_unless_dead() for _ in range(self.completions)))

    async def return_after(self, stroke: Stroke) -> None:
        """No acknowledged chunk is missing, and none is part of the file that was not sent; who
        was told of a file finds it."""
        is_told = self.completed is not None
        self.scene.require_whole(stroke, self.content, is_told=is_told)
        if self.completed is not None:
            await self.scene.require_file(self.content)
            return
        offset = await self._rest.offset(self.session)

        assert self._size_before_gap(self.acknowledged) <= offset
        assert offset <= self._size_before_gap(self.begun)
        completion = await self.complete()
        if completion.status == 409:
            assert set(self._missing(completion)) <= set(self.order) - self.acknowledged
        else:
            assert completion.status == 200, completion.body
            assert self.begun == set(self.order)

    async def finish(self) -> None:
        """Send what was not acknowledged, and again some of what was; complete."""
        again = self.scene.dice.sample(sorted(self.acknowledged), len(self.acknowledged) // 4)
        for index in again:
            answer = await self._rest.chunk(self.session, index, self.chunks[index])
            assert answer.status == 200, answer.body
        self.rate = None
        await self.send(self.order)
        completion = await self.complete()

        assert self.acknowledged == set(self.order)
        assert completion.status == 200, completion.body

    async def complete(self) -> Answer:
        """Ask for the file."""
        total, file_id = len(self.chunks), self.scene.file_id
        answer = await self._rest.complete(self.session, total, file_id)
        if answer.status == 200:
            self.completed = str(answer.data["file_path_on_upload_service"])
            assert self.completed == str(self.scene.place)
        return answer

    @property
    def _rest(self) -> RestClient:
        return self.scene.rest

    async def _send_from(self, waiting: list[int]) -> None:
        while waiting:
            index = waiting.pop(0)
            self.begun.add(index)
            rate = None if self.rate is None else self.rate / self.lines
            sending = Sending(body=chunk_form(self.session, index, self.chunks[index]), rate=rate)
            address = self.scene.server.address
            fields = {**address.auth("42"), **FORM}
            answer = await sending.request(address, "POST", "/upload/chunk", fields)
            if answer is None:
                return
            assert answer.status == 200, answer
            self.acknowledged.add(index)

    async def _complete_unless_dead(self) -> None:
        try:
            answer = await self.complete()
        except aiohttp.ClientError:
            return
        assert answer.status == 200, answer.body

    def _missing(self, refusal: Answer) -> list[int]:
        missing = refusal.json()["missing"]
        assert isinstance(missing, list)
        return missing

    def _size_before_gap(self, there: set[int]) -> int:
        """Bytes of the chunks without a gap from index 0."""
        size = 0
        for index, chunk in enumerate(self.chunks):
            if index not in there:
                break
            size += len(chunk)
        return size
