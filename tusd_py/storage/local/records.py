"""The records of local storage: read whole or not at all, replaced atomically, durable in time."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tusd_py.errors import StorageError, UploadError
from tusd_py.storage import disk, small_files
from tusd_py.storage.fsync import NotSynced
from tusd_py.storage.local import medium
from tusd_py.storage.local.medium import Medium
from tusd_py.storage.local.paths import Paths
from tusd_py.storage.record import TornRecord, decode, encode
from tusd_py.storage.steps import Steps, Target
from tusd_py.upload import Upload

MOST, LARGEST = 1024, 2048
"""So many records that were written lately, or that are ready, are known, if they have at most so
many bytes."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A record in a file that is to get its name."""

    data: bytes
    path: str


class ForeignRecord(TornRecord):
    """A record that lies where another's should."""


class LocalRecords:
    """Blocking calls. `boot` is the present life of the machine; with `is_strict` every record is
    on the medium when its call returns, not only that of a completion; but for that of a full
    upload, whose completion follows before anybody is answered."""

    def __init__(self, paths: Paths, *, boot: str, is_strict: bool) -> None:
        self.boot = boot
        self.is_strict = is_strict
        self._paths = paths
        self._written: dict[bytes, Upload] = {}
        self._ready: dict[str, _Ready] = {}

    def create(self, upload: Upload) -> Steps[Upload]:
        """The first record of an upload."""
        for _ in range(5):  # somebody may remove the folder of the user, empty as it is
            try:
                return (yield from self._add(upload))
            except FileNotFoundError:
                disk.make_folder(self._paths.uploads / upload.owner)
        raise StorageError("The folder of the user keeps going away; try again.")

    def write(self, upload: Upload, *, synced: int) -> Steps[Upload]:
        """Replace the record and return the upload. `synced` of its bytes are on the medium.

        When its completion cannot be put there the record is as before.
        """
        written = self._backed(upload, synced=synced)
        is_next_completed = upload.is_full and upload.ending is None  # before anybody is answered
        is_durable = upload.completion is not None or (self.is_strict and not is_next_completed)
        try:
            yield from self._replace(written, is_durable=is_durable)
        except NotSynced:
            if upload.completion is not None and upload.ending is None:
                yield from self._replace(replace(written, completion=None), is_durable=False)
            raise
        return written

    @contextlib.contextmanager
    def ready(self, done: Upload | None) -> Iterator[list[Target]]:
        """Write a record that is to replace the present one later, if it is the one that `write`
        gets next; give what has to come onto the medium by then."""
        if done is None:
            yield []
            return
        data = self._encoded(self._backed(done, synced=medium.synced(done)))
        if len(data) > LARGEST:
            yield []
            return
        temporary = small_files.temporary_for(self._paths.info(done))
        fd = small_files.made(temporary, data)
        try:
            yield [fd]
        except BaseException:
            disk.remove(temporary)
            raise
        finally:
            disk.close(fd)
        self._keep(done, _Ready(data, temporary))

    def go_back(self, upload: Upload) -> Steps[Upload]:
        """What is left of an upload when the medium refused some of its bytes: those that it took
        before. The others may be gone though they can still be read (fsync(2), EIO)."""
        left = medium.left(upload)
        with contextlib.suppress(OSError, UploadError):
            yield from self.write(left, synced=left.offset)
        return left

    def read(self, owner: str, upload_id: str) -> Upload:
        """The record as it is. Raises `FileNotFoundError`, `TornRecord`, `StorageError`."""
        try:
            data = disk.read(self._paths.info_of(owner, upload_id))
        except disk.NotAFile as error:
            raise TornRecord("not a file") from error
        upload = self._written.get(data) or decode(data, medium.noted)
        if upload.owner != owner or upload.id != upload_id:
            raise ForeignRecord("the record of another upload")
        return upload

    def _add(self, upload: Upload) -> Steps[Upload]:
        added = self._backed(upload, synced=0)
        data = self._encoded(added)
        yield from small_files.add(self._paths.info(added), data, durable=self.is_strict)
        self._note(data, added)
        return added

    def _replace(self, upload: Upload, *, is_durable: bool) -> Steps[None]:
        path, data = self._paths.info(upload), self._encoded(upload)
        ready = self._ready.pop(upload.key, None)
        if ready is not None and ready.data != data:
            disk.remove(ready.path)
            ready = None
        yield from small_files.replace(
            path, data, durable=is_durable, ready=None if ready is None else ready.path
        )
        self._note(data, upload)

    def _backed(self, upload: Upload, *, synced: int) -> Upload:
        backing = Medium(boot=self.boot, synced=synced)
        return upload if upload.backing == backing else replace(upload, backing=backing)

    def _encoded(self, upload: Upload) -> bytes:
        assert isinstance(upload.backing, Medium)
        return encode(upload, medium=medium.fields(upload.backing))

    def _keep(self, upload: Upload, ready: "_Ready") -> None:
        """Of those that nobody asks for the oldest goes."""
        if (earlier := self._ready.pop(upload.key, None)) is not None:
            disk.remove(earlier.path)
        self._ready[upload.key] = ready
        if len(self._ready) > MOST:
            with contextlib.suppress(KeyError, RuntimeError):  # another thread was faster
                disk.remove(self._ready.pop(next(iter(self._ready))).path)

    def _note(self, data: bytes, upload: Upload) -> None:
        """A record that reads like this need not be parsed to know what it says."""
        if upload.is_open and len(data) <= LARGEST:
            self._written[data] = upload
        if len(self._written) > MOST:
            with contextlib.suppress(KeyError, RuntimeError):  # another thread was faster
                del self._written[next(iter(self._written))]
