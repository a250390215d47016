"""One pass over the data folder: what the dead left goes, what nobody here wrote is set aside.

Foreign and damaged files are moved to `quarantine/`, where they disturb nobody and an operator can
look at them; nothing here ever removes them.
"""

import contextlib
import logging
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

from tusd_py.errors import StorageError
from tusd_py.events import Cleaned
from tusd_py.names import is_segment
from tusd_py.storage import disk
from tusd_py.storage.local.paths import Paths
from tusd_py.storage.local.records import LocalRecords
from tusd_py.storage.local.staging import Staging
from tusd_py.storage.record import TornRecord
from tusd_py.upload import is_upload_id

_TEMPORARY = re.compile(r".+\.[0-9a-f]{32}\.tmp|\.probe-[0-9a-f]{32}")
_CLAIM = re.compile(r"[0-9a-f]{32}\.place")

logger = logging.getLogger(__name__)


class Cleaning:
    """Blocking. What was written to since a moment (seconds since 1970) is left alone: somebody
    may be at work on it."""

    def __init__(self, paths: Paths, records: LocalRecords, staging: Staging) -> None:
        self._paths = paths
        self._records = records
        self._staging = staging
        self._unreadable: set[tuple[str, str]] = set()

    def suspect(self, owner: str, upload_id: str, error: Exception) -> None:
        """A record could not be read: log it, and look at it in the next pass."""
        if (owner, upload_id) not in self._unreadable:
            self._unreadable.add((owner, upload_id))
            fields = {"owner": owner, "upload": upload_id, "why": str(error)}
            logger.error("unreadable_record", extra=fields)

    def run(self, before: float) -> Cleaned:
        """One pass."""
        removed = quarantined = 0
        for owner in disk.names(self._paths.uploads):
            folder = self._paths.uploads / owner
            if _TEMPORARY.fullmatch(owner):
                removed += disk.remove_older(folder, before)
            elif not (is_segment(owner) and disk.is_folder(folder)):
                quarantined += self._set_aside(folder, "not ours", before)
            else:
                with contextlib.suppress(OSError):  # a folder that nobody may look into
                    removed += self._remove_temporaries(folder, before)
                    for path, why in _strange(folder):
                        quarantined += self._set_aside(path, why, before)
        for owner, upload_id in list(self._unreadable):
            if self._is_damaged(owner, upload_id):
                path = Path(self._paths.info_of(owner, upload_id))
                if self._set_aside(path, "a damaged record", before):
                    quarantined += 1
                    self._unreadable.discard((owner, upload_id))
        unreadable = len(self._unreadable)
        return Cleaned(removed=removed, quarantined=quarantined, unreadable=unreadable)

    def _remove_temporaries(self, folder: Path, before: float) -> int:
        count = 0
        for name in disk.names(folder):
            if _TEMPORARY.fullmatch(name):
                count += disk.remove_older(folder / name, before)
            elif name.endswith(".chunks") and disk.is_folder(folder / name):
                for chunk in disk.names(folder / name):
                    if not self._staging.waits(chunk):
                        count += disk.remove_older(folder / name / chunk, before)
                disk.remove_empty(folder / name)
        return count

    def _is_damaged(self, owner: str, upload_id: str) -> bool:
        """Whether a record that could not be read is ours to judge: a newer server may have written
        it, and a disk that does not answer says nothing of it."""
        try:
            self._records.read(owner, upload_id)
        except TornRecord:
            return True
        except FileNotFoundError:
            pass
        except (StorageError, OSError):
            return False
        self._unreadable.discard((owner, upload_id))
        return False

    def _set_aside(self, path: Path, why: str, before: float) -> bool:
        """Move it, whatever it is, into the quarantine; tells whether it was moved."""
        try:
            if path.lstat().st_mtime >= before:
                return False
            target = self._paths.quarantine / path.relative_to(self._paths.uploads)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(path, target.with_name(f"{path.name}.{uuid.uuid4().hex}"))
        except FileNotFoundError:
            return False
        except OSError as error:
            logger.error("not_quarantined", extra={"file": path.name, "why": error.strerror})
            return False
        owner = path.parent.name if path.parent != self._paths.uploads else None
        logger.error("quarantined", extra={"owner": owner, "file": path.name, "why": why})
        return True


def _strange(folder: Path) -> Iterator[tuple[Path, str]]:
    """What lies in the folder of an owner and should not, with the reason."""
    names = disk.names(folder)
    records = {name.removesuffix(".info") for name in names if name.endswith(".info")}
    for name in names:
        stem, _, kind = name.rpartition(".")
        if _TEMPORARY.fullmatch(name) or _CLAIM.fullmatch(name):
            continue
        if not is_upload_id(stem) or kind not in {"info", "data", "chunks"}:
            yield folder / name, "not ours"
        elif stem not in records and not os.path.lexists(folder / f"{stem}.info"):
            yield folder / name, "without a record"
