"""What is fuzzed: a parser, and what must be true of all it accepts. Refusals are what is wanted;
any other exception is a finding."""

import asyncio
import tempfile
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from multidict import CIMultiDict, CIMultiDictProxy

from tests.fakes import MemoryBody
from tusd_py.errors import BadRequest, TooLarge, UnsupportedMediaType
from tusd_py.upload import Final, is_upload_id
from tusd_py.web import tus_headers
from tusd_py.web.download import span
from tusd_py.web.errors import RangeNotSatisfiable
from tusd_py.web.form import chunk_form

BASES = ("/files/", "http://localhost/files/", "https://localhost/files/")
SPOOL = Path(tempfile.gettempdir())
RUNNER = asyncio.Runner()


def headers(name: str, data: bytes) -> CIMultiDictProxy[str]:
    """One field with these bytes, as aiohttp hands it on."""
    value = data.decode("utf-8", "surrogateescape")
    return CIMultiDictProxy(CIMultiDict([(name, value)]))


def metadata(data: bytes) -> None:
    """Upload-Metadata: what was read is read again from what it stands for."""
    try:
        found = tus_headers.metadata(headers("Upload-Metadata", data))
    except BadRequest:
        return
    if found is None:
        return
    line = ",".join(f"{key} {b64encode(v).decode()}" for key, v in found.values.items())
    again = tus_headers.metadata(headers("Upload-Metadata", line.encode()))
    assert again is not None
    assert again.values == found.values
    assert found.header.isascii()
    assert found.header.isprintable()
    found.text(*found.values)


def concat(data: bytes) -> None:
    """Upload-Concat: every part that could be an upload is named as itself."""
    try:
        found = tus_headers.concat(headers("Upload-Concat", data), BASES)
    except BadRequest:
        return
    if not isinstance(found, Final):
        return
    assert found.partials
    assert found.header.isascii()
    assert found.header.isprintable()
    for each in found.partials:
        spelt = (each, each.replace("-", ""))  # tusd's way is taken, too
        assert not is_upload_id(each) or any(one in found.header.lower() for one in spelt)


def byte_range(data: bytes) -> None:
    """Range: bytes that the file has. The first two bytes are its size."""
    size = int.from_bytes(data[:2], "big")
    try:
        found = span(data[2:].decode("utf-8", "surrogateescape"), size)
    except RangeNotSatisfiable:
        return
    assert found is None or 0 <= found[0] < found[1] <= size


def form(data: bytes) -> None:
    """The form of a REST chunk: cut in two anywhere it says what it says in one piece. The first
    byte is the place of the cut."""
    at = data[0] if data else 0
    rest = data[1:]

    assert RUNNER.run(_said([rest])) == RUNNER.run(_said([rest[:at], rest[at:]]))


async def _said(blocks: Sequence[bytes]) -> object:
    body = MemoryBody(*blocks)
    with suppress(BadRequest, UnsupportedMediaType, TooLarge):
        async with chunk_form(
            body, "multipart/form-data; boundary=b", spool=SPOOL, max_size=4096
        ) as parsed:
            chunk = b""
            while block := await parsed.chunk.read():
                chunk += block
            return parsed.upload_session_id, parsed.chunk_index, chunk
    return None


TARGETS: dict[str, Callable[[bytes], None]] = {
    "metadata": metadata,
    "concat": concat,
    "range": byte_range,
    "form": form,
}
