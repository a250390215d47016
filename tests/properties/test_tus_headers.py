"""The header fields of tus: a value or a refusal, and values survive the way there and back."""

import re
from base64 import b64encode

from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from tests.properties.texts import fields
from tusd_py.checksum import Checksum
from tusd_py.errors import BadRequest, UnsupportedMediaType
from tusd_py.upload import Final, Partial
from tusd_py.web import tus_headers

BASES = {"/files/", "https://e.org/files/"}
digits = st.text("0123456789", min_size=1, max_size=22)
base64s = st.binary(max_size=40).map(lambda data: b64encode(data).decode())
keys = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=","), min_size=1
)
lists = st.lists(st.tuples(keys, base64s | fields).map(" ".join) | fields).map(",".join)
concats = st.lists(st.sampled_from([*BASES, "..", "//", "final;", "partial", " "]) | fields).map(
    lambda parts: "final;" + "".join(parts)
)


def headers(name: str, *values: str) -> CIMultiDictProxy[str]:
    """The header of a request with some lines of one field."""
    return CIMultiDictProxy(CIMultiDict([(name, value) for value in values]))


@given(st.lists(digits | fields, max_size=2))
def test_a_number_is_digits(values: list[str]) -> None:
    """A number is 1 to 19 ASCII digits on one line; all else is refused."""
    try:
        number = tus_headers.number(headers("Upload-Offset", *values), "Upload-Offset")
    except BadRequest:
        is_number = len(values) == 1 and re.fullmatch(r"[0-9]{1,19}", values[0].strip(" \t"))
        assert not is_number
    else:
        assert number == (int(values[0]) if values else None)
        assert number is None or 0 <= number < 10**19


@given(st.lists(digits | fields, max_size=2), st.lists(st.just("1") | fields, max_size=2))
def test_a_length_is_told_once(lengths: list[str], deferred: list[str]) -> None:
    """Either one length, or one `Upload-Defer-Length: 1`."""
    lines = [("Upload-Length", value) for value in lengths]
    lines += [("Upload-Defer-Length", value) for value in deferred]
    try:
        length = tus_headers.length(CIMultiDictProxy(CIMultiDict(lines)))
    except BadRequest:
        return

    assert len(lines) == 1
    assert (length is None) == bool(deferred)


@given(st.dictionaries(keys, st.binary(max_size=40), min_size=1))
def test_metadata_comes_back(values: dict[str, bytes]) -> None:
    """Every key with every bytes is read as it was written, and the header is kept as it is."""
    line = ",".join(f"{key} {b64encode(value).decode()}" for key, value in values.items())
    metadata = tus_headers.metadata(headers("Upload-Metadata", line))

    assert metadata is not None
    assert metadata.values == values
    assert metadata.header == line


@given(lists | fields)
def test_any_metadata_is_read_or_refused(line: str) -> None:
    """Metadata is a value or a refusal; what is accepted has ASCII keys and is one line."""
    try:
        metadata = tus_headers.metadata(headers("Upload-Metadata", line))
    except BadRequest:
        return

    assert metadata is None or all(key.isascii() and " " not in key for key in metadata.values)
    assert metadata is None or re.fullmatch(r"[\x20-\x7e]*", metadata.header)
    if metadata is not None:
        metadata.text(*metadata.values)


@given(st.sampled_from([("sha1", 20), ("sha256", 32), ("md5", 16), ("crc32", 4)]), st.data())
def test_a_checksum_comes_back(algorithm: tuple[str, int], data: st.DataObject) -> None:
    """Every digest is read as it was written."""
    name, size = algorithm
    digest = data.draw(st.binary(min_size=size, max_size=size))
    line = f"{name} {b64encode(digest).decode()}"
    checksum = tus_headers.checksum(headers("Upload-Checksum", line))

    assert checksum == Checksum(algorithm=name, digest=digest)


@given(st.lists(st.tuples(st.just("sha1"), base64s).map(" ".join) | fields, max_size=2))
def test_any_checksum_is_read_or_refused(values: list[str]) -> None:
    """A checksum is a value or a refusal."""
    try:
        checksum = tus_headers.checksum(headers("Upload-Checksum", *values))
    except BadRequest:
        return

    assert (checksum is None) == (not values)


@given(st.lists(st.tuples(st.sampled_from(["", *BASES]), st.uuids(version=4)), min_size=1))
def test_a_concatenation_comes_back(parts: list[tuple[str, object]]) -> None:
    """The ids of a concatenation are those of its URLs, in their order, however written."""
    line = "final;" + " ".join(f"{base}{upload_id}" for base, upload_id in parts)
    final = tus_headers.concat(headers("Upload-Concat", line), BASES)

    assert isinstance(final, Final)
    assert final.partials == tuple(str(upload_id) for _, upload_id in parts)
    assert final.header == line


@given(concats | fields)
def test_any_concatenation_is_read_or_refused(line: str) -> None:
    """A concatenation is a value or a refusal; no id that is accepted came from another path."""
    try:
        concat = tus_headers.concat(headers("Upload-Concat", line), BASES)
    except BadRequest:
        return

    assert isinstance(concat, Partial | Final)
    if isinstance(concat, Final):
        assert concat.partials
        assert concat.header.startswith("final;")
        assert concat.header.isascii()
        assert concat.header.isprintable()


@given(fields | st.builds("{}{}".format, st.just(tus_headers.MEDIA_TYPE), fields))
def test_any_media_type_is_taken_or_refused(value: str) -> None:
    """A media type is the one of tus, with or without parameters, or is refused."""
    try:
        tus_headers.require_media_type(headers("Content-Type", value))
    except UnsupportedMediaType:
        assert value != tus_headers.MEDIA_TYPE
    else:
        assert value.strip().lower().startswith(tus_headers.MEDIA_TYPE)
