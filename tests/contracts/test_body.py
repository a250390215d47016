"""Every body keeps every promise of `Body`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.contracts.body import (
    ARRIVING_PROMISES,
    WHOLE_PROMISES,
    ArrivingBody,
    ArrivingPromise,
    WholePromise,
)
from tests.fakes import MemoryBody
from tests.handed_over import handed_over, head
from tusd_py.errors import BodyInterrupted
from tusd_py.interfaces import Body
from tusd_py.web.body import RequestBody
from tusd_py.web.form import chunk_form

CHUNKED = head("Transfer-Encoding: chunked")
LAST_CHUNK = b"0\r\n\r\n"

FORM = "multipart/form-data; boundary=line"
TEXTS = (
    b'--line\r\nContent-Disposition: form-data; name="upload_session_id"\r\n\r\nid\r\n'
    b'--line\r\nContent-Disposition: form-data; name="chunk_index"\r\n\r\n0\r\n'
)
CHUNK = b'--line\r\nContent-Disposition: form-data; name="chunk"; filename="c"\r\n\r\n'
END = b"--line--\r\n"

whole_promises = pytest.mark.parametrize(
    "promise", WHOLE_PROMISES, ids=lambda promise: promise.__name__
)
arriving_promises = pytest.mark.parametrize(
    "promise", ARRIVING_PROMISES, ids=lambda promise: promise.__name__
)


def as_chunk(data: bytes) -> bytes:
    """Bytes in chunked transfer-encoding."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def send(body: MemoryBody, data: bytes) -> None:
    """Let bytes arrive."""
    body.send(data)


@whole_promises
async def test_whole_memory_body(promise: WholePromise) -> None:
    """The fake keeps its promises."""

    @asynccontextmanager
    async def whole(data: bytes) -> AsyncIterator[Body]:
        blocks = [data[start : start + 100_000] for start in range(0, len(data), 100_000)]
        yield MemoryBody.sized(*blocks)

    await promise(whole)


@arriving_promises
async def test_arriving_memory_body(promise: ArrivingPromise) -> None:
    """The fake keeps its promises while it arrives."""
    body = MemoryBody(is_open=True)

    async def finish() -> bytes:
        body.finish()
        return b""

    async def break_off() -> None:
        body.break_off(BodyInterrupted())

    await promise(
        ArrivingBody(
            body=body,
            send=lambda data: send(body, data),
            finish=finish,
            break_off=break_off,
        )
    )


@whole_promises
@pytest.mark.parametrize("is_direct", [False, True])
@pytest.mark.parametrize("is_chunked", [True, False])
async def test_whole_request_body(promise: WholePromise, is_chunked: bool, is_direct: bool) -> None:
    """`RequestBody` keeps its promises, with Content-Length and without, through aiohttp and past
    it."""

    @asynccontextmanager
    async def whole(data: bytes) -> AsyncIterator[Body]:
        if is_chunked:
            request = CHUNKED + (as_chunk(data) if data else b"") + LAST_CHUNK
        else:
            request = head(f"Content-Length: {len(data)}") + data
        async with handed_over(request, is_direct=is_direct) as arrival:
            yield RequestBody(arrival.request, idle=5.0)

    await promise(whole)


@arriving_promises
async def test_arriving_chunked_request_body(promise: ArrivingPromise) -> None:
    """`RequestBody` keeps its promises while chunks arrive."""

    async def finish() -> bytes:
        await arrival.send(LAST_CHUNK)
        return b""

    async with handed_over(CHUNKED) as arrival:
        await promise(
            ArrivingBody(
                body=RequestBody(arrival.request, idle=5.0),
                send=lambda data: arrival.send(as_chunk(data)),
                finish=finish,
                break_off=arrival.hang_up,
            )
        )


@arriving_promises
@pytest.mark.parametrize("is_direct", [False, True])
async def test_arriving_sized_request_body(promise: ArrivingPromise, is_direct: bool) -> None:
    """`RequestBody` keeps its promises while a body of a known size arrives, both ways."""
    size = 30_000
    sent = 0

    async def count(data: bytes) -> None:
        nonlocal sent
        sent += len(data)
        await arrival.send(data)

    async def finish() -> bytes:
        rest = bytes(size - sent)
        await arrival.send(rest)
        return rest

    async with handed_over(head(f"Content-Length: {size}"), is_direct=is_direct) as arrival:
        await promise(
            ArrivingBody(
                body=RequestBody(arrival.request, idle=5.0),
                send=count,
                finish=finish,
                break_off=arrival.hang_up,
            )
        )


@whole_promises
@pytest.mark.parametrize("texts_first", [True, False])
async def test_whole_form_body(promise: WholePromise, texts_first: bool, tmp_path: Path) -> None:
    """The chunk of a form keeps its promises, as it arrives and from the file it was kept in."""

    @asynccontextmanager
    async def whole(data: bytes) -> AsyncIterator[Body]:
        chunk = CHUNK + data + b"\r\n"
        parts = TEXTS + chunk if texts_first else chunk + TEXTS
        body = MemoryBody(parts + END)
        async with chunk_form(body, FORM, spool=tmp_path, max_size=None) as form:
            yield form.chunk

    await promise(whole)


@arriving_promises
async def test_arriving_form_body(promise: ArrivingPromise, tmp_path: Path) -> None:
    """The chunk of a form keeps its promises while the form arrives."""
    body = MemoryBody(TEXTS + CHUNK, is_open=True)

    async def finish() -> bytes:
        body.send(b"\r\n" + END)
        body.finish()
        return b""

    async def break_off() -> None:
        body.break_off(BodyInterrupted())

    async with chunk_form(body, FORM, spool=tmp_path, max_size=None) as form:
        await promise(
            ArrivingBody(
                body=form.chunk,
                send=lambda data: send(body, data),
                finish=finish,
                break_off=break_off,
            )
        )
