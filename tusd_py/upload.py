"""An upload as an immutable snapshot, what clients ask of it, and the rules that hold."""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

from tusd_py.checksum import Checksum
from tusd_py.errors import (
    BadRequest,
    Forbidden,
    OffsetMismatch,
    TooLarge,
    UploadGone,
    UploadTooLarge,
)
from tusd_py.names import is_segment

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BARE_ID = re.compile(r"[0-9a-f]{32}")


def is_upload_id(text: str) -> bool:
    """Whether it is a UUID as this server writes it. Its own are of version 4; those of uploads
    that it took over from another server can be of any."""
    return _ID.fullmatch(text) is not None


def upload_id_of(text: str) -> str:
    """The id that a client means: tusd writes the same number without dashes, and addresses that
    it gave out are still good after its uploads were taken over."""
    if _BARE_ID.fullmatch(text) is None:
        return text
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def upload_key(owner: str, upload_id: str) -> str:
    """The lock of an upload. The owner is part of it, so that nobody disturbs another's upload."""
    return f"{owner}/{upload_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One piece of a file: `size` bytes; `digest` of a REST chunk, None for PATCHed bytes."""

    size: int
    digest: bytes | None


@dataclass(frozen=True, slots=True)
class Partial:
    """The upload is a piece of a later concatenation, no file of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """The upload is the concatenation of others; `header` is Upload-Concat as received."""

    partials: tuple[str, ...]
    header: str


class End(Enum):
    """Why an upload is gone."""

    TERMINATED = "terminated"
    EXPIRED = "expired"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """When and why an upload went."""

    why: End
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """When an upload became a file (or a whole part of one, if it is partial).

    `sha256` is the digest of the whole file, None where nobody wanted to know it.
    """

    at: datetime
    sha256: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the client says of the whole file: its `sha256`. `found` is the digest of the bytes that
    came when it is another one: they never become a file then."""

    sha256: bytes
    found: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpload:
    """What a client says when it creates an upload. `length` in bytes; None is deferred. `sha256`
    is the digest of the whole file; of a partial upload it means nothing.

    Raises `BadRequest` when `declared_file_id` cannot be a path segment.
    """

    owner: str
    filename: str | None
    length: int | None = None
    declared_file_id: str | None = None
    content_type: str | None = None
    metadata: str | None = None
    concat: Partial | Final | None = None
    sha256: bytes | None = None

    def __post_init__(self) -> None:
        if self.declared_file_id is not None and not is_segment(self.declared_file_id):
            raise BadRequest("main_service_file_id: send an id without separators or leading dot.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """One PATCH: bytes for `offset`. `size` of the body, None when unknown (chunked);
    `length` when this request tells a deferred one."""

    offset: int
    size: int | None
    length: int | None = None
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What is durably known of an upload. `offset` and `length` in bytes.

    `offset` counts the bytes that a client may forget; bytes beyond it do not exist. `losses`
    counts how often a failure took some of them back: while it is the same, so are the bytes before
    an offset.
    """

    id: str
    owner: str
    filename: str
    declared_file_id: str | None = None
    content_type: str | None = None
    metadata: str | None = None
    concat: Partial | Final | None = None
    length: int | None = None
    offset: int = 0
    chunks: tuple[Chunk, ...] = ()
    created_at: datetime
    expires_at: datetime
    claim: Claim | None = None
    losses: int = 0
    completion: Completion | None = None
    ending: Ending | None = None
    backing: object = field(default=None, compare=False, repr=False)
    """What the storage notes beside its record; it means nothing to anybody else."""

    @property
    def file_id(self) -> str:
        """The folder of the finished file."""
        return self.declared_file_id or self.id

    @property
    def key(self) -> str:
        """What is locked to work on it."""
        return upload_key(self.owner, self.id)

    @property
    def place(self) -> str:
        """Where the finished file goes, relative to the root of the storage."""
        return f"{self.owner}/{self.file_id}/{self.filename}"

    @property
    def is_full(self) -> bool:
        """Whether all bytes are there."""
        return self.offset == self.length

    @property
    def is_file(self) -> bool:
        """Whether it became a file that its owner can list and download."""
        return self.completion is not None and self.ending is None and not self.is_partial

    @property
    def is_partial(self) -> bool:
        """Whether it only exists to be concatenated."""
        return isinstance(self.concat, Partial)

    @property
    def is_open(self) -> bool:
        """Whether it is neither a finished file nor gone."""
        return not self.is_file and self.ending is None

    @property
    def will_expire(self) -> bool:
        """Whether the sweeper takes it one day: all but finished files."""
        return self.completion is None or self.is_partial

    @property
    def is_refused(self) -> bool:
        """Whether its bytes are known not to be those that the client claimed."""
        return self.claim is not None and self.claim.found is not None

    @property
    def has_open_run(self) -> bool:
        """Whether the last chunk is made of PATCHed bytes and may still grow."""
        return bool(self.chunks) and self.chunks[-1].digest is None


def new_upload(
    new: NewUpload, *, upload_id: str, now: datetime, expires_after: timedelta
) -> Upload:
    """The first snapshot of an upload."""
    return Upload(
        id=upload_id,
        owner=new.owner,
        filename=new.filename or upload_id,
        declared_file_id=new.declared_file_id,
        content_type=new.content_type,
        metadata=new.metadata,
        concat=new.concat,
        length=new.length,
        claim=_claim(new),
        created_at=now,
        expires_at=now + expires_after,
    )


def _claim(new: NewUpload) -> Claim | None:
    if new.sha256 is None or isinstance(new.concat, Partial):
        return None
    return Claim(sha256=new.sha256)


def require_alive(upload: Upload, *, now: datetime) -> None:
    """Raise `UploadGone` when the upload ended or its time is over."""
    if upload.ending is not None:
        raise UploadGone(f"The upload was {upload.ending.why.value}; create a new one.")
    if upload.will_expire and upload.expires_at <= now:
        raise UploadGone("The upload expired; create a new one.")


def require_within(length: int, max_size: int | None) -> None:
    """Raise `UploadTooLarge` when `length` bytes are more than the server takes."""
    if max_size is not None and length > max_size:
        raise UploadTooLarge(f"The server takes at most {max_size} bytes; send a smaller file.")


def room(upload: Upload, max_size: int | None) -> int | None:
    """How many more bytes the upload may take; None is without limit."""
    limits = [limit for limit in (upload.length, max_size) if limit is not None]
    return max(0, min(limits) - upload.offset) if limits else None


def require_room(upload: Upload, size: int, space: int | None) -> None:
    """Raise `TooLarge` when `size` bytes are more than the `space` left for the upload.

    What is beyond a length that was told meets no limit of the server: that length is within it.
    """
    if space is not None and size > space:
        kind = UploadTooLarge if upload.length is None else TooLarge
        raise kind(f"Only {space} more bytes fit into this upload; send no more.")


def accept(upload: Upload, append: Append, *, max_size: int | None) -> Upload:
    """The upload as it is when this append may begin, with the length it brings.

    Raises `Forbidden`, `OffsetMismatch`, `BadRequest` or `TooLarge`, in that order
    (tus 1.0.0, PATCH and Creation With Deferred Length).
    """
    if isinstance(upload.concat, Final):
        raise Forbidden("A concatenated upload takes no bytes of its own.")
    if append.offset != upload.offset:
        raise OffsetMismatch(upload.offset)
    accepted = _with_length(upload, append.length, max_size)
    space = room(accepted, max_size)
    require_room(accepted, append.size or 0, space)
    return accepted


def _with_length(upload: Upload, length: int | None, max_size: int | None) -> Upload:
    if length is None or length == upload.length:
        return upload
    if upload.length is not None:
        raise BadRequest(f"Upload-Length is {upload.length} and does not change any more.")
    if length < upload.offset:
        raise BadRequest(f"Upload-Length: {upload.offset} bytes were received already.")
    require_within(length, max_size)
    return replace(upload, length=length)


def patched(upload: Upload, size: int, *, now: datetime, expires_after: timedelta) -> Upload:
    """The upload with `size` more bytes from the tus face: they count as one chunk (REST)."""
    run = upload.chunks[-1].size if upload.has_open_run else 0
    closed = upload.chunks[:-1] if upload.has_open_run else upload.chunks
    chunks = (*closed, Chunk(size=run + size, digest=None)) if size else upload.chunks
    return replace(
        upload, offset=upload.offset + size, chunks=chunks, expires_at=now + expires_after
    )


def shrunk(upload: Upload, size: int) -> Upload:
    """The upload with its first `size` bytes only: whole REST chunks, and PATCHed bytes as far as
    they go."""
    kept: list[Chunk] = []
    for chunk in upload.chunks:
        if chunk.size <= size:
            kept.append(chunk)
            size -= chunk.size
            continue
        if chunk.digest is None and size:
            kept.append(replace(chunk, size=size))
        break
    offset = sum(chunk.size for chunk in kept)
    if offset == upload.offset:
        return upload
    return replace(
        upload,
        offset=offset,
        chunks=tuple(kept),
        claim=None if upload.claim is None else replace(upload.claim, found=None),
        losses=upload.losses + 1,
    )


def with_chunk(upload: Upload, chunk: Chunk, *, now: datetime, expires_after: timedelta) -> Upload:
    """The upload with one more whole REST chunk."""
    return replace(
        upload,
        offset=upload.offset + chunk.size,
        chunks=(*upload.chunks, chunk),
        expires_at=now + expires_after,
    )
