"""An upload through REST: chunks in any order, several at a time, some twice, cut now and then."""

import asyncio
import json
from dataclasses import dataclass

from bench.soak.client import BROKEN_OFF, DONE, Client, Cut, Request
from bench.soak.files import PATCH, Source

AT_ONCE = 3
TWICE_SHARE = 0.05
"""So many of the chunks are sent again after their answer."""

BOUNDARY = "soak-2f1c9a7e"


@dataclass(slots=True, kw_only=True)
class RestUpload:
    """A session, its chunks and its end."""

    client: Client
    source: Source
    session: str = ""

    async def begin(self) -> None:
        """init; a lost answer leaves an upload behind that the sweeper takes."""
        fields: dict[str, str | int] = {
            "main_service_file_id": self.source.file_id,
            "original_file_name": self.source.name,
        }
        request = _json(self.client, "init", fields)
        while self.client.is_cut_now():
            await self.client.cut(request, Cut.LOST, BROKEN_OFF)
        answer = await self.client.insist(request, DONE)
        self.session = json.loads(answer.body)["data"]["upload_session_id"]

    async def send(self) -> None:
        """All chunks, in any order, `AT_ONCE` at a time."""
        chunks = list(range(0, len(self.source.content), PATCH))
        self.client.chance.shuffle(chunks)
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._send_some(chunks))

    async def complete(self) -> str:
        """complete, now and then with a lost answer before; returns the path of the file."""
        fields: dict[str, str | int] = {
            "upload_session_id": self.session,
            "total_chunks": -(-len(self.source.content) // PATCH),
            "main_service_file_id": self.source.file_id,
        }
        request = _json(self.client, "complete", fields)
        while self.client.is_cut_now():
            await self.client.cut(request, Cut.LOST, BROKEN_OFF)
        answer = await self.client.insist(request, DONE)
        path: str = json.loads(answer.body)["data"]["file_path_on_upload_service"]
        return path

    async def _send_some(self, chunks: list[int]) -> None:
        while chunks:
            start = chunks.pop()
            request = self._chunk(start)
            while self.client.is_cut_now():
                await self.client.cut(request, self.client.any_cut(), BROKEN_OFF)
            await self.client.insist(request, DONE)
            if self.client.chance.random() < TWICE_SHARE:
                await self.client.insist(request, DONE)
            self.client.tally.acknowledged += PATCH

    def _chunk(self, start: int) -> Request:
        lines = []
        for name, value in (
            ("upload_session_id", self.session),
            ("chunk_index", str(start // PATCH)),
        ):
            lines += [f"--{BOUNDARY}", f'Content-Disposition: form-data; name="{name}"', "", value]
        lines += [
            f"--{BOUNDARY}",
            'Content-Disposition: form-data; name="chunk"; filename="blob"',
            "Content-Type: application/octet-stream",
            "",
            "",
        ]
        content = self.source.content[start : start + PATCH]
        form = "\r\n".join(lines).encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
        content_type = f"multipart/form-data; boundary={BOUNDARY}"
        return self.client.rest("REST chunk", "POST", "chunk", form, content_type)


def _json(client: Client, verb: str, fields: dict[str, str | int]) -> Request:
    return client.rest(f"REST {verb}", "POST", verb, json.dumps(fields).encode())
