"""Range of a download: bytes that the file has, all of it, or a refusal."""

import re

from hypothesis import given
from hypothesis import strategies as st

from tests.properties.texts import fields
from tusd_py.web.download import span
from tusd_py.web.errors import RangeNotSatisfiable

numbers = st.integers(0, 200).map(str) | st.text("0123456789", max_size=21)
ranges = st.builds("bytes={}-{}".format, numbers, numbers) | fields


@given(ranges, st.integers(0, 100))
def test_a_span_lies_in_the_file(asked: str, size: int) -> None:
    """A range is at least one byte of the file; else it is refused with the size, or is all."""
    try:
        found = span(asked, size)
    except RangeNotSatisfiable as refusal:
        assert refusal.size == size
        assert re.fullmatch(r"bytes=\s*[0-9]*-[0-9]*", asked.strip(), re.I)
    else:
        assert found is None or 0 <= found[0] < found[1] <= size


@given(st.integers(1, 100), st.data())
def test_every_byte_can_be_asked_for(size: int, data: st.DataObject) -> None:
    """From any byte to any later one, to the end, or the last so many: exactly these."""
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first, size + 50))

    assert span(f"bytes={first}-{last}", size) == (first, min(last + 1, size))
    assert span(f"bytes={first}-", size) == (first, size)
    assert span(f"bytes=-{last + 1}", size) == (max(0, size - last - 1), size)
