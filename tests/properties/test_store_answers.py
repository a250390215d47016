"""A store that answers whatever it likes: what comes of it is a value, or an error of ours."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tusd_py.errors import NoSpace, StorageError, UploadNotFound
from tusd_py.storage.s3.bucket import Bucket, Described, Listed, open_bucket
from tusd_py.storage.s3.settings import S3Settings

EXAMPLES = 400 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 40
DESCRIBED = Described(content_type="a/b", disposition="attachment", metadata={"a": "b"})
Call = Callable[[Bucket], Coroutine[object, object, object]]


async def listed(bucket: Bucket) -> list[Listed]:
    """A whole list."""
    return [each async for each in bucket.list("")]


async def unfinished(bucket: Bucket) -> object:
    """All multiparts."""
    return [each async for each in bucket.unfinished()]


async def got(bucket: Bucket) -> bytes:
    """Four bytes of an object."""
    return b"".join([block async for block in bucket.get("k", 0, 4)])


CALLS: dict[str, Call] = {
    "put": lambda bucket: bucket.put_small("k", b"{}", is_new=True),
    "get": lambda bucket: bucket.get_small("k"),
    "range": got,
    "find": lambda bucket: bucket.find("k"),
    "copy": lambda bucket: bucket.copy("s", "k", DESCRIBED),
    "delete": lambda bucket: bucket.delete("k"),
    "list": listed,
    "begin": lambda bucket: bucket.begin("k", DESCRIBED),
    "copy part": lambda bucket: bucket.copy_part("k", "m", 1, "s", 0, 4),
    "parts": lambda bucket: bucket.parts("k", "m"),
    "complete": lambda bucket: bucket.complete("k", "m", ["e"]),
    "abort": lambda bucket: bucket.abort("k", "m"),
    "unfinished": unfinished,
}
NAMES = [
    "Key", "Size", "ETag", "LastModified", "Contents", "IsTruncated", "NextContinuationToken",
    "UploadId", "PartNumber", "Part", "Upload", "Initiated", "Error", "Code", "Message",
    "KeyMarker", "NextKeyMarker", "NextPartNumberMarker", "ListBucketResult", "ListPartsResult",
    "ListMultipartUploadsResult", "CopyObjectResult", "CopyPartResult",
    "InitiateMultipartUploadResult", "CompleteMultipartUploadResult", "CommonPrefixes", "Prefix",
    "Owner",
]  # fmt: skip
TEXTS = [
    "0", "-1", "4", "99999999999999999999", "1e400", "NaN", "true", "yes", "", "\u20ac",
    "2026-01-01T00:00:00Z", "9999-99-99", "NoSuchKey", "NoSuchUpload", "InternalError", "../..",
]  # fmt: skip
scraps = st.recursive(
    st.sampled_from(TEXTS) | st.text(st.characters(min_codepoint=0x20, codec="utf-8"), max_size=9),
    lambda inner: st.lists(st.tuples(st.sampled_from(NAMES), inner), max_size=5),
    max_leaves=12,
)


def xml(scrap: object) -> str:
    """A scrap as XML."""
    if isinstance(scrap, str):
        return escape(scrap)
    assert isinstance(scrap, list)
    return "".join(f"<{name}>{xml(inner)}</{name}>" for name, inner in scrap)


bodies = (
    st.builds("<{0}>{1}</{0}>".format, st.sampled_from(NAMES), scraps.map(xml)).map(str.encode)
    | st.binary(max_size=40)
    | st.sampled_from([b"", b"{}", b"<a", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"<html>"])
)
fields = st.dictionaries(
    st.sampled_from(
        ["ETag", "Content-Range", "Last-Modified", "Content-Type", "x-amz-meta-upload-id", "Date"]
    ),
    st.sampled_from([*TEXTS[:8], '"e"', "bytes 0-0/4", "bytes 0-3/*", "bytes 0-0/9" + "9" * 30]),
)


class Liar:
    """A store that gives one answer to all."""

    def __init__(self) -> None:
        self.answer = b""
        self.port = 0

    def say(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Answer so from now on."""
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.answer = "\r\n".join([*lines, "", ""]).encode() + body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if b"100-continue" in head:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    await reader.readexactly(int(line.split(b":")[1]))
            head_only = self.answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            writer.write(head_only if head.startswith(b"HEAD") else self.answer)
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def store(folder: Path) -> AsyncIterator[tuple[Liar, Bucket]]:
    """A liar, and the bucket that a server sees there."""
    liar = Liar()
    listener = await asyncio.start_server(liar.serve, "127.0.0.1")
    port = listener.sockets[0].getsockname()[1]
    given_settings = S3Settings(
        bucket="tests",
        endpoint_url=f"http://127.0.0.1:{port}",
        region="us-east-1",
        access_key="key",
        secret_key="secret",
        part_size=5 << 20,
        memory=16 << 20,
        presigned=None,
        redirected=timedelta(hours=1),
        spill=folder,
    )
    async with listener, open_bucket(given_settings) as bucket:
        yield liar, bucket


@pytest.mark.parametrize("name", CALLS)
def test_any_answer_is_a_value_or_an_error_of_ours(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XML of any shape, JSON, HTML, half of it, odd header fields, with a status of success or
    refusal: no call fails in another way than the storage may."""

    monkeypatch.setattr("tusd_py.storage.s3.bucket.ATTEMPTS", 1)  # each is a pause of seconds

    async def main() -> None:
        async with store(tmp_path) as (liar, bucket):
            loop = asyncio.get_running_loop()

            def run(doing: Coroutine[object, object, object]) -> object:
                return asyncio.run_coroutine_threadsafe(doing, loop).result(30)

            @settings(max_examples=EXAMPLES)
            @given(st.sampled_from([200, 200, 200, 204, 206, 400, 404, 412]), fields, bodies)
            def lie(status: int, headers: dict[str, str], body: bytes) -> None:
                liar.say(status, headers, body)
                with contextlib.suppress(StorageError, NoSpace, UploadNotFound):
                    run(CALLS[name](bucket))

            await asyncio.to_thread(lie)

    asyncio.run(main())


async def test_a_redirection_without_an_end_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that always sends the client elsewhere has failed; nobody goes round for ever."""
    monkeypatch.setattr("tusd_py.storage.s3.bucket.ATTEMPTS", 1)
    async with store(tmp_path) as (liar, bucket):
        liar.say(301, {"x-amz-bucket-region": "eu-west-1"}, b"")
        async with asyncio.timeout(30):
            with pytest.raises(StorageError):
                await bucket.get_small("k")
