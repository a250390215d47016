"""An upload through tus that is sent through cuts until it is whole, and checks what it is told."""

import hashlib
import zlib
from base64 import b64encode
from dataclasses import dataclass, replace
from enum import Enum

from bench.soak.client import BROKEN_OFF, DONE, LATE, Client, Cut, GaveUp, Request
from bench.soak.files import PATCH

CREATED = {201: ""}
APPENDED = {204: ""}

WRONG_SHARE = 0.05
"""So many of the checksums are wrong."""

MOST_ROUNDS = 60
"""A PATCH is repeated so often at most, on the average of an upload."""


class Way(Enum):
    """How the bytes of a tus upload come."""

    PLAIN = "PATCH"
    CHECKSUM = "PATCH with checksum"
    WITH_UPLOAD = "PATCH after creation-with-upload"
    DEFERRED = "PATCH of deferred length"
    PARTIAL = "PATCH of a partial upload"


@dataclass(slots=True, kw_only=True)
class TusUpload:
    """An upload through tus. `offset` is what the server acknowledged last."""

    client: Client
    way: Way
    content: bytes
    metadata: str | None
    path: str = ""
    offset: int = 0
    was_cut: bool = False
    _sent: int = 0

    async def create(self) -> None:
        """POST; a lost answer leaves an upload behind that the sweeper takes."""
        client = self.client
        first = self.content[:PATCH] if self.way is Way.WITH_UPLOAD else b""
        request = client.tus(
            "POST with bytes" if first else "POST",
            "POST",
            "/files/",
            first,
            upload_length=None if self.way is Way.DEFERRED else len(self.content),
            upload_defer_length=1 if self.way is Way.DEFERRED else None,
            upload_metadata=self.metadata,
            upload_concat="partial" if self.way is Way.PARTIAL else None,
        )
        while client.is_cut_now():
            await client.cut(request, client.any_cut() if first else Cut.LOST, BROKEN_OFF)
        answer = await client.insist(request, CREATED)
        self.path, self.offset = answer.path, max(0, answer.offset)
        self._sent = self.offset
        self._check(self.offset == len(first), f"created at {self.offset}, not {len(first)}")

    async def send(self, stop: int | None = None) -> None:
        """PATCH until `stop` (the end) is reached, whatever goes wrong. Raises `GaveUp`."""
        end = len(self.content) if stop is None else stop
        for _ in range(MOST_ROUNDS * (end // PATCH + 1)):
            if self.offset >= end:
                return
            if self.client.is_cut_now():
                await self.cut(self.client.any_cut())
                await self.ask_offset()
            else:
                await self._append()
        raise GaveUp(f"{self.path} stays at {self.offset}")

    async def cut(self, how: Cut) -> None:
        """Begin a PATCH and vanish."""
        self.was_cut = True
        size = await self.client.cut(self._patch(), how, BROKEN_OFF)
        self._sent = max(self._sent, self.offset + size)

    async def ask_offset(self) -> None:
        """HEAD, which ends what runs. Nothing acknowledged is lost, nothing unsent is there."""
        request = self.client.tus("HEAD", "HEAD", self.path)
        told = (await self.client.insist(request, DONE)).offset
        self._check(told >= self.offset, f"HEAD says {told} after {self.offset} was acknowledged")
        self._check(told <= self._sent, f"HEAD says {told}, but {self._sent} were sent")
        if self.way is Way.CHECKSUM:
            self._check(told % PATCH == 0, f"HEAD says {told}: a part of a body with checksum")
        self.offset = told

    async def _append(self) -> None:
        client, request = self.client, self._patch()
        late = {409: LATE} if self.was_cut else {}
        is_wrong = self.way is Way.CHECKSUM and client.chance.random() < WRONG_SHARE
        if is_wrong:
            wrong = {"Upload-Checksum": f"sha1 {_base64(bytes(20))}"}
            request = replace(request, headers={**request.headers, **wrong})
        else:
            self._sent = max(self._sent, self.offset + len(request.body))
        expected = {460: "the checksum was wrong"} if is_wrong else APPENDED
        answer = await client.ask(request, {**expected, **late})
        if answer.status == 204:
            end = self.offset + len(request.body)
            self._check(answer.offset == end, f"204 at {answer.offset}, not {end}")
            client.tally.acknowledged += len(request.body)
            self.offset = end
            return
        if answer.status != 460:
            await client.pause()
        await self.ask_offset()

    def _patch(self) -> Request:
        body = self.content[self.offset : self.offset + PATCH]
        is_last = self.offset + len(body) == len(self.content)
        return self.client.tus(
            self.way.value,
            "PATCH",
            self.path,
            body,
            upload_offset=self.offset,
            upload_length=len(self.content) if is_last and self.way is Way.DEFERRED else None,
            upload_checksum=self._checksum(body) if self.way is Way.CHECKSUM else None,
        )

    def _checksum(self, body: bytes) -> str:
        name = self.client.chance.choice(("sha1", "sha256", "sha512", "md5", "crc32"))
        if name == "crc32":
            return f"crc32 {_base64(zlib.crc32(body).to_bytes(4, 'big'))}"
        return f"{name} {_base64(hashlib.new(name, body).digest())}"

    def _check(self, is_true: bool, what: str) -> None:
        self.client.tally.check(is_true, f"{self.way.value} {self.path}: {what}")


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
