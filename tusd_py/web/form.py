"""The multipart form of a REST chunk, read as a stream, its fields in any order (RFC 7578).

When the chunk comes before the fields that say where it belongs it is spooled to an unnamed file;
otherwise no byte of it is kept here.
"""

import errno
import os
import re
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol, TypeAlias

import aiofiles.tempfile
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from tusd_py.accounts import Flight
from tusd_py.block import PIECE, MemoryBlock
from tusd_py.errors import (
    BadRequest,
    BodyStopped,
    UnsupportedMediaType,
    from_os,
)
from tusd_py.interfaces import Block, Body, Hasher
from tusd_py.upload import require_within
from tusd_py.web.delimiter import Delimiter, Finder

MAX_FIELD = 1024
"""Longest text field in bytes."""

MAX_PARTS = 16

MANY = 1 << 20
"""While so many bytes are to come, who stores them looks for the end of the chunk. A quota that is
compared with them before is met a little early: what stands behind the chunk is among them."""

STEP = 1 << 20
"""So many bytes are moved into a file before another thread looks for the end of the chunk among
them. While it does the next ones are moved; so twice as many at most are behind that end."""

_READ = 1 << 20
_BOUNDARY = re.compile(
    r"""multipart/form-data\s*;[^\x00]*?boundary=(?:"([\x20\x21\x23-\x7e]{1,200})"|([!#-:<-~]{1,200}))""",
    re.I,
)
_TEXTS = ("upload_session_id", "chunk_index")
_CHUNK = "chunk"


class _AsyncFile(Protocol):
    async def read(self, size: int, /) -> bytes: ...
    async def write(self, data: bytes, /) -> int: ...
    async def seek(self, offset: int, /) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkForm:
    """What a form says, and the chunk in it."""

    upload_session_id: str
    chunk_index: str
    chunk: Body


@asynccontextmanager
async def chunk_form(
    body: Body,
    content_type: str,
    *,
    spool: Path,
    max_size: int | None,
    flight: Flight | None = None,
) -> AsyncIterator[ChunkForm]:
    """Read a form up to its chunk. Reading the chunk to its end also checks the rest of the form.

    What is spooled counts in `flight` until it is read.

    Raises `UnsupportedMediaType`, `BadRequest`, `BodyError`, `QuotaExceeded`, and
    `UploadTooLarge` (over `max_size` bytes).
    """
    match = _BOUNDARY.match(content_type)
    if match is None:
        raise UnsupportedMediaType("Send a form: Content-Type: multipart/form-data; boundary=...")
    form = _Form(body, match[1] or match[2])
    await form.read_fields()
    if form.has_texts():
        yield form.result(_FormBody(form, body))
        return
    async with _unnamed_file(spool) as file:
        counted = flight or Flight(None)
        size = await _spool(form, file, max_size, counted)
        yield form.result(_SpooledBody(file, size, counted))


@asynccontextmanager
async def _unnamed_file(folder: Path) -> AsyncIterator[_AsyncFile]:
    try:
        file = await aiofiles.tempfile.TemporaryFile("w+b", dir=folder)
    except OSError as error:
        raise from_os(error) from error
    try:
        yield file
    finally:
        with suppress(OSError):  # what could not be written has been told
            await file.close()


class _Mark(Enum):
    """What a form gives beside the heads and the bytes of its parts."""

    PART_END = "part end"
    FORM_END = "form end"
    PAUSE = "pause"


_Event: TypeAlias = MultipartSegment | bytes | _Mark


class _Form:
    """The form as far as it was read."""

    def __init__(self, body: Body, boundary: str) -> None:
        self._body = body
        self._texts: dict[str, str] = {}
        self._events: deque[_Event] = deque()
        self._has_chunk = False
        self._is_chunk_over = False
        self._delimiter = Delimiter(boundary)
        self._is_clean = False
        """Whether the parser is inside a part and holds no byte of it back."""
        self._memory = bytearray()
        self._lookout = _Lookout()
        with _as_bad_request():
            self._parser = PushMultipartParser(
                boundary, max_header_size=4096, max_segment_count=MAX_PARTS
            )

    def has_texts(self) -> bool:
        """Whether all fields but the chunk are known."""
        return all(name in self._texts for name in _TEXTS)

    def result(self, chunk: Body) -> ChunkForm:
        """The form, once all its fields are known."""
        for name in _TEXTS:
            if name not in self._texts:
                raise BadRequest(f"The form lacks the field {name}.")
        return ChunkForm(
            upload_session_id=self._texts["upload_session_id"],
            chunk_index=self._texts["chunk_index"],
            chunk=chunk,
        )

    async def read_fields(self) -> None:
        """Read up to the bytes of the chunk."""
        while not self._has_chunk:
            event = await self._next(None)
            if event is _Mark.FORM_END:
                raise BadRequest("The form lacks the field chunk.")
            if isinstance(event, MultipartSegment):
                await self._begin_part(event)

    async def arrive(self, pause: float | None, hashers: Sequence[Hasher]) -> Block | None:
        """The next bytes of the chunk; see `Body.arrive`. While many are to come, who stores them
        looks for its end."""
        if not self._events and not self._is_chunk_over:
            block = await self._body.arrive(pause, hashers=(self._lookout,))
            if block is None:
                return None
            if block.most >= MANY:
                return _FormBlock(self, block, hashers)
            self._parse(block.take(), is_end=not block.most)
        data = await self.block(pause)
        return None if data is None else MemoryBlock(data, hashers)

    def moved(self, block: Block, hashers: Sequence[Hasher], fd: int, position: int) -> int | None:
        """Move a block into a file as far as it is the chunk's, and return how many bytes that
        were. None, with nothing done, while the parser holds some back, or has some to give.

        Raises the `OSError` of writing.
        """
        if not self._is_clean or self._events:
            return None
        with self._lookout.for_end(self._delimiter, hashers) as finder:
            moved = 0
            while size := block.into(fd, position + moved, 0 if finder.is_found else STEP):
                moved += size
        if finder.size + len(finder.rest) != moved:
            raise OSError(errno.EIO, "bytes of a chunk are gone from its file")
        if finder.rest:
            os.ftruncate(fd, position + finder.size)
            self._parse(finder.rest, is_end=False)
        while finder.is_found and (data := block.take()):
            self._parse(data, is_end=False)
        return finder.size

    def pieces(self, block: Block) -> Iterator[bytes | memoryview]:
        """The bytes of the chunk among those of a block. All are asked for, and each is used before
        the next one is."""
        size = 1
        while size:
            if self._is_clean and not self._events:
                self._memory = self._memory or bytearray(PIECE)
                view = memoryview(self._memory)
                size = block.take_into(view)
                end = self._delimiter.begins_in(self._memory, size)
                if end:
                    yield view[:end]
                if end < size:
                    self._parse(bytes(view[end:size]), is_end=False)
            else:
                data = block.take()
                size = len(data)
                self._parse(data, is_end=False)
                while self._events and isinstance(event := self._events[0], bytes):
                    self._events.popleft()
                    yield event

    async def block(self, pause: float | None = None) -> bytes | None:
        """The next bytes of the chunk; `b""` once the whole form was read; None: see `Body`."""
        while not self._is_chunk_over:
            event = await self._next(pause)
            if event is _Mark.PAUSE:
                return None
            if isinstance(event, bytes):
                return event
            self._is_chunk_over = True
        while (event := await self._next(None)) is not _Mark.FORM_END:
            if isinstance(event, MultipartSegment):
                await self._begin_part(event)
        return b""

    async def _begin_part(self, part: MultipartSegment) -> None:
        """Take a text field; stop at the chunk; skip what is not known."""
        if any(set(value) & {"\r", "\n"} for _, value in part.headerlist):
            # the parser sees it only when the line comes in pieces
            raise BadRequest("The form is broken: a line in the head of a part has no CR LF.")
        name = part.name
        if name == _CHUNK:
            if self._has_chunk:
                raise BadRequest("The form has the field chunk twice.")
            self._has_chunk = True
        elif name in _TEXTS:
            if name in self._texts:
                raise BadRequest(f"The form has the field {name} twice.")
            self._texts[name] = await self._text(name)

    async def _text(self, name: str) -> str:
        value = b""
        while isinstance(event := await self._next(None), bytes):
            value += event
            if len(value) > MAX_FIELD:
                raise BadRequest(f"The field {name} is too long.")
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise BadRequest(f"The field {name} is not UTF-8.") from None

    async def _next(self, pause: float | None) -> _Event:
        while not self._events:
            block = await self._body.read(pause)
            if block is None:
                return _Mark.PAUSE
            self._parse(block, is_end=not block)
        return self._events.popleft()

    def _parse(self, data: bytes, *, is_end: bool) -> None:
        with _as_bad_request():
            if is_end:
                self._parser.close()
                self._events.append(_Mark.FORM_END)
            is_inside = False
            for event in self._parser.parse(data) if data else ():
                is_inside = False
                match event:
                    case None:
                        self._events.append(_Mark.PART_END)
                    case MultipartSegment():
                        self._events.append(event)
                    case _:
                        self._events.append(bytes(event))
                        is_inside = True
        is_known = is_inside and len(data) >= len(self._delimiter)
        self._is_clean = is_known and self._delimiter.cut_in(data, len(data)) == len(data)


class _Lookout:
    """See `Hasher`: looks for the end of the chunk, but only among bytes that it is asked for."""

    def __init__(self) -> None:
        self._finder: Finder | None = None

    @contextmanager
    def for_end(self, delimiter: Delimiter, hashers: Sequence[Hasher]) -> Iterator[Finder]:
        """Look among all that is seen meanwhile."""
        self._finder = finder = Finder(delimiter, hashers)
        try:
            yield finder
        finally:
            self._finder = None

    def update(self, data: bytes | memoryview, /) -> None:
        if self._finder is not None:
            self._finder.update(data)


class _FormBlock:
    """See `Block`: bytes of the chunk, looked for when they are taken."""

    def __init__(self, form: _Form, block: Block, hashers: Sequence[Hasher]) -> None:
        self._form = form
        self._block = block
        self._hashers = hashers
        self._taken: MemoryBlock | None = None

    @property
    def most(self) -> int:
        return self._block.most

    def into(self, fd: int, position: int, most: int | None = None) -> int:
        if self._taken is not None or most is not None:
            return self._in_memory().into(fd, position, most)
        moved = self._form.moved(self._block, self._hashers, fd, position)
        if moved is not None:
            return moved
        size = 0
        for piece in self._form.pieces(self._block):
            size += MemoryBlock(piece, self._hashers).into(fd, position + size)
        return size

    def take(self) -> bytes:
        data = b"".join([bytes(piece) for piece in self._form.pieces(self._block)])
        return MemoryBlock(data, self._hashers).take()

    def take_into(self, buffer: memoryview) -> int:
        return self._in_memory().take_into(buffer)

    def _in_memory(self) -> MemoryBlock:
        self._taken = self._taken or MemoryBlock(self.take())
        return self._taken


class _FormBody:
    """See `Body`: the chunk as it arrives."""

    def __init__(self, form: _Form, body: Body) -> None:
        self._form = form
        self._body = body
        self._is_stopped = False

    @property
    def size(self) -> int | None:
        return None

    async def read(self, pause: float | None = None) -> bytes | None:
        if self._is_stopped:
            raise BodyStopped
        return await self._form.block(pause)

    async def arrive(
        self, pause: float | None = None, *, hashers: Sequence[Hasher] = ()
    ) -> Block | None:
        if self._is_stopped:
            raise BodyStopped
        return await self._form.arrive(pause, hashers)

    def stop(self) -> None:
        self._is_stopped = True
        self._body.stop()


class _SpooledBody:
    """See `Body`: the chunk from the file it was kept in."""

    def __init__(self, file: _AsyncFile, size: int, flight: Flight) -> None:
        self._file = file
        self._size = size
        self._flight = flight
        self._is_stopped = False

    @property
    def size(self) -> int | None:
        return self._size

    async def read(self, pause: float | None = None) -> bytes | None:
        if self._is_stopped:
            raise BodyStopped
        try:
            block = await self._file.read(_READ)
        except OSError as error:
            raise from_os(error) from error
        self._flight.land(len(block))
        return block

    async def arrive(
        self, pause: float | None = None, *, hashers: Sequence[Hasher] = ()
    ) -> Block | None:
        return MemoryBlock(await self.read(pause) or b"", hashers)

    def stop(self) -> None:
        self._is_stopped = True


async def _spool(form: _Form, file: _AsyncFile, max_size: int | None, flight: Flight) -> int:
    size = 0
    try:
        while block := await form.block():
            size += len(block)
            require_within(size, max_size)
            await flight.take(len(block))
            await file.write(block)
        await file.seek(0)
    except OSError as error:
        raise from_os(error) from error
    return size


@contextmanager
def _as_bad_request() -> Iterator[None]:
    try:
        yield
    except MultipartError as error:
        raise BadRequest(f"The form is broken: {error}.") from error
