"""What the record of an upload says of its bytes in the store, as a value and as JSON."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass

from tusd_py.upload import Upload


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """An object that holds bytes after the last part; `name` ends its key. `size` in bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The digest of PATCHed bytes: parts of an upload in progress cannot be read again."""

    start: int
    size: int
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Where the bytes of an upload are. Sizes in bytes.

    Until it is complete the first `offset` bytes are in `parts` (their ETags, in order), all of
    `part_size` but the last one if `last` says otherwise, and in the pieces of the `tail` behind
    them. `etag` is that of the record itself, None before there is one.
    """

    etag: str | None = None
    multipart: str | None = None
    part_size: int | None = None
    parts: tuple[str, ...] = ()
    last: int | None = None
    tail: tuple[Piece, ...] = ()
    segments: tuple[Segment, ...] = ()

    @property
    def size(self) -> int:
        """Bytes in parts and tail."""
        whole = len(self.parts) * (self.part_size or 0)
        if self.last is not None:
            whole += self.last - (self.part_size or 0)
        return whole + sum(piece.size for piece in self.tail)


def note_of(upload: Upload) -> Note:
    """The note of an upload that this storage gave out; an empty one of any other."""
    return upload.backing if isinstance(upload.backing, Note) else Note()


def encode_note(note: Note) -> dict[str, object]:
    """The note as JSON, without the ETag of the record it will be in."""
    return {
        "multipart": note.multipart,
        "part_size": note.part_size,
        "parts": list(note.parts),
        "last": note.last,
        "tail": [[piece.name, piece.size] for piece in note.tail],
        "segments": [
            [segment.start, segment.size, b64encode(segment.digest).decode()]
            for segment in note.segments
        ],
    }


def decode_note(fields: Mapping[str, object]) -> Note:
    """The note in the fields of a record. Raises `ValueError` or `TypeError` when there is none."""
    match fields.get("s3"):
        case {
            "multipart": (str() | None) as multipart,
            "part_size": (int() | None) as part_size,
            "parts": list(parts),
            "last": (int() | None) as last,
            "tail": list(tail),
            "segments": list(segments),
        }:
            note = Note(
                multipart=multipart,
                part_size=part_size,
                parts=tuple(_text(part) for part in parts),
                last=last,
                tail=tuple(_decode_piece(piece) for piece in tail),
                segments=tuple(_decode_segment(segment) for segment in segments),
            )
            if note.parts and not (note.multipart and note.part_size):
                raise ValueError("parts of nothing")
            if not fields.get("completion") and note.size != fields.get("offset"):
                raise ValueError("the offset is not what is stored")
            return note
    raise ValueError("no note of an object store")


def _decode_piece(fields: object) -> Piece:
    match fields:
        case [str(name), int(size)]:
            return Piece(name=name, size=size)
    raise ValueError("tail")


def _decode_segment(fields: object) -> Segment:
    match fields:
        case [int(start), int(size), str(digest)]:
            return Segment(start=start, size=size, digest=b64decode(digest, validate=True))
    raise ValueError("segments")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
