"""examples/embed.py, used with curl and with tuspy."""

import asyncio
import base64
import hashlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tusclient.client import TusClient

from tests.e2e.commands import REPOSITORY, finish, listening, program, random_file, run, spawn
from tests.servers import free_port

pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")

LOGIN = "alice:wonder"
TUS = ("-H", "Tus-Resumable: 1.0.0")


@pytest.fixture
async def base(tmp_path: Path) -> AsyncIterator[str]:
    """The address of the example."""
    port = free_port()
    script = REPOSITORY / "examples/embed.py"
    flags = ("--folder", tmp_path / "data", "--port", str(port))
    command = (sys.executable, "-W", "error", script, *flags)
    process = await spawn(*command, PYTHONPATH=str(REPOSITORY))
    await listening(port, process)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    left = await finish(process)
    assert left.code in {0, 1}, left.stderr
    assert "Traceback" not in left.stderr, left.stderr


async def curl(*arguments: str | Path, login: str = LOGIN) -> str:
    """What curl shows: head and body."""
    command = [program("curl", "apt-get install curl"), "-s", "-i", "-u", login]
    done = await run(*command, *arguments)
    assert done.code == 0, done.stderr
    return done.stdout


def metadata(name: str) -> str:
    """A header line."""
    return f"Upload-Metadata: filename {base64.b64encode(name.encode()).decode()}"


async def test_an_upload_with_curl(base: str, tmp_path: Path) -> None:
    """As its docstring says: the page is there, an upload goes to /uploads/files/, its name is in
    small letters as the hook says, and the last answer has the hook's Link. Whoever has no password
    is asked for one, a wrong one is refused, and so are programs."""
    file = tmp_path / "LOUD.TXT"
    file.write_bytes(b"hello")
    page = await curl(base)
    post = ("-X", "POST", *TUS, "-H", "Upload-Length: 5", "-H", metadata(file.name))
    created = await curl(*post, f"{base}/uploads/files/")
    [url] = [line.split()[1] for line in created.splitlines() if line.startswith("Location:")]

    octets = ("-H", "Content-Type: application/offset+octet-stream", "-H", "Upload-Offset: 0")
    patched = await curl("-X", "PATCH", *TUS, *octets, "--data-binary", f"@{file}", url)

    assert page.startswith("HTTP/1.1 200 ")
    assert url.startswith(f"{base}/uploads/files/")
    assert patched.startswith("HTTP/1.1 204 ")
    assert "Link: </mine/loud.txt>; rel=related" in patched
    assert (await curl(url)).endswith("\r\n\r\nhello")
    stored = tmp_path / "data/final/alice" / url.rpartition("/")[2] / "loud.txt"
    assert stored.read_bytes() == b"hello"

    another = ("-X", "POST", *TUS, "-H", "Upload-Length: 5", f"{base}/uploads/files/")

    nobody = await curl(*another, "-H", "Authorization:")
    wrong = await curl(*another, login="alice:x")
    virus = await curl(*another, "-H", metadata("Setup.EXE"))

    assert nobody.startswith("HTTP/1.1 401 ")
    assert 'WWW-Authenticate: Basic realm="uploads"' in nobody
    assert wrong.startswith("HTTP/1.1 403 ")
    assert virus.startswith("HTTP/1.1 415 ")
    assert virus.endswith('{"error":"no programs, please"}\n')


async def test_an_upload_with_tuspy(base: str, tmp_path: Path) -> None:
    """A real tus client finds its way: three chunks, one of them after a new start."""
    path = tmp_path / "big.bin"
    expected = random_file(path, 5 << 20)
    login = {"Authorization": f"Basic {base64.b64encode(LOGIN.encode()).decode()}"}
    client = TusClient(f"{base}/uploads/files/", headers=login)

    def upload() -> str:
        named = {"filename": "Big.bin"}
        with path.open("rb") as file:
            first = client.uploader(file_stream=file, chunk_size=2 << 20, metadata=named)
            first.upload(stop_at=2 << 20)
            again = client.uploader(file_stream=file, chunk_size=2 << 20, url=first.url)
            assert again.offset == 2 << 20
            again.upload()
            return str(again.url)

    url = await asyncio.to_thread(upload)

    stored = tmp_path / "data/final/alice" / url.rpartition("/")[2] / "big.bin"
    assert hashlib.sha256(stored.read_bytes()).hexdigest() == expected
