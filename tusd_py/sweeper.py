"""The sweeper: ends expired uploads, finishes what a crash left unfinished, forgets the gone."""

import asyncio
import logging
from collections import Counter
from enum import Enum

from tusd_py.errors import HookFailed, UploadError
from tusd_py.events import Swept
from tusd_py.service import UploadService
from tusd_py.upload import Upload

MOST_SILENT = 3
"""After so many questions that a hook does not answer in time, one pass asks no more of them."""

logger = logging.getLogger(__name__)


class _Deed(Enum):
    """What can be done about an upload; named as the fields of `Swept`."""

    EXPIRED = "expired"
    FINISHED = "finished"
    FORGOTTEN = "forgotten"
    FAILED = "failed"


async def sweep(service: UploadService) -> Swept:
    """One pass over all uploads. What fails is logged, counted and tried again the next time."""
    done: Counter[_Deed | None] = Counter()
    open_ = 0
    silent = 0
    async for upload in service.storage.unsettled():
        deed: _Deed | None
        try:
            deed = await _sweep_one(service, upload, asks=silent < MOST_SILENT)
        except UploadError as error:
            deed = _Deed.FAILED
            silent += isinstance(error, HookFailed) and error.is_silent
            logger.warning("sweep_failed", extra={"upload": upload.id, "why": str(error)})
        done[deed] += 1
        if deed in {None, _Deed.FAILED} and upload.ending is None and upload.completion is None:
            open_ += 1
    cleaned = await service.storage.clean()
    return Swept(
        cleaned=cleaned.removed,
        quarantined=cleaned.quarantined,
        unreadable=cleaned.unreadable,
        open=open_,
        **{deed.value: done[deed] for deed in _Deed},
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


async def _sweep_one(service: UploadService, upload: Upload, *, asks: bool) -> _Deed | None:
    now = service.now()
    if upload.ending is not None:
        if upload.ending.at + service.limits.expires_after > now:
            return None
        await service.storage.forget(upload)
        return _Deed.FORGOTTEN
    is_over = upload.will_expire and upload.expires_at <= now
    if upload.is_full and upload.completion is None and not upload.is_refused and asks:
        try:
            return _Deed.FINISHED if await service.finisher.resume_finish(upload) else None
        except UploadError:
            if not is_over:
                raise
    if is_over and await service.finisher.expire(upload):
        return _Deed.EXPIRED
    return None
