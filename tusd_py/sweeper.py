"""The sweeper: ends expired uploads, finishes what a crash left unfinished, forgets the gone."""

import asyncio
import logging
from dataclasses import dataclass

from tusd_py.errors import UploadError
from tusd_py.service import UploadService
from tusd_py.upload import Upload

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Report:
    """What one pass did, in uploads (`cleaned`: half-written objects)."""

    expired: int = 0
    finished: int = 0
    forgotten: int = 0
    cleaned: int = 0
    failed: int = 0


async def sweep(service: UploadService) -> Report:
    """One pass over all uploads. What fails is logged, counted and tried again the next time."""
    report = Report()
    report.cleaned = await service.storage.clean()
    async for upload in service.storage.unsettled():
        try:
            await _sweep_one(service, upload, report)
        except UploadError as error:
            report.failed += 1
            logger.warning("sweep_failed", extra={"upload": upload.id, "why": str(error)})
    return report


async def sweep_forever(service: UploadService, *, interval: float) -> None:
    """A pass now and then one every `interval` seconds."""
    while True:
        try:
            report = await sweep(service)
        except UploadError as error:
            logger.warning("sweep_failed", extra={"why": str(error)})
        except Exception:  # a border: whatever one pass meets, the next one comes
            logger.exception("sweep_crashed")
        else:
            if report != Report():
                logger.info("swept", extra=_fields(report))
        await asyncio.sleep(interval)


def _fields(report: Report) -> dict[str, int]:
    return {
        "expired": report.expired,
        "finished": report.finished,
        "forgotten": report.forgotten,
        "cleaned": report.cleaned,
        "failed": report.failed,
    }


async def _sweep_one(service: UploadService, upload: Upload, report: Report) -> None:
    now = service.now()
    if upload.ending is not None:
        if upload.ending.at + service.limits.expires_after <= now:
            await service.storage.forget(upload)
            report.forgotten += 1
        return
    is_over = upload.will_expire and upload.expires_at <= now
    if upload.is_full and upload.completion is None:
        try:
            report.finished += await service.finisher.resume_finish(upload)
        except UploadError:
            if not is_over:
                raise
        else:
            return
    if is_over:
        report.expired += await service.finisher.expire(upload)
