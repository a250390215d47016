"""How uploads end: as a finished file, or gone."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from tusd_py.digests import Digests
from tusd_py.errors import DigestMismatch, NoSpace
from tusd_py.events import Completed, Expired, Recorded
from tusd_py.interfaces import EventSink, Locker, Storage
from tusd_py.steering import Steering
from tusd_py.upload import Completion, End, Ending, Upload

logger = logging.getLogger(__name__)


def ignore() -> None:
    """What a request without a body does when it is wanted: it is done soon anyway."""


class Finisher:
    """Ends uploads. `now` gives the aware UTC time; `steering` is None where no hook is."""

    def __init__(
        self,
        *,
        storage: Storage,
        locker: Locker,
        events: EventSink,
        now: Callable[[], datetime],
        digests: Digests,
        steering: Steering | None = None,
    ) -> None:
        self._storage = storage
        self._locker = locker
        self._events = events
        self._now = now
        self._digests = digests
        self._steering = steering

    async def finish(self, upload: Upload) -> Upload:
        """Make the file of a full upload: bytes, then event, then flag. Needs its lock.

        After a failure, that of a hook or its refusal included, the upload is full and unfinished;
        the next request or the sweeper finishes it. Raises `DigestMismatch` when the file is not
        the one that the client claimed: then nobody finishes it, and its record says so.
        """
        if upload.completion is not None:
            return upload
        if upload.is_partial:
            done = self._completed(upload)
            await self._storage.assemble(upload, done)
            return await self._storage.save(done)
        sha256 = await self._verified(upload)
        if (
            self._steering is not None
            and self._steering.may_forbid(upload)
            and not await self._storage.has_file(upload)  # a hook agreed to what is there
        ):
            await self._steering.before_finish(upload)
        async with self._locker.lock(upload.place, wanted=ignore):
            done = self._completed(upload, sha256)
            await self._replacing(upload, done)
            if sha256 is None and (found := await self._digests.found(upload)) is not None:
                done = self._completed(upload, found)
            await self._events.emit(Completed(done))
            done = await self._storage.save(done)
            await self._events.emit(Recorded(done))
        self._digests.forget(done)
        if self._steering is not None:
            await self._steering.finished(done)
        return done

    def _completed(self, upload: Upload, sha256: bytes | None = None) -> Upload:
        return replace(upload, completion=Completion(at=self._now(), sha256=sha256))

    async def _verified(self, upload: Upload) -> bytes | None:
        """The digest of a full upload, if it is wanted and its bytes can be read already.

        Another one than the client claimed is noted, so that nobody computes it again.
        """
        if upload.is_refused:
            raise DigestMismatch
        found = await self._digests.found(upload)
        if upload.claim is None or upload.claim.sha256 == found:
            return found
        assert found is not None
        await self._storage.save(replace(upload, claim=replace(upload.claim, found=found)))
        self._digests.forget(upload)
        logger.warning("digest_mismatch", extra={"upload": upload.id, "owner": upload.owner})
        raise DigestMismatch

    async def _replacing(self, upload: Upload, done: Upload) -> None:
        """Make the file; then the earlier uploads whose file it replaced are gone.

        In this order, because an earlier file must not lose its record before it is replaced. An
        upload whose record a crash leaves behind has no file of its own any more.
        """
        others = await self._storage.assemble(upload, done)
        ending = Ending(why=End.REPLACED, at=self._now())
        for other in others:
            await self._storage.save(replace(other, ending=ending))

    async def resume_finish(self, upload: Upload) -> bool:
        """Finish an upload that a crash left full; False when somebody is at work on it, or it can
        never become a file."""
        async with self._locker.try_lock(upload.key, wanted=ignore) as is_held:
            if not is_held:
                return False
            upload = await self._storage.load(upload.owner, upload.id)
            if upload.ending is not None or upload.completion is not None or not upload.is_full:
                return False
            try:
                await self.finish(upload)
            except DigestMismatch:  # it was logged when it was found
                return False
        return True

    async def expire(self, upload: Upload) -> bool:
        """Remove an upload whose time is over; False when somebody is at work on it."""
        async with self._locker.try_lock(upload.key, wanted=ignore) as is_held:
            if not is_held:
                return False
            upload = await self._storage.load(upload.owner, upload.id)
            if (
                upload.ending is not None
                or not upload.will_expire
                or upload.expires_at > self._now()
            ):
                return False
            await self.remove(upload, End.EXPIRED)
        await self._events.emit(Expired(upload))
        return True

    async def remove(self, upload: Upload, why: End) -> None:
        """Remove the bytes of an upload; its record remembers why. Needs its lock.

        Bytes that only the record names go after it; a file others may replace goes before.
        """
        ended = replace(upload, ending=Ending(why=why, at=self._now()))
        if upload.is_file:
            await self._storage.delete(upload)
            await self._storage.save(ended)
            return
        try:
            saved = await self._storage.save(ended)
        except NoSpace:  # not even for the record: what goes makes room for it
            await self._storage.delete(upload)
            saved = await self._storage.save(ended)
        await self._storage.delete(saved)
