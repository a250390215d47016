"""Several server processes on one data folder: every promise holds across them."""

import asyncio
import contextlib
import hashlib
import itertools
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient, chunk_form
from tests.conftest import MakeProcess, MakeServer
from tests.faults.scene import statuses
from tests.servers import Address, ServerProcess

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two servers on one folder, and user 42 at each of them."""

    processes: tuple[ServerProcess, ServerProcess]
    clients: tuple[RestClient, RestClient]


@pytest.fixture
async def pair(http: aiohttp.ClientSession, make_process: MakeProcess) -> Pair:
    """Two servers on one folder."""
    first, second = await make_process(), await make_process()
    return Pair(
        processes=(first, second),
        clients=(
            RestClient(http=http, server=first.address),
            RestClient(http=http, server=second.address),
        ),
    )


@dataclass(frozen=True, kw_only=True)
class RunningPatch:
    """A PATCH whose body is sent piece by piece."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def begin(
        cls, server: Address, upload_id: str, offset: int, length: int
    ) -> "RunningPatch":
        """Send the head of a PATCH."""
        reader, writer = await asyncio.open_connection(server.host, server.port)
        fields = {
            **server.tus(),
            "Host": "x",
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(offset),
            "Content-Length": str(length),
        }
        lines = [f"PATCH /files/{upload_id} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        return cls(reader=reader, writer=writer)

    async def send(self, content: bytes) -> None:
        """Send a piece of the body."""
        self.writer.write(content)
        await self.writer.drain()

    async def end(self) -> bytes:
        """What the server answered before it closed, or until it has answered."""
        answer = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(5):
                while not statuses(answer) and (block := await self.reader.read(65536)):
                    answer += block
        self.writer.close()
        return answer


def bytes_in(folder: Path) -> int:
    """How many bytes a folder holds."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


async def until_holds(folder: Path, size: int) -> None:
    """Wait until a folder holds at least `size` bytes."""
    async with asyncio.timeout(10):
        while await asyncio.to_thread(bytes_in, folder) < size:  # noqa: ASYNC110 - no event crosses processes
            await asyncio.sleep(0.02)


# --- one upload, two servers ------------------------------------------------------------------


async def test_patches_may_alternate_between_servers(pair: Pair) -> None:
    """Any server goes on with any upload at once."""
    pieces = [os.urandom(10_000 + number) for number in range(12)]
    upload_id = await pair.clients[0].create({"Upload-Length": str(sum(map(len, pieces)))})
    answers = []
    offset = 0
    for number, piece in enumerate(pieces):
        answers.append(await pair.clients[number % 2].patch(upload_id, offset, piece))
        offset += len(piece)
    downloads = [await client.tus("GET", upload_id) for client in pair.clients]

    assert {answer.status for answer in answers} == {204}
    assert [download.body for download in downloads] == [b"".join(pieces)] * 2


async def test_at_most_one_204_per_offset(pair: Pair) -> None:
    """Two processes on one folder: at most one 204 per offset, and its bytes are the file's."""
    size = 50_000
    upload_id = await pair.clients[0].create({"Upload-Defer-Length": "1"})
    won: dict[int, list[bytes]] = {}
    offset = 0
    for number in range(20):
        bodies = [bytes([65 + number]) * size, bytes([97 + number]) * size]
        answers = await asyncio.gather(
            *(
                client.patch(upload_id, offset, body)
                for client, body in zip(pair.clients, bodies, strict=True)
            )
        )
        for answer, body in zip(answers, bodies, strict=True):
            assert answer.status in {204, 409, 423, 503}
            if answer.status == 204:
                won.setdefault(offset, []).append(body)
        offset = await pair.clients[number % 2].offset(upload_id)
    await pair.clients[0].patch(upload_id, offset, b"", {"Upload-Length": str(offset)})
    content = (await pair.clients[1].tus("GET", upload_id)).body

    assert len(won) > 5
    assert {len(bodies) for bodies in won.values()} == {1}
    assert len(content) == offset
    for start, (body,) in won.items():
        assert content[start : start + size] == body


async def test_two_clients_push_one_file_at_two_servers(pair: Pair) -> None:
    """Two clients that take one upload over from each other again and again, at two processes:
    never two 204 for one offset, and in the end every byte is where it belongs."""
    content = os.urandom(3_000_000)
    upload_id = await pair.clients[0].create({"Upload-Length": str(len(content))})
    pushed = await asyncio.gather(*(push(client, upload_id, content) for client in pair.clients))
    downloads = [await client.tus("GET", upload_id) for client in pair.clients]

    sent = sorted([*pushed[0], *pushed[1]])
    won = [(start, stop) for start, stop, is_won in sent if is_won]
    assert 1 <= len(won) < len(sent)
    assert all(stop <= start for (_, stop), (start, _) in itertools.pairwise(won))
    assert [hashlib.sha256(download.body).digest() for download in downloads] == [
        hashlib.sha256(content).digest()
    ] * 2


async def test_chunks_may_alternate_between_servers(pair: Pair) -> None:
    """Each server goes on at once with the chunks that the other took, also with those that
    wait."""
    chunks = [os.urandom(20_000 + number) for number in range(10)]
    order = [0, 1, 3, 2, 4, 9, 8, 6, 5, 7]
    upload_id = await pair.clients[0].init()
    offsets = []
    for number, index in enumerate(order):
        answer = await pair.clients[number % 2].chunk(upload_id, index, chunks[index])
        assert answer.status == 200, answer.body
        offsets.append(await pair.clients[(number + 1) % 2].offset(upload_id))
    completed = await pair.clients[1].complete(upload_id, len(chunks))

    there = [1, 2, 2, 4, 5, 5, 5, 5, 7, 10]
    assert offsets == [sum(map(len, chunks[:count])) for count in there]
    assert completed.status == 200
    assert await pair.clients[0].server.file("42", 123, "audio.mp3") == b"".join(chunks)


async def push(client: RestClient, upload_id: str, content: bytes) -> list[tuple[int, int, bool]]:
    """Ask for the offset, which ends whatever PATCH runs, and PATCH from there, slowly; until all
    is there. Returns from where to where every PATCH went, and whether it was answered 204."""
    sent: list[tuple[int, int, bool]] = []
    while True:
        head = await client.tus("HEAD", upload_id)
        if head.status == 423:
            continue
        offset = int(head.headers["Upload-Offset"])
        if offset == len(content):
            return sent
        piece = content[offset : offset + 400_000]
        running = await RunningPatch.begin(client.server, upload_id, offset, len(piece))
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(piece), 20_000):
                await running.send(piece[start : start + 20_000])
                await asyncio.sleep(0.002)
        answers = statuses(await running.end())
        assert set(answers) <= {204, 409, 423, 503}
        sent.append((offset, offset + len(piece), 204 in answers))


async def test_stalled_patch_is_taken_over_within_a_second(pair: Pair) -> None:
    """Hand-over of a stalled upload to a newcomer within about one second, across processes."""
    first, second = pair.clients
    upload_id = await first.create({"Upload-Length": "10"})
    stalled = await RunningPatch.begin(first.server, upload_id, 0, 10)
    await stalled.send(b"hello")
    await until_holds(first.server.root, 5)
    began = time.monotonic()
    head = await second.tus("HEAD", upload_id)
    asked = time.monotonic() - began
    offset = int(head.headers["Upload-Offset"])
    patch = await second.patch(upload_id, offset, b"helloworld"[offset:])
    took = time.monotonic() - began
    ending = await stalled.end()
    download = await first.tus("GET", upload_id)

    assert head.status == 200
    assert offset == 5
    assert patch.status == 204
    assert asked < 1.5
    assert took < 2
    assert 204 not in statuses(ending)
    assert download.body == b"helloworld"


async def test_stalled_patch_does_not_hold_up_a_patch_elsewhere(pair: Pair) -> None:
    """The newcomer may be a PATCH: it goes on at what the stalled one had committed."""
    first, second = pair.clients
    upload_id = await first.create({"Upload-Length": "10"})
    stalled = await RunningPatch.begin(first.server, upload_id, 0, 10)
    began = time.monotonic()
    patch = await second.patch(upload_id, 0, b"helloworld")
    took = time.monotonic() - began
    ending = await stalled.end()

    assert patch.status == 204
    assert took < 2
    assert 204 not in statuses(ending)


async def test_stalled_patch_does_not_hold_up_a_deletion_elsewhere(pair: Pair) -> None:
    """DELETE takes over like HEAD and PATCH, over REST too."""
    first, second = pair.clients
    uploads = [await first.create({"Upload-Length": "10"}) for _ in range(2)]
    stalled = [await RunningPatch.begin(first.server, upload_id, 0, 10) for upload_id in uploads]
    for patch in stalled:
        await patch.send(b"hello")
    began = time.monotonic()
    answers = await asyncio.gather(second.tus("DELETE", uploads[0]), second.delete(uploads[1]))
    took = time.monotonic() - began
    endings = [await patch.end() for patch in stalled]
    heads = [await first.tus("HEAD", upload_id) for upload_id in uploads]

    assert [answer.status for answer in answers] == [204, 200]
    assert took < 2
    assert [statuses(ending) for ending in endings if 204 in statuses(ending)] == []
    assert {head.status for head in heads} <= {404, 410}


async def test_chunks_may_go_to_both_servers_in_parallel(pair: Pair) -> None:
    """Chunks may come in any order, in parallel, at any server; parallel completes agree."""
    chunks = [os.urandom(30_000 + number) for number in range(24)]
    upload_id = await pair.clients[0].init()
    answers = await asyncio.gather(
        *(
            pair.clients[index % 2].chunk(upload_id, index, chunk)
            for index, chunk in reversed(list(enumerate(chunks)))
        )
    )
    completions = await asyncio.gather(
        *(client.complete(upload_id, len(chunks)) for client in pair.clients * 3)
    )

    assert {answer.status for answer in answers} == {200}
    assert {completion.status for completion in completions} == {200}
    assert len({completion.body for completion in completions}) == 1
    assert await pair.clients[0].server.file("42", 123, "audio.mp3") == b"".join(chunks)


async def test_same_chunk_at_both_servers(pair: Pair) -> None:
    """The same bytes again are a success, also when they come to two servers at once."""
    upload_id = await pair.clients[0].init()
    for index in (0, 2, 1):
        answers = await asyncio.gather(
            *(client.chunk(upload_id, index, b"%d" % index * 70_000) for client in pair.clients)
        )

        assert [answer.status for answer in answers] == [200, 200]
    await pair.clients[1].complete(upload_id, 3)

    assert (
        await pair.clients[0].server.file("42", 123, "audio.mp3")
        == b"0" * 70_000 + b"1" * 70_000 + b"2" * 70_000
    )


async def test_two_uploads_finish_at_one_place_at_two_servers(pair: Pair) -> None:
    """Finishing the same user/file_id/filename at once at two servers leaves one whole file."""
    for _ in range(5):
        contents = [b"a" * 100_000, b"b" * 100_000]
        uploads = [await client.init() for client in pair.clients]
        for client, upload_id, content in zip(pair.clients, uploads, contents, strict=True):
            await client.chunk(upload_id, 0, content)
        await asyncio.gather(
            *(
                client.complete(upload_id, 1)
                for client, upload_id in zip(pair.clients, uploads, strict=True)
            )
        )
        again = [await pair.clients[0].complete(upload_id, 1) for upload_id in uploads]
        found = [answer.status for answer in again]

        server = pair.clients[0].server
        assert found.count(200) == 1
        assert await server.file("42", 123, "audio.mp3") == contents[found.index(200)]
        assert await pair.clients[1].files() == [server.location("42", 123, "audio.mp3")]


# --- death ------------------------------------------------------------------------------------


async def test_upload_goes_on_at_the_other_server_after_kill(pair: Pair) -> None:
    """Kill -9 of one process in mid-PATCH, resume at the other: the same sha256. The record
    follows at most 32 MiB behind."""
    first, second = pair.clients
    size = 64 * MIB
    block = os.urandom(MIB)
    expected = hashlib.sha256(block * (size // MIB)).hexdigest()
    upload_id = await first.create({"Upload-Length": str(size)})
    running = await RunningPatch.begin(first.server, upload_id, 0, size)
    for _ in range(48):
        await running.send(block)
    await until_holds(first.server.root, 40 * MIB)
    exit_code = await pair.processes[0].end(signal.SIGKILL)
    await running.end()
    offset = await second.offset(upload_id)

    async def remainder() -> AsyncIterator[bytes]:
        for start in range(offset, size, MIB):
            at = start % MIB
            yield (block[at:] + block[:at])[: min(MIB, size - start)]

    fields = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
    patch = await second.tus("PATCH", upload_id, remainder(), fields)
    download = await second.tus("GET", upload_id)

    assert exit_code == -signal.SIGKILL
    assert 40 * MIB - 33 * MIB <= offset <= 48 * MIB
    assert patch.status == 204
    assert hashlib.sha256(download.body).hexdigest() == expected


async def test_chunks_go_on_at_the_other_server_after_kill(pair: Pair) -> None:
    """What was acknowledged survives the death of a process; a chunk it was receiving does not
    count."""
    first, second = pair.clients
    upload_id = await first.init()
    await first.chunk(upload_id, 0, b"zero ")
    await first.chunk(upload_id, 3, b"three")
    whole = chunk_form(upload_id, 1, b"z" * 1_000_000)
    cut = whole[:600_000]
    reader, writer = await asyncio.open_connection(first.server.host, first.server.port)
    token = first.server.auth()["Authorization"]
    content_type = "multipart/form-data; boundary=tusd-py-test-boundary"
    writer.write(
        f"POST /upload/chunk HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(whole)}\r\n\r\n".encode()
        + cut
    )
    await until_holds(first.server.root, 300_000)
    await pair.processes[0].end(signal.SIGKILL)
    writer.close()
    offset = await second.offset(upload_id)
    await second.chunk(upload_id, 1, b"one ")
    await second.chunk(upload_id, 2, b"two ")
    completed = await second.complete(upload_id, 4)

    assert reader.at_eof() or offset == 5
    assert offset == 5
    assert completed.status == 200
    assert await second.server.file("42", 123, "audio.mp3") == b"zero one two three"


async def test_lock_dies_with_its_process(pair: Pair) -> None:
    """A lock dies with its process: after kill -9 the upload is free at once."""
    first, second = pair.clients
    upload_id = await first.create({"Upload-Length": "10"})
    running = await RunningPatch.begin(first.server, upload_id, 0, 10)
    await running.send(b"hello")
    await until_holds(first.server.root, 5)
    await pair.processes[0].end(signal.SIGKILL)
    began = time.monotonic()
    head = await second.tus("HEAD", upload_id)
    took = time.monotonic() - began
    await running.end()

    assert head.status == 200
    assert took < 1


# --- a second start ---------------------------------------------------------------------------


async def test_start_of_another_server_disturbs_nothing(
    http: aiohttp.ClientSession, make_process: MakeProcess
) -> None:
    """Starting one disturbs nothing in the other: a running PATCH, waiting chunks, files."""
    process = await make_process()
    client = RestClient(http=http, server=process.address)
    finished = await client.uploaded(b"done", file_id=1)
    waiting = await client.init(2)
    await client.chunk(waiting, 1, b"world")
    upload_id = await client.create({"Upload-Length": "2000000"})
    running = await RunningPatch.begin(client.server, upload_id, 0, 2_000_000)
    await running.send(b"a" * 1_000_000)
    other = await make_process()
    await running.send(b"a" * 500_000)
    await other.end()
    again = await make_process()
    await running.send(b"a" * 500_000)
    ending = await running.end()
    second = RestClient(http=http, server=again.address)
    await second.chunk(waiting, 0, b"hello ")

    assert statuses(ending) == [204]
    assert (await second.tus("GET", upload_id)).body == b"a" * 2_000_000
    assert (await second.complete(waiting, 2, 2)).status == 200
    assert (await second.tus("GET", waiting)).body == b"hello world"
    assert (await second.tus("GET", finished)).body == b"done"


# --- torn records -----------------------------------------------------------------------------

TORN = {
    "empty": b"",
    "NULs": b"\x00" * 500,
    "garbage": bytes(range(256)) * 4,
    "null": b"null",
    "list": b"[]",
    "number": b"1",
    "object without fields": b"{}",
    "only a version": b'{"version": 1}',
    "version of the future": b'{"version": 99}',
    "version that is odd": b'{"version": [1]}',
    "deep": b"[" * 100_000,
    "huge number": b'{"version": ' + b"9" * 5000 + b"}",
    "not UTF-8": b'{"version": 1, "id": "\xff"}',
}


def record_of(root: Path, upload_id: str) -> Path:
    """The record file of an upload."""
    (path,) = root.rglob(f"{upload_id}.info")
    return path


def content_of(path: Path) -> bytes:
    """What a file holds."""
    return path.read_bytes()


def tear(path: Path, content: bytes) -> None:
    """Damage a record."""
    path.write_bytes(content)


async def torn(client: RestClient) -> dict[str, str]:
    """An upload with a damaged record for each kind of damage: its id by the kind."""
    root = client.server.root
    damaged = {}
    for name, content in TORN.items():
        damaged[name] = await client.init(7, f"{name}.txt")
        await client.chunk(damaged[name], 0, b"x")
        tear(record_of(root, damaged[name]), content)
    for name, share in (("half", 0.5), ("all but one byte", 0.99)):
        damaged[name] = await client.uploaded(b"x", file_id=8, name=f"{name}.txt")
        path = record_of(root, damaged[name])
        whole = content_of(path)
        tear(path, whole[: int(len(whole) * share)])
    damaged["odd time"] = await client.uploaded(b"x", file_id=8, name="time.txt")
    path = record_of(root, damaged["odd time"])
    tear(path, content_of(path).replace(b'"created_at":"2', b'"created_at":"x'))
    return damaged


async def test_torn_records_stop_nothing(
    http: aiohttp.ClientSession, make_process: MakeProcess
) -> None:
    """A torn record never stops the start, a list or another upload."""
    process = await make_process()
    client = RestClient(http=http, server=process.address)
    await client.uploaded(b"good", file_id=1)
    unfinished = await client.init(2)
    await client.chunk(unfinished, 1, b"world")
    await torn(client)
    (client.server.root / "uploads" / "42" / "litter.info").mkdir(parents=True)
    (client.server.root / "uploads" / "stray file").touch()
    listed = [await client.files()]
    await process.end()
    await process.start()
    listed.append(await client.files())
    other = RestClient(http=http, server=(await make_process()).address)
    listed.append(await other.files())
    await other.chunk(unfinished, 0, b"hello ")
    completed = await other.complete(unfinished, 2, 2)
    await other.uploaded(b"new", file_id=3)
    last = await client.files()

    good = [client.server.location("42", number, "audio.mp3") for number in (1, 2, 3)]
    assert listed == [good[:1]] * 3
    assert completed.status == 200
    assert last == good


async def test_upload_of_a_torn_record_answers(
    http: aiohttp.ClientSession, make_process: MakeProcess
) -> None:
    """The upload itself is lost: it says so, at once, and is never taken for an empty one."""
    process = await make_process()
    client = RestClient(http=http, server=process.address)
    damaged = await torn(client)
    found = {}
    for name, upload_id in damaged.items():
        answers = [
            await client.tus("HEAD", upload_id),
            await client.tus("GET", upload_id),
            await client.patch(upload_id, 0, b"x"),
            await client.chunk(upload_id, 0, b"x"),
            await client.complete(upload_id, 1, 7),
            await client.delete(upload_id),
        ]
        found[name] = {answer.status for answer in answers}
    future = found.pop("version of the future")

    assert future <= {404, 410, 423, 503}
    assert set().union(*found.values()) <= {404, 410}


WRONG: list[tuple[str, object]] = [
    ("offset", "1"),
    ("length", [1]),
    ("filename", 7),
    ("file_id", {"a": 1}),
    ("content_type", 7),
    ("metadata", {"a": "b"}),
    ("chunks", [["1"]]),
    ("created_at", "2026-01-01T00:00:00"),
    ("expires_at", None),
    ("owner", ["42"]),
    ("id", 7),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
async def test_record_of_wrong_types_is_torn_too(
    http: aiohttp.ClientSession, make_server: MakeServer, field: str, value: object
) -> None:
    """A record whose fields are of other types than were written is no record."""
    client = RestClient(http=http, server=await make_server())
    good = await client.uploaded(b"x", file_id=1)
    upload_id = await client.uploaded(b"x", file_id=2)
    path = record_of(client.server.root, upload_id)
    tear(path, json.dumps({**json.loads(content_of(path)), field: value}).encode())
    listing = await client.listing()
    answers = [
        await client.tus("HEAD", upload_id),
        await client.tus("GET", upload_id),
        await client.patch(upload_id, 0, b"x"),
        await client.chunk(upload_id, 0, b"x"),
        await client.complete(upload_id, 1, 2),
        await client.delete(upload_id),
    ]

    assert listing.json()["files"] == [client.server.location("42", 1, "audio.mp3")]
    assert {answer.status for answer in answers} <= {404, 410}
    assert (await client.complete(good, 1, 1)).status == 200
