"""The multipart form of a REST chunk, read as a stream."""

import asyncio
import hashlib
import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fakes import MemoryBody, MemoryStorage
from tusd_py.accounts import Accounts
from tusd_py.block import MemoryBlock
from tusd_py.errors import (
    BadRequest,
    BodyInterrupted,
    QuotaExceeded,
    TooLarge,
    Trouble,
    UnsupportedMediaType,
)
from tusd_py.interfaces import Block, Body, Hasher
from tusd_py.web.form import MANY, MAX_FIELD, MAX_PARTS, STEP, chunk_form

ID = "6b3ff4b0-2f6a-4d3e-9d3c-0a1b2c3d4e5f"
TYPE = "multipart/form-data; boundary=line"
DATA = b"\r\n--lin\r\n--\r\n\x00\xff--line-"
"""A chunk that looks like a boundary where it can."""


SPOOLS_TOO_MUCH = """
import asyncio, resource, sys
from pathlib import Path
from tests.fakes import MemoryBody
from tests.unit.web.test_form import TYPE, part
from tusd_py.web.form import chunk_form

async def main(folder: Path, size: int) -> None:
    form = part("chunk", bytes(300_000))
    body = MemoryBody(*[form[at : at + size] for at in range(0, len(form), size)])
    try:
        async with chunk_form(body, TYPE, spool=folder, max_size=None):
            pass
    except Exception as error:
        print(type(error).__name__)

resource.setrlimit(resource.RLIMIT_FSIZE, (100_500, 100_500))
asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""
"""A process in which no file becomes larger than 100 kB."""


def part(name: str, data: bytes, extra: str = "") -> bytes:
    """One part of a form."""
    disposition = f'Content-Disposition: form-data; name="{name}"{extra}'
    return f"--line\r\n{disposition}\r\n\r\n".encode() + data + b"\r\n"


UPLOAD_ID = part("upload_session_id", ID.encode())
INDEX = part("chunk_index", b"7")
CHUNK = part("chunk", DATA, '; filename="blob"\r\nContent-Type: application/octet-stream')
END = b"--line--\r\n"
FORM = UPLOAD_ID + INDEX + CHUNK + END


async def read(
    body: Body, spool: Path, *, content_type: str = TYPE, max_size: int | None = None
) -> tuple[str, str, bytes]:
    """What a form says, and its chunk."""
    async with chunk_form(body, content_type, spool=spool, max_size=max_size) as form:
        blocks = []
        while block := await form.chunk.read():
            blocks.append(block)
    return form.upload_session_id, form.chunk_index, b"".join(blocks)


EXPECTED = (ID, "7", DATA)


# --- order and split


@pytest.mark.parametrize("order", list(itertools.permutations([UPLOAD_ID, INDEX, CHUNK])))
async def test_fields_in_any_order(order: tuple[bytes, ...], tmp_path: Path) -> None:
    """The fields may come in any order."""
    assert await read(MemoryBody(b"".join(order) + END), tmp_path) == EXPECTED


@pytest.mark.parametrize("form", [FORM, CHUNK + INDEX + UPLOAD_ID + END], ids=["last", "first"])
async def test_a_form_split_anywhere(form: bytes, tmp_path: Path) -> None:
    """Wherever the network cuts a form in two, it says the same."""
    for cut in range(1, len(form)):
        assert await read(MemoryBody(form[:cut], form[cut:]), tmp_path) == EXPECTED, cut


@pytest.mark.parametrize("form", [FORM, CHUNK + INDEX + UPLOAD_ID + END], ids=["last", "first"])
async def test_a_form_in_single_bytes(form: bytes, tmp_path: Path) -> None:
    """A form may come byte by byte."""
    assert await read(MemoryBody(*[bytes([byte]) for byte in form]), tmp_path) == EXPECTED


async def test_a_chunk_is_not_waited_for(tmp_path: Path) -> None:
    """When the texts come first the chunk is read while it arrives."""
    body = MemoryBody(UPLOAD_ID + INDEX + part("chunk", b"x" * 1000)[:-2], is_open=True)
    async with chunk_form(body, TYPE, spool=tmp_path, max_size=None) as form:
        first = await form.chunk.read()
        rest = await form.chunk.read(0.01)

    assert first
    assert rest is None


async def test_a_chunk_that_comes_too_early_is_kept_in_a_file(tmp_path: Path) -> None:
    """It is spooled to an unnamed file: nothing is left, whatever happens."""
    form = CHUNK + INDEX + UPLOAD_ID + END
    async with chunk_form(MemoryBody(form), TYPE, spool=tmp_path, max_size=None) as parsed:
        assert parsed.chunk.size == len(DATA)
        assert os.listdir(tmp_path) == []
    with pytest.raises(BodyInterrupted):
        await read(MemoryBody.broken(CHUNK, error=BodyInterrupted()), tmp_path)

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("form", [FORM, CHUNK + INDEX + UPLOAD_ID + END], ids=["last", "first"])
async def test_an_empty_chunk(form: bytes, tmp_path: Path) -> None:
    """Empty chunks are allowed."""
    assert await read(MemoryBody(form.replace(DATA, b"")), tmp_path) == (ID, "7", b"")


async def test_an_unknown_field_is_skipped(tmp_path: Path) -> None:
    """Fields that nobody knows are ignored, wherever they are."""
    other = part("other", b"x" * 5000)
    form = other + UPLOAD_ID + other + INDEX + CHUNK + other + END

    assert await read(MemoryBody(form), tmp_path) == EXPECTED


async def test_preamble_and_epilogue_are_skipped(tmp_path: Path) -> None:
    """What is around a form does not count (RFC 2046, 5.1.1)."""
    assert await read(MemoryBody(b"\r\n" + FORM + b"\r\n"), tmp_path) == EXPECTED


# --- the boundary


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="line"',
        "Multipart/Form-Data;boundary=line",
        "multipart/form-data; charset=utf-8; boundary=line",
        "multipart/form-data; boundary=line; charset=utf-8",
    ],
)
async def test_the_boundary(content_type: str, tmp_path: Path) -> None:
    """Quoted or not, in any case, among other parameters."""
    assert await read(MemoryBody(FORM), tmp_path, content_type=content_type) == EXPECTED


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/mixed; boundary=line",
        "application/x-www-form-urlencoded",
        "application/json",
        'multipart/form-data; boundary="lïne"',
    ],
)
async def test_no_form(content_type: str, tmp_path: Path) -> None:
    """Another type, or a form without a boundary, is refused before anything is read."""
    body = MemoryBody(FORM)
    with pytest.raises(UnsupportedMediaType, match="multipart/form-data"):
        await read(body, tmp_path, content_type=content_type)

    assert await body.read() == FORM


# --- broken forms


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        (INDEX + CHUNK + END, "upload_session_id"),
        (UPLOAD_ID + CHUNK + END, "chunk_index"),
        (UPLOAD_ID + INDEX + END, "chunk"),
        (END, None),
        (UPLOAD_ID + UPLOAD_ID + INDEX + CHUNK + END, "twice"),
        (UPLOAD_ID + INDEX + INDEX + CHUNK + END, "twice"),
        (UPLOAD_ID + INDEX + CHUNK + CHUNK + END, "twice"),
        (CHUNK + UPLOAD_ID + INDEX + CHUNK + END, "twice"),
        (UPLOAD_ID + INDEX + CHUNK + INDEX + END, "twice"),
        (part("chunk_index", b"7" * (MAX_FIELD + 1)) + CHUNK + END, "too long"),
        (part("chunk_index", b"\xff") + UPLOAD_ID + CHUNK + END, "UTF-8"),
        (b"no form at all", None),
        (b"", None),
        (part("x", b"y") * (MAX_PARTS + 1) + FORM, None),
        (UPLOAD_ID + INDEX + b"--line\r\n" + b"X: " + b"y" * 100_000, None),
        (UPLOAD_ID + INDEX + b"--line\r\nX: y\r\n\r\nz\r\n" + CHUNK + END, None),
    ],
)
async def test_a_broken_form_is_refused(form: bytes, reason: str | None, tmp_path: Path) -> None:
    """A form that lacks a field, has one twice, or is none is refused with one line."""
    with pytest.raises(BadRequest, match=reason) as caught:
        await read(MemoryBody(form), tmp_path)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", [FORM, CHUNK + INDEX + UPLOAD_ID + END], ids=["last", "first"])
async def test_a_form_without_its_end_is_refused(form: bytes, tmp_path: Path) -> None:
    """A form without its closing boundary is refused, wherever it ends: its chunk is not whole."""
    for size in range(len(form) - len(b"--\r\n")):
        with pytest.raises(BadRequest):
            await read(MemoryBody(form[:size]), tmp_path)


async def test_a_form_that_breaks_off_is_interrupted(tmp_path: Path) -> None:
    """A client that goes away is no bad request."""
    body = MemoryBody.broken(FORM[:-20], error=BodyInterrupted())

    with pytest.raises(BodyInterrupted):
        await read(body, tmp_path)


async def test_a_spooled_chunk_has_a_limit(tmp_path: Path) -> None:
    """A chunk that comes before its fields does not fill the disk; exactly the limit fits."""
    form = CHUNK + INDEX + UPLOAD_ID + END
    exact = await read(MemoryBody(form), tmp_path, max_size=len(DATA))

    assert exact == EXPECTED
    with pytest.raises(TooLarge):
        await read(MemoryBody(form), tmp_path, max_size=len(DATA) - 1)


async def test_a_spooled_chunk_counts_until_it_is_read(tmp_path: Path) -> None:
    """What is kept of a chunk before it is known where it belongs is its user's; it counts no more
    once somebody else has it, nor after the request."""
    storage = MemoryStorage()
    accounts = Accounts(storage.usage, max_open=None, quota=len(DATA))
    body = MemoryBody(CHUNK + INDEX + UPLOAD_ID + END)
    account = await accounts.open("42")
    sizes = []
    async with (
        accounts.flight("42") as flight,
        chunk_form(body, TYPE, spool=tmp_path, max_size=None, flight=flight) as form,
    ):
        sizes.append(account.size)
        while await form.chunk.read():
            sizes.append(account.size)

    assert sizes == [len(DATA), 0]
    over = MemoryBody(part("chunk", DATA + b"!") + INDEX + UPLOAD_ID + END)
    with pytest.raises(QuotaExceeded):
        async with (
            accounts.flight("42") as flight,
            chunk_form(over, TYPE, spool=tmp_path, max_size=None, flight=flight),
        ):
            pass
    assert account.size == 0


@pytest.mark.parametrize("block_size", [1000, 100_000])
async def test_a_full_disk_is_told(block_size: int, tmp_path: Path) -> None:
    """A chunk for which there is no space is `NoSpace`, in whatever blocks it comes."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SPOOLS_TOO_MUCH, str(tmp_path), str(block_size)),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        out, _ = await process.communicate()

    assert out == b"NoSpace\n"


async def test_a_missing_folder_is_trouble(tmp_path: Path) -> None:
    """When the chunk cannot be kept, that is the server's trouble, in our words."""
    with pytest.raises(Trouble):
        await read(MemoryBody(CHUNK + INDEX + UPLOAD_ID + END), tmp_path / "nowhere")


@pytest.mark.parametrize("cut", [0, 40, 62, 64, 70])
async def test_a_line_in_a_head_has_one_end(tmp_path: Path, cut: int) -> None:
    """A bare CR or LF in the head of a part is refused, however the form is cut on its way."""
    form = (
        b'--b\r\nContent-Disposition: form-data; name="chunk"; filename="a"\rb\nc: d\r\n\r\nx\r\n'
        b'--b\r\nContent-Disposition: form-data; name="chunk_index"\r\n\r\n7\r\n--b--\r\n'
    )
    body = MemoryBody(form[:cut], form[cut:]) if cut else MemoryBody(form)

    with pytest.raises(BadRequest, match="form is broken"):
        async with chunk_form(
            body, "multipart/form-data; boundary=b", spool=tmp_path, max_size=None
        ) as parsed:
            await parsed.chunk.read()


# --- large chunks, stored by whoever looks for their end

LARGE = MANY + 5
OTHER = part("colour", b"\r\n--lin green" * 100_000)
"""A field that is not known, larger than what is looked through at once."""


async def stored(form: bytes, cuts: tuple[int, ...], at: Path) -> tuple[bytes, bytes]:
    """What lies in the file of the chunk, when the form comes in pieces that end there; and the
    digest of what was seen."""
    ends = [*cuts, len(form)]
    pieces = [form[one:other] for one, other in itertools.pairwise([0, *ends])]
    digest, position = hashlib.sha256(), 0
    async with chunk_form(MemoryBody(*pieces), TYPE, spool=at, max_size=None) as read:
        with (at / "chunk").open("w+b") as file:
            while (block := await read.chunk.arrive(hashers=(digest,))) is not None and block.most:
                position += block.into(file.fileno(), position)
            assert file.seek(0, os.SEEK_END) == position
    return (at / "chunk").read_bytes(), digest.digest()


@pytest.mark.parametrize("behind", [b"", OTHER], ids=["last", "not-last"])
@pytest.mark.parametrize("back", [0, 1, 2, 3, 8, 9, 20, STEP, STEP + 4])
async def test_a_large_chunk_ends_where_it_ends(tmp_path: Path, behind: bytes, back: int) -> None:
    """Wherever the pieces end in which the form comes, the file has the bytes of the chunk, and
    nothing behind them."""
    data = (b"\r\n--lin " + os.urandom(600)) * (2 * LARGE // 600)
    before = UPLOAD_ID + INDEX + part("chunk", data)
    form = before + behind + END
    cut = len(before) + len(b"--line") - back

    found, digest = await stored(form, (len(UPLOAD_ID + INDEX) + 100, cut), tmp_path)

    assert found == data
    assert digest == hashlib.sha256(data).digest()


@pytest.mark.parametrize("behind", [b"\r\n--lin", b"\r\n--lin" * 9, b"\r\r", b"\r"])
async def test_a_large_chunk_may_end_like_a_boundary(tmp_path: Path, behind: bytes) -> None:
    """What might have begun one is the chunk's, though it was held back for a while."""
    data = os.urandom(LARGE) + behind
    begin = len(UPLOAD_ID + INDEX) + 100
    form = UPLOAD_ID + INDEX + part("chunk", data + os.urandom(LARGE) + behind) + END
    cut = form.index(data) + len(data)

    found, _ = await stored(form, (begin, cut), tmp_path)

    assert found == form[form.index(data) : -len(END) - 2]


async def test_a_large_chunk_without_an_end_is_refused(tmp_path: Path) -> None:
    """A form that breaks off is no form, however much of it came."""
    form = UPLOAD_ID + INDEX + part("chunk", os.urandom(2 * LARGE))

    with pytest.raises(BadRequest):
        await stored(form, (200,), tmp_path)


class _Losing(MemoryBody):
    """A body whose file loses bytes before they were looked through."""

    async def arrive(
        self, pause: float | None = None, *, hashers: Sequence[Hasher] = ()
    ) -> Block | None:
        data = await self.read(pause)
        return None if data is None else MemoryBlock(data, hashers if len(data) < MANY else ())


async def test_a_chunk_that_was_not_seen_whole_is_no_chunk(tmp_path: Path) -> None:
    """Nobody is told fewer bytes than came."""
    form = UPLOAD_ID + INDEX + part("chunk", bytes(2 * LARGE)) + END
    at = len(UPLOAD_ID + INDEX) + 300
    body = _Losing(form[:at], form[at:])
    async with chunk_form(body, TYPE, spool=tmp_path, max_size=None) as read:
        with (tmp_path / "chunk").open("w+b") as file:
            first = await read.chunk.arrive()
            second = await read.chunk.arrive()
            assert first is not None
            assert second is not None

            with pytest.raises(OSError, match="gone"):
                second.into(file.fileno(), first.into(file.fileno(), 0))
