"""How a finished file describes itself: a safe name and a safe type."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusd_py.representation import UNKNOWN, disposition, media_type, safe_media_type

# --- names


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("audio.mp3", "audio.mp3"),
        ("ü 文件.mp3", "_ __.mp3"),
        ('a"b\\c%20.txt', "a_b_c_20.txt"),
        ("a;b=c.txt", "a;b=c.txt"),
        ("a'b(c).txt", "a'b(c).txt"),
        ("a\r\nSet-Cookie: x", "a__Set-Cookie: x"),
    ],
)
def test_a_name_is_told_twice(name: str, plain: str) -> None:
    """An ASCII name for old clients, and the true one for all others (RFC 6266, 8187)."""
    value = disposition(name)

    assert value.startswith(f'attachment; filename="{plain}"; filename*=')
    assert unquote(value.partition("filename*=UTF-8''")[2]) == name
    assert value.isascii()
    assert "\r" not in value
    assert "\n" not in value


def test_a_name_that_is_no_unicode() -> None:
    """A lone surrogate does not fail the download."""
    assert disposition("a\udcff").isascii()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_name_is_told_exactly(name: str) -> None:
    """Whatever Unicode a name is made of, the header field is ASCII that gives it back."""
    value = disposition(name)
    plain, _, exact = value.partition("\"; filename*=UTF-8''")
    quoted = plain.removeprefix('attachment; filename="')

    assert value.isascii()
    assert value.isprintable()
    assert '"' not in quoted
    assert unquote(exact) == name


# --- types


@pytest.mark.parametrize(
    "claimed",
    [
        "audio/mpeg",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "text/plain",
        "text/plain; charset=utf-8",
        "text/plain;charset=UTF-8",
        "image/png",
    ],
)
def test_a_type_is_believed(claimed: str) -> None:
    """A type that only names what the file is."""
    assert media_type(claimed) == claimed
    assert safe_media_type(claimed) == claimed


@pytest.mark.parametrize(
    "claimed",
    [
        None,
        "",
        "audio",
        "audio/",
        "/mpeg",
        "audio/mpeg\r\nX: y",
        "audio/mpeg\n",
        "audio/mpeg; x=y",
        "ä/ö",
        "a/" + "b" * 200,
    ],
)
def test_what_is_no_type_is_not_believed(claimed: str | None) -> None:
    """What is no type says nothing of the bytes."""
    assert media_type(claimed) == UNKNOWN
    assert safe_media_type(claimed) == UNKNOWN


@pytest.mark.parametrize(
    "claimed",
    [
        "text/html",
        "TEXT/HTML; charset=utf-8",
        "application/xhtml+xml",
        "image/svg+xml",
        "text/xml",
        "application/xml",
        "text/javascript",
        "application/javascript",
    ],
)
def test_what_runs_in_a_browser_is_not_told_to_one(claimed: str) -> None:
    """The type is kept for the owner's own use, but a browser gets just bytes."""
    assert media_type(claimed) == claimed
    assert safe_media_type(claimed) == UNKNOWN


@given(st.none() | st.text())
def test_no_claim_breaks_a_header(claimed: str | None) -> None:
    """Whatever a client claims, what is told is one printable ASCII value."""
    for told in (media_type(claimed), safe_media_type(claimed)):
        assert told.isascii()
        assert told.isprintable()
        assert told
