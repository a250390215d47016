"""Indexed chunks in any order, in parallel, and again after a lost answer.

The next chunk in order goes straight into the upload. A later one is staged without the upload's
lock, and whoever closes the gap absorbs what waits, so no byte of a file sent in order is copied.

Nobody misses a staged chunk: who stages one then tries the lock; if it is held, the holder looks
at what waits once more after it has let go.
"""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from tusd_py.errors import (
    ChunkConflict,
    ChunkCountMismatch,
    Forbidden,
    IdMismatch,
    MissingChunks,
    TooLarge,
    TooManyChunks,
    UploadGone,
    UploadLocked,
    UploadNotFound,
    UploadStopped,
    UploadTooLarge,
    UploadUnfinished,
)
from tusd_py.events import Received
from tusd_py.finisher import ignore
from tusd_py.interfaces import Body
from tusd_py.receiving import receive_chunk, same_as
from tusd_py.service import UploadService
from tusd_py.upload import (
    Chunk,
    Final,
    Upload,
    is_upload_id,
    require_room,
    room,
    upload_key,
    with_chunk,
)

NAMED = 100
"""At most so many missing chunks are named in a refusal."""


class ChunkAssembler:
    """The verbs of the REST face that know chunks."""

    def __init__(self, service: UploadService) -> None:
        self._service = service
        self._storage = service.storage
        self._locker = service.locker

    async def append_chunk(self, owner: str, upload_id: str, index: int, body: Body) -> None:
        """Take chunk `index` (from 0). It counts as a whole or not at all.

        Raises `ChunkConflict` for other bytes than those already part of the file, `TooLarge`,
        `BodyError`; `UploadStopped` when a hook ended the upload: it is removed.
        """
        try:
            await self._append_chunk(owner, upload_id, index, body)
        except UploadStopped:
            await self._service.end_stopped(owner, upload_id)
            raise

    async def _append_chunk(self, owner: str, upload_id: str, index: int, body: Body) -> None:
        if not is_upload_id(upload_id):
            raise UploadNotFound
        async with self._service.draining(body):
            if await self._append_in_turn(owner, upload_id, index, body):
                return
            upload = await self._writable(owner, upload_id)
            if index < len(upload.chunks) or upload.is_full:
                await self._compare(upload, index, body)
                return
            chunk = await self._stage(upload, index, body)
        try:
            await self._after_staging(owner, upload_id, index, chunk)
        except (UploadGone, UploadNotFound):  # while it was stored: then who removed it may not
            await self._storage.unstage(upload, index)  # have seen the chunk
            raise

    async def complete(
        self, owner: str, upload_id: str, *, total: int, file_id: str | None
    ) -> Upload:
        """Finish an upload of `total` chunks. The same call again gives the same answer.

        Raises `MissingChunks`, `ChunkCountMismatch`, `IdMismatch`; nothing is lost by a refusal.
        """
        upload = await self._writable(owner, upload_id)
        if upload.declared_file_id not in {None, file_id}:
            raise IdMismatch("main_service_file_id is not the one this upload began with.")
        if upload.is_partial:
            raise UploadUnfinished("A partial upload becomes a file by concatenation only.")
        async with self._service.hold(owner, upload_id, None, patience=1.0):
            upload = await self._writable(owner, upload_id)
            if upload.completion is not None:
                _require_count(upload, total)
                return upload
            upload = await self._absorb(upload)
            await self._require_whole(upload, total)
            if upload.length is None:
                upload = await self._storage.save(replace(upload, length=upload.offset))
            return await self._service.finisher.finish(upload)

    async def _writable(self, owner: str, upload_id: str) -> Upload:
        upload = await self._service.alive(owner, upload_id)
        if isinstance(upload.concat, Final) and upload.completion is None:
            raise Forbidden("A concatenated upload takes no chunks.")
        return upload

    async def _append_in_turn(self, owner: str, upload_id: str, index: int, body: Body) -> bool:
        """Append the chunk if it is the next one and nobody else is at work; tells whether."""
        async with self._locker.try_lock(upload_key(owner, upload_id), wanted=body.stop) as is_held:
            if not is_held:
                return False
            upload = await self._writable(owner, upload_id)
            if index != len(upload.chunks) or upload.is_full:
                return False
            self._require_below(index)
            space = await self._space(upload, index)
            running = self._service.digests.running(upload)
            async with (
                self._service.watching(upload, body) as count,
                self._storage.writer(upload, atomic=True) as writer,
            ):
                chunk = await receive_chunk(
                    body, writer, upload, space=space, running=running, count=count
                )
                async with self._counting(upload):
                    require_room(upload, chunk.size, await self._space(upload, index))
                    upload = await writer.commit(self._with(upload, chunk))
            if running is not None:
                running.keep(upload)
            await self._service.events.emit(Received(upload, chunk.size))
            upload = await self._absorb(upload)
            await self._finish_if_full(upload)
        await self._absorb_waiting(upload)
        return True

    async def _compare(self, upload: Upload, index: int, body: Body) -> None:
        """Read a chunk that is part of the file already, which is fine if it is the same."""
        if index >= len(upload.chunks):
            raise ChunkConflict(f"The file is complete without a chunk {index}.")
        stored = await self._stored(upload, index)
        if stored is None:
            raise ChunkConflict(
                f"Chunk {index} was PATCHed and cannot be compared; go on after it."
            )
        if not await same_as(body, stored):
            raise _conflict(index)

    async def _stored(self, upload: Upload, index: int) -> tuple[Chunk, ...] | None:
        """A chunk of the file as pieces with a digest; None when they cannot be told."""
        chunk = upload.chunks[index]
        if chunk.digest is not None:
            return (chunk,)
        start = sum(before.size for before in upload.chunks[:index])
        return await self._storage.digests(upload, start, chunk.size)

    async def _stage(self, upload: Upload, index: int, body: Body) -> Chunk:
        await self._require_number(upload, index)
        space = await self._space(upload, index)
        async with (
            self._service.watching(upload, body) as count,
            self._storage.stage(upload, index) as writer,
        ):
            chunk = await receive_chunk(body, writer, upload, space=space, count=count)
            async with self._counting(upload):
                upload = await self._service.alive(upload.owner, upload.id)
                if index < len(upload.chunks):
                    return chunk
                if upload.completion is not None:
                    raise ChunkConflict(f"The file became complete without a chunk {index}.")
                require_room(upload, chunk.size, await self._space(upload, index))
                await writer.commit(chunk)
        return chunk

    async def _after_staging(self, owner: str, upload_id: str, index: int, chunk: Chunk) -> None:
        """See that the chunk becomes part of the file if its turn has come meanwhile."""
        upload = await self._service.alive(owner, upload_id)
        if index > len(upload.chunks):
            await self._renew(upload)
            await self._absorb_waiting(upload)
            return
        try:
            async with self._service.hold(owner, upload_id, None, patience=1.0):
                upload = await self._writable(owner, upload_id)
                if index < len(upload.chunks):  # a twin came first
                    await self._storage.unstage(upload, index)
                    if await self._stored(upload, index) != (chunk,):
                        raise _conflict(index)
                elif upload.completion is None:
                    await self._finish_if_full(await self._absorb(upload))
        except UploadLocked:
            return  # it is staged and stays so: the holder or `complete` absorbs it
        await self._absorb_waiting(upload)

    async def _renew(self, upload: Upload) -> None:
        """An upload lives on while chunks come, also those that wait. Who holds the lock renews
        it with the next commit."""
        life = self._service.limits.expires_after
        if upload.expires_at > self._service.now() + life * 0.9:
            return
        async with self._locker.try_lock(upload.key, wanted=ignore) as is_held:
            if is_held:
                upload = await self._service.alive(upload.owner, upload.id)
                if upload.completion is None:
                    later = self._service.now() + life
                    await self._storage.save(replace(upload, expires_at=later))

    async def _absorb_waiting(self, upload: Upload) -> None:
        """Absorb what waits, unless somebody holds the lock: they come here after letting go."""
        while await self._storage.staged(upload):
            upload = await self._storage.load(upload.owner, upload.id)
            if not await self._is_next_waiting(upload):
                return
            async with self._locker.try_lock(upload.key, wanted=ignore) as is_held:
                if not is_held:
                    return
                upload = await self._storage.load(upload.owner, upload.id)
                if not await self._is_next_waiting(upload):
                    return
                absorbed = await self._absorb(upload)
                await self._finish_if_full(absorbed)
            if absorbed is upload:
                return
            upload = absorbed

    async def _is_next_waiting(self, upload: Upload) -> bool:
        """Whether a chunk waits for its turn now. PATCHed bytes may still grow before it."""
        if upload.ending is not None or upload.completion is not None or upload.has_open_run:
            return False
        return len(upload.chunks) in await self._storage.staged(upload)

    async def _absorb(self, upload: Upload) -> Upload:
        """Append every waiting chunk whose turn has come. Needs the lock."""
        waiting = await self._storage.staged(upload)
        while (index := len(upload.chunks)) in waiting and index < self._service.limits.max_chunks:
            space = room(upload, self._service.limits.max_size)
            if space is not None and waiting[index] > space:
                break
            async with self._storage.writer(upload, atomic=True) as writer:
                chunk = await writer.absorb(index)
                async with self._counting(upload):
                    upload = await writer.commit(self._with(upload, chunk))
                    await self._storage.unstage(upload, index)
            await self._service.events.emit(Received(upload, chunk.size))
        return upload

    @asynccontextmanager
    async def _counting(self, upload: Upload) -> AsyncIterator[None]:
        """While a chunk comes to be counted no other does, so that a limit holds for their sum.

        Held for a moment only, also by those who do not hold the lock of the upload.
        """
        if room(upload, self._service.limits.max_size) is None:
            yield
            return
        async with self._locker.lock(f"{upload.key}/chunks", wanted=ignore):
            yield

    async def _finish_if_full(self, upload: Upload) -> None:
        if upload.is_full:
            await self._service.finisher.finish(upload)

    async def _space(self, upload: Upload, index: int) -> int | None:
        """How many bytes chunk `index` may have beside what is appended and what waits."""
        space = room(upload, self._service.limits.max_size)
        if space is None:
            return None
        waiting = await self._storage.staged(upload)
        later = (n for n in waiting if n >= len(upload.chunks) and n != index)
        return max(0, space - sum(waiting[n] for n in later))

    async def _require_number(self, upload: Upload, index: int) -> None:
        """Every chunk costs a little at each request, so there is a limit to their number."""
        waiting = await self._storage.staged(upload)
        self._require_below(len(upload.chunks) + len(waiting.keys() - {index}))

    def _require_below(self, count: int) -> None:
        most = self._service.limits.max_chunks
        if count >= most:
            raise TooManyChunks(f"An upload has at most {most} chunks; send larger ones.")

    async def _require_whole(self, upload: Upload, total: int) -> None:
        waiting = await self._storage.staged(upload)
        present = len(upload.chunks)
        later = {index for index in waiting if index >= present}
        if present in later:
            self._require_below(present)
            kind = UploadTooLarge if upload.length is None else TooLarge
            raise kind("The chunks are larger than the file may be; delete the upload.")
        if present < total:
            absent = (index for index in itertools.count(present) if index not in later)
            count = total - present - sum(index < total for index in later)
            raise MissingChunks(list(itertools.islice(absent, min(NAMED, count))), count)
        if present > total or later:
            last = max(later, default=present - 1)
            raise ChunkCountMismatch(f"Chunk {last} was sent; total_chunks must be above {last}.")
        if upload.length is not None and not upload.is_full:
            raise UploadUnfinished(f"Only {upload.offset} of {upload.length} bytes were sent.")

    def _with(self, upload: Upload, chunk: Chunk) -> Upload:
        service = self._service
        return with_chunk(
            upload, chunk, now=service.now(), expires_after=service.limits.expires_after
        )


def _require_count(upload: Upload, total: int) -> None:
    """After completion: PATCHed bytes have no count of chunks that a client could know."""
    if total != len(upload.chunks) and any(chunk.digest is not None for chunk in upload.chunks):
        raise ChunkCountMismatch(f"The file is complete and has {len(upload.chunks)} chunk(s).")


def _conflict(index: int) -> ChunkConflict:
    return ChunkConflict(f"Other bytes are already part of the file as chunk {index}.")
