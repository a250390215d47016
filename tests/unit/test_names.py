"""Names that clients choose, as path segments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusd_py.errors import BadRequest
from tusd_py.names import MAX_BYTES, is_segment, safe_filename


@pytest.mark.parametrize(
    "name",
    ["audio.mp3", "ü 文件 🎧.mp3", '"quoted"', "%20", "a?b#c", "..a", ".hidden", "con", "é" * 127],
)
def test_a_harmless_name_stays(name: str) -> None:
    """A harmless name is kept byte for byte."""
    assert safe_filename(name) == name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a/b", "a_b"),
        ("a\\b", "a_b"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("a\x00b", "a_b"),
        ("a\r\nb", "a__b"),
        ("a\x7fb\x85c", "a_b_c"),
        ("a\udc80b", "a_b"),
        (".", "_"),
        ("..", "__"),
        ("/", "_"),
    ],
)
def test_a_harmful_name_is_made_harmless(name: str, safe: str) -> None:
    """Separators, control characters, lone surrogates and dot names become underscores."""
    assert safe_filename(name) == safe


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("x" * 300, "x" * 255),
        ("x" * 300 + ".mp3", "x" * 251 + ".mp3"),
        ("é" * 200 + ".mp3", "é" * 125 + ".mp3"),
        ("🎧" * 100, "🎧" * 63),
        ("x." + "y" * 300, "x." + "y" * 253),
        ("x" * 300 + "." + "y" * 32, "x" * 222 + "." + "y" * 32),
        ("x" * 300 + "." + "y" * 33, "x" * 255),
    ],
)
def test_a_long_name_keeps_its_extension(name: str, safe: str) -> None:
    """A name over 255 bytes of UTF-8 loses the end of its stem, never half a character."""
    assert safe_filename(name) == safe


def test_an_empty_name_is_refused() -> None:
    """A file has a name."""
    with pytest.raises(BadRequest, match="empty"):
        safe_filename("")


@given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=400))
def test_every_name_becomes_one_segment(name: str) -> None:
    """Whatever the name, the file lies directly in its folder, and a safe name is stable."""
    safe = safe_filename(name)

    assert 0 < len(safe.encode()) <= MAX_BYTES
    assert not {"/", "\\", "\x00", "\n"} & set(safe)
    assert safe not in {".", ".."}
    assert safe_filename(safe) == safe


@pytest.mark.parametrize("name", ["42", "user-7", "a@b.c", "ü", "x" * 255, "é" * 127])
def test_a_segment(name: str) -> None:
    """What can be a path segment as it is."""
    assert is_segment(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".x", "a/b", "a\\b", "a\x00", "a\n", "\x7f", "\udc80", "x" * 256, "é" * 128],
)
def test_no_segment(name: str) -> None:
    """What is empty, hidden, too long, or would lead elsewhere."""
    assert not is_segment(name)
