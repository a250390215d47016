"""The sweeper: ends expired uploads, finishes what a crash left unfinished, forgets the gone."""

import asyncio
import logging
import random
import time
from collections import Counter
from enum import Enum

from tusd_py.errors import HookFailed, Rejected, UploadError, UploadNotFound, UploadStopped
from tusd_py.events import Swept
from tusd_py.service import UploadService
from tusd_py.upload import Upload

MOST_FAILED = 3
"""After so many questions that a hook does not answer as it should, one pass asks no more."""

MOST_SECONDS = 15.0
"""After so many seconds of questions to hooks one pass begins no other."""

logger = logging.getLogger(__name__)


class _Deed(Enum):
    """What can be done about an upload; named as the fields of `Swept`."""

    EXPIRED = "expired"
    FINISHED = "finished"
    FORGOTTEN = "forgotten"
    FAILED = "failed"


async def sweep(service: UploadService) -> Swept:
    """One pass over all uploads. What fails is logged, counted and tried again the next time.

    Hooks are asked in the end, so that nothing else waits for them.
    """
    this = _Pass(service)
    to_ask: list[Upload] = []
    async for upload in service.storage.unsettled():
        if this.has_to_ask(upload):
            to_ask.append(upload)
        else:
            await this.see_to(upload, asks=True)
    cleaned = await service.storage.clean()
    random.shuffle(to_ask)  # those that cannot be asked now have their turn another time
    await this.ask(to_ask)
    return Swept(
        cleaned=cleaned.removed,
        quarantined=cleaned.quarantined,
        unreadable=cleaned.unreadable,
        open=this.open,
        **{deed.value: this.done[deed] for deed in _Deed},
    )


async def sweep_forever(service: UploadService, *, interval: float) -> None:
    """A pass now and then one every `interval` seconds."""
    while True:
        try:
            await service.events.emit(await sweep(service))
        except UploadError as error:
            logger.warning("sweep_failed", extra={"why": str(error)})
        except Exception:  # a border: whatever one pass meets, the next one comes
            logger.exception("sweep_crashed")
        await asyncio.sleep(interval)


class _Pass:
    """What one pass has done so far."""

    def __init__(self, service: UploadService) -> None:
        self._service = service
        self._questions_failed = 0
        self.done: Counter[_Deed | None] = Counter()
        self.open = 0

    def has_to_ask(self, upload: Upload) -> bool:
        """Whether a hook has a say in what becomes of an upload now."""
        steering = self._service.steering
        return steering is not None and _is_to_finish(upload) and steering.may_forbid(upload)

    async def ask(self, uploads: list[Upload]) -> None:
        """See to uploads that hooks have a say in, as long as that is no waste of time."""
        end = time.monotonic() + MOST_SECONDS
        for upload in uploads:
            asks = self._questions_failed < MOST_FAILED and time.monotonic() < end
            await self.see_to(upload, asks=asks)

    async def see_to(self, upload: Upload, *, asks: bool) -> None:
        """Do what is to be done about one upload, and count it."""
        extra = {"upload": upload.id}
        deed: _Deed | None
        try:
            deed = await self._do(upload, asks=asks)
        except (Rejected, UploadStopped) as error:
            deed = None
            logger.debug("finish_refused", extra={**extra, "why": str(error)})
        except UploadError as error:
            if isinstance(error, UploadNotFound) and self.has_to_ask(upload):
                return  # it went while others were asked about
            deed = _Deed.FAILED
            logger.warning("sweep_failed", extra={**extra, "why": str(error)})
        self.done[deed] += 1
        if deed in {None, _Deed.FAILED} and upload.ending is None and upload.completion is None:
            self.open += 1

    async def _do(self, upload: Upload, *, asks: bool) -> _Deed | None:
        service, now = self._service, self._service.now()
        if upload.ending is not None:
            if upload.ending.at + service.limits.expires_after > now:
                return None
            await service.storage.forget(upload)
            return _Deed.FORGOTTEN
        is_over = upload.will_expire and upload.expires_at <= now
        # whose file is there already needs no question
        if _is_to_finish(upload) and (asks or await service.storage.has_file(upload)):
            try:
                return _Deed.FINISHED if await service.finisher.resume_finish(upload) else None
            except UploadError as error:
                self._questions_failed += isinstance(error, HookFailed)
                if not is_over:
                    raise
        if is_over and await service.finisher.expire(upload):
            return _Deed.EXPIRED
        return None


def _is_to_finish(upload: Upload) -> bool:
    """Whether an upload has all its bytes and could become a file."""
    if upload.ending is not None or upload.completion is not None:
        return False
    return upload.is_full and not upload.is_refused
