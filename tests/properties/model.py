"""What the upload service promises, as simple as it can be said: uploads are lists of bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.core import LIFE
from tusd_py.errors import (
    BadRequest,
    BodyInterrupted,
    ChecksumMismatch,
    ChunkConflict,
    ChunkCountMismatch,
    Forbidden,
    IdMismatch,
    MissingChunks,
    OffsetMismatch,
    TooLarge,
    UploadGone,
    UploadNotFound,
    UploadUnfinished,
)


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A PATCH: bytes for an offset. `told` is the Upload-Length it brings; `is_right` tells of its
    checksum, None when it has none; one that `is_cut` breaks off after its bytes; `is_sized` if it
    declares its size."""

    offset: int
    data: bytes
    told: int | None = None
    is_right: bool | None = None
    is_cut: bool = False
    is_sized: bool = True


@dataclass(kw_only=True)
class Held:
    """An upload. `chunks` are the bytes of each, and whether it came over REST."""

    length: int | None
    expires_at: datetime
    place: str | None
    file_id: str | None = None
    is_partial: bool = False
    is_final: bool = False
    chunks: list[tuple[bytes, bool]] = field(default_factory=list)
    staged: dict[int, bytes] = field(default_factory=dict)
    is_complete: bool = False
    ended_at: datetime | None = None
    is_forgotten: bool = False

    @property
    def data(self) -> bytes:
        """All bytes that were acknowledged."""
        return b"".join(data for data, _ in self.chunks)

    @property
    def is_file(self) -> bool:
        """Whether it is a finished file."""
        return self.is_complete and not self.is_partial and self.ended_at is None

    def space(self, index: int | None = None) -> int | None:
        """How many more bytes there may be, beside the chunks that wait if one of an index asks."""
        if self.length is None:
            return None
        space = self.length - len(self.data)
        if index is not None:
            later = (n for n in self.staged if n >= len(self.chunks) and n != index)
            space -= sum(len(self.staged[n]) for n in later)
        return max(0, space)

    def has_open_run(self) -> bool:
        """Whether the last chunk was PATCHed and may grow."""
        return bool(self.chunks) and not self.chunks[-1][1]


class Model:
    """All uploads of one user. What raises here is refused there, with the same error."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.uploads: dict[str, Held] = {}
        self.files_ever: set[str] = set()

    def alive(self, upload_id: str) -> Held:
        """The upload, unless it is over."""
        held = self.uploads[upload_id]
        if held.is_forgotten:
            raise UploadNotFound
        is_over = (not held.is_complete or held.is_partial) and held.expires_at <= self.now
        if held.ended_at is not None or is_over:
            raise UploadGone("over")
        return held

    def create(self, upload_id: str, held: Held, data: bytes | None) -> None:
        """A new upload, with its first bytes."""
        self.uploads[upload_id] = held
        if data:
            self._append(held, data)
        self._finish_if_full(held)

    def patch(self, upload_id: str, patch: Patch) -> None:
        """Bytes for an offset."""
        held = self.alive(upload_id)
        if held.is_final:
            raise Forbidden("final")
        if patch.offset != len(held.data):
            raise OffsetMismatch(len(held.data))
        length = self._told(held, patch.told)
        if length is not None and len(patch.data) > length - len(held.data):
            raise TooLarge("patch")
        if held.is_complete:
            if patch.is_cut and not patch.is_sized:
                raise BodyInterrupted
            return
        if patch.is_cut:
            if patch.data and patch.is_right is None:
                held.length = length
                self._append(held, patch.data)
                self._finish_if_full(held)
            raise BodyInterrupted
        if patch.is_right is False:
            raise ChecksumMismatch("wrong")
        held.length = length
        self._append(held, patch.data)
        self._finish_if_full(held)

    def chunk(self, upload_id: str, index: int, data: bytes, *, is_cut: bool = False) -> None:
        """A REST chunk."""
        held = self.alive(upload_id)
        is_full = held.length == len(held.data)
        if index < len(held.chunks) or is_full:
            if index >= len(held.chunks) or held.chunks[index][0] != data:
                raise ChunkConflict("other")
            return
        space = held.space(index)
        if space is not None and len(data) > space:
            raise TooLarge("chunk")
        if is_cut:
            raise BodyInterrupted
        held.staged[index] = data
        if index == len(held.chunks) or not held.has_open_run():
            self._absorb(held)
            self._finish_if_full(held)
        if index > len(held.chunks) and held.expires_at <= self.now + LIFE * 0.9:
            held.expires_at = self.now + LIFE

    def complete(self, upload_id: str, total: int, file_id: str) -> None:
        """The end of an upload of REST chunks."""
        held = self.alive(upload_id)
        if held.file_id not in {None, file_id}:
            raise IdMismatch("id")
        if held.is_partial:
            raise UploadUnfinished("partial")
        if held.is_complete:
            if total != len(held.chunks) and any(is_rest for _, is_rest in held.chunks):
                raise ChunkCountMismatch("count")
            return
        self._absorb(held)
        later = {index for index in held.staged if index >= len(held.chunks)}
        if len(held.chunks) in later:
            raise TooLarge("staged")
        if len(held.chunks) < total:
            raise MissingChunks([], 0)
        if len(held.chunks) > total or later:
            raise ChunkCountMismatch("count")
        if held.length is not None and held.length != len(held.data):
            raise UploadUnfinished("length")
        held.length = len(held.data)
        self._finish_if_full(held)

    def concatenated(self, parts: Sequence[str]) -> bytes:
        """The bytes of a concatenation."""
        for part in parts:
            try:
                held = self.alive(part)
            except UploadNotFound:
                raise BadRequest("unknown") from None
            if not held.is_partial or held.length != len(held.data):
                raise BadRequest("no full partial")
        return b"".join(self.uploads[part].data for part in parts)

    def terminate(self, upload_id: str) -> None:
        """The client does not want it any more."""
        self.alive(upload_id).ended_at = self.now

    def sweep(self) -> None:
        """What is over ends; what ended long ago is forgotten."""
        for held in self.uploads.values():
            if held.is_file:
                continue
            if held.ended_at is not None:
                held.is_forgotten |= held.ended_at + LIFE <= self.now
            elif held.expires_at <= self.now:
                held.ended_at = self.now

    def files(self) -> dict[str, bytes]:
        """The finished files."""
        return {name: held.data for name, held in self.uploads.items() if held.is_file}

    def pass_time(self, by: timedelta) -> None:
        """Time goes by."""
        self.now += by

    def _told(self, held: Held, told: int | None) -> int | None:
        if told is None or told == held.length:
            return held.length
        if held.length is not None or told < len(held.data):
            raise BadRequest("length")
        return told

    def _append(self, held: Held, data: bytes) -> None:
        held.expires_at = self.now + LIFE
        if not data:
            return
        if held.has_open_run():
            held.chunks[-1] = (held.chunks[-1][0] + data, False)
        else:
            held.chunks.append((data, False))

    def _absorb(self, held: Held) -> None:
        while (index := len(held.chunks)) in held.staged:
            data = held.staged[index]
            space = held.space()
            if space is not None and len(data) > space:
                return
            held.chunks.append((data, True))
            del held.staged[index]
            held.expires_at = self.now + LIFE

    def _finish_if_full(self, held: Held) -> None:
        if held.is_complete or held.length != len(held.data):
            return
        for other in self.uploads.values():
            if held.place is not None and other.is_file and other.place == held.place:
                other.ended_at = self.now
        held.is_complete = True
        held.staged.clear()
        if not held.is_partial:
            self.files_ever |= {name for name, each in self.uploads.items() if each is held}
