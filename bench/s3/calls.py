"""A proxy before the store that counts the calls, by what they do and to which kind of object.

For counting only: every byte goes through it.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import parse_qs, urlsplit

BLOCK = 256 * 1024

KINDS = (
    # method, what must be in the query, what is copied, the call on an object, on the bucket
    ("PUT", "partNumber", True, "UploadPartCopy", None),
    ("PUT", "partNumber", False, "UploadPart", None),
    ("PUT", "tagging", False, "PutObjectTagging", "PutBucketTagging"),
    ("PUT", None, True, "CopyObject", None),
    ("PUT", None, False, "PutObject", "CreateBucket"),
    ("POST", "uploads", False, "CreateMultipartUpload", None),
    ("POST", "uploadId", False, "CompleteMultipartUpload", None),
    ("POST", "delete", False, None, "DeleteObjects"),
    ("GET", "uploadId", False, "ListParts", None),
    ("GET", "uploads", False, None, "ListMultipartUploads"),
    ("GET", None, False, "GetObject", "ListObjects"),
    ("HEAD", None, False, "HeadObject", "HeadBucket"),
    ("DELETE", "uploadId", False, "AbortMultipartUpload", None),
    ("DELETE", None, False, "DeleteObject", "DeleteBucket"),
)

ROLES = (
    (".info", "record"),
    (".tail.", "tail"),
    (".chunk.", "chunk"),
    (".partial", "partial"),
    (".part", "tail"),  # of @tus/s3-store
)
"""What is in the keys of objects that are no files."""


def kind_of(method: str, target: str, *, is_copy: bool) -> str:
    """What a request to the store is, such as `PutObject record` or `UploadPart file`."""
    path, query = urlsplit(target).path, parse_qs(urlsplit(target).query, keep_blank_values=True)
    key = path.strip("/").partition("/")[2]
    for wanted, parameter, copies, on_object, on_bucket in KINDS:
        name = on_object if key else on_bucket
        if (
            name is not None
            and (wanted, copies) == (method, is_copy)
            and (parameter is None or parameter in query)
        ):
            return f"{name} {role_of(key)}" if key else name
    return f"{method} {'key' if key else 'bucket'} {sorted(query)}"


def role_of(key: str) -> str:
    """What an object is for: `record`, `tail`, `chunk`, `partial` or `file`."""
    for mark, role in ROLES:
        if mark in key.rpartition("/")[2]:
            return role
    return "file"


class Calls:
    """The calls since the last `forget`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._counted: Counter[str] = Counter()
        self._last = time.monotonic()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, kind: str) -> None:
        """Count one."""
        self._counted[kind] += 1
        self._last = time.monotonic()

    def forget(self) -> None:
        """Count from nought, once no call has come for a second."""
        self._wait()
        self._counted.clear()

    def counted(self) -> Counter[str]:
        """How many of each kind there were, once no call has come for a second."""
        self._wait()
        return Counter(self._counted)

    def _wait(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < min(deadline, self._last + 1.0):
            time.sleep(0.05)


@contextmanager
def counting(store_port: int) -> Iterator[Calls]:
    """The proxy, in a thread of its own; it carries everything to the store's port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="calls")
    thread.start()
    connections: set[asyncio.Task[None]] = set()

    async def begin() -> tuple[asyncio.Server, Calls]:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = loop.create_task(_carry(reader, writer, store_port, calls))
            connections.add(task)
            task.add_done_callback(connections.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=BLOCK)
        calls = Calls(server.sockets[0].getsockname()[1])
        return server, calls

    async def end(server: asyncio.Server) -> None:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    server, calls = asyncio.run_coroutine_threadsafe(begin(), loop).result()
    try:
        yield calls
    finally:
        asyncio.run_coroutine_threadsafe(end(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, store_port: int, calls: Calls
) -> None:
    """One connection to its end: requests are read one by one, answers are passed as they come."""
    from_store, to_store = await asyncio.open_connection("127.0.0.1", store_port, limit=BLOCK)
    answers = asyncio.create_task(_pass_on(from_store, writer))
    try:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await _request(reader, to_store, calls)
    finally:
        to_store.close()
        answers.cancel()
        await asyncio.wait([answers])
        writer.close()


async def _request(
    reader: asyncio.StreamReader, to_store: asyncio.StreamWriter, calls: Calls
) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    to_store.write(head)
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (_split(line) for line in lines)}
    method, target, _ = first.split(" ")
    calls.add(kind_of(method, target, is_copy="x-amz-copy-source" in headers))
    if "chunked" in headers.get("transfer-encoding", ""):
        size = -1
        while size != 0:
            line = await reader.readuntil(b"\r\n")
            to_store.write(line)
            size = int(line.split(b";")[0], 16)
            await _bytes(reader, to_store, size + 2)
    else:
        await _bytes(reader, to_store, int(headers.get("content-length", "0")))


def _split(line: str) -> tuple[str, str, str]:
    return line.partition(":")


async def _bytes(reader: asyncio.StreamReader, to_store: asyncio.StreamWriter, size: int) -> None:
    await to_store.drain()
    while size > 0:
        block = await reader.read(min(size, BLOCK))
        if not block:
            raise asyncio.IncompleteReadError(b"", size)
        to_store.write(block)
        await to_store.drain()
        size -= len(block)


async def _pass_on(from_store: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while block := await from_store.read(BLOCK):
            writer.write(block)
            await writer.drain()
    writer.close()
