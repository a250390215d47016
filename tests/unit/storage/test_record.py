"""The record: what is written is read again, and nothing else is taken for one."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.uploads import NOW, UPLOAD, chunk, completed
from tusd_py.errors import StorageError
from tusd_py.names import is_segment, safe_filename
from tusd_py.storage.record import PLAIN, VERSION, TornRecord, decode, encode
from tusd_py.upload import Chunk, Claim, Completion, End, Ending, Final, Partial, Upload

FULL = completed(
    replace(
        UPLOAD,
        offset=10,
        content_type="audio/mpeg",
        metadata="filename YXVkaW8ubXAz,empty",
        concat=Final(partials=("a", "b"), header="final;/files/a /files/b"),
        chunks=(chunk(b"one"), Chunk(size=7, digest=None)),
        ending=Ending(why=End.REPLACED, at=NOW),
    )
)
DIGEST = bytes(range(32))

texts = st.text(st.characters(exclude_categories=()), max_size=20)
headers = st.text(st.characters(exclude_categories=["Cc"]), max_size=20)
moments = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001 - the zone is the next argument but one
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
chunks = st.builds(
    Chunk, size=st.integers(0, 2**60), digest=st.none() | st.binary(min_size=16, max_size=16)
)
concats = (
    st.none()
    | st.builds(Partial)
    | st.builds(Final, partials=st.lists(texts).map(tuple), header=headers)
)


@st.composite
def uploads(draw: st.DrawFn) -> Upload:
    """Any upload there can be."""
    parts = tuple(draw(st.lists(chunks, max_size=3)))
    offset = sum(part.size for part in parts)
    return Upload(
        id=str(draw(st.uuids(version=4))),
        owner=draw(texts.filter(is_segment)),
        filename=safe_filename(draw(texts.filter(bool))),
        declared_file_id=draw(st.none() | texts.filter(is_segment)),
        content_type=draw(st.none() | texts),
        metadata=draw(st.none() | headers),
        concat=draw(concats),
        length=draw(st.none() | st.integers(offset, 10**19 - 1)),
        offset=offset,
        chunks=parts,
        created_at=draw(moments),
        expires_at=draw(moments),
    )


@pytest.mark.parametrize(
    "upload",
    [
        UPLOAD,
        FULL,
        completed(replace(UPLOAD, concat=Partial())),
        replace(UPLOAD, length=None, declared_file_id=None),
        replace(UPLOAD, metadata="filename \udcff\udcfe", content_type="\ud800"),
    ],
)
def test_what_is_written_is_read(upload: Upload) -> None:
    """A record gives back the upload, field by field."""
    assert decode(encode(upload)) == upload


@given(uploads())
def test_any_upload_survives(upload: Upload) -> None:
    """Whatever came over HTTP, lone surrogates included."""
    assert decode(encode(upload)) == upload


def test_times_keep_their_moment() -> None:
    """A time is written with its zone."""
    moment = datetime(2026, 1, 1, 12, 0, 0, 123456, timezone(timedelta(hours=2)))
    upload = decode(encode(replace(UPLOAD, created_at=moment)))

    assert upload.created_at == moment
    assert upload.created_at.tzinfo is not None


def test_a_record_is_one_line_of_ascii() -> None:
    """Operators can read it with any tool."""
    data = encode(replace(FULL, filename="ü\n🎧"))

    assert data.isascii()
    assert b"\n" not in data


@pytest.mark.parametrize("size", range(0, len(encode(FULL)), 7))
def test_a_torn_record_is_no_record(size: int) -> None:
    """A record that was cut anywhere is a `TornRecord`, never another upload."""
    with pytest.raises(TornRecord):
        decode(encode(FULL)[:size])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        b"null",
        b"[]",
        b"{}",
        b"7",
        b'"version"',
        b'{"version":1}',
        b"[" * 100_000,
        b'{"version":' + b"9" * 5000 + b"}",
        "ü".encode("latin-1"),
    ],
    ids=repr,
)
def test_anything_else_is_no_record(data: bytes) -> None:
    """Somebody else's file is a `TornRecord`."""
    with pytest.raises(TornRecord):
        decode(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("created_at", "yesterday"),
        ("created_at", 7),
        ("expires_at", None),
        ("chunks", [["7"]]),
        ("chunks", [[]]),
        ("chunks", [7]),
        ("chunks", None),
        ("concat", "final"),
        ("concat", {"partials": "a", "header": "h"}),
        ("completion", {}),
        ("completion", {"at": 7}),
        ("completion", {"at": "2026-01-01T00:00:00"}),
        ("completion", True),
        ("ending", {"at": "2026-01-01T00:00:00+00:00", "why": "bored"}),
        ("offset", "7"),
        ("offset", None),
        ("length", "7"),
        ("offset", -1),
        ("offset", True),
        ("offset", 11),
        ("length", -1),
        ("id", None),
        ("id", "../../etc/passwd"),
        ("owner", "a/b"),
        ("file_id", ".."),
        ("filename", "../x"),
        ("filename", ""),
        ("created_at", "2026-01-01T00:00:00"),
        ("owner", 42),
        ("filename", None),
    ],
)
def test_a_field_of_another_kind_makes_no_upload(field: str, value: object) -> None:
    """A record with a field that cannot be is no upload with a wrong type inside."""
    fields = json.loads(encode(FULL))
    fields[field] = value

    with pytest.raises(TornRecord):
        decode(json.dumps(fields).encode())


def test_a_newer_record_is_not_guessed_at() -> None:
    """What a newer server wrote is trouble of this one, no torn record to be cleaned away."""
    fields = json.loads(encode(UPLOAD))
    fields["version"] = VERSION + 1

    with pytest.raises(StorageError, match="newer version"):
        decode(json.dumps(fields).encode())


@pytest.mark.parametrize(
    "upload",
    [
        replace(UPLOAD, claim=Claim(sha256=DIGEST)),
        replace(UPLOAD, claim=Claim(sha256=DIGEST, found=DIGEST[::-1])),
        replace(UPLOAD, completion=Completion(at=NOW, sha256=DIGEST)),
    ],
    ids=["claimed", "refused", "complete"],
)
def test_a_digest_is_kept_from_older_servers(upload: Upload) -> None:
    """An older server would not check a digest, and lose it: the record has a version that such a
    one leaves alone."""
    fields = json.loads(encode(upload))

    assert decode(encode(upload)) == upload
    assert fields["version"] == VERSION > PLAIN


def test_other_records_stay_as_they_were() -> None:
    """A record without digests is one that older servers read, and theirs are read here."""
    fields = json.loads(encode(replace(FULL, losses=3)))
    before = json.loads(encode(FULL))

    assert fields["version"] == before["version"] == PLAIN
    assert decode(json.dumps(fields).encode()).losses == 3
    assert not before.keys() & {"claim", "losses"}
    assert "sha256" not in before["completion"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("claim", {}),
        ("claim", {"sha256": "00"}),
        ("claim", {"sha256": "g" * 64}),
        ("claim", {"sha256": "0" * 64, "found": 1}),
        ("claim", "0" * 64),
        ("completion", {"at": NOW.isoformat(), "sha256": "00"}),
        ("losses", -1),
        ("losses", None),
    ],
)
def test_a_digest_of_another_kind_makes_no_upload(field: str, value: object) -> None:
    """What is no SHA-256 is none in a record either."""
    fields = json.loads(encode(UPLOAD)) | {field: value}

    with pytest.raises(TornRecord):
        decode(json.dumps(fields).encode())
