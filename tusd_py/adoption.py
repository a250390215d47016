"""Uploads of another server, taken over with their id, their bytes and their offset."""

from collections.abc import Callable
from dataclasses import replace
from enum import Enum

from tusd_py.errors import Conflict, UploadNotFound
from tusd_py.events import Created
from tusd_py.interfaces import Body
from tusd_py.service import UploadService
from tusd_py.upload import NewUpload, Partial, Upload, new_upload, require_within


class Adoption(Enum):
    """What became of an upload of the other server."""

    TAKEN = "taken over"
    KNOWN = "here already"
    GONE = "was here, and ended"


async def adopt(
    service: UploadService,
    new: NewUpload,
    upload_id: str,
    *,
    size: int,
    body: Callable[[int], Body],
) -> tuple[Adoption, Upload]:
    """Let an upload be here as it is there: with its first `size` bytes, of which `body(offset)`
    gives those from an offset on. A full one is finished as any other is.

    What is here already is not stored again. After a failure the bytes that were stored count, and
    the next call goes on behind them; an upload that went on here or ended here stays as it is.
    Its life counts from now on. Whoever asks for the upload meanwhile is told to come again: it is
    not to go on before its bytes are here.

    Raises `Conflict` when another upload has that id, and whatever an append raises.
    """
    require_within(size if new.length is None else new.length, service.limits.max_size)
    async with service.hold(new.owner, upload_id, None):
        known = await _known(service, new.owner, upload_id)
        upload = await _begun(service, new, upload_id) if known is None else known
        _require_same(upload, new, size)
        is_more = known is None or size > upload.offset
        if upload.ending is not None or (not is_more and _is_over(service, upload)):
            return Adoption.GONE, upload
        if upload.completion is None:
            upload = await _received(service, upload, new.length, size, body)
            is_more = is_more or upload.completion is not None
        return Adoption.TAKEN if is_more else Adoption.KNOWN, upload


async def _known(service: UploadService, owner: str, upload_id: str) -> Upload | None:
    try:
        return await service.storage.load(owner, upload_id)
    except UploadNotFound:
        return None


async def _begun(service: UploadService, new: NewUpload, upload_id: str) -> Upload:
    upload = await service.storage.create(
        new_upload(
            new,
            upload_id=upload_id,
            now=service.now(),
            expires_after=service.limits.expires_after,
        )
    )
    await service.events.emit(Created(upload))
    return upload


async def _received(
    service: UploadService,
    upload: Upload,
    length: int | None,
    size: int,
    body: Callable[[int], Body],
) -> Upload:
    """The upload with the bytes that it lacked, and with the length that was told meanwhile."""
    is_told = upload.length is None and length is not None
    upload = replace(upload, length=length) if is_told else upload
    if upload.offset < size:
        if upload.length is None:
            await service.accounts.require(upload.owner, size - upload.offset)
        upload = await service.receive(upload, body(upload.offset))
    elif is_told and upload.offset <= (length or 0):
        upload = await service.storage.save(upload)
    return await service.finisher.finish(upload) if upload.is_full else upload


def _is_over(service: UploadService, upload: Upload) -> bool:
    return upload.will_expire and upload.expires_at <= service.now()


def _require_same(upload: Upload, new: NewUpload, size: int) -> None:
    is_other = None not in (upload.length, new.length) and upload.length != new.length
    is_shorter = upload.completion is not None and upload.offset < size
    if is_other or is_shorter or upload.is_partial != isinstance(new.concat, Partial):
        raise Conflict("Another upload has this id here.")
