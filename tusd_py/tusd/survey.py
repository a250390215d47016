"""What a folder of tusd holds, as uploads of this server: whose they are, and in which order."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tusd_py.checksum import sha256_of_text
from tusd_py.errors import BadRequest, MetadataTooLarge, UploadError
from tusd_py.names import is_segment, safe_filename
from tusd_py.tusd import store
from tusd_py.tusd.store import TusdUpload, Unusable
from tusd_py.upload import Final, NewUpload, Partial
from tusd_py.web.tus_headers import metadata_header, parsed_metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How an upload of tusd becomes one of ours: its user is `user`, or what its metadata has under
    `user_key`; its metadata have at most so many bytes; `base` is the path of the tus face."""

    user: str | None
    user_key: str | None
    max_metadata: int
    base: str

    def owner(self, metadata: Mapping[str, str]) -> str:
        """Whose upload it is. Raises `Unusable`."""
        if self.user is not None:
            return self.user
        assert self.user_key is not None
        if not (owner := metadata.get(self.user_key, "")):
            raise Unusable(f"its metadata have no {self.user_key}")
        if not is_segment(owner):
            raise Unusable(f"its {self.user_key}, {owner!r}, cannot be the name of a folder")
        return owner

    def new(self, upload: TusdUpload) -> NewUpload:
        """What its client said when it created it. Raises `Unusable`, `UploadError`."""
        owner = self.owner(upload.metadata)
        metadata = parsed_metadata(header) if (header := metadata_header(upload.metadata)) else None
        if len(header) > self.max_metadata:
            raise MetadataTooLarge(self.max_metadata)
        name = None if metadata is None else metadata.text("filename", "name")
        return NewUpload(
            owner=owner,
            filename=None if name is None else safe_filename(name),
            length=upload.length,
            declared_file_id=upload.metadata.get("main_service_file_id") or None,
            content_type=upload.metadata.get("filetype") or None,
            metadata=header or None,
            concat=self._concat(upload),
            sha256=_claimed(upload.metadata),
        )

    def _concat(self, upload: TusdUpload) -> Partial | Final | None:
        if upload.is_partial:
            return Partial()
        if upload.partials is None:
            return None
        ids = tuple(store.new_id(each) for each in upload.partials)
        urls = " ".join(f"{self.base}{each}" for each in ids)
        return Final(partials=ids, header=f"final;{urls}")


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """An upload to be taken over. The older ones of a user come first, so that lists stay in order
    and a newer file replaces an older one, not the other way round."""

    owner: str
    written: float
    info: Path


@dataclass(slots=True, kw_only=True)
class Survey:
    """All of it. `rivals` are uploads whose finished files want the same place, the newest last;
    `strays` are files of which no `.info` speaks."""

    found: list[Found] = field(default_factory=list)
    unusable: dict[str, str] = field(default_factory=dict)
    rivals: dict[str, list[str]] = field(default_factory=dict)
    strays: set[Path] = field(default_factory=set)


def survey(folder: Path, without: Collection[Path], rules: Rules) -> Survey:
    """Look at a whole folder but for other folders in it. Blocking. Raises `OSError` when the
    folder cannot be read."""
    seen = Survey()
    data: set[Path] = set()
    rivals = defaultdict(list)

    def unusable(path: Path, error: Exception) -> None:
        why = error.strerror if isinstance(error, OSError) else error
        seen.unusable[str(path.relative_to(folder))] = f"{why}"

    for path in store.walk(folder, without, unusable):
        if not store.is_info(path):
            if not store.is_beside(path):
                seen.strays.add(path)
            continue
        data.add(path.with_name(path.name.removesuffix(".info")))
        try:
            upload = store.read(folder, path)
            data.add(upload.data)
            new = rules.new(upload)
            size = upload.size()
            written = (path if size is None else upload.data).stat().st_mtime
        except (Unusable, UploadError, OSError) as error:
            unusable(path, error)
            continue
        seen.found.append(Found(new.owner, written, path))
        if size == upload.length and (place := place_of(new)) is not None:
            rivals[place].append((written, upload.new_id))
    seen.found.sort()
    seen.rivals = {place: [each for _, each in sorted(ids)] for place, ids in rivals.items()}
    seen.strays -= data
    return seen


def _claimed(metadata: Mapping[str, str]) -> bytes | None:
    """The SHA-256 of the whole file, if its client said it. tusd took whatever stood there, so what
    is none claims nothing."""
    try:
        return sha256_of_text(metadata.get("sha256", ""))
    except BadRequest:
        return None


def place_of(new: NewUpload) -> str | None:
    """Where the file of an upload goes that others may replace; None of any other."""
    if new.declared_file_id is None or isinstance(new.concat, Partial) or new.filename is None:
        return None
    return f"{new.owner}/{new.declared_file_id}/{new.filename}"
