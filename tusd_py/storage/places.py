"""Whose file lies at a place: uploads that share a file id and a name replace each other's file.

The claim, the id of an upload, is written before its file is moved to the place. So a file that
was opened before the claim is still the opener's is the opener's own.
"""

from pathlib import Path

from tusd_py.errors import StorageError, UploadNotFound
from tusd_py.storage import disk
from tusd_py.storage.paths import Paths
from tusd_py.upload import Upload, is_upload_id


def holder(paths: Paths, upload: Upload) -> str | None:
    """The id of the upload whose file lies at the place of `upload`; None when nobody claims it."""
    try:
        upload_id = disk.read(paths.claim(upload)).decode("ascii", "replace")
    except (FileNotFoundError, IsADirectoryError, disk.NotAFile):
        return None
    return upload_id if is_upload_id(upload_id) else None


def is_own(paths: Paths, upload: Upload) -> bool:
    """Whether the file at the place of `upload` is its own."""
    held_by = holder(paths, upload)
    return upload.is_file if held_by is None else held_by == upload.id


def occupy(paths: Paths, upload: Upload, data: Path) -> None:
    """Move the sealed bytes of an upload to its place, durably. May be called again.

    If that fails before the file is there, the claim is the earlier one again.
    """
    before = holder(paths, upload)
    try:
        _write(paths, upload, upload.id, durable=before not in {None, upload.id})
    except disk.NotSynced:
        _restore(paths, upload, before)
        raise
    place = paths.place(upload)
    if not data.exists():
        if before != upload.id or not place.exists():
            _restore(paths, upload, before)
            raise StorageError("Bytes of this upload were lost on the disk.")
        disk.sync_folders(place.parent, below=paths.root)  # who moved it may not have come to that
        return
    try:
        disk.move(data, place, below=paths.root)
    except (OSError, StorageError):
        if data.exists():
            _restore(paths, upload, before)
        raise


def vacate(paths: Paths, upload: Upload) -> None:
    """Remove the file at the place of `upload` if it is its own, and the claim.

    While its bytes were not moved, as after a crash behind the claim, the file there is another's.
    """
    if not is_own(paths, upload):
        return
    if not paths.data(upload).exists():
        place = paths.place(upload)
        place.unlink(missing_ok=True)
        disk.prune(place.parent, below=paths.final)
    paths.claim(upload).unlink(missing_ok=True)


def open_own(paths: Paths, upload: Upload) -> int:
    """A descriptor of the upload's own finished file. Raises `UploadNotFound` if it has none."""
    fd = disk.open_to_read(paths.place(upload))
    if not is_own(paths, upload):
        disk.close(fd)
        raise UploadNotFound
    return fd


def _write(paths: Paths, upload: Upload, upload_id: str, *, durable: bool = False) -> None:
    """A claim that is lost speaks for who finished; one that names another must not come back."""
    disk.replace(paths.claim(upload), upload_id.encode(), durable=durable)


def _restore(paths: Paths, upload: Upload, before: str | None) -> None:
    if before is None:
        paths.claim(upload).unlink(missing_ok=True)
    else:
        _write(paths, upload, before)
