"""What lies where in the bucket, and whose it is."""

from dataclasses import replace
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.uploads import UPLOAD
from tusd_py.names import is_segment, safe_filename
from tusd_py.storage.s3 import keys
from tusd_py.storage.s3.keys import Kept
from tusd_py.upload import Claim, Partial, Upload

ID = UPLOAD.id
CLAIMING = replace(UPLOAD, claim=Claim(sha256=bytes(32)))

segments = st.text(min_size=1, max_size=20).filter(is_segment)
names = st.text(min_size=1, max_size=20).map(safe_filename)


@st.composite
def uploads(draw: st.DrawFn) -> Upload:
    """Uploads of any owner, with any name."""
    return replace(
        UPLOAD,
        id=str(draw(st.uuids(version=4))),
        owner=draw(segments),
        declared_file_id=draw(st.none() | segments),
        filename=draw(names),
    )


def test_what_lies_where() -> None:
    """The layout that the documentation shows."""
    partial = replace(UPLOAD, concat=Partial())

    assert keys.data(UPLOAD) == "42/123/audio.mp3"
    assert keys.data(replace(UPLOAD, declared_file_id=None)) == f"42/{ID}/audio.mp3"
    assert keys.info("42", ID) == f".tusd_py/42/{ID}.info"
    assert keys.tail(UPLOAD, 3, "0a1b2c3d") == f".tusd_py/42/{ID}.tail.3.0a1b2c3d"
    assert keys.chunk(UPLOAD, 7) == f".tusd_py/42/{ID}.chunk.7"
    assert keys.data(partial) == f".tusd_py/42/{ID}.partial"
    assert keys.parts(UPLOAD) == "42/123/audio.mp3"
    assert keys.parts(partial) == f".tusd_py/42/{ID}.partial"
    assert keys.parts(CLAIMING) == f".tusd_py/42/{ID}.unchecked"
    assert keys.data(CLAIMING) == "42/123/audio.mp3"


@given(uploads(), st.integers(0, 10_000), st.integers(0, 10**19 - 1))
def test_a_key_tells_whose_it_is(upload: Upload, parts: int, index: int) -> None:
    """Everything under `.tusd_py/` names its owner and its upload."""
    made = {
        keys.info(upload.owner, upload.id): "info",
        keys.tail(upload, parts, "0a1b2c3d"): f"tail.{parts}.0a1b2c3d",
        keys.chunk(upload, index): f"chunk.{index}",
        keys.data(replace(upload, concat=Partial())): "partial",
        keys.parts(replace(upload, claim=CLAIMING.claim)): "unchecked",
    }

    for key, kind in made.items():
        assert keys.parse(key) == Kept(upload.owner, upload.id, kind)
        assert key.startswith(keys.of_upload(upload))
        assert key.startswith(keys.of_owner(upload.owner))
        assert key.startswith(keys.ROOT)
    assert keys.chunk(upload, index) == f"{keys.chunks(upload)}{index}"


@given(uploads())
def test_only_the_record_is_the_record(upload: Upload) -> None:
    """Bytes are never taken for a record."""
    kinds = [
        (keys.info(upload.owner, upload.id), True),
        (keys.tail(upload, 0, "info"), False),
        (keys.chunk(upload, 0), False),
        (keys.data(replace(upload, concat=Partial())), False),
    ]

    for key, is_record in kinds:
        kept = keys.parse(key)
        assert kept is not None
        assert kept.is_record is is_record


@given(uploads())
def test_a_finished_file_is_not_among_what_is_kept(upload: Upload) -> None:
    """No user, however called, has files where records are."""
    assert not keys.data(upload).startswith(keys.ROOT)
    assert keys.parse(keys.data(upload)) is None


@given(uploads(), uploads())
def test_uploads_do_not_share_a_beginning(one: Upload, other: Upload) -> None:
    """Removing all that begins as one upload's keys touches no other upload, no other owner."""
    assert not keys.of_upload(other).startswith(keys.of_upload(one)) or one.key == other.key
    if one.owner != other.owner:
        assert not keys.of_owner(other.owner).startswith(keys.of_owner(one.owner))


@given(
    st.text()
    | st.text().map(lambda text: f"{keys.ROOT}{text}")
    | st.text().map(lambda text: f"{keys.ROOT}42/{text}")
    | st.text().map(lambda text: f"{keys.ROOT}{text}/{ID}.info")
)
def test_any_key_can_be_looked_at(key: str) -> None:
    """Whatever lies in the bucket is either ours or not, and never an error."""
    kept = keys.parse(key)

    assert kept is None or key == f"{keys.ROOT}{kept.owner}/{kept.upload_id}.{kept.kind}"


@pytest.mark.parametrize(
    "key",
    [
        "",
        keys.ROOT,
        ".tusd_py",
        f"42/{ID}.info",
        f"other/.tusd_py/42/{ID}.info",
        f".tusd_py//{ID}.info",
        f".tusd_py/{ID}.info",
        ".tusd_py/42/",
        ".tusd_py/42/.info",
        ".tusd_py/42/notes.info",
        f".tusd_py/42/{ID.upper()}x.info",
        f".tusd_py/42/43/{ID}.info",
        f".tusd_py/42/{ID}/x.info",
        ".tusd_py/probe-0a1b",
    ],
)
def test_what_is_not_ours(key: str) -> None:
    """Another's object is none of ours, however alike."""
    assert keys.parse(key) is None


@given(uploads())
def test_a_url_gives_back_the_key(upload: Upload) -> None:
    """A URL is ASCII, with every character that has a meaning there encoded."""
    url = keys.url("https://s3.example", "bucket", keys.data(upload))
    path = url.removeprefix("https://s3.example/bucket/")

    assert unquote(path) == keys.data(upload)
    assert url.isascii()
    assert not set(path) & set(" ?#\"<>\\^`{|}'&+,;=:@[]!$()*")
    assert path.count("/") == 2


def test_a_url() -> None:
    """What the main service is told."""
    upload = replace(UPLOAD, filename="ü 100%?#~a+b.mp3")

    assert (
        keys.url("http://127.0.0.1:8333", "my-bucket", keys.data(upload))
        == "http://127.0.0.1:8333/my-bucket/42/123/%C3%BC%20100%25%3F%23~a%2Bb.mp3"
    )
