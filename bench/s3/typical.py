"""Typical uploads through our server, done once each, to count the calls they cost."""

import json
from collections import Counter
from collections.abc import Callable
from itertools import count

from bench.client import Client, Slice, client, create, patch, sha256
from bench.s3.bucket import Bucket
from bench.s3.calls import Calls, role_of
from bench.s3.servers import Server

MIB = 2**20
SMALL = 64 * 2**10
BOUNDARY = "tusd-py-bench-boundary"
JSON = {"Content-Type": "application/json"}

numbers = count(1_000_000)

Upload = Callable[[Server, Client, int, Slice], str]
"""Uploads the slice as upload `number` and returns its tus path."""


def small(server: Server, connection: Client, number: int, file: Slice) -> str:
    """POST, then one PATCH."""
    path = create(connection, file.size, metadata=server.metadata(number))
    patch(connection, path, 0, file)
    return path


def small_at_once(server: Server, connection: Client, number: int, file: Slice) -> str:
    """Creation-with-upload."""
    return create(connection, file.size, file, metadata=server.metadata(number))


def pieces(server: Server, connection: Client, number: int, file: Slice) -> str:
    """PATCHes of 5 MiB."""
    path = create(connection, file.size, metadata=server.metadata(number))
    for at in range(0, file.size, 5 * MIB):
        patch(connection, path, at, file.part(at, min(5 * MIB, file.size - at)))
    return path


def rest(server: Server, connection: Client, number: int, file: Slice) -> str:
    """REST chunks of 6 MiB in order."""
    size = 6 * MIB
    file_id = {"main_service_file_id": number}
    answer = _post(connection, "init", {**file_id, "original_file_name": "upload.bin"})
    upload_id = json.loads(answer)["data"]["upload_session_id"]
    total = -(-file.size // size)
    for index in range(total):
        head, tail = _form(upload_id, index)
        chunk = file.part(index * size, min(size, file.size - index * size))
        form = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        connection.request("POST", "/upload/chunk", form, head, chunk, tail).require(200)
    session = {"upload_session_id": upload_id, "total_chunks": total}
    _post(connection, "complete", {**session, **file_id})
    return f"/files/{upload_id}"


def concatenation(server: Server, connection: Client, number: int, file: Slice) -> str:
    """Four partial uploads, one PATCH each, and the upload they make."""
    size = file.size // 4
    paths = []
    for index in range(4):
        path = create(connection, size, headers={"Upload-Concat": "partial"})
        patch(connection, path, 0, file.part(index * size, size))
        paths.append(path)
    concat = {"Upload-Concat": f"final;{' '.join(paths)}"}
    return create(connection, None, metadata=server.metadata(number), headers=concat)


TYPICAL: tuple[tuple[str, int, Upload], ...] = (
    ("64 KiB, POST and PATCH", SMALL, small),
    ("64 KiB, creation-with-upload", SMALL, small_at_once),
    ("1 GiB in one PATCH", 1024 * MIB, small),
    ("100 MiB in PATCHes of 5 MiB", 100 * MIB, pieces),
    ("REST, 10 chunks of 6 MiB in order", 60 * MIB, rest),
    ("concatenation of 4 x 64 MiB", 256 * MIB, concatenation),
)
ONLY_OURS = (rest, concatenation)


def count_calls(server: Server, calls: Calls, bucket: Bucket, file: Slice) -> str:
    """Do each upload, verify and delete it; the calls it cost, by kind."""
    lines = [f"Calls to the store, {server.name}"]
    for name, size, upload in TYPICAL:
        if upload in ONLY_OURS and not server.is_ours:
            continue
        number = next(numbers)
        part = file.part(0, min(size, file.size))
        with client(server.port, server.headers) as connection:
            calls.forget()
            path = upload(server, connection, number, part)
            counted = calls.counted()
        key = server.key(number, path)
        bucket.verify([(key, sha256(part))])
        left = Counter(role_of(each) for each in bucket.list_keys())
        left += Counter(multipart=bucket.multiparts())
        shown = name if part.size == size else f"{name}, but {part.size // MIB} MiB"
        lines += [
            f"  {shown}: {counted.total()}",
            *(f"    {number:5} {kind}" for kind, number in counted.most_common()),
            "          left behind: " + ", ".join(f"{left[role]} {role}" for role in sorted(left)),
        ]
        bucket.clear()
    return "\n".join(lines)


def _post(connection: Client, verb: str, document: dict[str, object]) -> bytes:
    answer = connection.request("POST", f"/upload/{verb}", JSON, json.dumps(document).encode())
    answer.require(200)
    return answer.body


def _form(upload_id: str, index: int) -> tuple[bytes, bytes]:
    """What stands before and after the bytes of a chunk."""
    fields = {"upload_session_id": upload_id, "chunk_index": str(index)}
    head = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    chunk = 'Content-Disposition: form-data; name="chunk"; filename="chunk"'
    kind = "Content-Type: application/octet-stream"
    head += f"--{BOUNDARY}\r\n{chunk}\r\n{kind}\r\n\r\n"
    return head.encode(), f"\r\n--{BOUNDARY}--\r\n".encode()
