"""The SHA-256 of whole files over the tus face (RFC 9530): told, and checked if the client says."""

import asyncio
import base64
import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.conformance.tus.client import (
    Tus,
    begun_patch,
    checksum,
    chunked,
    content_of,
    metadata,
    stalled_patch,
)
from tests.conformance.tus.conftest import MakeTus
from tests.conftest import MakeServer

MIB = 1 << 20
SIZE = 12 * MIB + 7
"""Large enough for parts, on S3 too."""


def told(content: bytes) -> str:
    """Repr-Digest of some content."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


async def digest(tus: Tus, url: str) -> str | None:
    """What HEAD tells."""
    answer = await tus.head(url)
    assert answer.status == 200, answer
    return answer.headers.get("Repr-Digest")


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many bytes of files this process reads into memory, by call."""
    counts: list[int] = []
    preadv = os.preadv

    def counting(fd: int, buffers: Sequence[memoryview], *rest: int) -> int:
        counts.append(preadv(fd, buffers, *rest))
        return counts[-1]

    with monkeypatch.context() as patch:
        patch.setattr("os.preadv", counting)
        yield counts


# --- DIGEST=sha256


async def test_no_digest_unless_asked_for(tus: Tus) -> None:
    """Without the setting nothing is computed, and nothing is told."""
    url = await tus.upload(b"hello")

    assert await digest(tus, url) is None
    assert "repr-digest" not in (await tus.get(url)).words


@pytest.mark.parametrize("size", [0, 300_000, SIZE])
async def test_a_file_of_one_patch(make_tus: MakeTus, size: int) -> None:
    """HEAD and GET of a complete upload tell the digest of the whole representation."""
    tus = await make_tus(DIGEST="sha256")
    content = content_of(size)
    url = await tus.upload(content)
    got = await tus.get(url)

    assert await digest(tus, url) == got.headers["Repr-Digest"] == told(content)
    assert hashlib.sha256(got.body).digest() == hashlib.sha256(content).digest()


async def test_an_unfinished_upload_has_none(make_tus: MakeTus) -> None:
    """What is not whole has no digest yet."""
    tus = await make_tus(DIGEST="sha256")
    url = await tus.create(10)
    await tus.patch(url, 0, b"hello")

    assert await digest(tus, url) is None


async def test_ranges_have_the_digest_of_the_whole(make_tus: MakeTus) -> None:
    """Repr-Digest is of the selected representation, also beside a part of it (RFC 9530, 3.1);
    an answer without any of it has none."""
    tus = await make_tus(DIGEST="sha256")
    url = await tus.upload(b"hello world")
    part = await tus.get(url, {"Range": "bytes=2-4"})
    etag = part.headers["ETag"]
    unchanged = await tus.get(url, {"If-None-Match": etag})
    beyond = await tus.get(url, {"Range": "bytes=99-"})

    assert (part.status, part.body) == (206, b"llo")
    assert part.headers["Repr-Digest"] == told(b"hello world")
    assert [(each.status, "repr-digest" in each.words) for each in (unchanged, beyond)] == [
        (304, False),
        (416, False),
    ]


async def test_pages_may_read_it(make_tus: MakeTus) -> None:
    """A page of another origin is shown the digest."""
    tus = await make_tus(DIGEST="sha256")
    url = await tus.upload(b"hello")
    answer = await tus.head(url, {"Origin": "https://example.org"})

    exposed = answer.headers["Access-Control-Expose-Headers"].lower()
    assert "repr-digest" in [name.strip() for name in exposed.split(",")]


async def test_bytes_of_any_kind_and_number(make_tus: MakeTus) -> None:
    """Creation with bytes, small and large PATCHes, chunked and not, right and wrong checksums, a
    cut one: the digest is that of the file."""
    tus = await make_tus(DIGEST="sha256")
    content = content_of(SIZE)
    cuts = [0, 10, 70_000, 400_000, MIB, 3 * MIB, 3 * MIB + 500, SIZE]
    created = await tus.post(
        {"Upload-Defer-Length": "1", "Content-Type": "application/offset+octet-stream"},
        content[:10],
    )
    url = tus.url(created.headers["Location"])
    await tus.patch(url, 10, content[10:70_000], checksum("crc32", content[10:70_000]))
    wrong = await tus.patch(url, 70_000, b"x" * 400_000, checksum("sha256", b"other"))
    for start, stop in [(cuts[2], cuts[3]), (cuts[3], cuts[4])]:
        await tus.patch(url, start, content[start:stop])
    async with stalled_patch(tus, url, MIB, SIZE, content[MIB : 3 * MIB]):
        pass
    assert await tus.offset(url) == 3 * MIB
    async with begun_patch(tus, url, 3 * MIB, 10_000) as connection:
        await connection.send(content[3 * MIB : 3 * MIB + 500])
        assert await tus.offset(url) == 3 * MIB + 500
    rest = content[3 * MIB + 500 :]
    last = await tus.patch(url, 3 * MIB + 500, rest, {"Upload-Length": str(SIZE)})

    assert (wrong.status, last.status) == (460, 204)
    assert await digest(tus, url) == told(content)
    assert hashlib.sha256(await tus.download(url)).digest() == hashlib.sha256(content).digest()


async def test_a_chunked_body(make_tus: MakeTus) -> None:
    """Chunks in transfer coding are no part of the content."""
    tus = await make_tus(DIGEST="sha256")
    url = await tus.create(11)
    headers = {
        "Transfer-Encoding": "chunked",
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": "0",
        "Connection": "close",
    }
    await tus.raw("PATCH", url, headers, body=chunked(b"hello", b" world"))

    assert await digest(tus, url) == told(b"hello world")


async def test_a_concatenation(make_tus: MakeTus) -> None:
    """The whole has the digest of all bytes; its parts have none."""
    tus = await make_tus(DIGEST="sha256")
    contents = [content_of(6 * MIB), content_of(7)]
    parts = [await tus.upload(each, {"Upload-Concat": "partial"}) for each in contents]
    answer = await tus.post({"Upload-Concat": f"final;{' '.join(map(tus.path, parts))}"})
    url = tus.url(answer.headers["Location"])

    assert [await digest(tus, part) for part in parts] == [None, None]
    assert await digest(tus, url) == told(b"".join(contents))


@pytest.mark.parametrize("make_store", ["local", "stream"], indirect=True)
async def test_no_byte_is_read_twice(make_tus: MakeTus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that come through the process are not read from the file; those that go past it are
    read once, while they come, and never again, whichever way a PATCH ends."""
    tus = await make_tus(DIGEST="sha256")
    is_direct = tus.address.store.settings["DIRECT_IO_SIZE"] == "1"
    content = content_of(9 * MIB)
    url = await tus.create(9 * MIB)
    with counted(monkeypatch) as counts:
        await tus.patch(url, 0, content[: 2 * MIB])
        async with stalled_patch(tus, url, 2 * MIB, 7 * MIB, content[2 * MIB : 4 * MIB]):
            await tus.offset(url)
        async with stalled_patch(tus, url, 4 * MIB, 5 * MIB, content[4 * MIB : 5 * MIB]):
            pass
        assert await tus.offset(url) == 5 * MIB
        await tus.patch(url, 5 * MIB, content[5 * MIB :])
    read = sum(counts)

    assert await digest(tus, url) == told(content)
    assert read <= (9 * MIB if is_direct else 0)


@pytest.mark.parametrize("make_store", ["local", "stream"], indirect=True)
async def test_another_process_reads_what_it_did_not_see(
    make_tus: MakeTus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two servers on one folder the one that finishes an upload reads what came to the other."""
    one, two = [await make_tus(DIGEST="sha256", root=tmp_path / "data") for _ in range(2)]
    content = content_of(9 * MIB)
    path = one.path(await one.create(9 * MIB))
    urls = [f"{each.address.base}{path}" for each in (one, two)]
    await one.patch(urls[0], 0, content[: 2 * MIB])
    await two.patch(urls[1], 2 * MIB, content[2 * MIB : 3 * MIB])
    with counted(monkeypatch) as counts:
        await one.patch(urls[0], 3 * MIB, content[3 * MIB :])
    read = sum(counts)

    assert await digest(two, urls[1]) == told(content)
    assert read == 7 * MIB


@pytest.mark.parametrize("make_store", ["stream"], indirect=True)
async def test_head_is_answered_while_bytes_are_read(
    make_tus: MakeTus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes to read a file, HEAD is answered within 3 s, with 423 meanwhile; and
    other uploads go on."""
    one, two = [await make_tus(DIGEST="sha256", root=tmp_path / "data") for _ in range(2)]
    path = one.path(await one.create(MIB))
    urls = [f"{each.address.base}{path}" for each in (one, two)]
    await one.patch(urls[0], 0, bytes(MIB // 2))
    go_on, preadv = threading.Event(), os.preadv

    def slow(fd: int, buffers: Sequence[memoryview], *rest: int) -> int:
        if threading.current_thread() is not threading.main_thread():
            go_on.wait(20)
        return preadv(fd, buffers, *rest)

    monkeypatch.setattr("os.preadv", slow)
    patching = asyncio.create_task(two.patch(urls[1], MIB // 2, bytes(MIB // 2)))
    await asyncio.wait([patching], timeout=0.3)
    async with asyncio.timeout(3):
        meanwhile = await one.head(urls[0])
    other = await two.upload(b"hello")
    go_on.set()

    assert (meanwhile.status, meanwhile.headers["Retry-After"]) == (423, "1")
    assert (await patching).status == 204
    assert await digest(two, other) == told(b"hello")
    assert await digest(one, urls[0]) == told(bytes(MIB))


# --- metadata sha256


@pytest.mark.parametrize(
    ("size", "setting"),
    [(0, "none"), (5, "sha256"), (SIZE, "none")],
    ids=["empty", "small", "large"],
)
async def test_a_right_claim(make_tus: MakeTus, size: int, setting: str) -> None:
    """Metadata `sha256` is checked, and told, whether all files get a digest or not."""
    tus = await make_tus(DIGEST=setting)
    content = content_of(size)
    url = await tus.upload(content, metadata(sha256=hashlib.sha256(content).hexdigest()))

    assert await digest(tus, url) == told(content)
    assert hashlib.sha256(await tus.download(url)).digest() == hashlib.sha256(content).digest()
    assert len(await tus.listed()) == 1


@pytest.mark.parametrize("make_store", ["local"], indirect=True)
@pytest.mark.parametrize("form", ["hex", "HEX", "base64", "bytes"])
async def test_how_a_claim_is_written(tus: Tus, form: str) -> None:
    """The value is the digest in hexadecimal, in Base64, or its bytes; also here another one is
    refused."""
    for content in (b"hello", b"other"):
        claimed = hashlib.sha256(b"hello").digest()
        value: dict[str, str | bytes] = {
            "hex": claimed.hex(),
            "HEX": claimed.hex().upper(),
            "base64": base64.b64encode(claimed).decode(),
            "bytes": claimed,
        }
        url = await tus.create(5, metadata(sha256=value[form]))
        answer = await tus.patch(url, 0, content)

        assert answer.status == (204 if content == b"hello" else 460)


@pytest.mark.parametrize("make_store", ["local"], indirect=True)
@pytest.mark.parametrize(
    "value",
    [
        "",
        "abc",
        hashlib.md5(b"hello", usedforsecurity=False).hexdigest(),
        hashlib.sha1(b"hello", usedforsecurity=False).hexdigest(),
        hashlib.sha512(b"hello").hexdigest(),
        "g" * 64,
        f"{'0' * 63}\n",
        f" {'0' * 63}",
        "é" * 32,
        f"{'A' * 42}==",
        f"{'_' * 43}=",
        "+" * 32,
        bytes(31),
    ],
    ids=[
        "empty",
        "short",
        "md5",
        "sha1",
        "sha512",
        "letters",
        "newline",
        "space",
        "umlauts",
        "base64-of-31",
        "base64url",
        "signs",
        "31-bytes",
    ],
)
async def test_a_malformed_claim_is_refused(tus: Tus, value: str | bytes) -> None:
    """What cannot be a SHA-256 is 400 at creation, and nothing is created."""
    answer = await tus.post({"Upload-Length": "5", **metadata(sha256=value)})

    assert answer.status == 400
    assert b"sha256" in answer.body
    assert await tus.address.size() == 0


@pytest.mark.parametrize("size", [5, SIZE])
async def test_a_wrong_claim_is_460(tus: Tus, size: int) -> None:
    """The upload is kept and never becomes a file: not listed, no download. HEAD tells so, too: a
    client that saw all bytes there would take it for a success. It can be deleted."""
    content = content_of(size)
    url = await tus.create(size, metadata(sha256="0" * 64))
    answers = [
        await tus.patch(url, 0, content),
        await tus.patch(url, size, b""),
        await tus.head(url),
        await tus.head(url),
        await tus.get(url),
    ]
    listed = await tus.listed()
    finished = await tus.address.finished()
    deleted = await tus.delete(url)

    assert [(each.status, each.reason) for each in answers] == [(460, "Checksum Mismatch")] * 5
    assert b"sha256" in answers[0].body
    assert (listed, finished) == ([], {})
    assert (deleted.status, (await tus.head(url)).status) == (204, 410)
    assert await tus.address.size() < 2000


async def test_a_wrong_claim_leaves_the_earlier_file(tus: Tus) -> None:
    """A file that lies where the refused one would have gone stays, and stays listed."""
    place = {"filename": "a.bin", "main_service_file_id": "1"}
    earlier = await tus.upload(b"earlier", metadata(**place))
    url = await tus.create(SIZE, metadata(**place, sha256="0" * 64))
    answer = await tus.patch(url, 0, content_of(SIZE))

    assert answer.status == 460
    assert await tus.download(earlier) == b"earlier"
    assert len(await tus.listed()) == 1
    assert (await tus.delete(url)).status == 204
    assert await tus.download(earlier) == b"earlier"


@pytest.mark.parametrize("is_right", [True, False], ids=["right", "wrong"])
async def test_a_claim_over_a_restart(
    make_server: MakeServer, http: aiohttp.ClientSession, tmp_path: Path, *, is_right: bool
) -> None:
    """A server that saw only the last bytes reads the others before it decides; an earlier file
    stays until then."""
    content = content_of(SIZE)
    claimed = hashlib.sha256(content if is_right else b"other").hexdigest()
    place = {"filename": "a.bin", "main_service_file_id": "1"}
    one, two = [Tus(http=http, address=await make_server(root=tmp_path / "data")) for _ in range(2)]
    earlier = one.path(await one.upload(b"earlier", metadata(**place)))
    path = one.path(await one.create(SIZE, metadata(**place, sha256=claimed)))
    url = f"{two.address.base}{path}"
    await one.patch(f"{one.address.base}{path}", 0, content[: 11 * MIB])
    answer = await two.patch(url, 11 * MIB, content[11 * MIB :])
    again = await two.head(url)
    old = await two.get(f"{two.address.base}{earlier}")

    statuses = [answer.status, again.status, old.status]
    assert statuses == ([204, 200, 410] if is_right else [460, 460, 200])
    assert await two.address.finished() == {"42/1/a.bin": SIZE if is_right else 7}
    assert again.headers.get("Repr-Digest") == (told(content) if is_right else None)


async def test_creation_with_wrong_bytes_is_460(tus: Tus) -> None:
    """A creation that is refused leaves nothing: nobody learned its address."""
    answer = await tus.post(
        {
            "Upload-Length": "5",
            "Content-Type": "application/offset+octet-stream",
            **metadata(sha256="0" * 64),
        },
        b"hello",
    )

    assert (answer.status, "location" in answer.words) == (460, False)
    assert await tus.address.size() == 0


@pytest.mark.parametrize("is_right", [True, False], ids=["right", "wrong"])
async def test_a_concatenation_with_a_claim(tus: Tus, *, is_right: bool) -> None:
    """The metadata of the final upload tell of the whole; a wrong one is refused, and its parts
    can be tried again."""
    contents = [content_of(6 * MIB), content_of(7)]
    parts = [await tus.upload(each, {"Upload-Concat": "partial"}) for each in contents]
    value = hashlib.sha256(b"".join(contents) if is_right else b"").hexdigest()
    final = {"Upload-Concat": f"final;{' '.join(map(tus.path, parts))}"}
    answer = await tus.post({**final, **metadata(sha256=value)})
    again = await tus.post(final)

    assert (answer.status, again.status) == (201 if is_right else 460, 201)
    assert len(await tus.listed()) == 1 + is_right


async def test_a_part_with_a_claim(tus: Tus) -> None:
    """What a partial upload says is not checked: metadata are those of the file."""
    headers = {"Upload-Concat": "partial", **metadata(sha256="0" * 64)}
    url = await tus.upload(b"hello", headers)

    assert await tus.offset(url) == 5
