"""What a finished object says of itself: within S3's 2 KB of ASCII, and truly whose it is."""

import re
from base64 import b64encode
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.uploads import UPLOAD
from tusd_py.storage.s3.description import MAX_METADATA, UPLOAD_ID, described

OWN = {UPLOAD_ID: UPLOAD.id}


def pair(name: str, value: str) -> str:
    """A pair of Upload-Metadata."""
    return f"{name} {b64encode(value.encode()).decode()}"


def metadata(*pairs: str) -> dict[str, str]:
    """What the object of an upload with such metadata carries."""
    return dict(described(replace(UPLOAD, metadata=",".join(pairs))).metadata)


def size(carried: dict[str, str]) -> int:
    """As S3 counts it: the bytes of all names and values."""
    return sum(len(name.encode()) + len(value.encode()) for name, value in carried.items())


def test_type_and_name() -> None:
    """The object is served with the client's type, as a download under the upload's name."""
    told = described(replace(UPLOAD, content_type="audio/mpeg", filename="ü.mp3"))

    assert told.content_type == "audio/mpeg"
    assert told.disposition == "attachment; filename=\"_.mp3\"; filename*=UTF-8''%C3%BC.mp3"


@pytest.mark.parametrize("claimed", [None, "", "nonsense", "a/b\r\nx: y"])
def test_a_type_that_is_none(claimed: str | None) -> None:
    """Without a type that is one, an object is just bytes."""
    told = described(replace(UPLOAD, content_type=claimed))

    assert told.content_type == "application/octet-stream"


@pytest.mark.parametrize("header", [None, "", ",", "filename", " , "], ids=repr)
def test_whose_it_is(header: str | None) -> None:
    """Without metadata an object still tells to which upload it belongs."""
    assert described(replace(UPLOAD, metadata=header)).metadata == OWN


def test_the_metadata_of_the_client() -> None:
    """What the client said goes with the object, with names in lower case."""
    carried = metadata(pair("filename", "a b.mp3"), pair("Project-7", "x"), pair("a_b.c", "1"))

    assert carried == {**OWN, "filename": "a b.mp3", "project-7": "x", "a_b.c": "1"}


@pytest.mark.parametrize("name", ["upload-id", "Upload-Id", "UPLOAD-ID"])
def test_whose_it_is_cannot_be_claimed(name: str) -> None:
    """A client cannot make its file another upload's."""
    assert metadata(pair(name, "another"), pair("a", "b")) == {**OWN, "a": "b"}


@pytest.mark.parametrize(
    "value", ["ü", "a\nb", "a\r\nX: y", "\x00", "\x7f", " a", "a ", "a  b", "a\tb", "", "\ufeffa"]
)
def test_values_that_no_header_holds_are_left_out(value: str) -> None:
    """A value that is not printable ASCII, or that a header field would change, is left out."""
    assert metadata(pair("a", value), pair("b", "c")) == {**OWN, "b": "c"}


@pytest.mark.parametrize("name", ["ü", "a b", "-a", ".a", "a:b", "a\r\nb", "", "a" * 129, "a/b"])
def test_names_that_no_header_has_are_left_out(name: str) -> None:
    """So is a name that is none of a header field."""
    assert metadata(pair(name, "x"), pair("b", "c")) == {**OWN, "b": "c"}


@pytest.mark.parametrize("encoded", ["!", "YQ", "YQ=", "ü", "YQ== YQ==", "/w=="])
def test_values_that_cannot_be_read_are_left_out(encoded: str) -> None:
    """A value that is no Base64, or no ASCII behind it, is left out."""
    assert metadata(f"a {encoded}", pair("b", "c")) == {**OWN, "b": "c"}


def test_exactly_two_kilobytes_fit() -> None:
    """S3 counts the bytes of all names and values: 2048 are allowed."""
    space = MAX_METADATA - size(OWN) - len("a")
    carried = metadata(pair("a", "x" * space))

    assert size(carried) == MAX_METADATA == 2048
    assert carried["a"] == "x" * space


def test_more_than_two_kilobytes_are_left_out() -> None:
    """With one byte more only the upload's own id is carried: no half of what was said."""
    space = MAX_METADATA - size(OWN) - len("a") - len("bc")

    assert metadata(pair("b", "c"), pair("a", "x" * (space + 1))) == OWN


def test_a_name_twice_counts_once() -> None:
    """The later of two values of one name is carried, and only it is counted."""
    carried = metadata(pair("a", "x" * 2000), pair("A", "y" * 1900))

    assert carried == {**OWN, "a": "y" * 1900}


@given(st.text() | st.lists(st.tuples(st.text(), st.text())).map(str))
def test_nothing_that_a_client_says_breaks_the_call(header: str) -> None:
    """Whatever the header: names and values that HTTP takes, 2 KB at most, and the true id."""
    carried = metadata(header)

    assert carried[UPLOAD_ID] == UPLOAD.id
    assert size(carried) <= MAX_METADATA
    assert all(re.fullmatch(r"[a-z0-9._-]+", name) for name in carried)
    assert all(re.fullmatch(r"[!-~]+( [!-~]+)*", value) for value in carried.values())


@given(st.dictionaries(st.text(), st.text(max_size=300), max_size=12))
def test_nothing_that_a_client_encodes_breaks_the_call(pairs: dict[str, str]) -> None:
    """Nor does anything that was well encoded."""
    encodable = {
        name: value for name, value in pairs.items() if "," not in name and value.isprintable()
    }
    carried = metadata(*[pair(name, value) for name, value in encodable.items()])

    assert carried[UPLOAD_ID] == UPLOAD.id
    assert size(carried) <= MAX_METADATA
    assert all(re.fullmatch(r"[!-~]+( [!-~]+)*", value) for value in carried.values())
