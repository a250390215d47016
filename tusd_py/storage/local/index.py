"""What lies in the folder of an owner: all uploads, and what they take."""

import os
from collections.abc import Callable, Iterable, Iterator

from tusd_py.errors import StorageError
from tusd_py.storage import disk
from tusd_py.storage.catalogue import Catalogue
from tusd_py.storage.local.paths import Paths
from tusd_py.storage.local.records import LocalRecords
from tusd_py.storage.local.staging import Staging
from tusd_py.storage.record import TornRecord
from tusd_py.upload import Upload, is_upload_id
from tusd_py.usage import Held, Usage, held


class LocalIndex:
    """Blocking. `suspect` is told of records that cannot be read."""

    def __init__(
        self,
        paths: Paths,
        records: LocalRecords,
        staging: Staging,
        suspect: Callable[[str, str, Exception], None],
    ) -> None:
        self._paths = paths
        self._records = records
        self._staging = staging
        self._suspect = suspect
        self._catalogue = Catalogue()

    def uploads(self, owner: str) -> list[Upload]:
        """All of them."""
        return self._read(owner, self._listed(owner))

    def unsettled(self, owner: str) -> list[Upload]:
        """All but finished files."""
        unknown = (each for each in self._listed(owner) if self._catalogue.size(each[1]) is None)
        return [upload for upload in self._read(owner, unknown) if not upload.is_file]

    def usage(self, owner: str) -> Usage:
        """What they take."""
        opened: dict[str, Held] = {}
        finished: dict[str, int] = {}
        unknown = []
        for upload_id, mark in self._listed(owner):
            if (size := self._catalogue.size(mark)) is not None:
                finished[upload_id] = size
            elif not self._catalogue.is_gone(mark):
                unknown.append((upload_id, mark))
        for upload in self._read(owner, unknown):
            if upload.is_file:
                finished[upload.id] = upload.offset
            elif upload.is_open:
                waiting = {} if upload.length is not None else self._staging.sizes(upload)
                opened[upload.id] = held(upload, waiting)
        return Usage(open=opened, finished=finished)

    def _listed(self, owner: str) -> Iterator[tuple[str, int]]:
        """The id of every record and its mark: a record that is replaced has another inode."""
        folder = self._paths.uploads / owner
        if not disk.is_folder(folder):
            return
        try:
            entries = os.scandir(folder)
        except FileNotFoundError:
            return
        with entries:
            for entry in entries:
                upload_id = entry.name.removesuffix(".info")
                if upload_id != entry.name and is_upload_id(upload_id):
                    mark = _mark(entry)
                    if mark is not None:
                        yield upload_id, mark

    def _read(self, owner: str, listed: Iterable[tuple[str, int]]) -> list[Upload]:
        found = []
        for upload_id, mark in listed:
            try:
                upload = self._records.read(owner, upload_id)
            except FileNotFoundError:
                continue
            except (TornRecord, StorageError, OSError) as error:
                self._suspect(owner, upload_id, error)
            else:
                self._catalogue.note(mark, upload)
                found.append(upload)
        return found


def _mark(entry: os.DirEntry[str]) -> int | None:
    try:
        stat = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return hash((entry.path, stat.st_ino, stat.st_mtime_ns))
