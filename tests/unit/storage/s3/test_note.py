"""The note: what is written of bytes in the store is read again, and nothing else passes for it."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.uploads import UPLOAD
from tusd_py.storage.record import TornRecord, decode, encode
from tusd_py.storage.s3.note import (
    Note,
    Piece,
    Segment,
    decode_note,
    encode_note,
    note_of,
)
from tusd_py.upload import Chunk, Upload

NOTE = Note(
    multipart="multipart-id",
    part_size=8,
    parts=('"a"', '"b"'),
    tail=(Piece(name="0a1b2c3d", size=3), Piece(name="4e5f6a7b", size=2)),
    segments=(Segment(start=0, size=21, digest=bytes(16)),),
)

pieces = st.builds(Piece, name=st.text("0123456789abcdef"), size=st.integers(1, 2**40))
segments = st.builds(
    Segment, start=st.integers(0, 2**50), size=st.integers(1, 2**50), digest=st.binary(max_size=16)
)


@st.composite
def notes(draw: st.DrawFn) -> Note:
    """Any note there can be."""
    parts = tuple(draw(st.lists(st.text(max_size=40), max_size=5)))
    is_begun = bool(parts) or draw(st.booleans())
    is_full = bool(parts) and draw(st.booleans())
    part_size = draw(st.integers(5 << 20, 5 << 30)) if is_begun else None
    return Note(
        multipart=draw(st.text(min_size=1)) if is_begun else None,
        part_size=part_size,
        parts=parts,
        last=draw(st.integers(1, part_size)) if is_full and part_size else None,
        tail=() if is_full else tuple(draw(st.lists(pieces, max_size=5))),
        segments=tuple(draw(st.lists(segments, max_size=5))),
    )


def record(note: Note) -> bytes:
    """The record of an upload that has the bytes of a note."""
    size = note.size
    upload = replace(
        UPLOAD, length=None, offset=size, chunks=(Chunk(size=size, digest=None),) if size else ()
    )
    return encode(upload, s3=encode_note(note))


def read(data: bytes) -> Upload:
    """The upload of a record, with its note."""
    return decode(data, decode_note)


def changed(**fields: object) -> Mapping[str, object]:
    """The fields of a record whose note has other fields."""
    return {"offset": NOTE.size, "s3": {**encode_note(NOTE), **fields}}


# --- sizes


@pytest.mark.parametrize(
    ("note", "size"),
    [
        (Note(), 0),
        (NOTE, 21),
        (replace(NOTE, tail=()), 16),
        (replace(NOTE, tail=(), last=3), 11),
        (replace(NOTE, tail=(), last=8), 16),
        (Note(tail=(Piece(name="a", size=7),)), 7),
    ],
)
def test_how_many_bytes_are_noted(note: Note, size: int) -> None:
    """All parts are of one size, but the last one may be smaller; behind them is the tail."""
    assert note.size == size


# --- whose note


def test_an_upload_has_the_note_it_was_given() -> None:
    """What the storage gave out comes back with the upload."""
    assert note_of(replace(UPLOAD, backing=NOTE)) is NOTE


@pytest.mark.parametrize("backing", [None, "of another storage", {"parts": []}], ids=repr)
def test_any_other_upload_has_an_empty_note(backing: object) -> None:
    """A new upload, or one of another storage, has no bytes here."""
    assert note_of(replace(UPLOAD, backing=backing)) == Note()


def test_a_note_does_not_make_another_upload() -> None:
    """Uploads are compared by what they are, not by where their bytes lie."""
    assert replace(UPLOAD, backing=NOTE) == UPLOAD
    assert "multipart-id" not in repr(replace(UPLOAD, backing=NOTE))


# --- JSON


@given(notes())
def test_what_is_written_is_read(note: Note) -> None:
    """A record gives back the note, field by field."""
    assert read(record(note)).backing == note


def test_the_etag_is_not_written() -> None:
    """The ETag of a record cannot be in the record."""
    written = encode_note(replace(NOTE, etag='"of the record"'))

    assert written == encode_note(NOTE)
    assert decode_note({"offset": NOTE.size, "s3": written}).etag is None


def test_a_record_without_a_note_keeps_its_fields() -> None:
    """The note stands beside the fields of the upload and hides none."""
    plain, noted = json.loads(encode(UPLOAD)), json.loads(encode(UPLOAD, s3=encode_note(Note())))

    assert noted.pop("s3") == encode_note(Note())
    assert noted == plain


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"offset": 21},
        {"offset": 21, "s3": None},
        {"offset": 21, "s3": []},
        {"offset": 21, "s3": {}},
        {"offset": 20, "s3": encode_note(NOTE)},
        {"offset": None, "s3": encode_note(NOTE)},
        {"s3": encode_note(NOTE)},
        changed(multipart=7),
        changed(multipart=None),
        changed(multipart=""),
        changed(part_size="8"),
        changed(part_size=8.0),
        changed(part_size=None),
        changed(part_size=0),
        changed(part_size=9),
        changed(parts=None),
        changed(parts="ab"),
        changed(parts=['"a"']),
        changed(last="3"),
        changed(last=3),
        changed(tail=None),
        changed(tail=[]),
        changed(tail=["ab"]),
        changed(tail=[["a"]]),
        changed(tail=[["a", "3"], ["b", 2]]),
        changed(tail=[["a", 3, 0], ["b", 2]]),
        changed(tail=[[7, 3], ["b", 2]]),
        changed(segments=None),
        changed(segments=[7]),
        changed(segments=[[0, 21]]),
        changed(segments=[["0", 21, ""]]),
        changed(segments=[[0, 21, None]]),
        changed(segments=[[0, 21, "not base64!"]]),
        changed(segments=[[0, 21, "\u0661"]]),
    ],
    ids=str,
)
def test_what_is_no_note(fields: Mapping[str, object]) -> None:
    """A record whose note is missing, cut, or tells of other bytes than the offset is none."""
    with pytest.raises(ValueError, match=r".+"):
        decode_note(fields)


@pytest.mark.parametrize("parts", [[7, '"b"'], [None, None], [["a"], "b"]], ids=repr)
def test_an_etag_of_another_kind_is_a_torn_record(parts: object) -> None:
    """Nothing but texts gets to the store as an ETag."""
    fields = json.loads(record(NOTE))
    fields["s3"]["parts"] = parts

    with pytest.raises(TornRecord):
        read(json.dumps(fields).encode())


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda values: (
        st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=5), values, max_size=4)
    ),
    max_leaves=10,
)


@given(
    st.dictionaries(st.sampled_from(sorted(encode_note(NOTE))), json_values, min_size=1),
    st.booleans(),
)
def test_any_other_json_is_torn_or_adds_up(others: Mapping[str, object], is_whole: bool) -> None:
    """Whatever JSON stands there: a torn record, or a note of just as many bytes as the offset."""
    fields = json.loads(record(NOTE))
    fields["s3"] = {**fields["s3"], **others} if is_whole else others
    try:
        upload = read(json.dumps(fields).encode())
    except TornRecord:
        return

    assert note_of(upload).size == upload.offset
    assert is_whole


@given(json_values)
def test_json_of_another_shape_is_torn(value: object) -> None:
    """What is no note at all is a torn record."""
    fields = json.loads(record(NOTE))
    fields["s3"] = value

    with pytest.raises(TornRecord):
        read(json.dumps(fields).encode())


def test_a_record_of_another_storage_is_torn() -> None:
    """A record that the local storage wrote tells nothing of bytes in a bucket."""
    with pytest.raises(TornRecord):
        read(encode(UPLOAD))
