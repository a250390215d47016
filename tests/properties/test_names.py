"""Names: whatever a client chooses, one harmless path segment inside its own folder."""

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.properties.texts import names, segments
from tests.uploads import LIFE, NOW
from tusd_py.names import MAX_BYTES, is_segment, safe_filename
from tusd_py.representation import disposition, media_type, safe_media_type
from tusd_py.storage.local.paths import Paths
from tusd_py.storage.s3 import keys
from tusd_py.upload import NewUpload, Upload, is_upload_id, new_upload

ROOT = Path("/data")
ID = "6b3ff4b0-2f6a-4d3e-9d3c-0a1b2c3d4e5f"
HARMLESS = re.compile(r"[^/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


@given(names.filter(bool))
def test_every_name_becomes_a_segment(name: str) -> None:
    """No separators, no control characters, not `.` or `..`, at most 255 bytes of UTF-8."""
    safe = safe_filename(name)

    assert HARMLESS.fullmatch(safe)
    assert safe not in {".", ".."}
    assert 0 < len(safe.encode()) <= MAX_BYTES


@given(names.filter(bool))
def test_a_safe_name_is_kept(name: str) -> None:
    """What was made safe, or was harmless from the beginning, stays byte for byte."""
    safe = safe_filename(name)

    assert safe_filename(safe) == safe
    if HARMLESS.fullmatch(name) and name not in {".", ".."}:
        assert safe == name or len(name.encode()) > MAX_BYTES


@given(names)
def test_an_owner_is_a_visible_segment(name: str) -> None:
    """A user id or a file id is taken as it is or not at all; none begins with a dot."""
    if is_segment(name):
        assert HARMLESS.fullmatch(name)
        assert not name.startswith(".")
        assert len(name.encode()) <= MAX_BYTES


def made(owner: str, file_id: str | None, filename: str) -> Upload:
    """The upload of a client that chose these names."""
    new = NewUpload(owner=owner, filename=safe_filename(filename), declared_file_id=file_id)
    return new_upload(new, upload_id=ID, now=NOW, expires_after=LIFE)


@given(segments, st.none() | segments, names.filter(bool))
def test_no_path_leaves_its_folder(owner: str, file_id: str | None, filename: str) -> None:
    """Every path of an upload lies in its owner's folder of the data folder."""
    upload = made(owner, file_id, filename)
    paths = Paths(ROOT)
    final = Path(paths.place(upload))

    assert final.parent.parent == ROOT / "final" / owner
    assert ".." not in final.parts
    for path in (paths.info(upload), paths.data(upload), paths.claim(upload)):
        assert Path(path).parent == ROOT / "uploads" / owner
    assert Path(paths.chunks(upload)).parent == ROOT / "uploads" / owner


@given(segments, st.none() | segments, names.filter(bool))
def test_no_key_is_another_owners(owner: str, file_id: str | None, filename: str) -> None:
    """Every key of an upload begins with its owner; no finished file hides among the records."""
    upload = made(owner, file_id, filename)

    assert upload.place.split("/")[0] == owner
    assert len(upload.place.split("/")) == 3
    assert not upload.place.startswith(keys.ROOT)
    assert keys.parse(keys.info(owner, upload.id)) == keys.Kept(owner, upload.id, "info")
    assert keys.info(owner, upload.id).startswith(keys.of_owner(owner))


@given(
    names | st.builds("{}{}/{}.{}".format, st.just(keys.ROOT), names, st.just(ID) | segments, names)
)
def test_any_key_is_read(key: str) -> None:
    """A key in the bucket is one of ours, told to the letter, or none."""
    kept = keys.parse(key)

    if kept is not None:
        assert is_upload_id(kept.upload_id)
        assert "/" not in kept.owner
        assert key in {
            f"{keys.ROOT}{kept.owner}/{kept.upload_id}.{kept.kind}",
            f"{keys.ROOT}{kept.owner}/{kept.upload_id}",
        }


@given(names.filter(bool))
def test_a_name_stays_inside_its_header(name: str) -> None:
    """Content-Disposition is one line of ASCII with the name in one pair of quotes, and again
    without any character that ends a parameter (RFC 6266, RFC 8187)."""
    pattern = r"attachment; filename=\"[ !#-\[\]-~]*\"; filename\*=UTF-8''[A-Za-z0-9._~!#$&^`|+%-]*"

    assert re.fullmatch(pattern, disposition(safe_filename(name)))


@given(names | st.sampled_from(["text/html", "TEXT/HTML; charset=x", "image/svg+xml", "a/b"]))
def test_a_type_stays_inside_its_header(claimed: str) -> None:
    """Content-Type is one line of ASCII, and none that a browser would run."""
    safe = safe_media_type(claimed)

    assert re.fullmatch(r"[!-~]+(?: ?[!-~]+)?", media_type(claimed))
    assert re.fullmatch(r"[!-~]+(?: ?[!-~]+)?", safe)
    assert not re.search("html|svg|javascript", safe, re.I)
