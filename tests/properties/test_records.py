"""Records that somebody else wrote: an upload that makes sense, or a refusal."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.texts import names
from tests.uploads import NOW, UPLOAD, chunk, completed
from tusd_py.errors import StorageError
from tusd_py.names import is_segment, safe_filename
from tusd_py.storage.record import TornRecord, decode, encode
from tusd_py.storage.s3.description import described
from tusd_py.storage.s3.note import Note, Piece, Segment, decode_note, encode_note
from tusd_py.upload import End, Ending, Final, Upload, is_upload_id
from tusd_py.web.tus_headers import http_date

NOTE = Note(
    multipart="m",
    part_size=3,
    parts=("a", "b"),
    tail=(Piece(name="n", size=4),),
    segments=(Segment(start=0, size=3, digest=b"x" * 16),),
)
FULL = replace(
    UPLOAD,
    offset=10,
    metadata="filename YQ==",
    concat=Final(partials=("a",), header="final;a"),
    chunks=(chunk(b"0123456789"),),
    ending=Ending(why=End.REPLACED, at=NOW),
)
DONE = completed(FULL)
RECORDS = [json.loads(encode(upload, s3=encode_note(NOTE))) for upload in (UPLOAD, FULL, DONE)]
numbers = st.integers() | st.sampled_from([-1, 0, 1, 10, 2**63, 10**4000]) | st.floats()
moments = st.sampled_from(
    [
        "2026-01-01T00:00:00+00:00",
        "2026-01-01T00:00:00",
        "2026-01-01",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59.999999-14:00",
        "2026-01-01T00:00:00+23:59:59.999999",
    ]
)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | names | moments | st.just("partial"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


def like(value: object) -> st.SearchStrategy[object]:
    """Values of the same kind as one in a record."""
    match value:
        case str() if value.startswith(f"{NOW.year}-"):
            return moments
        case str():
            return names
        case bool() | int() | float():
            return numbers
    return json_values


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """A record in which some values, however deep, are others."""
    record: object = json.loads(json.dumps(draw(st.sampled_from(RECORDS))))
    for _ in range(draw(st.integers(1, 3))):
        at = record
        while isinstance(at, dict | list) and at:
            key = draw(st.sampled_from(list(at) if isinstance(at, dict) else range(len(at))))
            inner = at[key]
            if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
                at[key] = draw(like(inner) | json_values)
                break
            at = inner
    return json.dumps(record).encode()


def decoded(data: bytes, *, in_bucket: bool) -> Upload | None:
    """The upload of a record; None when it was refused."""

    def backing(fields: Mapping[str, object]) -> Note:
        return decode_note(fields)

    try:
        return decode(data, backing if in_bucket else None)
    except (TornRecord, StorageError):
        return None


def assert_makes_sense(upload: Upload) -> None:
    """Nothing that is done with an upload later can stumble over what its record says."""
    assert is_upload_id(upload.id)
    assert is_segment(upload.owner)
    assert is_segment(upload.file_id)
    assert upload.filename == safe_filename(upload.filename)
    assert upload.offset >= 0
    assert upload.length is None or upload.offset <= upload.length
    for moment in (upload.created_at, upload.expires_at):
        assert moment + timedelta(days=100) > moment
        http_date(moment)
    lines = (
        upload.metadata or "",
        upload.concat.header if isinstance(upload.concat, Final) else "",
    )
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", "".join(lines))
    if upload.completion is not None:
        http_date(upload.completion.at)
    description = described(upload)
    values = [description.content_type, description.disposition, *description.metadata.values()]
    assert all(value.isascii() and value.isprintable() for value in values)


@given(changed(), st.booleans())
def test_a_changed_record_makes_sense_or_is_refused(data: bytes, in_bucket: bool) -> None:
    """Values of any type in any place of a record: an upload that can be worked with, or one of the
    two refusals that who reads records knows."""
    upload = decoded(data, in_bucket=in_bucket)

    if upload is not None:
        assert_makes_sense(upload)
        assert decode(encode(upload)) == replace(upload, backing=None)
        if in_bucket:
            assert isinstance(upload.backing, Note)
            assert upload.completion is not None or upload.backing.size == upload.offset


@given(json_values, st.booleans())
def test_any_json_is_refused(value: object, in_bucket: bool) -> None:
    """JSON of any shape is a torn record."""
    assert decoded(json.dumps(value).encode(), in_bucket=in_bucket) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_refused(data: bytes) -> None:
    """Bytes of any kind are a torn record."""
    assert decoded(data, in_bucket=False) is None


@given(st.sampled_from(RECORDS), st.integers(0), st.binary(max_size=3))
def test_a_cut_or_damaged_record_never_fails(
    record: dict[str, object], at: int, noise: bytes
) -> None:
    """A record that was cut is torn; one with other bytes in it is torn, or another upload that
    makes sense."""
    data = json.dumps(record).encode()
    at %= len(data)
    damaged = decoded(data[:at] + noise + data[at + len(noise) :], in_bucket=True)

    assert decoded(data[:at], in_bucket=True) is None
    if damaged is not None:
        assert_makes_sense(damaged)


@pytest.mark.parametrize("depth", [100, 100_000])
def test_a_deep_record_is_refused(depth: int) -> None:
    """A record nested beyond all sense is a torn one."""
    assert decoded(b"[" * depth + b"]" * depth, in_bucket=False) is None


notes = st.builds(
    Note,
    multipart=st.just("m"),
    part_size=st.integers(1, 10**10),
    parts=st.lists(st.text(max_size=5), max_size=4).map(tuple),
    tail=st.lists(
        st.builds(Piece, name=st.text(max_size=5), size=st.integers(0, 99)), max_size=3
    ).map(tuple),
    segments=st.lists(
        st.builds(
            Segment,
            start=st.integers(0, 99),
            size=st.integers(0, 99),
            digest=st.binary(min_size=16, max_size=16),
        ),
        max_size=3,
    ).map(tuple),
)


@given(notes)
def test_a_note_comes_back(note: Note) -> None:
    """What is noted of the bytes in a bucket is read as it was written."""
    fields = json.loads(json.dumps({"s3": encode_note(note), "offset": note.size}))

    assert decode_note(fields) == note
