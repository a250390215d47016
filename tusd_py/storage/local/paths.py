"""What lies where in the data folder of local storage."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tusd_py.upload import Upload


@dataclass(frozen=True, slots=True)
class Paths:
    """uploads/{owner}/{id}.info           the record
    uploads/{owner}/{id}.data           the bytes, renamed to the finished file
    uploads/{owner}/{id}.chunks/{index} REST chunks before their turn (staging.py)
    uploads/{owner}/{place}.place       the id of the upload whose file lies at a place
    final/{owner}/{file_id}/{filename}  finished files
    quarantine/                         what nobody here wrote, or what is damaged
    """

    root: Path

    @property
    def uploads(self) -> Path:
        """A folder for each owner."""
        return self.root / "uploads"

    @property
    def final(self) -> Path:
        """A folder for each owner."""
        return self.root / "final"

    @property
    def quarantine(self) -> Path:
        """Made when it is needed; as `uploads` otherwise."""
        return self.root / "quarantine"

    def info_of(self, owner: str, upload_id: str) -> Path:
        """The record of an upload of which no more is known."""
        return self.uploads / owner / f"{upload_id}.info"

    def info(self, upload: Upload) -> Path:
        """The record."""
        return self.info_of(upload.owner, upload.id)

    def data(self, upload: Upload) -> Path:
        """The bytes of an upload that is no file yet, or never becomes one."""
        return self.uploads / upload.owner / f"{upload.id}.data"

    def chunks(self, upload: Upload) -> Path:
        """The folder of chunks that wait; there is none while none waited."""
        return self.uploads / upload.owner / f"{upload.id}.chunks"

    def claim(self, upload: Upload) -> Path:
        """Whose file lies at the place of an upload; a digest stands for the place."""
        digest = hashlib.blake2b(upload.place.encode(), digest_size=16).hexdigest()
        return self.uploads / upload.owner / f"{digest}.place"

    def place(self, upload: Upload) -> Path:
        """The finished file."""
        return self.final / upload.owner / upload.file_id / upload.filename
