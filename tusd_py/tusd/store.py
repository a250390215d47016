"""The folder of tusd's file store: what lies there, and what it says.

An upload is two files (tusd 1 and 2, pkg/filestore/filestore.go): `{id}.info`, a JSON object with
ID, Size, SizeIsDeferred, Offset, MetaData, IsPartial, IsFinal, PartialUploads and Storage; and its
bytes, in `{id}` unless a hook of tusd named another file (Storage.Path). The offset is the size of
that file; the one in the JSON is 0. An id may have slashes, and its files then lie in folders.
"""

import json
import os
import re
import stat
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tusd_py.storage import disk
from tusd_py.upload import is_upload_id, upload_id_of

_INFO = ".info"
_BESIDE = (_INFO, ".lock", ".stop")
"""What the names of files end with that hold no bytes of an upload (pkg/filelocker)."""

# uuid5(NAMESPACE_URL, "https://github.com/tus/tusd")
_NAMES = uuid.UUID("9a923566-1911-5b61-a7f5-acd2c15a406a")
_OF_S3 = re.compile(r"[0-9a-f]{32}\+.+")
_MOST = 2**63


class Unusable(Exception):
    """An upload cannot be taken over. `str(error)` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TusdUpload:
    """What tusd knows of an upload. `length` in bytes, None is deferred; `partials` of a final one
    are tusd's ids of its parts, None of any other."""

    id: str
    info: Path
    data: Path
    length: int | None
    metadata: Mapping[str, str]
    is_partial: bool
    partials: tuple[str, ...] | None

    @property
    def new_id(self) -> str:
        """The id it has here: the same number if it is one, else always the same other one."""
        return new_id(self.id)

    @property
    def is_renamed(self) -> bool:
        """Whether its client has to be told the new id."""
        return self.new_id != upload_id_of(self.id)

    @property
    def lock(self) -> Path:
        """The file that is there while tusd is at work on the upload."""
        return self.info.with_name(self.info.name.removesuffix(_INFO) + ".lock")

    def size(self) -> int | None:
        """How many bytes there are; None when their file is missing. Raises `Unusable`."""
        try:
            about = self.data.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Unusable(f"its data cannot be looked at: {error.strerror}") from error
        if not stat.S_ISREG(about.st_mode):
            raise Unusable("its data is no file")
        if self.length is not None and about.st_size > self.length:
            raise Unusable(f"its data has {about.st_size} bytes, more than its {self.length}")
        return about.st_size


def new_id(tusd_id: str) -> str:
    """A UUID as this server writes it."""
    here = upload_id_of(tusd_id)
    return here if is_upload_id(here) else str(uuid.uuid5(_NAMES, tusd_id))


def walk(
    folder: Path, without: Collection[Path], unreadable: Callable[[Path, OSError], None]
) -> Iterator[Path]:
    """All files below a folder but for those in other folders. Links to folders are not followed;
    `unreadable` is told of folders in it that cannot be read. Raises `OSError` for itself."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = Path(entry.path)
            if path in without:
                continue
            if entry.is_dir(follow_symlinks=False):
                try:
                    yield from walk(path, without, unreadable)
                except OSError as error:
                    unreadable(path, error)
            else:
                yield path


def is_info(path: Path) -> bool:
    """Whether a file says of an upload what it is."""
    return path.name.endswith(_INFO) and path.name != _INFO


def is_beside(path: Path) -> bool:
    """Whether a file is of tusd, and holds no bytes of an upload."""
    return path.name.endswith(_BESIDE)


def read(folder: Path, info: Path) -> TusdUpload:
    """The upload of an `.info` file in a store. Raises `Unusable`."""
    name = str(info.relative_to(folder)).removesuffix(_INFO)
    fields = _fields(info)
    kind = _map(fields, "Storage").get("Type", "")
    upload_id = _text(fields.get("ID"))
    if kind != "filestore" and (kind or _OF_S3.fullmatch(upload_id)):
        raise Unusable(f"it is of {kind or 's3store'}; only tusd's file store is taken over")
    if upload_id != name:
        raise Unusable(f"it says that its ID is {upload_id!r}")
    is_final = _flag(fields, "IsFinal")
    return TusdUpload(
        id=upload_id,
        info=info,
        data=_data(folder, name, _map(fields, "Storage")),
        length=None if _flag(fields, "SizeIsDeferred") else _number(fields.get("Size")),
        metadata=_map(fields, "MetaData"),
        is_partial=_flag(fields, "IsPartial"),
        partials=_texts(fields.get("PartialUploads")) if is_final else None,
    )


def _data(folder: Path, name: str, storage: Mapping[str, str]) -> Path:
    """Where the bytes are: tusd may have seen the folder under another path than we do."""
    path, seen = storage.get("Path"), storage.get("InfoPath")
    if not path or not seen or not seen.endswith(f"{name}{_INFO}"):
        return folder / name
    root = seen.removesuffix(f"{name}{_INFO}")
    if path.startswith(root):
        return folder / path.removeprefix(root)
    if not os.path.isabs(path):
        raise Unusable(f"its data is in {path!r}, and nobody knows below which folder")
    return Path(path)


def _fields(info: Path) -> Mapping[str, object]:
    try:
        fields = json.loads(disk.read(info))
    except disk.NotAFile as error:
        raise Unusable("its .info is no file") from error
    except OSError as error:
        raise Unusable(f"its .info cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Unusable("its .info is damaged") from error
    if not isinstance(fields, dict):
        raise Unusable("its .info is damaged")
    return fields


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Unusable("its .info is damaged")
    return value


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST:
        raise Unusable("its .info is damaged: Size")
    return value


def _flag(fields: Mapping[str, object], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise Unusable(f"its .info is damaged: {name}")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if value is not None and not isinstance(value, list):
        raise Unusable("its .info is damaged: PartialUploads")
    return tuple(_text(each) for each in value or ())


def _map(fields: Mapping[str, object], name: str) -> Mapping[str, str]:
    value = fields.get(name)
    if value is not None and not isinstance(value, dict):
        raise Unusable(f"its .info is damaged: {name}")
    return {_text(key): _text(each) for key, each in (value or {}).items()}
