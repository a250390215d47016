"""Appending to an upload: whole parts go to the store while the next bytes come in."""

import contextlib
import functools
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from xxhash import xxh3_128

from tusd_py.errors import StorageError, TooLarge, UploadError, UploadNotFound
from tusd_py.interfaces import Block
from tusd_py.storage.s3 import keys
from tusd_py.storage.s3.bucket import SMALL
from tusd_py.storage.s3.buffer import Buffer, Sending
from tusd_py.storage.s3.failures import PartsLost
from tusd_py.storage.s3.flow import Flow
from tusd_py.storage.s3.note import Note, Piece, Segment, note_of
from tusd_py.storage.s3.objects import PIECE, Objects
from tusd_py.storage.s3.parts import Parts
from tusd_py.storage.s3.sizes import COPY_PART, MAX_PUT, is_worth_adopting, part_size_for
from tusd_py.storage.s3.staging import staged_chunk
from tusd_py.upload import Chunk, Final, Upload

TAIL_SECONDS = 10.0
"""A slow append stores what is no part yet so often, for the case that its server dies."""

SILENT_SECONDS = 0.5
"""A client that sent nothing for so long leaves the memory to those that do."""

MAX_PIECES = 64
"""A tail of more pieces is stored again as one."""

MAX_SEGMENTS = 100
"""So many PATCHes can be compared with a chunk that is sent again."""


@asynccontextmanager
async def open_writer(objects: Objects, flow: Flow, upload: Upload) -> AsyncIterator["S3Writer"]:
    """Append to an upload; parts beyond what is committed at the end do not count."""
    writer = S3Writer(objects, flow, upload)
    try:
        yield writer
    finally:
        await writer.close()


class S3Writer:
    """See `Writer`.

    The bytes of the part that is filled at present are in `_before` (pieces of the tail that were
    there already, only read if the part gets whole) and then in `_buffer`; `_tail` names the pieces
    that hold its first bytes in the store.
    """

    def __init__(self, objects: Objects, flow: Flow, upload: Upload) -> None:
        note = note_of(upload)
        settings = objects.settings
        if note.last is not None:
            raise StorageError("The upload is full; it takes no more bytes.")
        self._objects = objects
        self._bucket = objects.bucket
        self._flow = flow
        self._upload = upload
        self._multipart = note.multipart
        self._is_named = True
        self._max_parts = settings.max_parts
        self._usual = part_size_for(upload.length, settings.part_size, settings.max_parts)
        self._part_size = note.part_size
        if isinstance(upload.concat, Final):
            self._usual = max(self._usual, COPY_PART)
        if self._part_size is None and (note.tail or self._usual > settings.part_size):
            self._part_size = max(self._usual, sum(piece.size for piece in note.tail))
        self._parts = Parts(flow, note.parts)
        self._recorded = len(note.parts)
        self._recorded_at = self._written_at = time.monotonic()
        self._before = note.tail
        self._tail = note.tail
        self._buffer = flow.buffer()
        self._buffers = {self._buffer}
        self._stale: list[str] = []
        self._start = self._position = upload.offset
        self._digest: xxh3_128 | None = xxh3_128()
        self._segments = note.segments
        self._require_parts_for(upload.length)

    async def write(self, block: Block) -> int:
        """See `Writer.write`; raises `TooLarge` when the numbers of parts are used up, and keeps
        nothing of the block then."""
        data = await self._buffer.taken(block)
        await self._write(data)
        return len(data)

    async def _write(self, block: bytes) -> None:
        await self._collect()
        self._require_parts_for(self._position + len(block))
        if self._digest is not None:
            self._digest.update(block)
        self._position += len(block)
        self._written_at = time.monotonic()
        while len(block) >= (room := self._limit - self._filled):
            await self._buffer.write(block[:room])
            block = block[room:]
            await self._turn()
        await self._buffer.write(block)

    async def absorb(self, source: Upload | int) -> Chunk:
        """See `Writer.absorb`; whole parts are copied inside of the store."""
        key, chunk = await self._source(source)
        done = 0
        self._digest = None
        while done < chunk.size:
            await self._collect()
            size = self._part_size
            if size is not None and not self._filled and chunk.size - done >= size:
                self._require_parts_for(self._position + size)
                multipart = await self._begun()
                await self._begin(
                    functools.partial(self._copy_part, multipart, key, done, done + size)
                )
                self._position += size
            else:
                size = min(chunk.size - done, self._limit - self._filled)
                async for block in self._bucket.get(key, done, done + size):
                    await self._write(block)
            done += size
        return chunk

    async def commit(self, upload: Upload) -> Upload:
        """See `Writer.commit`."""
        if upload.offset != self._position:
            raise StorageError(f"{self._position} bytes were written, not {upload.offset}.")
        await self._adopt(upload)
        await self._settle()
        last = None
        if self._filled and self._parts.count and upload.is_full:
            last = self._filled
            await self._turn()
            await self._settle()
        else:
            await self._put_piece()
        return await self._record(upload, last)

    async def checkpoint(self, grown: Callable[[int], Upload]) -> Upload:
        """See `Writer.checkpoint`: parts count once they are stored, fewer bytes now and then."""
        await self._collect()
        if time.monotonic() - self._written_at >= SILENT_SECONDS:
            with contextlib.suppress(UploadError):  # a full disk is no reason to end the append
                await self._buffer.yield_memory()
        stored = len(self._parts.etags)
        if stored > self._recorded and self._part_size is not None:
            return await self._record(grown(stored * self._part_size - self._upload.offset), None)
        is_slow = time.monotonic() - self._recorded_at >= TAIL_SECONDS
        if is_slow and self._parts.are_idle and self._position > self._upload.offset:
            if self._filled >= self._usual and self._part_size is None:
                await self._turn()  # a tail is less than a part
                await self._settle()
            await self._put_piece()
            return await self._record(grown(self._position - self._upload.offset), None)
        return self._upload

    async def close(self) -> None:
        """End what is on its way, give back room, give up a multipart that no record names."""
        try:
            await self._parts.close()
        finally:
            for buffer in self._buffers:
                buffer.close()
        if self._multipart is not None and not self._is_named:
            with contextlib.suppress(StorageError):
                await self._bucket.abort(keys.parts(self._upload), self._multipart)

    @property
    def _filled(self) -> int:
        """Bytes of the part that is filled at present."""
        return sum(piece.size for piece in self._before) + self._buffer.size

    @property
    def _limit(self) -> int:
        """At how many bytes a part is whole, or, before its size is decided, it has to be."""
        return self._part_size or min(2 * self._usual, MAX_PUT)

    async def _turn(self) -> None:
        """Send what is filled as a part, and begin with the next one."""
        if self._part_size is None:
            self._part_size = self._usual
            front = self._buffer.split(self._usual)
            self._buffers.add(front)
            await self._send(front)
            if self._filled < self._part_size:
                return
        whole = self._buffer
        self._buffer = self._flow.buffer()
        self._buffers.add(self._buffer)
        await self._send(whole)

    async def _send(self, buffer: Buffer) -> None:
        before, self._before = self._before, ()
        self._stale += self._keys_of(self._tail)
        names = self._keys_of(before)
        self._tail = ()
        multipart = await self._begun()
        await self._begin(
            functools.partial(self._put_part, multipart, [*zip(names, before, strict=True)], buffer)
        )

    async def _put_part(
        self, multipart: str, before: Sequence[tuple[str, Piece]], buffer: Buffer, number: int
    ) -> str:
        front = await self._fetched(before)
        try:
            key = keys.parts(self._upload)
            return await self._bucket.put_part(key, multipart, number, Sending([front, buffer]))
        finally:
            self._drop(front)
            self._drop(buffer)

    async def _copy_part(
        self, multipart: str, source: str, start: int, stop: int, number: int
    ) -> str:
        key = keys.parts(self._upload)
        return await self._bucket.copy_part(key, multipart, number, source, start, stop)

    async def _fetched(self, pieces: Sequence[tuple[str, Piece]]) -> Buffer:
        """The bytes of some pieces of the tail."""
        buffer = self._flow.buffer()
        self._buffers.add(buffer)
        try:
            for key, piece in pieces:
                async for block in self._bucket.get(key, 0, piece.size):
                    await buffer.write(block)
        except UploadNotFound as error:
            raise PartsLost from error
        return buffer

    async def _put_piece(self) -> None:
        """Store what no part and no piece has yet."""
        held = sum(piece.size for piece in self._tail)
        size = self._filled - held
        if not size:
            return
        if len(self._tail) < MAX_PIECES:
            before = sum(piece.size for piece in self._before)
            piece = await self._stored_piece(Sending([self._buffer], held - before), size)
            self._tail = (*self._tail, piece)
            return
        names = self._keys_of(self._before)
        async with self._objects.noticing_loss(self._upload):
            front = await self._fetched([*zip(names, self._before, strict=True)])
        piece = await self._stored_piece(Sending([front, self._buffer]), self._filled)
        self._drop(front)
        self._drop(self._buffer)
        self._buffer = self._flow.buffer()
        self._buffers.add(self._buffer)
        self._stale += self._keys_of(self._tail)
        self._before = self._tail = (piece,)

    async def _stored_piece(self, body: Sending, size: int) -> Piece:
        piece = Piece(name=uuid.uuid4().hex[:8], size=size)
        [key] = self._keys_of((piece,))
        async with contextlib.nullcontext() if size <= SMALL else self._flow.places:
            await self._bucket.put(key, body, PIECE)
        return piece

    async def _adopt(self, upload: Upload) -> None:
        """Let parts be as large as the first piece of the client, if that is a good size."""
        size = self._filled
        usual = self._objects.settings.part_size
        if self._part_size is None and not upload.is_full:
            if is_worth_adopting(size, upload.length, usual, self._max_parts):
                self._part_size = size
                await self._turn()
            elif size >= self._usual:
                await self._turn()

    async def _begun(self) -> str:
        """The id of the multipart upload, which is begun with its first part."""
        if self._multipart is None:
            described = self._objects.described(self._upload)
            self._multipart = await self._bucket.begin(keys.parts(self._upload), described)
            self._is_named = False
        return self._multipart

    async def _record(self, upload: Upload, last: int | None) -> Upload:
        etags = self._parts.etags
        note = Note(
            etag=note_of(self._upload).etag,
            multipart=self._multipart,
            part_size=self._part_size if etags else None,
            parts=etags,
            last=last,
            tail=self._tail if len(etags) == self._parts.count else (),
            segments=self._noted(upload),
        )
        self._is_named = True  # perhaps, whatever comes of it
        self._upload = await self._objects.records.store(replace(upload, backing=note))
        self._recorded = len(etags)
        self._recorded_at = time.monotonic()
        stale, self._stale = self._stale, []
        await self._objects.discard(stale)
        return self._upload

    def _noted(self, upload: Upload) -> tuple[Segment, ...]:
        """The digests of PATCHed bytes, as far as they are known."""
        size = upload.offset - self._start
        is_known = self._digest is not None and upload.offset == self._position
        if not (size and is_known and upload.has_open_run) or len(self._segments) >= MAX_SEGMENTS:
            return self._segments
        assert self._digest is not None
        own = Segment(start=self._start, size=size, digest=self._digest.digest())
        return (*self._segments, own)

    async def _source(self, source: Upload | int) -> tuple[str, Chunk]:
        if isinstance(source, Upload):
            return keys.data(source), Chunk(size=source.offset, digest=None)
        return keys.chunk(self._upload, source), await staged_chunk(
            self._bucket, self._upload, source
        )

    async def _begin(self, store: Callable[[int], Coroutine[None, None, str]]) -> None:
        async with self._objects.noticing_loss(self._upload):
            await self._parts.begin(store)

    async def _collect(self) -> None:
        if not self._parts.has_news:
            return
        async with self._objects.noticing_loss(self._upload):
            self._parts.collect()

    async def _settle(self) -> None:
        async with self._objects.noticing_loss(self._upload):
            await self._parts.settle()

    def _require_parts_for(self, length: int | None) -> None:
        """Raise `TooLarge` when there are not enough numbers for parts."""
        if length is None:
            return
        most = self._max_parts * (self._part_size or self._usual)
        if length > most:
            raise TooLarge(f"This upload takes at most {most} bytes; tell Upload-Length at first.")

    def _keys_of(self, pieces: Sequence[Piece]) -> list[str]:
        """Keys of pieces behind the parts that were begun."""
        return [keys.tail(self._upload, self._parts.count, piece.name) for piece in pieces]

    def _drop(self, buffer: Buffer) -> None:
        self._buffers.discard(buffer)
        buffer.close()
