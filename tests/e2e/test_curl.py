"""curl against the real server: by itself, and as the example scripts use it on bad networks."""

import hashlib
import json
import os
import random
from pathlib import Path

import pytest

from tests.conftest import MakeProcess
from tests.e2e.commands import (
    REPOSITORY,
    Finished,
    finish,
    program,
    random_file,
    run,
    sha256,
    spawn,
)
from tests.e2e.relay import answer, relay
from tests.servers import Address
from tests.tokens import make_token

MIB = 2**20
SCRIPTS = {
    "rest": REPOSITORY / "examples/curl/upload-rest.sh",
    "tus": REPOSITORY / "examples/curl/upload-tus.sh",
}
BOTH = pytest.mark.parametrize("face", SCRIPTS)


def command(face: str, path: Path, base: str, *flags: str) -> list[str]:
    """A script with small chunks and no pauses."""
    program("curl", "apt-get install curl")
    chosen = ["-u", base, "-i", "7", "-c", str(MIB), "-w", "0", *flags]
    return ["sh", str(SCRIPTS[face]), *chosen, str(path)]


async def script(
    face: str, path: Path, base: str, *flags: str, token: str | None = None
) -> Finished:
    """Run a script to its end."""
    return await run(*command(face, path, base, *flags), TOKEN=token or make_token())


async def curl(*arguments: str) -> Finished:
    """Run curl as the user 42."""
    path = program("curl", "apt-get install curl")
    return await run(path, "-sS", "-H", f"Authorization: Bearer {make_token()}", *arguments)


async def create(server: Address, length: int | None) -> str:
    """A new upload named a.bin; returns its address."""
    size = "Upload-Defer-Length: 1" if length is None else f"Upload-Length: {length}"
    named = ["-H", size, "-H", "Upload-Metadata: filename YS5iaW4="]
    done = await curl("-i", "-X", "POST", "-H", "Tus-Resumable: 1.0.0", *named, server.files)
    lines = done.stdout.splitlines()
    return next(line.split(None, 1)[1] for line in lines if line.lower().startswith("location:"))


PATCH = ["-X", "PATCH", "-H", "Tus-Resumable: 1.0.0"]
BYTES = ["-H", "Content-Type: application/offset+octet-stream"]


@BOTH
@pytest.mark.parametrize("size", [0, 1, MIB, 3 * MIB + 17])
async def test_script_stores_every_byte(
    server: Address, tmp_path: Path, face: str, size: int
) -> None:
    """A script stores a file of any size where the contract says, and leaves no state behind."""
    path = tmp_path / "audio.mp3"
    expected = random_file(path, size)

    done = await script(face, path, server.base)

    assert (done.code, done.stderr.count("refused")) == (0, 0), done.stderr
    assert await server.sha256("42", 7, "audio.mp3") == expected
    assert sorted(os.listdir(tmp_path)) == ["audio.mp3", server.root.name]


@pytest.mark.decided_early
@BOTH
@pytest.mark.parametrize(
    "name",
    ["отчёт за май.mp3", "録音 1.wav", 'it\'s "quoted" & 100%.txt', "back\\slash", "-x", "$(id)"],
)
async def test_script_keeps_the_name(server: Address, tmp_path: Path, face: str, name: str) -> None:
    """A file keeps its name, whatever a shell or JSON might see in it (a separator becomes `_`)."""
    path = tmp_path / "file"
    expected = random_file(path, 1000)

    done = await script(face, path, server.base, "-n", name)

    assert done.code == 0, done.stderr
    assert await server.sha256("42", 7, name.replace("\\", "_")) == expected


@BOTH
async def test_script_takes_a_file_named_like_a_flag(
    server: Address, tmp_path: Path, face: str
) -> None:
    """A file whose name begins with a dash is a file."""
    expected = random_file(tmp_path / "-n", 1000)
    words = command(face, Path("-n"), server.base)

    done = await run(*words[:-1], "--", words[-1], cwd=tmp_path, TOKEN=make_token())

    assert done.code == 0, done.stderr
    assert await server.sha256("42", 7, "-n") == expected


@BOTH
async def test_script_survives_cuts(server: Address, tmp_path: Path, face: str) -> None:
    """Connections cut in mid-body cost a script neither the upload nor what the server has."""
    path = tmp_path / "audio.mp3"
    expected = random_file(path, 6 * MIB)

    async with relay(server, cuts=[5 * MIB // 2, 300_000, 2 * MIB, 700_000]) as wire:
        done = await script(face, path, wire.base)

        assert wire.is_spent
    assert done.code == 0, done.stderr
    assert await server.sha256("42", 7, "audio.mp3") == expected


@pytest.mark.decided_early
@BOTH
@pytest.mark.parametrize(
    "status",
    [
        "408 Request Timeout",
        "423 Locked",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "503 Service Unavailable",
        "507 Insufficient Storage",
    ],
)
async def test_script_repeats_what_was_temporary(
    server: Address, tmp_path: Path, face: str, status: str
) -> None:
    """408, 423, 429 and every 5xx are tried again."""
    path = tmp_path / "audio.mp3"
    expected = random_file(path, MIB)

    async with relay(server, answers=[answer(status, "Retry-After: 0")] * 3) as wire:
        done = await script(face, path, wire.base)

        assert wire.is_spent
    assert done.code == 0, done.stderr
    assert await server.sha256("42", 7, "audio.mp3") == expected


@BOTH
async def test_script_waits_as_long_as_it_is_told(
    server: Address, tmp_path: Path, face: str
) -> None:
    """Retry-After makes the pause longer."""
    path = tmp_path / "audio.mp3"
    random_file(path, 10)

    async with relay(server, answers=[answer("503 Busy", "Retry-After: 1")]) as wire:
        done = await script(face, path, wire.base)

    assert done.code == 0
    assert "in 1 s" in done.stderr


@BOTH
async def test_script_goes_on_after_it_was_stopped(
    server: Address, tmp_path: Path, face: str
) -> None:
    """The same command again sends only what the server does not have."""
    path = tmp_path / "audio.mp3"
    size = 12 * MIB
    expected = random_file(path, size)

    async with relay(server) as wire:
        first = await spawn(*command(face, path, wire.base), TOKEN=make_token())
        await wire.carried(size // 2)
        first.terminate()
        stopped = await finish(first)
        second = await script(face, path, wire.base)

        assert wire.sent < size + 3 * MIB
    assert stopped.code == 143
    assert second.code == 0, second.stderr
    assert "going on with" in second.stderr
    assert await server.sha256("42", 7, "audio.mp3") == expected


@BOTH
async def test_script_gives_up_and_goes_on_later(
    server: Address, tmp_path: Path, face: str
) -> None:
    """A server that stays away ends the script with 75; the next run finds the upload again."""
    path = tmp_path / "audio.mp3"
    expected = random_file(path, 4 * MIB)

    async with relay(server, cuts=[3 * MIB // 2] * 2) as wire:
        first = await script(face, path, wire.base, "-r", "1")
        second = await script(face, path, wire.base, "-r", "1")
        third = await script(face, path, wire.base, "-r", "1")

    assert [first.code, second.code, third.code] == [75, 75, 0], third.stderr
    assert await server.sha256("42", 7, "audio.mp3") == expected


@BOTH
async def test_script_begins_anew_when_the_file_changed(
    server: Address, tmp_path: Path, face: str
) -> None:
    """What was sent of an older version of the file is not mixed with the new one."""
    path = tmp_path / "audio.mp3"
    random_file(path, 4 * MIB)

    async with relay(server, cuts=[5 * MIB // 2]) as wire:
        first = await script(face, path, wire.base, "-r", "1")
        expected = random_file(path, 4 * MIB)
        second = await script(face, path, wire.base)

    assert first.code == 75
    assert second.code == 0, second.stderr
    assert await server.sha256("42", 7, "audio.mp3") == expected


@BOTH
async def test_script_begins_anew_when_the_server_forgot(
    make_process: MakeProcess, tmp_path: Path, face: str
) -> None:
    """An upload that the server does not know any more is started again."""
    path = tmp_path / "audio.mp3"
    expected = random_file(path, 4 * MIB)
    process = await make_process()
    async with relay(process.address, cuts=[5 * MIB // 2]) as wire:
        first = await script(face, path, wire.base, "-r", "1")
        port = wire.port
    await process.end()
    await process.store.empty()
    server = await process.start()

    async with relay(server, port=port) as wire:
        second = await script(face, path, wire.base)

    assert first.code == 75
    assert second.code == 0, second.stderr
    assert "starting again" in second.stderr
    assert await server.sha256("42", 7, "audio.mp3") == expected


async def test_rest_script_sends_again_what_complete_misses(
    server: Address, tmp_path: Path
) -> None:
    """Chunks that `complete` names as missing are sent again."""
    path = tmp_path / "audio.mp3"
    expected = random_file(path, 5 * MIB)
    async with relay(server, cuts=[5 * MIB // 2]) as wire:
        first = await script("rest", path, wire.base, "-r", "1")
        state = tmp_path / "audio.mp3.upload-rest"
        identity, session, _ = state.read_text().splitlines()
        state.write_text(f"{identity}\n{session}\n3\n")  # as if 0, 1 and 2 had been confirmed

        second = await script("rest", path, wire.base)

    assert first.code == 75
    assert second.code == 0, second.stderr
    assert await server.sha256("42", 7, "audio.mp3") == expected


@BOTH
async def test_script_says_why_it_was_refused(server: Address, tmp_path: Path, face: str) -> None:
    """A token that the server does not take ends the script at once with 1 and the reason."""
    path = tmp_path / "audio.mp3"
    random_file(path, 10)

    async with relay(server) as wire:
        done = await script(face, path, wire.base, token="no.such.token")

        assert wire.sent < 2000
    assert done.code == 1
    assert "refused" in done.stderr
    assert "401" in done.stderr


@BOTH
async def test_script_says_when_a_file_is_too_large(
    make_process: MakeProcess, tmp_path: Path, face: str
) -> None:
    """A file beyond the server's limit ends the script with 1 and the server's reason."""
    path = tmp_path / "audio.mp3"
    random_file(path, 2 * MIB)
    process = await make_process(MAX_UPLOAD_SIZE=str(MIB))

    done = await script(face, path, process.address.base)

    assert done.code == 1
    assert "413" in done.stderr


@BOTH
@pytest.mark.parametrize("flags", [[], ["-c", "0"], ["-c", "many"], ["-q"], ["-i", "x"]])
async def test_script_explains_its_use(tmp_path: Path, face: str, flags: list[str]) -> None:
    """Wrong arguments end a script with 2 and say what is right."""
    path = tmp_path / "audio.mp3"
    path.touch()

    done = await run(
        "sh", SCRIPTS[face], *flags, *([path] if flags else []), TOKEN="t", FILE_ID="1"
    )

    assert done.code == 2
    assert "usage:" in done.stderr or "give -i with a number" in done.stderr


@BOTH
async def test_script_hides_the_token(server: Address, tmp_path: Path, face: str) -> None:
    """A token from the environment never stands on a command line that others can read."""
    path = tmp_path / "audio.mp3"
    random_file(path, 4 * MIB)
    seen = tmp_path / "bin/curl"
    seen.parent.mkdir()
    real = program("curl", "apt-get install curl")
    seen.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >>"{tmp_path}/lines"\nexec {real} "$@"\n')
    seen.chmod(0o755)
    path_with_spy = f"{seen.parent}:/usr/bin:/bin"

    done = await run(*command(face, path, server.base), TOKEN=make_token(), PATH=path_with_spy)

    assert done.code == 0, done.stderr
    assert (tmp_path / "lines").read_text().count(server.base) >= 3
    assert make_token() not in (tmp_path / "lines").read_text()


async def test_curl_streams_a_body_of_unknown_length(server: Address, tmp_path: Path) -> None:
    """curl -T - sends a chunked body, and the upload takes it as any other."""
    path = tmp_path / "a.bin"
    expected = random_file(path, 5 * MIB)
    upload = await create(server, 5 * MIB)
    pipe = f'exec "$0" "$@" -T - <"{path}"'

    done = await run(
        "sh",
        "-c",
        pipe,
        program("curl", "apt-get install curl"),
        *["-sS", "-w", "%{http_code}", "-H", f"Authorization: Bearer {make_token()}"],
        *[*PATCH, *BYTES, "-H", "Upload-Offset: 0", upload],
    )

    assert done.stdout == "204", done.stderr
    assert await server.sha256("42", upload.rsplit("/", 1)[1], "a.bin") == expected


async def test_curl_uploads_with_the_creation(server: Address, tmp_path: Path) -> None:
    """One POST with the whole content is a whole upload."""
    path = tmp_path / "a.bin"
    expected = random_file(path, 3 * MIB)
    length = ["-H", f"Upload-Length: {3 * MIB}", "-H", "Upload-Metadata: filename YS5iaW4="]

    done = await curl(
        *["-i", "-H", "Tus-Resumable: 1.0.0", *length, *BYTES, "--data-binary", f"@{path}"],
        server.files,
    )

    [location] = done.stdout.split("Location: ")[1:]
    assert "HTTP/1.1 201 Created" in done.stdout
    assert await server.sha256("42", location.split()[0].rsplit("/", 1)[1], "a.bin") == expected


async def test_curl_downloads_and_goes_on(server: Address, tmp_path: Path) -> None:
    """curl -C - takes up a download where it broke off."""
    content = random.randbytes(2 * MIB)
    source, target = tmp_path / "a.bin", tmp_path / "copy.bin"
    source.write_bytes(content)
    upload = await create(server, len(content))
    await curl(*PATCH, *BYTES, "-H", "Upload-Offset: 0", "-T", str(source), upload)
    target.write_bytes(content[:700_000])

    done = await curl("-C", "-", "-o", str(target), "-w", "%{http_code}", upload)

    assert done.stdout == "206", done.stderr
    assert hashlib.sha256(content).hexdigest() == sha256(target)


async def test_curl_is_told_before_it_sends(server: Address, tmp_path: Path) -> None:
    """With Expect: 100-continue a refusal costs no body at all."""
    path = tmp_path / "a.bin"
    random_file(path, 20 * MIB)
    upload = await create(server, 20 * MIB)

    async with relay(server) as wire:
        done = await curl(
            *["-w", "%{http_code}", "-o", "/dev/null", "-H", "Expect: 100-continue"],
            *[*PATCH, *BYTES, "-H", "Upload-Offset: 5", "-T", str(path)],
            upload.replace(server.base, wire.base),
        )

        assert wire.sent < 5000
    assert done.stdout.startswith("409"), done.stderr


async def test_curl_speaks_json(server: Address) -> None:
    """The requests of the REST face as one would type them."""
    chunk = ["-F", "chunk_index=0", "-F", "chunk=hello"]
    body = json.dumps({"main_service_file_id": 7, "original_file_name": "a.txt"})
    first = await curl(
        "-H", "Content-Type: application/json", "-d", body, f"{server.base}/upload/init"
    )
    session = json.loads(first.stdout)["data"]["upload_session_id"]
    second = await curl("-F", f"upload_session_id={session}", *chunk, f"{server.base}/upload/chunk")
    end = {"upload_session_id": session, "total_chunks": 1, "main_service_file_id": 7}

    third = await curl(
        *["-H", "Content-Type: application/json", "-d", json.dumps(end)],
        f"{server.base}/upload/complete",
    )

    assert json.loads(second.stdout)["status"] == "success"
    assert json.loads(third.stdout)["status"] == "success"
    assert await server.file("42", 7, "a.txt") == b"hello"
