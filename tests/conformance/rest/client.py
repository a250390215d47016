"""Speaks the REST face for the tests: plain requests, and answers as they came."""

import io
import json
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDictProxy

from tests.servers import Address

BOUNDARY = "tusd-py-test-boundary"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
CHUNK_STORED = {"status": "success", "message": "Chunk uploaded successfully."}

_LARGE = 1 << 16
"""aiohttp warns against larger bodies of plain bytes."""

Body = bytes | AsyncIterable[bytes]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    def json(self) -> dict[str, object]:
        """The body as the JSON object it must be."""
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def data(self) -> dict[str, object]:
        """The `data` object of a success."""
        value = self.json()["data"]
        assert isinstance(value, dict)
        return value


@dataclass(frozen=True, kw_only=True)
class RestClient:
    """A user's client of one server."""

    http: aiohttp.ClientSession
    server: Address
    user: str | int = "42"

    async def send(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request with the user's token and read the answer."""
        url = self.server.base + path
        merged = {**self.server.auth(self.user), **(headers or {})}
        data = io.BytesIO(body) if isinstance(body, bytes) and len(body) > _LARGE else body
        async with self.http.request(method, url, data=data, headers=merged) as response:
            return Answer(
                status=response.status, headers=response.headers, body=await response.read()
            )

    async def post(self, path: str, value: object) -> Answer:
        """POST a JSON value."""
        body = json.dumps(value).encode()
        return await self.send("POST", path, body, {"Content-Type": "application/json"})

    async def init(self, file_id: int = 123, name: str = "audio.mp3") -> str:
        """Open an upload and return its id."""
        answer = await self.post(
            "/upload/init", {"main_service_file_id": file_id, "original_file_name": name}
        )
        assert answer.status == 200, answer.body
        return str(answer.data["upload_session_id"])

    async def form(self, body: Body) -> Answer:
        """POST a ready form to /upload/chunk."""
        return await self.send("POST", "/upload/chunk", body, FORM)

    async def chunk(self, upload_id: str, index: int | str, content: bytes) -> Answer:
        """Send one chunk in a well-formed form."""
        return await self.form(chunk_form(upload_id, index, content))

    async def complete(self, upload_id: str, total: object, file_id: object = 123) -> Answer:
        """Ask for the file."""
        return await self.post(
            "/upload/complete",
            {
                "upload_session_id": upload_id,
                "total_chunks": total,
                "main_service_file_id": file_id,
            },
        )

    async def stored(self, completion: Answer) -> bytes:
        """The file that a completion tells of."""
        return await self.fetched(told(completion))

    async def fetched(self, location: str) -> bytes:
        """The file that the server calls so."""
        content = await self.server.fetch(location)
        assert content is not None, location
        return content

    async def delete(self, upload_id: object) -> Answer:
        """Delete an upload."""
        body = json.dumps({"upload_session_id": upload_id}).encode()
        headers = {"Content-Type": "application/json"}
        return await self.send("DELETE", "/upload/file", body, headers)

    async def listing(self) -> Answer:
        """List the user's finished files."""
        return await self.send("GET", "/upload/files")

    async def files(self) -> list[object]:
        """The paths of the listing."""
        files = (await self.listing()).json()["files"]
        assert isinstance(files, list)
        return files

    async def uploaded(self, *chunks: bytes, file_id: int = 123, name: str = "audio.mp3") -> str:
        """Upload a whole file in order and return its id."""
        upload_id = await self.init(file_id, name)
        for index, content in enumerate(chunks):
            answer = await self.chunk(upload_id, index, content)
            assert answer.status == 200, answer.body
        answer = await self.complete(upload_id, len(chunks), file_id)
        assert answer.status == 200, answer.body
        return upload_id

    async def tus(
        self,
        method: str,
        upload_id: str = "",
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a tus request; without an id it goes to the creation URL."""
        tus = {"Tus-Resumable": "1.0.0", **(headers or {})}
        return await self.send(method, f"/files/{upload_id}", body, tus)

    async def patch(
        self,
        upload_id: str,
        offset: int,
        content: bytes,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Append over the tus face."""
        fields = {
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(offset),
            **(headers or {}),
        }
        return await self.tus("PATCH", upload_id, content, fields)

    async def create(self, headers: Mapping[str, str]) -> str:
        """Create an upload over the tus face and return its id."""
        answer = await self.tus("POST", headers=headers)
        assert answer.status == 201, answer.body
        return answer.headers["Location"].rsplit("/", 1)[-1]

    async def offset(self, upload_id: str) -> int:
        """The Upload-Offset the tus face shows."""
        answer = await self.tus("HEAD", upload_id)
        assert answer.status == 200, answer.status
        return int(answer.headers["Upload-Offset"])


def told(completion: Answer) -> str:
    """The path or URL that a completion answered."""
    assert completion.status == 200, completion.body
    return str(completion.data["file_path_on_upload_service"])


def chunk_form(upload_id: str, index: int | str, content: bytes) -> bytes:
    """The form of one chunk, fields in the order of the product document."""
    return form(
        ("upload_session_id", upload_id.encode()),
        ("chunk_index", str(index).encode()),
        ("chunk", content),
    )


def form(*fields: tuple[str, bytes], closed: bool = True) -> bytes:
    """A multipart form; without `closed` its last boundary is missing."""
    parts = b"".join(part_head(name) + value + b"\r\n" for name, value in fields)
    return parts + f"--{BOUNDARY}--\r\n".encode() if closed else parts


def part_head(name: str) -> bytes:
    """The boundary and the header of one field; `chunk` comes as a file, as browsers send it."""
    is_file = name == "chunk"
    filename = '; filename="blob"\r\nContent-Type: application/octet-stream' if is_file else ""
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'.encode()
    )


def assert_error(answer: Answer, status: int, code: str) -> None:
    """The error is exactly what the contract says: status, stable word, advice."""
    error = answer.json()
    assert (answer.status, error.get("status"), error.get("code")) == (status, "error", code)
    message = error["message"]
    assert isinstance(message, str)
    assert message
    assert "\n" not in message
    assert answer.headers["Content-Type"].startswith("application/json")
