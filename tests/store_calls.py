"""The calls of S3 as they are on the wire."""

import asyncio
from collections.abc import AsyncIterator, Container
from dataclasses import dataclass
from enum import Enum
from urllib.parse import parse_qs, unquote, urlsplit

BLOCK = 64 << 10


class Kind(Enum):
    """The calls, as the documents of S3 name them."""

    LIST_BUCKETS = "ListBuckets"
    CREATE_BUCKET = "CreateBucket"
    LIST = "ListObjectsV2"
    PUT = "PutObject"
    GET = "GetObject"
    HEAD = "HeadObject"
    DELETE = "DeleteObject"
    COPY = "CopyObject"
    BEGIN = "CreateMultipartUpload"
    PART = "UploadPart"
    COPY_PART = "UploadPartCopy"
    COMPLETE = "CompleteMultipartUpload"
    ABORT = "AbortMultipartUpload"
    UNFINISHED = "ListMultipartUploads"
    OTHER = "another call"


@dataclass(eq=False, kw_only=True)
class Call:
    """A call. `began` and `ended` count the beginnings and ends of all calls in their order.

    The end is noted just before the caller learns the answer. All tries of a call have the same
    `invocation`. `size` is how many bytes of body the store was given, `body` the body of a small
    request, `status` what the caller was answered: None as long as it was not, so for ever when it
    was cut off.
    """

    kind: Kind
    key: str
    part: int | None
    multipart: str | None
    invocation: str
    is_conditional: bool
    began: int
    ended: int | None = None
    status: int | None = None
    size: int = 0
    body: bytes = b""

    def __str__(self) -> str:
        part = "" if self.part is None else f" {self.part}"
        return f"{self.kind.value}{part} {self.key} {self.status}"


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request or an answer; the names of its fields in small letters."""

    raw: bytes
    first: str
    fields: dict[str, str]

    @classmethod
    async def read(cls, reader: asyncio.StreamReader) -> "Head":
        """The next head that comes."""
        raw = await reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return cls(raw, first, {name.lower(): value.strip() for name, _, value in pairs})

    @property
    def status(self) -> int:
        """Of an answer."""
        return int(self.first.split(" ")[1])

    @property
    def length(self) -> int | None:
        """Bytes of the body; None when it comes in chunks, or there is none."""
        return int(self.fields["content-length"]) if "content-length" in self.fields else None

    @property
    def is_last(self) -> bool:
        """Whether the connection closes afterwards."""
        return self.fields.get("connection", "").lower() == "close"


async def body_of(reader: asyncio.StreamReader, length: int | None) -> AsyncIterator[bytes]:
    """A body as it is on the wire; without a length it comes in chunks."""
    if length is not None:
        while length:
            block = await reader.read(min(BLOCK, length))
            if not block:
                raise ConnectionResetError
            length -= len(block)
            yield block
        return
    size = -1
    while size:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        yield line + await reader.readexactly(size + 2)


def call_of(head: Head, began: int) -> Call:
    """The call of which this is the head."""
    method, target, _ = head.first.split(" ")
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    bucket, _, key = parts.path.removeprefix("/").partition("/")
    return Call(
        kind=_kind(method, bool(bucket), bool(key), query.keys() | head.fields.keys()),
        key=unquote(key),
        part=int(query["partNumber"][0]) if "partNumber" in query else None,
        multipart=query["uploadId"][0] if "uploadId" in query else None,
        invocation=head.fields.get("amz-sdk-invocation-id", ""),
        is_conditional=bool({"if-match", "if-none-match"} & head.fields.keys()),
        began=began,
    )


def _kind(method: str, has_bucket: bool, has_key: bool, said: Container[str]) -> Kind:
    """`said`: the names in the query and of the header fields."""
    is_multipart, is_copy = "uploadId" in said, "x-amz-copy-source" in said
    match method, has_bucket, has_key:
        case "GET", False, False:
            return Kind.LIST_BUCKETS
        case "PUT", True, False:
            return Kind.CREATE_BUCKET
        case "GET", True, False if "uploads" in said:
            return Kind.UNFINISHED
        case "GET", True, False if "list-type" in said:
            return Kind.LIST
        case "GET", True, True:
            return Kind.GET
        case "HEAD", True, True:
            return Kind.HEAD
        case "DELETE", True, True:
            return Kind.ABORT if is_multipart else Kind.DELETE
        case "POST", True, True if "uploads" in said:
            return Kind.BEGIN
        case "POST", True, True if is_multipart:
            return Kind.COMPLETE
        case "PUT", True, True if is_multipart:
            return Kind.COPY_PART if is_copy else Kind.PART
        case "PUT", True, True:
            return Kind.COPY if is_copy else Kind.PUT
    return Kind.OTHER
