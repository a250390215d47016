"""The ways in which an upload begins and ends, for tests that hold on all of them."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from tests.conformance.rest.client import RestClient
from tests.conformance.tus.client import OCTETS, Tus, metadata

CONTENT = b"hello, hooks"
NAME = "audio.mp3"
META = metadata(filename=NAME, filetype="audio/mpeg")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What any face said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Begin = Callable[[Tus], Awaitable[Answer]]
End = Callable[[Tus, str], Awaitable[Answer]]


def rest_of(tus: Tus) -> RestClient:
    """The same user over REST."""
    return RestClient(http=tus.http, server=tus.address, user=tus.user)


async def _post(tus: Tus, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
    answer = await tus.post({**META, **headers}, body)
    return Answer(status=answer.status, headers=answer.headers, body=answer.body)


async def tus_post(tus: Tus) -> Answer:
    """A creation without bytes."""
    return await _post(tus, {"Upload-Length": str(len(CONTENT))})


async def with_upload(tus: Tus) -> Answer:
    """A creation with all bytes."""
    headers = {"Upload-Length": str(len(CONTENT)), "Content-Type": OCTETS}
    return await _post(tus, headers, CONTENT)


async def partial(tus: Tus) -> Answer:
    """The creation of a partial upload."""
    return await _post(tus, {"Upload-Length": str(len(CONTENT)), "Upload-Concat": "partial"})


async def final(tus: Tus, *parts: str) -> Answer:
    """A concatenation, of parts that need not be there."""
    return await _post(tus, {"Upload-Concat": "final;" + " ".join(parts)})


async def rest_init(tus: Tus) -> Answer:
    """A REST session."""
    fields = {"main_service_file_id": 123, "original_file_name": NAME}
    answer = await rest_of(tus).post("/upload/init", fields)
    return Answer(status=answer.status, headers=answer.headers, body=answer.body)


BEGINNINGS: dict[str, Begin] = {
    "tus": tus_post,
    "with-upload": with_upload,
    "partial": partial,
    "rest": rest_init,
}
"""All that need nothing to be there before them."""


async def patch(tus: Tus, upload_id: str) -> Answer:
    """The last bytes of a tus upload."""
    answer = await tus.patch(tus.address.files + upload_id, 0, CONTENT)
    return Answer(status=answer.status, headers=answer.headers, body=answer.body)


async def complete(tus: Tus, upload_id: str) -> Answer:
    """The end of a REST session."""
    rest = rest_of(tus)
    if (await tus.offset(tus.address.files + upload_id)) == 0:
        assert (await rest.chunk(upload_id, 0, CONTENT)).status == 200
    fields = {"upload_session_id": upload_id, "total_chunks": 1, "main_service_file_id": 123}
    answer = await rest.post("/upload/complete", fields)
    return Answer(status=answer.status, headers=answer.headers, body=answer.body)


ENDS: dict[str, tuple[Begin, End]] = {
    "patch": (tus_post, patch),
    "rest": (rest_init, complete),
}
"""Ways from the first request to the one that brings the last byte."""


def id_of(answer: Answer) -> str:
    """The id of an upload that was just created."""
    if "Location" in answer.headers:
        return answer.headers["Location"].rpartition("/")[2]
    return str(json.loads(answer.body)["data"]["upload_session_id"])
