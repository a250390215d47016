"""tuspy and aiotus against the real server."""

import asyncio
import hashlib
import io
import json
import random
import signal
from pathlib import Path

import aiohttp
import aiotus
import aiotus.core
import aiotus.creation
import pytest
import yarl
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError
from tusclient.storage.filestorage import FileStorage
from tusclient.uploader.uploader import Uploader

from tests.conftest import MakeProcess
from tests.e2e.relay import relay
from tests.servers import Address
from tests.tokens import make_token

# Both hand a whole chunk to aiohttp as bytes, which it finds large.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")

MIB = 2**20
UNICODE_NAMES = pytest.mark.parametrize(
    "name", ["отчёт за май.mp3", "録音 (1).wav", "naïve, 'quoted'; 100% \"it\".txt", "👩‍🚀.bin"]
)
QUICKLY = aiotus.RetryConfiguration(retry_attempts=8, max_retry_period_seconds=0.05)


class Kept(io.BytesIO):
    """A file in memory that stays open: tuspy closes what it made a fingerprint of."""

    def close(self) -> None:
        """Do nothing."""


def content_of(size: int) -> tuple[Kept, str]:
    """A file in memory and its SHA-256."""
    content = random.randbytes(size)
    return Kept(content), hashlib.sha256(content).hexdigest()


def tuspy(url: str, token: str | None = None) -> TusClient:
    """A tuspy client of the user 42."""
    return TusClient(url, headers={"Authorization": f"Bearer {token or make_token()}"})


def bearer() -> dict[str, str]:
    """What aiotus sends with every request."""
    return {"Authorization": f"Bearer {make_token()}"}


def named(name: str, file_id: int = 7) -> dict[str, str]:
    """Metadata as tuspy takes them."""
    return {"filename": name, "main_service_file_id": str(file_id)}


def named_bytes(name: str, file_id: int = 7) -> dict[str, bytes | None]:
    """Metadata as aiotus takes them."""
    return {key: value.encode() for key, value in named(name, file_id).items()}


@pytest.mark.parametrize("size", [0, 1, 3 * MIB + 5])
async def test_tuspy_uploads_in_one_request(server: Address, size: int) -> None:
    """tuspy's default, the whole file in one PATCH."""
    stream, expected = content_of(size)
    uploader = tuspy(server.files).uploader(file_stream=stream, metadata=named("a.bin"))

    await asyncio.to_thread(uploader.upload)

    assert await server.sha256("42", 7, "a.bin") == expected


@pytest.mark.parametrize("chunk_size", [1000, 64 * 1024, 200_000])
async def test_tuspy_uploads_in_chunks(server: Address, chunk_size: int) -> None:
    """Many PATCHes in a row, the last of them smaller."""
    stream, expected = content_of(200 * 1000 + 17)
    uploader = tuspy(server.files).uploader(
        file_stream=stream, chunk_size=chunk_size, metadata=named("a.bin")
    )

    await asyncio.to_thread(uploader.upload)

    assert uploader.offset == 200_017
    assert await server.sha256("42", 7, "a.bin") == expected


@pytest.mark.decided_early
@UNICODE_NAMES
async def test_tuspy_keeps_the_name(server: Address, name: str) -> None:
    """A file keeps its name in any script."""
    stream, expected = content_of(1000)
    uploader = tuspy(server.files).uploader(file_stream=stream, metadata=named(name))

    await asyncio.to_thread(uploader.upload)

    assert await server.sha256("42", 7, name) == expected


async def test_tuspy_checksums_are_verified(server: Address) -> None:
    """tuspy's SHA-1 of each chunk is accepted."""
    stream, expected = content_of(MIB)
    uploader = tuspy(server.files).uploader(
        file_stream=stream, chunk_size=300_000, metadata=named("a.bin"), upload_checksum=True
    )

    await asyncio.to_thread(uploader.upload)

    assert await server.sha256("42", 7, "a.bin") == expected


async def test_tuspy_goes_on_at_an_address(server: Address) -> None:
    """A new client with the upload's address goes on where the old one stopped."""
    stream, expected = content_of(2 * MIB)
    client = tuspy(server.files)
    first = client.uploader(file_stream=stream, chunk_size=300_000, metadata=named("a.bin"))
    await asyncio.to_thread(first.upload, stop_at=900_000)

    second = await asyncio.to_thread(
        client.uploader, file_stream=stream, url=first.url, chunk_size=MIB
    )
    begin = second.offset
    await asyncio.to_thread(second.upload)

    assert begin == 900_000
    assert await server.sha256("42", 7, "a.bin") == expected


async def test_tuspy_goes_on_after_a_cut(server: Address) -> None:
    """After a cut in mid-PATCH tuspy goes on at the server's offset, not at the chunk's start."""
    size = 8 * MIB
    stream, expected = content_of(size)

    async with relay(server, cuts=[3 * MIB, 2 * MIB]) as wire:
        uploader = tuspy(wire.files).uploader(
            file_stream=stream, metadata=named("a.bin"), retries=4, retry_delay=0
        )
        await asyncio.to_thread(uploader.upload)

        assert wire.is_spent
        assert wire.sent < size + MIB
    assert await server.sha256("42", 7, "a.bin") == expected


async def test_tuspy_goes_on_after_the_server_was_killed(
    make_process: MakeProcess, tmp_path: Path
) -> None:
    """tuspy's stored address is good for a server that was killed and started again."""
    stream, expected = content_of(4 * MIB)
    process = await make_process()
    storage = FileStorage(str(tmp_path / "urls.json"))  # type: ignore[no-untyped-call]  # no types

    def uploader() -> Uploader:
        return tuspy(process.address.files).uploader(
            file_stream=stream,
            chunk_size=MIB,
            metadata=named("a.bin"),
            store_url=True,
            url_storage=storage,
        )

    first = await asyncio.to_thread(uploader)
    await asyncio.to_thread(first.upload, stop_at=2 * MIB)
    await process.end(signal.SIGKILL)
    await process.start()
    second = await asyncio.to_thread(uploader)
    begin = second.offset
    await asyncio.to_thread(second.upload)
    storage.close()  # type: ignore[no-untyped-call]  # tuspy names no types

    assert begin == 2 * MIB
    assert await process.address.sha256("42", 7, "a.bin") == expected


async def test_tuspy_async_uploader(server: Address) -> None:
    """tuspy's asynchronous uploader."""
    stream, expected = content_of(MIB)
    uploader = tuspy(server.files).async_uploader(
        file_stream=stream, chunk_size=300_000, metadata=named("a.bin")
    )

    await uploader.upload()

    assert await server.sha256("42", 7, "a.bin") == expected


async def test_tuspy_sees_a_refusal(server: Address) -> None:
    """A bad token reaches the caller as the status that it is."""
    stream, _ = content_of(10)
    uploader = tuspy(server.files, token="no.such.token").uploader(file_stream=stream)

    with pytest.raises(TusCommunicationError) as refusal:
        await asyncio.to_thread(uploader.upload)

    assert refusal.value.status_code == 401


@pytest.mark.parametrize("size", [0, 1, 3 * MIB + 5])
async def test_aiotus_uploads(server: Address, size: int) -> None:
    """aiotus with its default chunks."""
    stream, expected = content_of(size)

    location = await aiotus.upload(server.files, stream, named_bytes("a.bin"), headers=bearer())

    assert location is not None
    assert str(location).startswith(server.files)
    assert await server.sha256("42", 7, "a.bin") == expected


async def test_aiotus_reads_metadata_back(server: Address) -> None:
    """Metadata come back as they were sent: binary values, and keys without a value."""
    stream, _ = content_of(10)
    sent = {**named_bytes("a.bin"), "flag": None, "binary": bytes(range(256))}
    location = await aiotus.upload(server.files, stream, sent, headers=bearer())
    assert location is not None

    returned = await aiotus.metadata(location, headers=bearer())

    assert returned == sent


@pytest.mark.decided_early
@UNICODE_NAMES
async def test_aiotus_keeps_the_name(server: Address, name: str) -> None:
    """A file keeps its name in any script."""
    stream, expected = content_of(1000)

    await aiotus.upload(server.files, stream, named_bytes(name), headers=bearer())

    assert await server.sha256("42", 7, name) == expected


async def test_aiotus_goes_on_after_a_cut(server: Address) -> None:
    """Connections cut in mid-PATCH are taken up at the server's offset by aiotus itself."""
    size = 8 * MIB
    stream, expected = content_of(size)

    async with relay(server, cuts=[3 * MIB, 2 * MIB]) as wire:
        location = await aiotus.upload(
            wire.files,
            stream,
            named_bytes("a.bin"),
            config=QUICKLY,
            headers=bearer(),
            chunksize=size,
        )

        assert wire.is_spent
        assert wire.sent < size + MIB
    assert location is not None
    assert await server.sha256("42", 7, "a.bin") == expected


async def test_aiotus_goes_on_in_another_process(
    server: Address, http: aiohttp.ClientSession
) -> None:
    """What one client began another one finishes: the address is all that is needed."""
    stream, expected = content_of(2 * MIB)
    url = yarl.URL(server.files)
    location = await aiotus.creation.create(
        http, url, stream, named_bytes("a.bin"), headers=bearer()
    )
    begin = {
        **server.tus(),
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
    }
    async with http.patch(location, data=stream.getvalue()[:700_000], headers=begin) as response:
        assert response.status == 204

    await aiotus.core.upload_buffer(http, location, stream, headers=bearer())

    assert await server.sha256("42", 7, "a.bin") == expected


async def test_aiotus_goes_on_while_the_server_restarts(make_process: MakeProcess) -> None:
    """A server killed in mid-upload and started again costs aiotus some tries and no byte."""
    size = 24 * MIB
    stream, expected = content_of(size)
    process = await make_process()

    async with relay(process.address) as wire:
        uploading = asyncio.create_task(
            aiotus.upload(
                wire.files,
                stream,
                named_bytes("a.bin"),
                config=aiotus.RetryConfiguration(retry_attempts=100, max_retry_period_seconds=0.1),
                headers=bearer(),
                chunksize=256 * 1024,
            )
        )
        await wire.carried(size // 2)
        await process.end(signal.SIGKILL)
        await process.start()
        location = await uploading

    assert location is not None
    assert await process.address.sha256("42", 7, "a.bin") == expected


@pytest.mark.parametrize("parallel", [2, 4])
async def test_aiotus_uploads_pieces_in_parallel(
    server: Address, http: aiohttp.ClientSession, parallel: int
) -> None:
    """Pieces sent at the same time become one file, and only that one is a file of the user."""
    content = random.randbytes(3 * MIB + 11)
    step = -(-len(content) // 5)
    pieces = [io.BytesIO(content[at : at + step]) for at in range(0, len(content), step)]

    location = await aiotus.upload_multiple(
        server.files,
        pieces,
        named_bytes("a.bin"),
        headers=bearer(),
        chunksize=300_000,
        parallel_uploads=parallel,
    )

    async with http.get(f"{server.base}/upload/files", headers=bearer()) as response:
        listed = json.loads(await response.read())["files"]
    assert location is not None
    assert await server.sha256("42", 7, "a.bin") == hashlib.sha256(content).hexdigest()
    assert listed == [server.location("42", 7, "a.bin")]


async def test_aiotus_pieces_survive_cuts(server: Address) -> None:
    """Pieces in parallel over connections that break."""
    content = random.randbytes(6 * MIB)
    pieces = [io.BytesIO(content[at : at + MIB]) for at in range(0, len(content), MIB)]

    async with relay(server, cuts=[MIB, MIB, MIB]) as wire:
        location = await aiotus.upload_multiple(
            wire.files, pieces, named_bytes("a.bin"), config=QUICKLY, headers=bearer()
        )

        assert wire.is_spent
    assert location is not None
    assert await server.sha256("42", 7, "a.bin") == hashlib.sha256(content).hexdigest()
