"""Takes the uploads of a tusd over, one after the other; of what fails it goes on to the next."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

from tusd_py.adoption import Adoption, adopt
from tusd_py.errors import UploadError, UploadNotFound
from tusd_py.interfaces import Body
from tusd_py.service import UploadService
from tusd_py.setting_types import SettingError
from tusd_py.storage import disk
from tusd_py.tusd import store
from tusd_py.tusd.data import FileBody, opened
from tusd_py.tusd.store import TusdUpload, Unusable
from tusd_py.tusd.survey import Found, Rules, Survey, place_of, survey
from tusd_py.upload import NewUpload


class Fate(Enum):
    """What became of an upload of tusd; the word for it in the report."""

    FINISHED = "finished"
    UNFINISHED = "unfinished"
    PARTIAL = "partial"
    KNOWN = "known"
    GONE = "gone"
    SUPERSEDED = "superseded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for: the folder of tusd, but for `without`. With `is_dry` nothing is stored;
    with `moves` tusd's files of an upload are removed once it is here."""

    folder: Path
    without: tuple[Path, ...]
    rules: Rules
    is_dry: bool
    moves: bool


async def import_tusd(
    service: UploadService, order: Order, say: Callable[[str], None]
) -> Counter[Fate]:
    """Take over all uploads of a folder, and say a line about each. Raises `SettingError` when the
    folder cannot be read."""
    try:
        seen = await asyncio.to_thread(survey, order.folder, order.without, order.rules)
    except OSError as error:
        raise SettingError(f"{order.folder} cannot be read: {error.strerror}.") from error
    for path in sorted(seen.strays):
        say(f"{'stray':<11} {_shown(str(path.relative_to(order.folder)))}: no .info speaks of it")
    for name, why in sorted(seen.unusable.items()):
        say(f"{Fate.FAILED.value:<11} {_shown(name.removesuffix('.info'))}: {_shown(why)}")
    fates = Counter({Fate.FAILED: len(seen.unusable)})
    importer = _Importer(service, order, seen)
    for found in seen.found:
        fate, line = await importer.take(found)
        fates[fate] += 1
        say(f"{fate.value:<11} {line}")
    return fates


class _Importer:
    def __init__(self, service: UploadService, order: Order, seen: Survey) -> None:
        self._service = service
        self._order = order
        self._rivals = seen.rivals
        self._owner: str | None = None
        self._holders: dict[str, str] = {}

    async def take(self, found: Found) -> tuple[Fate, str]:
        """Take one upload over; returns what became of it, and a line that says so."""
        folder = self._order.folder
        name = _shown(str(found.info.relative_to(folder)).removesuffix(".info"))
        try:
            upload = await asyncio.to_thread(store.read, folder, found.info)
            name = f"{name} as {upload.new_id}" if upload.is_renamed else name
            fate, what = await self._take(upload)
        except (Unusable, UploadError) as error:
            return Fate.FAILED, f"{name}: {_shown(str(error))}"
        except OSError as error:
            return Fate.FAILED, f"{name}: {error.strerror}"
        return fate, f"{name}: {what}"

    async def _take(self, upload: TusdUpload) -> tuple[Fate, str]:
        new = self._order.rules.new(upload)
        size = await asyncio.to_thread(upload.size)
        if size is None:
            await self._require_known(new.owner, upload)
        elif isinstance(upload.partials, tuple) and size != upload.length:
            raise Unusable("tusd did not finish this concatenation; let its client do it again")
        is_full = size == upload.length
        place = place_of(new) if is_full else None
        if place is not None and (rival := await self._rival(new.owner, place, upload.new_id)):
            return Fate.SUPERSEDED, f"the file of {rival} at {_shown(place)} is newer"
        adoption = await self._adopted(upload, new, size)
        if adoption is Adoption.GONE:
            return Fate.GONE, "it was taken over before, and has ended here"
        if place is not None:
            self._holders[place] = upload.new_id
        if self._order.moves and not self._order.is_dry:
            await asyncio.to_thread(_remove, upload, size, self._order.folder)
        return _fate(adoption, upload, is_full), _described(new, upload, size)

    async def _adopted(self, upload: TusdUpload, new: NewUpload, size: int | None) -> Adoption:
        if self._order.is_dry:
            return await self._looked_up(new.owner, upload.new_id, size or 0)
        if size is None:
            return Adoption.KNOWN
        with opened(upload.data) as fd:
            adoption, _ = await adopt(
                self._service, new, upload.new_id, size=size, body=partial(_body, fd, size)
            )
        return adoption

    async def _looked_up(self, owner: str, upload_id: str, size: int) -> Adoption:
        try:
            here = await self._service.storage.load(owner, upload_id)
        except UploadNotFound:
            return Adoption.TAKEN
        if here.ending is not None:
            return Adoption.GONE
        return Adoption.KNOWN if here.offset >= size else Adoption.TAKEN

    async def _require_known(self, owner: str, upload: TusdUpload) -> None:
        """Where an earlier run was stopped while it removed tusd's files the upload is here."""
        size = 0 if upload.length == 0 else 1  # the least that it has then
        if await self._looked_up(owner, upload.new_id, size) is not Adoption.KNOWN:
            raise Unusable("its data is missing")

    async def _rival(self, owner: str, place: str, upload_id: str) -> str | None:
        """The upload whose file must not be replaced by this one's: a newer one of tusd, or one
        that is here already and was never tusd's."""
        rivals = self._rivals.get(place, [upload_id])
        if rivals[-1] != upload_id:
            return rivals[-1]
        if self._owner != owner:
            files = await self._service.files(owner)
            self._owner, self._holders = owner, {each.place: each.id for each in files}
        holder = self._holders.get(place)
        return None if holder in {None, upload_id, *rivals} else holder


def _body(fd: int, end: int, start: int) -> Body:
    return FileBody(fd, start, end)


def _fate(adoption: Adoption, upload: TusdUpload, is_full: bool) -> Fate:
    if adoption is Adoption.KNOWN:
        return Fate.KNOWN
    if upload.is_partial:
        return Fate.PARTIAL
    return Fate.FINISHED if is_full else Fate.UNFINISHED


def _described(new: NewUpload, upload: TusdUpload, size: int | None) -> str:
    length = "?" if upload.length is None else upload.length
    name = new.filename or upload.new_id
    return f"{length if size is None else size} of {length} bytes, {_shown(f'{new.owner}: {name}')}"


def _remove(upload: TusdUpload, size: int | None, folder: Path) -> None:
    """Remove tusd's files of an upload that is here. The `.info` goes last: while it is there, the
    next run knows that the rest was to go. Raises `Unusable`, `OSError`."""
    if upload.lock.exists():
        raise Unusable(f"it is here, but stays there too: {upload.lock.name} says tusd has it open")
    if upload.size() not in {None, size}:
        raise Unusable("it is here, but grew there meanwhile: stop tusd, and run this again")
    disk.remove(str(upload.data))
    disk.remove(str(upload.info))
    disk.prune(upload.info.parent, below=folder)


def _shown(text: str) -> str:
    """A text of a client, on one line."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()
