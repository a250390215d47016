"""What lies where in the bucket.

{user}/{file_id}/{filename}             the parts of an upload in progress, then the finished file
.tusd_py/{user}/{id}.info               the record
.tusd_py/{user}/{id}.tail.{parts}.{n}   acknowledged bytes after part number `parts`
.tusd_py/{user}/{id}.chunk.{index}      a REST chunk that came before its turn
.tusd_py/{user}/{id}.partial            as the first, of an upload that only will be concatenated
.tusd_py/{user}/{id}.unchecked          as the first, of an upload that claims a digest, until its
                                        bytes are known to be the right ones

No user is called `.tusd_py`: a user id does not begin with a dot. (`.uploads/` would not do: there
SeaweedFS keeps parts; it hides that folder from lists and cleans it up after a day.)
"""

from dataclasses import dataclass
from urllib.parse import quote

from tusd_py.upload import Upload, is_upload_id

ROOT = ".tusd_py/"
_INFO = "info"
_CHUNK = "chunk"


@dataclass(frozen=True, slots=True)
class Kept:
    """To which upload something under `.tusd_py/` belongs, and what it is."""

    owner: str
    upload_id: str
    kind: str

    @property
    def is_record(self) -> bool:
        """Whether it is the record, not bytes."""
        return self.kind == _INFO

    @property
    def chunk_index(self) -> int | None:
        """The index of a chunk that waits; None when it is none."""
        kind, _, index = self.kind.partition(".")
        return int(index) if kind == _CHUNK and index.isascii() and index.isdigit() else None


def of_owner(owner: str) -> str:
    """What all that is kept for an owner's uploads begins with."""
    return f"{ROOT}{owner}/"


def info(owner: str, upload_id: str) -> str:
    """The record."""
    return f"{ROOT}{owner}/{upload_id}.{_INFO}"


def of_upload(upload: Upload) -> str:
    """What all that is kept of an upload begins with, but for its finished file."""
    return f"{ROOT}{upload.owner}/{upload.id}."


def data(upload: Upload) -> str:
    """The bytes of a full upload."""
    return f"{of_upload(upload)}partial" if upload.is_partial else upload.place


def parts(upload: Upload) -> str:
    """The parts of an upload in progress. They can be read only when an object is made of them: at
    its place that would replace a file before it is known whether these are the right bytes."""
    return data(upload) if upload.claim is None else f"{of_upload(upload)}unchecked"


def tail(upload: Upload, parts: int, name: str) -> str:
    """A piece of the bytes after so many parts."""
    return f"{of_upload(upload)}tail.{parts}.{name}"


def chunks(upload: Upload) -> str:
    """What the keys of all waiting chunks begin with; the index follows."""
    return f"{of_upload(upload)}{_CHUNK}."


def chunk(upload: Upload, index: int) -> str:
    """The chunk that waits under an index."""
    return f"{chunks(upload)}{index}"


def parse(key: str) -> Kept | None:
    """What a key under `.tusd_py/` stands for; None when it is none of ours."""
    match key.removeprefix(ROOT).split("/"):
        case [owner, name]:
            upload_id, _, kind = name.partition(".")
            if key.startswith(ROOT) and owner and is_upload_id(upload_id):
                return Kept(owner, upload_id, kind)
    return None


def url(endpoint: str, bucket: str, key: str) -> str:
    """The plain address of an object."""
    return f"{endpoint}/{quote(bucket)}/{quote(key, safe='/~')}"
