"""What a hook may change of a new upload, and what becomes of the upload then."""

from collections.abc import Mapping
from dataclasses import replace

from tusd_py.checksum import sha256_of_text
from tusd_py.errors import BadRequest
from tusd_py.metadata import described, encoded
from tusd_py.names import is_segment
from tusd_py.upload import NewUpload, is_upload_id
from tusd_py.verdict import Admission


class CannotChange(ValueError):
    """A hook asks for what cannot be; `str(error)` says what would be right."""


def admitted(new: NewUpload, admission: Admission, *, max_metadata: int) -> NewUpload:
    """The upload as a hook wants it; `max_metadata` bytes of the header at most.

    Raises `CannotChange`. The file id of a REST upload stays: its client names it again in the end.
    """
    if admission.upload_id is not None and not is_upload_id(admission.upload_id):
        raise CannotChange("ID: give a UUID in small letters")
    kept = new.declared_file_id if new.metadata is None else None
    if admission.metadata is not None:
        new = _with_metadata(new, admission.metadata, max_metadata)
    if admission.path is not None:
        new = _at(new, admission.path)
    if kept is not None and new.declared_file_id != kept:
        if admission.path is not None and "/" in admission.path:
            raise CannotChange("Path: an upload that began over REST keeps its file id")
        new = replace(new, declared_file_id=kept)
    return new


def _with_metadata(new: NewUpload, values: Mapping[str, str], most: int) -> NewUpload:
    def text(*names: str) -> str | None:
        return next((value for name in names if (value := values.get(name))), None)

    try:
        header = encoded(values)
        changed = replace(described(new, header, text), sha256=_claimed(new, values))
    except (ValueError, BadRequest) as error:
        raise CannotChange(f"MetaData: {error}") from error
    if header is not None and len(header) > most:
        raise CannotChange(f"MetaData: as a header it may have {most} bytes")
    return changed


def _claimed(new: NewUpload, values: Mapping[str, str]) -> bytes | None:
    """The digest that these metadata claim; what a hook cannot say as text stays as it was."""
    if "sha256" not in values:
        return None
    try:
        return sha256_of_text(values["sha256"])
    except BadRequest:
        if new.sha256 is None:
            raise
        return new.sha256


def _at(new: NewUpload, path: str) -> NewUpload:
    """With the place `name` or `file id/name`."""
    file_id, slash, name = path.removeprefix("./").rpartition("/")
    if not is_segment(name) or (slash and not is_segment(file_id)):
        raise CannotChange("Path: give a name, or a file id, a slash and a name")
    return replace(new, filename=name, declared_file_id=file_id or new.declared_file_id)
