"""Whose file lies at a place: uploads that share a file id and a name replace each other's file.

The claim, the id of an upload, is written before its file is moved to the place. So a file that
was opened before the claim is still the opener's is the opener's own. Behind that id stand those of
the uploads that it replaces, so that they end also when the server dies before it told them.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from tusd_py.errors import StorageError, UploadNotFound
from tusd_py.storage import disk, small_files
from tusd_py.storage.fsync import NotSynced
from tusd_py.storage.local.paths import Paths
from tusd_py.storage.steps import Steps, Target
from tusd_py.upload import Upload, is_upload_id


def holder(paths: Paths, upload: Upload) -> str | None:
    """The id of the upload whose file lies at the place of `upload`; None when nobody claims it."""
    return next(iter(claimants(paths, upload)), None)


def claimants(paths: Paths, upload: Upload) -> list[str]:
    """That id, and those of the uploads whose file it replaces or replaced."""
    try:
        text = disk.read(paths.claim(upload)).decode("ascii", "replace")
    except (FileNotFoundError, IsADirectoryError, disk.NotAFile):
        return []
    ids = text.split()
    return ids if all(is_upload_id(each) for each in ids) else []


def is_own(paths: Paths, upload: Upload) -> bool:
    """Whether the file at the place of `upload` is its own."""
    held_by = holder(paths, upload)
    return upload.is_file if held_by is None else held_by == upload.id


def occupy(
    paths: Paths,
    upload: Upload,
    data: str | None,
    before: Sequence[str],
    replaced: Sequence[str],
    beside: Sequence[Target] = (),
) -> Steps[None]:
    """Move the sealed bytes of an upload to its place, durably, over the file of those that are
    `replaced`; `before` are the claimants so far. May be called again, without `data` when that
    was moved. What is `beside` them comes onto the medium with the name of the file.

    If that fails before the file is there, the claim is the earlier one again.
    """
    is_claimed = before[:1] == [upload.id]
    if not is_claimed:
        try:
            yield from _write(paths, upload, [upload.id, *replaced], durable=bool(before))
        except NotSynced:
            yield from _restore(paths, upload, before)
            raise
    place = paths.place(upload)
    if data is None:
        if not is_claimed or not os.path.exists(place):
            yield from _restore(paths, upload, before)
            raise StorageError("Bytes of this upload were lost on the disk.")
        # who moved it may not have come to that
        yield from disk.sync_folders(Path(place).parent, below=paths.root, beside=beside)
        return
    try:
        yield from disk.move(data, place, below=paths.root, beside=beside)
    except (OSError, StorageError):
        if os.path.exists(data):
            yield from _restore(paths, upload, before)
        raise


def vacate(paths: Paths, upload: Upload) -> None:
    """Remove the file at the place of `upload` if it is its own, and the claim.

    While its bytes were not moved, as after a crash behind the claim, the file there is another's.
    """
    if not is_own(paths, upload):
        return
    if not os.path.exists(paths.data(upload)):
        place = paths.place(upload)
        disk.remove(place)
        disk.prune(Path(place).parent, below=paths.final)
    disk.remove(paths.claim(upload))


def open_own(paths: Paths, upload: Upload) -> int:
    """A descriptor of the upload's own finished file. Raises `UploadNotFound` if it has none."""
    fd = disk.open_to_read(paths.place(upload))
    if not is_own(paths, upload):
        disk.close(fd)
        raise UploadNotFound
    return fd


def _write(paths: Paths, upload: Upload, ids: Sequence[str], *, durable: bool) -> Steps[None]:
    """A claim that is lost speaks for who finished; one that names another must not come back."""
    data = " ".join(ids).encode()
    if len(ids) == 1:
        with contextlib.suppress(FileExistsError):
            yield from small_files.make(paths.claim(upload), data, durable=durable)
            return
    yield from small_files.replace(paths.claim(upload), data, durable=durable)


def _restore(paths: Paths, upload: Upload, before: Sequence[str]) -> Steps[None]:
    if before:
        yield from _write(paths, upload, before, durable=False)
    else:
        disk.remove(paths.claim(upload))
