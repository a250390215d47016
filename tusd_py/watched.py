"""A storage whose appends are measured, and that tells a tracer of its longer steps."""

import time
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Generic, TypeVar

from tusd_py.interfaces import Block, ChunkWriter, Storage, Writer
from tusd_py.upload import Upload
from tusd_py.watching import AppendWatch, Tracer


class WatchedStorage:
    """See `Storage`. What is neither measured nor traced is the storage's own method."""

    def __init__(self, storage: Storage, watch: AppendWatch, tracer: Tracer | None = None) -> None:
        self._storage = storage
        self._watch = watch
        self._tracer = tracer
        self.check = storage.check
        self.create = storage.create
        self.load = storage.load
        self.save = storage.save
        self.staged = storage.staged
        self.unstage = storage.unstage
        self.assemble = storage.assemble if tracer is None else self._assemble
        self.location = storage.location
        self.download_url = storage.download_url
        self.open = storage.open
        self.digests = storage.digests
        self.show = storage.show
        self.has_file = storage.has_file
        self.delete = storage.delete
        self.forget = storage.forget
        self.uploads = storage.uploads
        self.usage = storage.usage
        self.unsettled = storage.unsettled
        self.clean = storage.clean

    def writer(self, upload: Upload, *, atomic: bool) -> AbstractAsyncContextManager[Writer]:
        """See `Storage.writer`."""
        opened = self._storage.writer(upload, atomic=atomic)
        return _Append(opened, self._watch, self._step("append", upload))

    def stage(self, upload: Upload, index: int) -> AbstractAsyncContextManager[ChunkWriter]:
        """See `Storage.stage`."""
        opened = self._storage.stage(upload, index)
        return _Staging(opened, self._watch, self._step("stage", upload))

    async def _assemble(self, upload: Upload, done: Upload | None = None) -> list[Upload]:
        assert self._tracer is not None
        with self._tracer.step("assemble", upload.id):
            return await self._storage.assemble(upload, done)

    def _step(self, name: str, upload: Upload) -> AbstractContextManager[None] | None:
        return None if self._tracer is None else self._tracer.step(name, upload.id)


W = TypeVar("W", Writer, ChunkWriter)


class _Timed(Generic[W]):
    """From the first byte that may come to the last one stored. Nothing came: nothing to tell."""

    _opened: AbstractAsyncContextManager[W]
    _writer: W

    def __init__(
        self,
        opened: AbstractAsyncContextManager[W],
        watch: AppendWatch,
        step: AbstractContextManager[None] | None,
    ) -> None:
        self._opened = opened
        self._watch = watch
        self._step = step
        self._since = 0.0
        self._size = 0

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        try:
            return await self._opened.__aexit__(kind, error, trace)
        finally:
            self._end(kind, error, trace)

    async def write(self, block: Block) -> int:
        """See `Writer.write` and `ChunkWriter.write`."""
        size = await self._writer.write(block)
        self._size += size
        return size

    async def _begin(self) -> W:
        if self._step is not None:
            self._step.__enter__()
        self._since = time.perf_counter()
        try:
            self._writer = await self._opened.__aenter__()
        except BaseException as error:
            self._end(type(error), error, error.__traceback__)
            raise
        return self._writer

    def _end(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._size:
            self._watch.appended(time.perf_counter() - self._since, self._size)
        if self._step is not None:
            self._step.__exit__(kind, error, trace)


class _Append(_Timed[Writer]):
    """See `Writer`, opened and closed."""

    async def __aenter__(self) -> Writer:
        writer = await self._begin()
        self.absorb = writer.absorb
        self.commit = writer.commit
        self.checkpoint = writer.checkpoint
        return self


class _Staging(_Timed[ChunkWriter]):
    """See `ChunkWriter`, opened and closed."""

    async def __aenter__(self) -> ChunkWriter:
        self.commit = (await self._begin()).commit
        return self
