"""Clients that try again after every refusal, and note what they are told."""

from dataclasses import dataclass, field

from tests.conformance.rest.client import Answer as RestAnswer
from tests.conformance.rest.client import RestClient
from tests.conformance.tus.client import Answer, Headers, Tus, checksum, metadata

TRIES = 12
"""So many requests of a kind are sent before a client gives up."""

SAID = {503, 507}
"""What a server says when its disk fails."""


@dataclass(kw_only=True)
class Stubborn:
    """`lost` has every acknowledged offset that was not true any more when the client asked."""

    tus: Tus
    rest: RestClient
    refusals: list[int] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)

    async def upload(self, content: bytes, extra: Headers) -> str:
        """Send a file over tus in three PATCHes, the second of them with a checksum."""
        url = await self._created({"Upload-Length": str(len(content)), **extra})
        third = len(content) // 3 + 1
        acknowledged = 0
        for _ in range(TRIES):
            offset = await self._offset(url, acknowledged)
            if offset == len(content):
                break
            block = content[offset : offset + third]
            claim = checksum("sha1", block) if third <= offset < 2 * third else {}
            answer = await self.tus.patch(url, offset, block, claim)
            if self._is_done(answer, 204):
                acknowledged = int(answer.headers["Upload-Offset"])
        return url

    async def concatenated(self, urls: list[str], name: str) -> str:
        """Put a file together of finished partial uploads."""
        final = {"Upload-Concat": f"final;{' '.join(urls)}", **metadata(filename=name)}
        return await self._created(final)

    async def chunked(self, pieces: list[bytes], name: str) -> RestAnswer:
        """Send a file as REST chunks, the last one first."""
        for _ in range(TRIES):
            fields = {"original_file_name": name, "main_service_file_id": 1}
            answer = await self.rest.post("/upload/init", fields)
            if self._is_done(answer, 200):
                break
        upload_id = str(answer.data["upload_session_id"])
        missing = [len(pieces) - 1, *range(len(pieces) - 1)]
        for _ in range(TRIES):
            for index in missing:
                await self._sent(upload_id, index, pieces[index])
            answer = await self.rest.complete(upload_id, len(pieces), 1)
            if answer.status == 409:
                missing = _missing(answer)
            elif self._is_done(answer, 200):
                break
        return answer

    async def deleted(self, url: str) -> None:
        """Delete an upload."""
        for _ in range(TRIES):
            answer = await self.tus.delete(url)
            if answer.status in {404, 410} or self._is_done(answer, 204):
                return

    async def _sent(self, upload_id: str, index: int, piece: bytes) -> None:
        for _ in range(TRIES):
            if self._is_done(await self.rest.chunk(upload_id, index, piece), 200):
                return

    async def _created(self, headers: Headers) -> str:
        for _ in range(TRIES):
            answer = await self.tus.post(headers)
            if self._is_done(answer, 201):
                break
        return self.tus.url(answer.headers["Location"])

    async def _offset(self, url: str, acknowledged: int) -> int:
        for _ in range(TRIES):
            head = await self.tus.head(url)
            if head.status == 200:
                break
            assert (head.status, head.headers.get("Retry-After")) == (423, "1")
        offset = int(head.headers["Upload-Offset"])
        if offset < acknowledged:
            self.lost.append((acknowledged, offset))
        return offset

    def _is_done(self, answer: Answer | RestAnswer, status: int) -> bool:
        if answer.status != status:
            assert answer.status in SAID, answer
            self.refusals.append(answer.status)
        return answer.status == status


def _missing(answer: RestAnswer) -> list[int]:
    missing = answer.json()["missing"]
    assert isinstance(missing, list)
    return missing
