"""tus-js-client in Node against the real server."""

import json
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import MakeProcess
from tests.e2e.commands import random_file
from tests.e2e.javascript import run_script
from tests.e2e.relay import answer, relay
from tests.servers import Address
from tests.tokens import make_token

MIB = 2**20
Requests = list[dict[str, object]]


async def upload(endpoint: str, file: Path, **task: object) -> dict[str, object]:
    """One run of tus-js-client as the user 42; the file id is 7."""
    options = {
        "metadata": {"filename": "a.bin", "main_service_file_id": "7"},
        **_mapping(task.pop("options", {})),
    }
    whole = {"endpoint": endpoint, "token": make_token(), "file": str(file), **task}
    return await run_script("node/upload.mjs", json.dumps({**whole, "options": options}))


def _mapping(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


def requests(told: dict[str, object], method: str | None = None) -> Requests:
    """The requests tus-js-client sent, all or those with this method."""
    listed = told["requests"]
    assert isinstance(listed, list)
    return [request for request in listed if method in (None, request["method"])]


@pytest.mark.parametrize("size", [0, 1, 5 * MIB + 3])
@pytest.mark.parametrize("source", ["file", "buffer"])
async def test_one_request(server: Address, tmp_path: Path, size: int, source: str) -> None:
    """tus-js-client's default: the whole file in one PATCH."""
    expected = random_file(tmp_path / "a.bin", size)

    told = await upload(server.files, tmp_path / "a.bin", source=source)

    assert len(requests(told, "PATCH")) == (1 if size else 0)
    assert await server.sha256("42", 7, "a.bin") == expected


async def test_many_requests(server: Address, tmp_path: Path) -> None:
    """A chunkSize makes many PATCHes, each from the offset the server named last."""
    expected = random_file(tmp_path / "a.bin", 5 * MIB + 3)

    told = await upload(server.files, tmp_path / "a.bin", options={"chunkSize": MIB})

    assert [request["offset"] for request in requests(told, "PATCH")] == [
        str(index * MIB) for index in range(6)
    ]
    assert await server.sha256("42", 7, "a.bin") == expected


async def test_resume_from_the_stored_address(make_process: MakeProcess, tmp_path: Path) -> None:
    """A later run goes on at the stored address, also when the server was killed in between."""
    expected = random_file(tmp_path / "a.bin", 8 * MIB)
    process = await make_process()
    stored = str(tmp_path / "urls.json")

    first = await upload(
        process.address.files,
        tmp_path / "a.bin",
        urls=stored,
        stopAt=3 * MIB,
        options={"chunkSize": MIB},
    )
    await process.end(signal.SIGKILL)
    await process.start()
    second = await upload(process.address.files, tmp_path / "a.bin", urls=stored)

    assert second["previous"] == 1
    assert second["url"] == first["url"]
    assert [request["method"] for request in requests(second)] == ["HEAD", "PATCH"]
    assert requests(second, "PATCH")[0]["offset"] == str(3 * MIB)
    assert await process.address.sha256("42", 7, "a.bin") == expected


async def test_resume_after_a_cut(server: Address, tmp_path: Path) -> None:
    """A cut connection costs the bytes that were on the wire, not the chunk."""
    size = 16 * MIB
    expected = random_file(tmp_path / "a.bin", size)

    async with relay(server, cuts=[5 * MIB, 5 * MIB]) as wire:
        await upload(wire.files, tmp_path / "a.bin")

        assert wire.is_spent
        assert wire.sent < size + 4 * MIB
    assert await server.sha256("42", 7, "a.bin") == expected


@pytest.mark.parametrize("status", ["503 Service Unavailable", "423 Locked", "409 Conflict"])
async def test_temporary_trouble_is_tried_again(
    server: Address, tmp_path: Path, status: str
) -> None:
    """tus-js-client tries POST again after 5xx, 409 and 423."""
    expected = random_file(tmp_path / "a.bin", MIB)

    async with relay(server, answers=[answer(status)]) as wire:
        told = await upload(wire.files, tmp_path / "a.bin")

        assert wire.is_spent
    assert [request["method"] for request in requests(told)] == ["POST", "POST", "PATCH"]
    assert await server.sha256("42", 7, "a.bin") == expected


async def test_parallel_uploads(server: Address, tmp_path: Path) -> None:
    """parallelUploads sends four partial uploads and lets the server put them together."""
    expected = random_file(tmp_path / "a.bin", 10 * MIB + 3)

    told = await upload(server.files, tmp_path / "a.bin", options={"parallelUploads": 4})

    kinds = [request["concat"] for request in requests(told, "POST")]
    assert kinds == ["partial"] * 4 + ["final"]
    assert await server.sha256("42", 7, "a.bin") == expected


async def test_parallel_uploads_over_a_bad_network(server: Address, tmp_path: Path) -> None:
    """Each of the four partial uploads finds its way after a cut."""
    expected = random_file(tmp_path / "a.bin", 16 * MIB)

    async with relay(server, cuts=[3 * MIB, 3 * MIB, 3 * MIB]) as wire:
        await upload(wire.files, tmp_path / "a.bin", options={"parallelUploads": 4})

        assert wire.is_spent
    assert await server.sha256("42", 7, "a.bin") == expected


@pytest.mark.parametrize("size", [1, 3 * MIB + 5])
async def test_deferred_length(server: Address, tmp_path: Path, size: int) -> None:
    """The length of a stream arrives with the last PATCH."""
    expected = random_file(tmp_path / "a.bin", size)

    told = await upload(
        server.files,
        tmp_path / "a.bin",
        source="stream",
        options={"uploadLengthDeferred": True, "chunkSize": MIB},
    )

    assert requests(told, "POST")[0]["length"] is None
    assert requests(told, "PATCH")[-1]["length"] == str(size)
    assert await server.sha256("42", 7, "a.bin") == expected


@pytest.mark.parametrize("chunk_size", [MIB, 10 * MIB])
async def test_data_during_creation(server: Address, tmp_path: Path, chunk_size: int) -> None:
    """uploadDataDuringCreation sends the first chunk with the POST."""
    expected = random_file(tmp_path / "a.bin", 3 * MIB + 5)

    told = await upload(
        server.files,
        tmp_path / "a.bin",
        options={"uploadDataDuringCreation": True, "chunkSize": chunk_size},
    )

    assert [request["offset"] for request in requests(told, "PATCH")] == (
        [str(MIB), str(2 * MIB), str(3 * MIB)] if chunk_size == MIB else []
    )
    assert await server.sha256("42", 7, "a.bin") == expected


@pytest.mark.parametrize("name", ["отчёт за май.mp3", "録音 (1).wav", 'naïve "quoted"; 100%.txt'])
async def test_unicode_names(
    server: Address, http: aiohttp.ClientSession, tmp_path: Path, name: str
) -> None:
    """A file keeps its name in any script, in the folder and in the list."""
    expected = random_file(tmp_path / "a.bin", 1000)
    metadata = {"filename": name, "filetype": "audio/wav", "main_service_file_id": "7"}

    await upload(server.files, tmp_path / "a.bin", options={"metadata": metadata})
    async with http.get(f"{server.base}/upload/files", headers=server.auth()) as response:
        listed = (await response.json())["uploads"]

    assert await server.sha256("42", 7, name) == expected
    assert [(entry["file_name"], entry["content_type"]) for entry in listed] == [
        (name, "audio/wav")
    ]


async def test_terminate(server: Address, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """abort(true) ends the upload on the server, and nothing of it stays."""
    random_file(tmp_path / "a.bin", 4 * MIB)

    told = await upload(
        server.files,
        tmp_path / "a.bin",
        stopAt=2 * MIB,
        terminate=True,
        options={"chunkSize": MIB},
    )
    async with http.head(str(told["url"]), headers=server.tus()) as response:
        status = response.status

    assert requests(told, "DELETE")[0]["status"] == 204
    assert status in {404, 410}
    assert await server.size() < MIB


async def test_patch_as_post(server: Address, tmp_path: Path) -> None:
    """overridePatchMethod sends POST with X-HTTP-Method-Override: PATCH."""
    expected = random_file(tmp_path / "a.bin", 2 * MIB)

    told = await upload(
        server.files,
        tmp_path / "a.bin",
        options={"overridePatchMethod": True, "chunkSize": MIB},
    )

    overrides = [request["override"] for request in requests(told, "POST")]
    assert overrides[1:] == ["PATCH", "PATCH"]
    assert requests(told, "PATCH") == []
    assert await server.sha256("42", 7, "a.bin") == expected


async def test_a_refused_token(server: Address, tmp_path: Path) -> None:
    """A token that is not valid reaches the caller as 401, without a second try."""
    random_file(tmp_path / "a.bin", 1000)

    told = await upload(server.files, tmp_path / "a.bin", token="no.such.token")

    assert told["error"] == {"status": 401}
    assert len(requests(told)) == 1


async def test_a_file_over_the_limit(make_process: MakeProcess, tmp_path: Path) -> None:
    """A file larger than MAX_UPLOAD_SIZE reaches the caller as 413, before its bytes are sent."""
    random_file(tmp_path / "a.bin", 2 * MIB)
    process = await make_process(MAX_UPLOAD_SIZE=str(MIB))

    told = await upload(process.address.files, tmp_path / "a.bin")

    assert told["error"] == {"status": 413}
    assert requests(told, "PATCH") == []
