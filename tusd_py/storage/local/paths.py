"""What lies where in the data folder of local storage."""

import hashlib
from pathlib import Path

from tusd_py.upload import Upload


class Paths:
    """uploads/{owner}/{id}.info           the record
    uploads/{owner}/{id}.data           the bytes, renamed to the finished file
    uploads/{owner}/{id}.chunks/{index} REST chunks before their turn (staging.py)
    uploads/{owner}/{place}.place       the id of the upload whose file lies at a place
    final/{owner}/{file_id}/{filename}  finished files
    quarantine/                         what nobody here wrote, or what is damaged

    `uploads` and `final` have a folder for each owner. What every request needs is text: to make a
    `Path` takes longer than to open the file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uploads = root / "uploads"
        self.final = root / "final"
        self.quarantine = root / "quarantine"
        self._uploads = str(self.uploads)
        self._final = str(self.final)

    def info_of(self, owner: str, upload_id: str) -> str:
        """The record of an upload of which no more is known."""
        return f"{self._uploads}/{owner}/{upload_id}.info"

    def info(self, upload: Upload) -> str:
        """The record."""
        return self.info_of(upload.owner, upload.id)

    def data(self, upload: Upload) -> str:
        """The bytes of an upload that is no file yet, or never becomes one."""
        return f"{self._uploads}/{upload.owner}/{upload.id}.data"

    def chunks(self, upload: Upload) -> str:
        """The folder of chunks that wait; there is none while none waited."""
        return f"{self._uploads}/{upload.owner}/{upload.id}.chunks"

    def claim(self, upload: Upload) -> str:
        """Whose file lies at the place of an upload; a digest stands for the place."""
        digest = hashlib.blake2b(upload.place.encode(), digest_size=16).hexdigest()
        return f"{self._uploads}/{upload.owner}/{digest}.place"

    def place(self, upload: Upload) -> str:
        """The finished file."""
        return f"{self._final}/{upload.place}"
