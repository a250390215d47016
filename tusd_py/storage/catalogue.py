"""What is known of records that do not change any more, so that each is read once in a process."""

from tusd_py.upload import Upload

MOST = 500_000
"""So many records are known at most, each in some 100 bytes of memory."""


class Catalogue:
    """A mark stands for one version of a record: a number, since there may be very many."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._files: dict[int, int] = {}
        self._gone: set[int] = set()

    def note(self, mark: int, upload: Upload) -> None:
        """This is what the record says."""
        if upload.is_open:
            return
        if len(self._files) + len(self._gone) >= self._most:
            self._files.clear()
            self._gone.clear()
        if upload.is_file:
            self._files[mark] = upload.offset
        else:
            self._gone.add(mark)

    def size(self, mark: int) -> int | None:
        """The size of the finished file, if it is known to be one."""
        return self._files.get(mark)

    def is_gone(self, mark: int) -> bool:
        """Whether the upload is known to be gone."""
        return mark in self._gone
