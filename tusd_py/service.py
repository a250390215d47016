"""UploadService: all that can be done with an upload, and the only writer of uploads."""

import asyncio
import contextlib
import itertools
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tusd_py.accounts import Accounts
from tusd_py.checksum import Checksum, Digest
from tusd_py.digests import Digests
from tusd_py.errors import (
    BadRequest,
    BodyError,
    DigestMismatch,
    HookFailed,
    Rejected,
    TooLarge,
    UploadError,
    UploadGone,
    UploadNotFound,
    UploadStopped,
    UploadUnfinished,
)
from tusd_py.events import Created, Notice, Received, Terminated
from tusd_py.finisher import Finisher, ignore
from tusd_py.holding import Holding
from tusd_py.interfaces import Body, Content, EventSink, Locker, Storage
from tusd_py.metered import MeteredStorage
from tusd_py.receiving import receive_append
from tusd_py.request import UPLOAD
from tusd_py.steering import Count, Steering
from tusd_py.upload import (
    Append,
    End,
    Final,
    NewUpload,
    Upload,
    accept,
    is_upload_id,
    new_upload,
    patched,
    require_alive,
    require_within,
    room,
)
from tusd_py.verdict import Hook

LOOKED_FOR = 16
"""So many files of a list are looked for at a time."""

_UNWATCHED: AbstractAsyncContextManager[Count | None] = contextlib.nullcontext()

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`max_size` of an upload in bytes, None is unlimited; life of an unfinished upload; the
    number of REST chunks it may have; bytes of its metadata, as they are sent. Of one user: open
    uploads, and bytes of all uploads; None is unlimited."""

    max_size: int | None
    expires_after: timedelta
    max_chunks: int = 10_000
    max_metadata: int = 16 << 10
    max_open: int | None = None
    quota: int | None = None


class UploadService:
    """The verbs that all faces share. `now` gives the aware UTC time; `notice` waits a while for
    the main service to hear of a file, None where it is told nothing; with `digests_all` every file
    gets its SHA-256, not only those whose client claims one. `steering` asks and tells the hooks,
    None where there are none."""

    def __init__(
        self,
        *,
        storage: Storage,
        locker: Locker,
        events: EventSink,
        limits: Limits,
        now: Callable[[], datetime],
        notice: Callable[[Upload], Awaitable[Notice]] | None = None,
        digests_all: bool = False,
        steering: Steering | None = None,
    ) -> None:
        accounts = Accounts(storage.usage, max_open=limits.max_open, quota=limits.quota)
        self.accounts = accounts
        self.storage = MeteredStorage(storage, accounts) if accounts.are_limited else storage
        self.locker = locker
        self.events = events
        self.limits = limits
        self.now = now
        self._notice = notice
        self.digests = Digests(self.storage, is_for_all=digests_all)
        self.steering = steering
        self.finisher = Finisher(
            storage=self.storage,
            locker=locker,
            events=events,
            now=now,
            digests=self.digests,
            steering=steering,
        )
        holding = Holding(locker)
        self.hold = holding.hold
        self.draining = holding.draining
        self.drain = holding.drain
        self._require_staying = holding.require_staying

    async def create(
        self, new: NewUpload, body: Body | None = None, checksum: Checksum | None = None
    ) -> Upload:
        """Create an upload, with its first bytes if a body comes along.

        Whoever gets an error does not learn its id. So nothing of it is left then, unless all its
        bytes were stored before, and no hook was against it: then it becomes a file, now or by the
        sweeper.
        """
        self._require_staying()
        require_within(new.length or 0, self.limits.max_size)
        self._require_valid_size(new.length, body)
        if new.length is None and body is not None:
            await self.accounts.require(new.owner, body.size or 0)
        upload = await self._admitted(new)
        UPLOAD.set(upload.id)
        async with self.hold(upload.owner, upload.id, body):
            upload = await self._create(upload)
            try:
                await self.events.emit(Created(upload))
                if body is not None:
                    upload = await self._receive(upload, body, checksum)
            except UploadError as error:
                await self._end_untold(upload, may_finish=not isinstance(error, UploadStopped))
                raise
            if not upload.is_full:
                return upload
            try:
                return await self.finisher.finish(upload)
            except (DigestMismatch, HookFailed, Rejected):
                await self._end_untold(upload, may_finish=False)
                raise

    async def concatenate(self, new: NewUpload, final: Final) -> Upload:
        """Create the finished concatenation of finished partial uploads of the same owner.

        After a failure there is no new upload, unless its file was made already: then the sweeper
        finishes it. The partial ones are as they were.
        """
        self._require_staying()
        partials = [await self._finished_partial(new.owner, each) for each in final.partials]
        length = sum(partial.offset for partial in partials)
        require_within(length, self.limits.max_size)
        upload = await self._admitted(replace(new, length=length, concat=final))
        UPLOAD.set(upload.id)
        async with self.hold(upload.owner, upload.id, None):
            upload = await self._create(upload)
            await self.events.emit(Created(upload))
            try:
                async with self.storage.writer(upload, atomic=True) as writer:
                    for partial in partials:
                        await writer.absorb(partial)
                    upload = await writer.commit(self._patched(upload, length))
                return await self.finisher.finish(upload)
            except UploadNotFound as error:
                await self._forget(upload)
                raise BadRequest("Upload-Concat: a partial upload is gone.") from error
            except UploadError:
                if not await self.storage.has_file(upload):
                    await self._forget(upload)
                raise

    async def find(self, owner: str, upload_id: str) -> Upload:
        """The upload with an offset that can be used at once: a running append is ended."""
        upload = await self.alive(owner, upload_id)
        if upload.completion is not None:
            return upload
        async with self.hold(owner, upload_id, None):
            upload = await self.alive(owner, upload_id)
            return await self.finisher.finish(upload) if upload.is_full else upload

    async def append(self, owner: str, upload_id: str, append: Append, body: Body) -> Upload:
        """Append a body. What came of it counts even if it breaks off, unless it has a checksum.

        Raises `UploadStopped` when a hook ended the upload: it is removed."""
        try:
            return await self._append(owner, upload_id, append, body)
        except UploadStopped:
            await self.end_stopped(owner, upload_id)
            raise

    async def _append(self, owner: str, upload_id: str, append: Append, body: Body) -> Upload:
        async with self.hold(owner, upload_id, body):
            upload = await self.alive(owner, upload_id)
            if upload.is_full:  # a crash may have come before its completion
                upload = await self.finisher.finish(upload)
            if upload.completion is None:
                upload = accept(upload, append, max_size=self.limits.max_size)
                if upload.length is None:
                    await self.accounts.require(owner, append.size or 0)
                try:
                    upload = await self._receive(upload, body, append.checksum)
                except UploadStopped:
                    raise
                except (BodyError, TooLarge):
                    stored = await self.storage.load(owner, upload_id)
                    if stored.is_full:
                        await self.finisher.finish(stored)
                    raise
                return await self.finisher.finish(upload) if upload.is_full else upload
            accept(upload, append, max_size=self.limits.max_size)
            if append.size is None and await body.read():
                raise TooLarge("The upload is complete; it takes no more bytes.")
            return upload

    async def receive(self, upload: Upload, body: Body) -> Upload:
        """Append a body to an upload whose lock is held. What came of it counts even if it breaks
        off."""
        return await self._receive(upload, body, None)

    async def terminate(self, owner: str, upload_id: str) -> None:
        """Remove an upload and its file. A running append is ended first."""
        if self.steering is not None:
            await self.steering.before_terminate(await self.alive(owner, upload_id))
        async with self.hold(owner, upload_id, None):
            upload = await self.alive(owner, upload_id)
            async with self.locker.lock(upload.place, wanted=ignore):
                upload = await self.alive(owner, upload_id)
                await self.finisher.remove(upload, End.TERMINATED)
        await self.events.emit(Terminated(upload))

    async def end_stopped(self, owner: str, upload_id: str) -> None:
        """Remove an upload that a hook stopped, unless it is complete or gone. What fails is only
        logged, since the client has another answer to get; the upload expires then."""
        try:
            async with self.hold(owner, upload_id, None):
                upload = await self.alive(owner, upload_id)
                if upload.completion is not None:
                    return
                await self.finisher.remove(upload, End.TERMINATED)
            await self.events.emit(Terminated(upload))
        except (UploadNotFound, UploadGone):
            return
        except UploadError as error:
            logger.error("stop_failed", extra={"upload": upload_id, "why": str(error)})

    async def files(self, owner: str) -> list[Upload]:
        """The finished files of a user, oldest first."""
        done = [upload async for upload in self.storage.uploads(owner) if upload.is_file]
        found: list[Upload] = []
        for first in range(0, len(done), LOOKED_FOR):
            some = done[first : first + LOOKED_FOR]
            there = await asyncio.gather(*[self.storage.has_file(upload) for upload in some])
            found += itertools.compress(some, there)
        return sorted(found, key=lambda upload: (upload.created_at, upload.id))

    async def location(self, upload: Upload) -> str:
        """The path or URL of a finished file."""
        return await self.storage.location(upload)

    async def notice(self, upload: Upload) -> Notice:
        """Whether the main service heard of a finished file, after a while in which it may. Needs
        no lock, and is to be asked without one."""
        return Notice.NONE if self._notice is None else await self._notice(upload)

    async def download_url(self, owner: str, upload_id: str) -> str | None:
        """Where the client shall fetch a finished file instead of here; None: here."""
        upload = await self.alive(owner, upload_id)
        return await self.storage.download_url(upload) if upload.is_file else None

    @asynccontextmanager
    async def open(self, owner: str, upload_id: str) -> AsyncIterator[tuple[Upload, Content]]:
        """A finished upload and its bytes. Takes no lock."""
        upload = await self.alive(owner, upload_id)
        if upload.is_refused:
            raise DigestMismatch
        if upload.completion is None:
            raise UploadUnfinished("The upload is not complete yet; send the rest first.")
        async with self.storage.open(upload) as content:
            yield upload, content

    async def alive(self, owner: str, upload_id: str) -> Upload:
        """The upload as it is stored. Raises `UploadNotFound` or `UploadGone`."""
        if not is_upload_id(upload_id):
            raise UploadNotFound
        UPLOAD.set(upload_id)
        upload = await self.storage.load(owner, upload_id)
        require_alive(upload, now=self.now())
        return upload

    def watching(self, upload: Upload, body: Body) -> AbstractAsyncContextManager[Count | None]:
        """Let a hook follow the bytes of a request; it gives what is to be told of them. Raises
        `UploadStopped`: the upload is to be removed then, with `end_stopped`."""
        if self.steering is None:
            return _UNWATCHED
        return self.steering.watching(upload, body, self.end_stopped)

    async def _admitted(self, new: NewUpload) -> Upload:
        """The first snapshot of an upload that is to be created, as hooks want it."""
        draft = self._drafted(new, str(uuid.uuid4()))
        if self.steering is None:
            return draft
        return self._drafted(*await self.steering.admit(new, draft))

    def _drafted(self, new: NewUpload, upload_id: str) -> Upload:
        life = self.limits.expires_after
        return new_upload(new, upload_id=upload_id, now=self.now(), expires_after=life)

    async def _create(self, upload: Upload) -> Upload:
        """Keep a new upload, whose id a hook may have chosen."""
        if self.steering is not None:
            with contextlib.suppress(UploadNotFound):
                await self.storage.load(upload.owner, upload.id)
                raise self.steering.refused(
                    Hook.PRE_CREATE, upload.id, "ID: the user has an upload of that id already"
                )
        return await self.storage.create(upload)

    async def _receive(self, upload: Upload, body: Body, checksum: Checksum | None) -> Upload:
        told = upload.offset

        async def stored(now: Upload) -> None:
            nonlocal told
            size, told = now.offset - told, now.offset
            if size:
                await self.events.emit(Received(now, size))

        async with (
            self.watching(upload, body) as count,
            self.storage.writer(upload, atomic=checksum is not None) as writer,
        ):
            upload = await receive_append(
                body,
                writer,
                upload,
                space=room(upload, self.limits.max_size),
                digest=None if checksum is None else Digest(checksum),
                grown=self._patched,
                running=self.digests.running(upload),
                stored=stored,
                count=count,
            )
        await stored(upload)
        return upload

    async def _end_untold(self, upload: Upload, *, may_finish: bool) -> None:
        """End an upload that could not be created as asked: nobody learned its id. What fails now
        is left to the sweeper; it is not what the client is told."""
        with contextlib.suppress(UploadError):
            stored = await self.storage.load(upload.owner, upload.id)
            if stored.offset and stored.is_full and may_finish and not stored.is_refused:
                with contextlib.suppress(DigestMismatch):
                    await self.finisher.finish(stored)
                    return
            await self._forget(stored)

    async def _forget(self, upload: Upload) -> None:
        """Leave nothing of an upload; who heard that it was created hears of its end."""
        await self.storage.forget(upload)
        await self.events.emit(Terminated(upload))

    def _patched(self, upload: Upload, size: int) -> Upload:
        return patched(upload, size, now=self.now(), expires_after=self.limits.expires_after)

    def _require_valid_size(self, length: int | None, body: Body | None) -> None:
        if body is not None and body.size is not None:
            if length is not None and body.size > length:
                raise TooLarge(f"Upload-Length is {length}; send no more bytes than that.")
            require_within(body.size, self.limits.max_size)

    async def _finished_partial(self, owner: str, upload_id: str) -> Upload:
        try:
            upload = await self.alive(owner, upload_id)
        except UploadError as error:
            if isinstance(error, UploadNotFound):
                raise BadRequest("Upload-Concat: there is no such partial upload.") from error
            raise
        if not upload.is_partial:
            raise BadRequest("Upload-Concat: every upload named must be a partial one.")
        if not upload.is_full:
            raise BadRequest("Upload-Concat: finish every partial upload first.")
        return upload
