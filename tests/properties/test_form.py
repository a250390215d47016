"""The form of a REST chunk: however it is cut, ordered or broken, one meaning or a refusal."""

import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import MemoryBody
from tests.properties.texts import fields
from tusd_py.errors import BadRequest, TooLarge, UnsupportedMediaType
from tusd_py.web import form as module
from tusd_py.web.form import chunk_form

SPOOL = Path(tempfile.gettempdir())
BCHARS = "0123456789abcABC'()+_,-./:=?"
boundaries = st.text(BCHARS, min_size=1, max_size=70)
cuts = st.lists(st.integers(0, 400), max_size=12)
Said = tuple[str, str, bytes] | str


def split(data: bytes, at: Sequence[int]) -> list[bytes]:
    """The bytes as they may come over a network."""
    edges = sorted({0, len(data), *(each % (len(data) + 1) for each in at)})
    return [data[start:stop] for start, stop in pairwise(edges)]


async def said(blocks: Sequence[bytes], content_type: str, *, is_large: bool = False) -> Said:
    """What a form says; the reason of the refusal where it is refused. With `is_large` as if it
    were a large one, in which the storage looks for the end of the chunk."""
    with pytest.MonkeyPatch.context() as patch:
        if is_large:
            patch.setattr(module, "MANY", 100)
            patch.setattr(module, "PIECE", 60)
        try:
            async with chunk_form(
                MemoryBody(*blocks), content_type, spool=SPOOL, max_size=1000
            ) as form:
                data = b""
                while (block := await form.chunk.arrive()) is not None and block.most:
                    data += block.take()
                return form.upload_session_id, form.chunk_index, data
        except (BadRequest, UnsupportedMediaType, TooLarge) as refusal:
            return type(refusal).__name__


def part(boundary: str, name: str, data: bytes) -> bytes:
    """One part of a form."""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
    return head.encode() + data + b"\r\n"


def typed(boundary: str) -> str:
    """The Content-Type of a form."""
    return f'multipart/form-data; boundary="{boundary}"'


@st.composite
def forms(draw: st.DrawFn) -> tuple[str, bytes, tuple[str, str, bytes]]:
    """A boundary, a whole form with it, and what the form says."""
    boundary = draw(boundaries)
    near = st.sampled_from([f"\r\n--{boundary}"[:-1].encode(), b"\r\n--", b"\r", b"\n", b"--\r\n"])
    chunk = b"".join(draw(st.lists(near | st.binary(max_size=30), max_size=6)))
    chunk = chunk.replace(f"\r\n--{boundary}".encode(), b"").replace(f"--{boundary}".encode(), b"")
    upload_id = draw(st.text(max_size=40))
    index = draw(st.text("0123456789", max_size=19))
    known = [
        part(boundary, "upload_session_id", upload_id.encode()),
        part(boundary, "chunk_index", index.encode()),
        part(boundary, "chunk", chunk),
    ]
    others = draw(st.lists(st.sampled_from([b"", b"x" * 50]), max_size=2))
    pieces = draw(st.permutations([*known, *(part(boundary, "other", each) for each in others)]))
    return (
        boundary,
        b"".join(pieces) + f"--{boundary}--\r\n".encode(),
        (upload_id, index, chunk),
    )


@settings(max_examples=100)
@given(forms(), cuts)
async def test_every_split_says_the_same(
    form: tuple[str, bytes, tuple[str, str, bytes]], at: list[int]
) -> None:
    """Fields in any order, other fields between them, a chunk that looks like a boundary, and
    packets cut anywhere: the form says what was put into it."""
    boundary, data, expected = form

    for is_large in (False, True):
        assert await said(split(data, at), typed(boundary), is_large=is_large) == expected


@settings(max_examples=100)
@given(forms(), st.integers(0), st.binary(max_size=8), cuts)
async def test_a_broken_form_says_the_same_in_every_split(
    form: tuple[str, bytes, tuple[str, str, bytes]], where: int, noise: bytes, at: list[int]
) -> None:
    """Bytes put in anywhere, and any cuts: one meaning, the same as in one piece, or a refusal."""
    boundary, data, _ = form
    position = where % (len(data) + 1)
    broken = data[:position] + noise + data[position + len(noise) :]
    whole = await said([broken], typed(boundary))

    for is_large in (False, True):
        assert await said(split(broken, at), typed(boundary), is_large=is_large) == whole


@settings(max_examples=100)
@given(forms(), st.integers(0))
async def test_a_cut_form_is_refused(
    form: tuple[str, bytes, tuple[str, str, bytes]], where: int
) -> None:
    """A form without its closing boundary is no form."""
    boundary, data, _ = form
    end = data.rindex(f"--{boundary}--".encode()) + len(boundary) + 4

    for is_large in (False, True):
        cut = await said([data[: where % end]], typed(boundary), is_large=is_large)
        assert isinstance(cut, str)


@given(st.lists(st.binary(max_size=60), max_size=4), boundaries)
async def test_any_bytes_are_refused(blocks: list[bytes], boundary: str) -> None:
    """Bytes that are no form are a refusal, never a failure."""
    assert isinstance(await said(blocks, typed(boundary)), str)


@given(
    fields
    | st.builds("multipart/form-data; boundary={}".format, fields)
    | st.builds('multipart/form-data; {}; boundary="{}"'.format, fields, fields)
)
async def test_any_content_type_is_read_or_refused(content_type: str) -> None:
    """A Content-Type is a boundary or a refusal."""
    assert isinstance(await said([b""], content_type), str)
