"""The header fields of tus 1.0.0, text to values."""

import base64
from datetime import UTC, datetime

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from tusd_py.checksum import ALGORITHMS, Checksum
from tusd_py.errors import BadRequest, MetadataTooLarge, UnsupportedMediaType
from tusd_py.upload import Final, Partial
from tusd_py.web import tus_headers
from tusd_py.web.tus_headers import Headers

BASES = ("/files/", "http://h/files/")
SHA1 = "Kq5sNclPz7QV2+lfQIuc6R7oRu0="


def headers(*fields: tuple[str, str]) -> Headers:
    """The header of a request."""
    return CIMultiDictProxy(CIMultiDict(fields))


# --- numbers


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), ("007", 7), (" 7\t", 7), ("9" * 19, int("9" * 19))]
)
def test_a_number(text: str, expected: int) -> None:
    """Digits are a number, with blanks around them as HTTP allows."""
    assert tus_headers.number(headers(("Upload-Offset", text)), "Upload-Offset") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-1",
        "+1",
        "1.0",
        "1e3",
        "0x10",
        "abc",
        "1_0",
        "\u0661",
        "\u00b2",
        "1,1",
        "1 1",
        "9" * 400,
    ],
)
def test_no_number(text: str) -> None:
    """What `int` would take but no client means is refused, and the field is named."""
    with pytest.raises(BadRequest, match="Upload-Offset"):
        tus_headers.number(headers(("Upload-Offset", text)), "Upload-Offset")


def test_a_field_comes_once() -> None:
    """Duplicate lines are refused, equal or not."""
    twice = headers(("Upload-Offset", "1"), ("upload-offset", "1"))

    with pytest.raises(BadRequest, match="once"):
        tus_headers.number(twice, "Upload-Offset")


def test_an_offset_is_needed() -> None:
    """A PATCH without Upload-Offset is refused."""
    with pytest.raises(BadRequest, match="Upload-Offset"):
        tus_headers.offset(headers())


# --- length


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([("Upload-Length", "7")], 7),
        ([("Upload-Length", "0")], 0),
        ([("Upload-Defer-Length", "1")], None),
    ],
)
def test_a_length(fields: list[tuple[str, str]], expected: int | None) -> None:
    """Either a length, or that it is deferred."""
    assert tus_headers.length(headers(*fields)) == expected


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("Upload-Length", "7"), ("Upload-Defer-Length", "1")],
        [("Upload-Defer-Length", "0")],
        [("Upload-Defer-Length", "2")],
        [("Upload-Defer-Length", "true")],
        [("Upload-Defer-Length", "")],
        [("Upload-Length", "x")],
    ],
)
def test_no_length(fields: list[tuple[str, str]]) -> None:
    """Neither, both, and another value of Upload-Defer-Length than 1 are refused."""
    with pytest.raises(BadRequest):
        tus_headers.length(headers(*fields))


# --- metadata


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("filename d29ybGQ=", {"filename": b"world"}),
        ("filename d29ybGQ=,is_confidential", {"filename": b"world", "is_confidential": b""}),
        ("k ", {"k": b""}),
        ("a YQ==, b Yg==", {"a": b"a", "b": b"b"}),
        ("k //79", {"k": b"\xff\xfe\xfd"}),
        ("!#~ YQ==", {"!#~": b"a"}),
    ],
)
def test_metadata(header: str, values: dict[str, bytes]) -> None:
    """Pairs of a key and Base64, or a key alone; the header is kept as it came."""
    metadata = tus_headers.metadata(headers(("Upload-Metadata", header)))

    assert metadata is not None
    assert metadata.header == header
    assert metadata.values == values


@pytest.mark.parametrize("fields", [[], [("Upload-Metadata", "")]])
def test_no_metadata(fields: list[tuple[str, str]]) -> None:
    """No header, or an empty one, is no metadata."""
    assert tus_headers.metadata(headers(*fields)) is None


@pytest.mark.parametrize(
    "header",
    [
        ",",
        "a YQ==,",
        "a YQ==,a YQ==",
        "k !!!",
        "k YQ",
        "k YQ=",
        "k Y=Q=",
        "k YQ== x",
        "k  YQ==",
        "ä YQ==",
        "k\tYQ==",
        "k YQ-_",
    ],
)
def test_broken_metadata(header: str) -> None:
    """Empty and duplicate keys, spaces in keys and what is not Base64 are refused."""
    with pytest.raises(BadRequest, match="Upload-Metadata"):
        tus_headers.metadata(headers(("Upload-Metadata", header)))


@pytest.mark.parametrize(
    "fields",
    [
        [("Upload-Metadata", "k YWJj")],
        [("Upload-Metadata", "k"), ("Upload-Metadata", "YWJjZ")],
        [("Upload-Metadata", "\udce4" * 6)],
        [("Upload-Metadata", "ä" * 3)],
    ],
)
def test_metadata_has_an_end(fields: list[tuple[str, str]]) -> None:
    """More bytes than may be, as they were sent, are refused before they are looked at."""
    with pytest.raises(MetadataTooLarge, match="at most 5 bytes"):
        tus_headers.metadata(headers(*fields), 5)


def test_metadata_may_be_as_long_as_said() -> None:
    """Exactly the limit works."""
    assert tus_headers.metadata(headers(("Upload-Metadata", "k YWJj")), 6) is not None


def test_metadata_comes_once() -> None:
    """Two lines are refused."""
    with pytest.raises(BadRequest, match="once"):
        tus_headers.metadata(headers(("Upload-Metadata", "a"), ("Upload-Metadata", "b")))


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("filename YQ==,name Yg==", "a"),
        ("name Yg==", "b"),
        ("filename,name Yg==", "b"),
        ("other YQ==", None),
        ("filename /w==", "\ufffd"),
    ],
)
def test_a_text_of_metadata(header: str, text: str | None) -> None:
    """The first name that has a value counts; bytes that are no UTF-8 are replaced."""
    metadata = tus_headers.metadata(headers(("Upload-Metadata", header)))

    assert metadata is not None
    assert metadata.text("filename", "name") == text


# --- checksum


def test_a_checksum() -> None:
    """An algorithm, a space, and the digest in Base64."""
    checksum = tus_headers.checksum(headers(("Upload-Checksum", f"sha1 {SHA1}")))

    assert checksum == Checksum(algorithm="sha1", digest=base64.b64decode(SHA1))


def test_no_checksum() -> None:
    """A body need not have one."""
    assert tus_headers.checksum(headers()) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "sha1",
        "sha1 ",
        "sha1 !!!",
        f"sha1  {SHA1}",
        f"SHA1 {SHA1}",
        f"foo {SHA1}",
        "sha1 YQ==",
        f"sha1 {SHA1} x",
        f"sha1,{SHA1}",
    ],
)
def test_a_broken_checksum(value: str) -> None:
    """Unknown algorithms, wrong sizes and what is not Base64 are refused."""
    with pytest.raises(BadRequest, match="Upload-Checksum"):
        tus_headers.checksum(headers(("Upload-Checksum", value)))


def test_a_checksum_in_a_trailer_is_refused() -> None:
    """Trailers are not read, so a client must not believe that it is protected."""
    with pytest.raises(BadRequest, match="trailers"):
        tus_headers.checksum(headers(("Trailer", "Upload-Checksum")))


@pytest.mark.parametrize("name", ["upload-checksum", "Expires, UPLOAD-CHECKSUM"])
def test_a_checksum_in_a_trailer_is_refused_in_any_case(name: str) -> None:
    """Field names have no case (RFC 9110, 5.1)."""
    with pytest.raises(BadRequest, match="trailers"):
        tus_headers.checksum(headers(("Trailer", name)))


def test_all_algorithms_are_announced_in_small_letters() -> None:
    """Tus-Checksum-Algorithm is ASCII without uppercase letters, and names sha1."""
    assert "sha1" in ALGORITHMS
    assert all(name == name.lower() and name.isascii() for name in ALGORITHMS)


# --- concat


def test_partial() -> None:
    """`partial` is a piece of a later concatenation."""
    assert tus_headers.concat(headers(("Upload-Concat", "partial")), BASES) == Partial()


def test_no_concat() -> None:
    """Most uploads are neither."""
    assert tus_headers.concat(headers(), BASES) is None


@pytest.mark.parametrize(
    ("value", "partials"),
    [
        ("final;/files/a /files/b", ("a", "b")),
        ("final;/files/a", ("a",)),
        ("final; /files/a  /files/a", ("a", "a")),
        ("final;http://h/files/a b", ("a", "b")),
    ],
)
def test_final(value: str, partials: tuple[str, ...]) -> None:
    """`final;` and URLs, absolute or relative, in order; the header is kept as it came."""
    found = tus_headers.concat(headers(("Upload-Concat", value)), BASES)

    assert found == Final(partials=partials, header=value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "foo",
        "Partial",
        "Final;/files/a",
        "final",
        "final;",
        "final; ",
        "final;http://other/files/a",
        "final;/other/a",
        "final;../a",
        "final;/files",
        "final;//h/files/a",
    ],
)
def test_a_broken_concat(value: str) -> None:
    """Other words, empty lists and foreign addresses are refused."""
    with pytest.raises(BadRequest, match="Upload-Concat"):
        tus_headers.concat(headers(("Upload-Concat", value)), BASES)


# --- the rest


@pytest.mark.parametrize(
    "value",
    ["application/offset+octet-stream", "Application/Offset+Octet-Stream; x=y"],
)
def test_the_media_type(value: str) -> None:
    """In any case, and with parameters."""
    tus_headers.require_media_type(headers(("Content-Type", value)))


@pytest.mark.parametrize("value", ["", "text/plain", "application/octet-stream", "offset"])
def test_another_media_type(value: str) -> None:
    """Anything else is refused, and the right one is named."""
    with pytest.raises(UnsupportedMediaType, match=r"application/offset\+octet-stream"):
        tus_headers.require_media_type(headers(("Content-Type", value)))


def test_no_media_type() -> None:
    """So is a body of no type."""
    with pytest.raises(UnsupportedMediaType):
        tus_headers.require_media_type(headers())


def test_a_date() -> None:
    """An IMF-fixdate (RFC 9110, 5.6.7)."""
    moment = datetime(2014, 6, 25, 16, 0, 0, 999999, tzinfo=UTC)

    assert tus_headers.http_date(moment) == "Wed, 25 Jun 2014 16:00:00 GMT"
