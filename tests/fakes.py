"""Verified fakes: each passes the contract of the seam it stands for (tests/contracts)."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum

from xxhash import xxh3_128

from tusd_py.block import MemoryBlock
from tusd_py.errors import (
    BodyError,
    BodyStopped,
    NoSpace,
    StorageError,
    UploadGone,
    UploadNotFound,
)
from tusd_py.events import Cleaned, Event, Recorded
from tusd_py.interfaces import Block, ChunkWriter, Content, Hasher, Outlet, Writer
from tusd_py.upload import Chunk, Upload
from tusd_py.usage import Usage, held


class Fault(Enum):
    """What a storage cannot do for a while."""

    WRITE = "bytes do not fit"
    RECORD = "records cannot be replaced"
    MOVE = "files cannot be put in their place"
    UNREACHABLE = "nothing can be reached"


class Clock:
    """The time, which only passes when a test says so."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self._now

    def forward(self, by: timedelta) -> None:
        """Let time pass."""
        self._now += by


class MemorySink:
    """See `EventSink`: keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._refused: type[Event] | None = None

    @contextmanager
    def refusing(self, kind: type[Event]) -> Iterator[None]:
        """Let it fail to take note of one kind of event for a while."""
        self._refused = kind
        try:
            yield
        finally:
            self._refused = None

    async def emit(self, event: Event) -> None:
        """See `EventSink.emit`."""
        if self._refused is not None and isinstance(event, self._refused):
            raise StorageError("The note was not taken; try again later.")
        self.events.append(event)

    def kinds(self) -> list[str]:
        """The names of the events that tell something new, in order."""
        news = (event for event in self.events if not isinstance(event, Recorded))
        return [type(event).__name__ for event in news]


class MemoryBody:
    """See `Body`: the bytes that a test sends.

    `MemoryBody(b"ab", b"c")` is whole. With `is_open` more may come by `send`, up to `finish` or
    `break_off`. `size` is what the client declared, None when it does not say.
    """

    def __init__(self, *blocks: bytes, is_open: bool = False, size: int | None = None) -> None:
        self._blocks = deque(block for block in blocks if block)
        self._size = size
        self._is_over = not is_open
        self._error: BodyError | None = None
        self._is_stopped = False
        self._changed = asyncio.Event()
        self._hungry = asyncio.Event()

    @classmethod
    def sized(cls, *blocks: bytes) -> "MemoryBody":
        """A whole body that declares its size."""
        return cls(*blocks, size=sum(map(len, blocks)))

    @classmethod
    def broken(cls, *blocks: bytes, error: BodyError) -> "MemoryBody":
        """A body that breaks off after its blocks."""
        body = cls(*blocks, is_open=True)
        body.break_off(error)
        return body

    @property
    def size(self) -> int | None:
        """See `Body.size`."""
        return self._size

    @property
    def is_stopped(self) -> bool:
        """Whether somebody called `stop`."""
        return self._is_stopped

    async def read(self, pause: float | None = None) -> bytes | None:
        """See `Body.read`."""
        if self._is_stopped:
            raise BodyStopped
        if not self._blocks and not self._is_over:
            try:
                await self._wait(pause)
            except TimeoutError:
                return None
        if self._blocks:
            return self._blocks.popleft()
        if self._error is not None:
            raise self._error
        return b""

    async def arrive(
        self, pause: float | None = None, *, hashers: Sequence[Hasher] = ()
    ) -> Block | None:
        """See `Body.arrive`."""
        data = await self.read(pause)
        return None if data is None else MemoryBlock(data, hashers)

    def stop(self) -> None:
        """See `Body.stop`."""
        self._is_stopped = True
        self._changed.set()

    def send(self, block: bytes) -> None:
        """The client sends more."""
        self._blocks.append(block)
        self._changed.set()

    def finish(self) -> None:
        """The client has sent all."""
        self._is_over = True
        self._changed.set()

    def break_off(self, error: BodyError) -> None:
        """The client sends no more, although it should."""
        self._error = error
        self.finish()

    async def drained(self) -> None:
        """Return once all that was sent is read and a reader waits for more."""
        async with asyncio.timeout(5):
            await self._hungry.wait()

    async def _wait(self, pause: float | None) -> None:
        self._changed.clear()
        self._hungry.set()
        try:
            async with asyncio.timeout(pause):
                await self._changed.wait()
        finally:
            self._hungry.clear()
        if self._is_stopped:
            raise BodyStopped


@dataclass
class _Waiting:
    """A chunk before its turn."""

    chunk: Chunk
    data: bytes


@dataclass
class _Kept:
    """All that is kept of one upload beside its finished file."""

    data: bytes | None = None
    waiting: dict[int, _Waiting] = field(default_factory=dict)


class MemoryStorage:
    """See `Storage`. Every call lets other tasks run, as one to a disk does.

    `records` holds every record ever stored, oldest first; `shown` which bytes were read again,
    as an id and how many they were.
    """

    def __init__(self) -> None:
        self.records: list[Upload] = []
        self.shown: list[tuple[str, int]] = []
        self._uploads: dict[tuple[str, str], Upload] = {}
        self._kept: dict[str, _Kept] = {}
        self._files: dict[str, bytes] = {}
        self._holders: dict[str, str] = {}
        self._faults: set[Fault] = set()

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[None]:
        """Let the storage fail for a while."""
        self._faults.add(fault)
        try:
            yield
        finally:
            self._faults.discard(fault)

    def file(self, place: str) -> bytes | None:
        """A finished file."""
        return self._files.get(place)

    def take_away(self, place: str) -> None:
        """Remove a finished file behind the server's back."""
        del self._files[place]

    async def check(self) -> None:
        """See `Storage.check`."""
        await self._work()

    async def create(self, upload: Upload) -> Upload:
        """See `Storage.create`."""
        await self._work(Fault.RECORD)
        self._store(upload)
        return upload

    async def load(self, owner: str, upload_id: str) -> Upload:
        """See `Storage.load`."""
        await self._work()
        try:
            return self._uploads[owner, upload_id]
        except KeyError:
            raise UploadNotFound from None

    async def save(self, upload: Upload) -> Upload:
        """See `Storage.save`."""
        await self._work(Fault.RECORD)
        self._store(upload)
        return upload

    @asynccontextmanager
    async def writer(self, upload: Upload, *, atomic: bool) -> AsyncIterator[Writer]:
        """See `Storage.writer`."""
        await self._work()
        yield _MemoryWriter(self, upload)

    @asynccontextmanager
    async def stage(self, upload: Upload, index: int) -> AsyncIterator[ChunkWriter]:
        """See `Storage.stage`."""
        await self._work()
        yield _MemoryChunkWriter(self, upload, index)

    async def staged(self, upload: Upload) -> dict[int, int]:
        """See `Storage.staged`."""
        await self._work()
        return self._waiting_sizes(upload)

    async def unstage(self, upload: Upload, index: int) -> None:
        """See `Storage.unstage`."""
        await self._work()
        self.kept(upload).waiting.pop(index, None)

    def _others_at_place(self, upload: Upload) -> list[Upload]:
        holder = self._uploads.get((upload.owner, self._holders.get(upload.place, "")))
        if holder is None or holder.id == upload.id or holder.ending is not None:
            return []
        return [holder]

    async def assemble(self, upload: Upload, done: Upload | None = None) -> list[Upload]:
        """See `Storage.assemble`."""
        await self._work(Fault.MOVE)
        kept = self.kept(upload)
        if upload.is_partial:
            self._kept[upload.id] = _Kept(data=(kept.data or b"")[: upload.offset])
            return []
        if self._uploads[upload.owner, upload.id].ending is not None:
            raise UploadGone("Another upload replaced this one; create a new one.")
        others = self._others_at_place(upload)
        if kept.data is not None or not upload.offset:
            self._files[upload.place] = (kept.data or b"")[: upload.offset]
        elif not self._has_own(upload):
            raise StorageError("Bytes of this upload were lost.")
        self._holders[upload.place] = upload.id
        self._kept[upload.id] = _Kept()
        return others

    async def location(self, upload: Upload) -> str:
        """See `Storage.location`."""
        return f"memory:{upload.place}"

    async def download_url(self, upload: Upload) -> None:
        """See `Storage.download_url`: there is none."""

    @asynccontextmanager
    async def open(self, upload: Upload) -> AsyncIterator[Content]:
        """See `Storage.open`."""
        await self._work()
        data = self.kept(upload).data
        if upload.is_file:
            data = self._files[upload.place] if self._has_own(upload) else None
        if data is None:
            raise UploadNotFound
        yield _MemoryContent(data[: upload.offset])

    async def digests(self, upload: Upload, start: int, size: int) -> tuple[Chunk, ...]:
        """See `Storage.digests`."""
        async with self.open(upload) as content:
            data = b"".join([block async for block in content.read(start, start + size)])
        return (Chunk(size=size, digest=xxh3_128(data).digest()),)

    async def show(self, upload: Upload, hasher: Hasher, start: int) -> bool:
        """See `Storage.show`."""
        await self._work()
        if start >= upload.offset:
            return True
        data = self.kept(upload).data
        if data is None and self._has_own(upload):
            data = self._files[upload.place]
        if data is None or len(data) < upload.offset:
            raise StorageError("Bytes of this upload were lost.")
        hasher.update(data[start : upload.offset])
        self.shown.append((upload.id, upload.offset - start))
        return True

    async def has_file(self, upload: Upload) -> bool:
        """See `Storage.has_file`."""
        await self._work()
        return self._has_own(upload)

    async def delete(self, upload: Upload) -> None:
        """See `Storage.delete`."""
        await self._work()
        self._kept.pop(upload.id, None)
        if self._has_own(upload):
            del self._files[upload.place], self._holders[upload.place]

    async def forget(self, upload: Upload) -> None:
        """See `Storage.forget`."""
        await self.delete(upload)
        self._uploads.pop((upload.owner, upload.id), None)

    async def uploads(self, owner: str) -> AsyncIterator[Upload]:
        """See `Storage.uploads`."""
        await self._work()
        for upload in list(self._uploads.values()):
            if upload.owner == owner:
                yield upload

    async def usage(self, owner: str) -> Usage:
        """See `Storage.usage`."""
        await self._work()
        own = [upload for upload in self._uploads.values() if upload.owner == owner]
        return Usage(
            open={each.id: held(each, self._waiting_sizes(each)) for each in own if each.is_open},
            finished={each.id: each.offset for each in own if each.is_file},
        )

    async def unsettled(self) -> AsyncIterator[Upload]:
        """See `Storage.unsettled`."""
        await self._work()
        for upload in list(self._uploads.values()):
            if not upload.is_file:
                yield upload

    async def clean(self) -> Cleaned:
        """See `Storage.clean`: there are no dead processes here."""
        await self._work()
        return Cleaned()

    def kept(self, upload: Upload) -> _Kept:
        """What is kept of an upload."""
        return self._kept.setdefault(upload.id, _Kept())

    async def commit(self, upload: Upload, data: bytes) -> None:
        """The bytes of an upload and the record that counts them."""
        await self._work(Fault.RECORD)
        self.kept(upload).data = data
        self._store(upload)

    async def take(self) -> None:
        """Find room for bytes."""
        await self._work(Fault.WRITE)

    async def put_waiting(self, upload: Upload, index: int, chunk: Chunk, data: bytes) -> None:
        """Keep a chunk before its turn."""
        await self._work(Fault.MOVE)
        self.kept(upload).waiting[index] = _Waiting(chunk=chunk, data=data)

    def _store(self, upload: Upload) -> None:
        self.records.append(upload)
        self._uploads[upload.owner, upload.id] = upload

    def _waiting_sizes(self, upload: Upload) -> dict[int, int]:
        return {index: each.chunk.size for index, each in self.kept(upload).waiting.items()}

    def _has_own(self, upload: Upload) -> bool:
        return upload.place in self._files and self._holders.get(upload.place) == upload.id

    async def _work(self, fault: Fault | None = None) -> None:
        await asyncio.sleep(0)
        if fault is Fault.WRITE and fault in self._faults:
            raise NoSpace
        if {fault, Fault.UNREACHABLE} & self._faults:
            raise StorageError("The storage cannot do this now; try again later.")


class _MemoryWriter:
    """See `Writer`."""

    def __init__(self, storage: MemoryStorage, upload: Upload) -> None:
        data = storage.kept(upload).data or b""
        if len(data) < upload.offset:
            raise StorageError("Bytes of this upload were lost.")
        self._storage = storage
        self._upload = upload
        self._data = bytearray(data[: upload.offset])

    async def write(self, block: Block) -> int:
        await self._storage.take()
        data = block.take()
        self._data += data
        return len(data)

    async def absorb(self, source: Upload | int) -> Chunk:
        await self._storage.take()
        if isinstance(source, Upload):
            data = self._storage.kept(source).data
            if data is None and source.offset:
                raise UploadNotFound
            self._data += (data or b"")[: source.offset]
            return Chunk(size=source.offset, digest=None)
        waiting = self._storage.kept(self._upload).waiting.get(source)
        if waiting is None:
            raise UploadNotFound
        self._data += waiting.data
        return waiting.chunk

    async def commit(self, upload: Upload) -> Upload:
        if upload.offset != len(self._data):
            raise StorageError(f"{len(self._data)} bytes were written, not {upload.offset}.")
        await self._storage.commit(upload, bytes(self._data))
        self._upload = upload
        return upload

    async def checkpoint(self, grown: Callable[[int], Upload]) -> Upload:
        return await self.commit(grown(len(self._data) - self._upload.offset))


class _MemoryChunkWriter:
    """See `ChunkWriter`."""

    def __init__(self, storage: MemoryStorage, upload: Upload, index: int) -> None:
        self._storage = storage
        self._upload = upload
        self._index = index
        self._data = bytearray()

    async def write(self, block: Block) -> int:
        await self._storage.take()
        data = block.take()
        self._data += data
        return len(data)

    async def commit(self, chunk: Chunk) -> None:
        if chunk.digest is None:
            raise StorageError("A chunk that waits needs its digest.")
        await self._storage.put_waiting(self._upload, self._index, chunk, bytes(self._data))


class _MemoryContent:
    """See `Content`."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        await asyncio.sleep(0)
        if start < stop:
            yield self._data[start:stop]

    async def send(self, outlet: Outlet, start: int, stop: int) -> None:
        rest = memoryview(self._data)[start:stop]
        while rest:
            try:
                rest = rest[os.write(outlet.fd, rest) :]
            except BlockingIOError:
                await outlet.writable()
