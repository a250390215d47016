"""The load generator: puts bytes into a server, cheaply, and believes nothing it is told.

Large bodies go out of a file in the kernel (`sendfile`, from blocking sockets); small requests are
for `crowd`. Every status and every offset is checked here, the digest of what was stored when the
time is over (`Stored.require`).
"""

import hashlib
import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from bench.client import OFFSET_STREAM, Client, Slice, client, patch_headers, sha256
from bench.speed.crowd import Request, Talk, crowd, field, head_of
from bench.speed.pump import HEAD
from bench.speed.servers import NAME, Endpoint, Plain

BLOCK = 1 << 20
BOUNDARY = "tusd-py-bench-boundary"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An upload of a user, and what is in it."""

    server: Endpoint
    user: int
    number: int
    path: str
    parts: tuple[Slice, ...]

    def require_stored(self) -> None:
        """RuntimeError unless its file is there and has the right SHA-256."""
        require_stored(self.server.stored(self.user, self.number, self.path), self.parts)

    def delete(self) -> None:
        """Terminate it."""
        with client(self.server.port, self.server.headers(self.user)) as connection:
            connection.request("DELETE", self.path, {}).require(204)


def require_stored(path: Path, parts: tuple[Slice, ...]) -> None:
    """RuntimeError unless a file has these bytes."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest(parts):
        raise RuntimeError(f"{path} is not what was sent")


@cache
def digest(parts: tuple[Slice, ...]) -> str:
    """The SHA-256 of parts of the input, one after the other."""
    if len(parts) == 1:
        return sha256(parts[0])
    whole = hashlib.sha256()
    for part in parts:
        for at in range(0, part.size, BLOCK):
            whole.update(part.part(at, min(BLOCK, part.size - at)).read())
    return whole.hexdigest()


def create(connection: Client, server: Endpoint, number: int, length: int, **fields: str) -> str:
    """Create a tus upload and return its path; `_` in the name of a field stands for `-`."""
    headers = {
        "Upload-Metadata": server.metadata(number),
        **({} if "Upload_Concat" in fields else {"Upload-Length": str(length)}),
        **{name.replace("_", "-"): value for name, value in fields.items()},
    }
    answer = connection.request("POST", "/files/", headers)
    answer.require(201)
    return urlsplit(answer.headers["location"]).path


def patch(connection: Client, path: str, offset: int, body: Slice, **fields: str) -> None:
    """Append to a tus upload; RuntimeError unless all of it was taken."""
    more = {name.replace("_", "-"): value for name, value in fields.items()}
    answer = connection.request("PATCH", path, {**patch_headers(offset), **more}, body)
    answer.require(204, upload_offset=str(offset + body.size))


def patches(connection: Client, path: str, body: Slice, size: int) -> None:
    """Append it in PATCHes of at most `size` bytes."""
    for at in range(0, body.size, size):
        patch(connection, path, at, body.part(at, min(size, body.size - at)))


def checksum(body: Slice) -> str:
    """The Upload-Checksum of a body."""
    return f"sha256 {b64encode(bytes.fromhex(sha256(body))).decode()}"


def put(server: Plain, body: Slice) -> None:
    """PUT a file with WebDAV."""
    with client(server.port, {}) as connection:
        connection.request("PUT", f"/{NAME}", {}, body).require(201)


def pour(server: Plain, body: Slice, *, is_synced: bool = False) -> None:
    """Send a file to a pump."""
    with client(server.port, {}) as connection:
        connection.send(HEAD.pack(body.size, is_synced))
        connection.send(body)
        if connection.receive(1) != b"k":
            raise RuntimeError("the pump did not say that it is done")


def download(connection: Client, path: str, body: Slice) -> None:
    """GET a file; RuntimeError unless it has the size of the body."""
    size = connection.download(path, {}, lambda block: None)
    if size != body.size:
        raise RuntimeError(f"{path} has {size} bytes")


def require_download(connection: Client, path: str, body: Slice) -> None:
    """GET a file; RuntimeError unless it is the body."""
    whole = hashlib.sha256()
    connection.download(path, {}, whole.update)
    if whole.hexdigest() != sha256(body):
        raise RuntimeError(f"{path} is not what was sent")


def at_once(jobs: Sequence[Callable[[], None]]) -> None:
    """Run each job in a thread of its own."""
    with ThreadPoolExecutor(len(jobs)) as threads:
        for running in [threads.submit(job) for job in jobs]:
            running.result()


def small_uploads(
    server: Endpoint,
    numbers: Sequence[int],
    parts: Sequence[Slice],
    *,
    parallel: int,
    is_one_request: bool,
) -> tuple[Callable[[], None], list[Upload]]:
    """Uploads of one small body each, so many at once: what puts them there, and where they are
    when it has done so."""
    bodies = [part.read() for part in parts]
    waiting = iter(list(zip(numbers, parts, bodies, strict=True)))
    done: list[Upload] = []

    def talk(user: int) -> Talk:
        headers = server.headers(user)
        for number, part, body in waiting:
            fields = {"Upload-Length": str(part.size), "Upload-Metadata": server.metadata(number)}
            if is_one_request:
                head = head_of("POST", "/files/", part.size, headers, fields, OFFSET_STREAM)
                answer = yield Request(head=head, body=body, status=201)
                path = urlsplit(field(answer, b"location").decode()).path
            else:
                head = head_of("POST", "/files/", 0, headers, fields)
                answer = yield Request(head=head, status=201)
                path = urlsplit(field(answer, b"location").decode()).path
                head = head_of("PATCH", path, part.size, headers, patch_headers(0))
                answer = yield Request(head=head, body=body, status=204)
            if field(answer, b"upload-offset") != str(part.size).encode():
                raise RuntimeError(f"wanted an offset of {part.size}, got {answer!r}")
            done.append(Upload(server=server, user=user, number=number, path=path, parts=(part,)))

    talks = [talk(user) for user in range(parallel)]
    return lambda: crowd(server.port, talks), done


def delete_all(server: Endpoint, uploads: Sequence[Upload]) -> None:
    """Terminate many uploads."""
    waiting = iter(uploads)

    def talk() -> Talk:
        for each in waiting:
            head = head_of("DELETE", each.path, 0, server.headers(each.user))
            yield Request(head=head, status=204)

    crowd(server.port, [talk() for _ in range(16)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """Chunks over REST on one connection, in order."""

    connection: Client
    number: int

    def init(self) -> str:
        """Open a session and return its id."""
        file_id = {"main_service_file_id": self.number}
        answer = self._post("init", {**file_id, "original_file_name": NAME})
        return str(answer["upload_session_id"])

    def chunks(self, session: str, parts: Sequence[Slice]) -> Iterator[float]:
        """Send chunks, and say of each how many seconds it took."""
        form = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        for index, part in enumerate(parts):
            begun = time.perf_counter()
            head, tail = _form(session, index)
            answer = self.connection.request("POST", "/upload/chunk", form, head, part, tail)
            answer.require(200)
            yield time.perf_counter() - begun

    def complete(self, session: str, total: int) -> str:
        """Complete a session of so many chunks and return the path of the file."""
        fields = {"total_chunks": total, "main_service_file_id": self.number}
        answer = self._post("complete", {"upload_session_id": session, **fields})
        return str(answer["file_path_on_upload_service"])

    def _post(self, what: str, fields: Mapping[str, object]) -> Mapping[str, object]:
        body = json.dumps(fields).encode()
        answer = self.connection.request("POST", f"/upload/{what}", JSON, body)
        answer.require(200)
        data: Mapping[str, object] = json.loads(answer.body)["data"]
        return data


def _form(session: str, index: int) -> tuple[bytes, bytes]:
    """What is before and behind the bytes of a chunk."""
    fields = {"upload_session_id": session, "chunk_index": str(index)}
    disposition = "Content-Disposition: form-data; name"
    before = "".join(
        f'--{BOUNDARY}\r\n{disposition}="{name}"\r\n\r\n{text}\r\n' for name, text in fields.items()
    )
    kind = 'filename="chunk"\r\nContent-Type: application/octet-stream'
    head = f'{before}--{BOUNDARY}\r\n{disposition}="chunk"; {kind}\r\n\r\n'
    return head.encode(), f"\r\n--{BOUNDARY}--\r\n".encode()
