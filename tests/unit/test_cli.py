"""The commands, as a user types them: serve, dev, token, sweep, check."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from tests.servers import settings
from tests.tokens import AUDIENCE, ISSUER, PUBLIC_PEM
from tusd_py import __version__
from tusd_py.config import Config


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


@asynccontextmanager
async def running(
    *argv: str, cwd: Path, environ: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command while it runs; nothing of this environment but the path reaches it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tusd_py", *argv),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), **(environ or {})},
        cwd=cwd,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def run(*argv: str, cwd: Path, environ: Mapping[str, str] | None = None) -> Said:
    """A command, up to its end."""
    async with running(*argv, cwd=cwd, environ=environ) as process, asyncio.timeout(30):
        return await ended(process)


async def ended(process: asyncio.subprocess.Process) -> Said:
    """How a process ends, and what it printed that nobody read yet."""
    out, err = await process.communicate()
    assert process.returncode is not None
    return Said(code=process.returncode, out=out.decode(), err=err.decode())


async def up_to(stream: asyncio.StreamReader | None, end: str) -> str:
    """What a process prints up to and with some words."""
    assert stream is not None
    async with asyncio.timeout(30):
        return (await stream.readuntil(end.encode())).decode()


def assert_one_line(said: Said, code: int, *words: str) -> None:
    """One line on standard error that has these words in it."""
    assert (said.code, said.out) == (code, "")
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith("tusd-py: ")
    assert [word for word in words if word not in said.err] == []


# --- help


async def test_help_names_the_commands(tmp_path: Path) -> None:
    """`--help` says what there is."""
    said = await run("--help", cwd=tmp_path)

    assert (said.code, said.err) == (0, "")
    assert all(command in said.out for command in ("serve", "dev", "token", "sweep", "check"))


async def test_help_names_the_settings(tmp_path: Path) -> None:
    """`serve --help` has every setting with its default."""
    said = await run("serve", "--help", cwd=tmp_path)

    assert said.code == 0
    assert [each.name for each in fields(Config) if each.name.upper() not in said.out] == []
    assert "24h" in said.out


async def test_the_version(tmp_path: Path) -> None:
    """`--version` is the one of the package."""
    assert (await run("--version", cwd=tmp_path)).out == f"tusd-py {__version__}\n"


@pytest.mark.parametrize("argv", [("destroy",), ("--ports", "1"), ("serve", "--por", "1")])
async def test_an_unknown_word_is_told(argv: tuple[str, ...], tmp_path: Path) -> None:
    """Neither unknown commands nor unknown or half-written flags are guessed at."""
    said = await run(*argv, cwd=tmp_path)

    assert said.code == 2
    assert argv[-2 if len(argv) > 1 else 0] in said.err


# --- settings


async def test_a_missing_setting_is_one_line(tmp_path: Path) -> None:
    """Without settings the server does not start, and says what it needs first."""
    assert_one_line(await run(cwd=tmp_path), 2, "MAIN_SERVICE_JWT_PUBLIC_KEY", "missing")


async def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    """A wrong setting stops the start with its name and what would be right."""
    said = await run("serve", cwd=tmp_path, environ=settings(tmp_path, BODY_TIMEOUT="soon"))

    assert_one_line(said, 2, "BODY_TIMEOUT", "90s")


async def test_a_wrong_flag_is_one_line(tmp_path: Path) -> None:
    """So does a wrong flag, whatever the environment says."""
    said = await run("--port", "http", cwd=tmp_path, environ=settings(tmp_path))

    assert_one_line(said, 2, "PORT", "65535")


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_folder_that_cannot_be_used_is_one_line(workers: str, tmp_path: Path) -> None:
    """A data folder that is a file stops the start, with the same words of any worker."""
    (tmp_path / "data").touch()
    environ = settings(tmp_path / "data", WORKERS=workers)
    said = await run("serve", cwd=tmp_path, environ=environ)

    assert_one_line(said, 2)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_port_in_use_is_one_line(workers: str, tmp_path: Path) -> None:
    """Two servers on one port: the second says which, and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environ = settings(tmp_path / "data", WORKERS=workers)
        said = await run("serve", f"--port={port}", cwd=tmp_path, environ=environ)

    assert_one_line(said, 1, f"127.0.0.1:{port}", "in use", "--port")


# --- check and sweep


async def test_check(tmp_path: Path) -> None:
    """Right settings and a folder that can be written to: exit code 0."""
    said = await run("check", cwd=tmp_path, environ=settings(tmp_path / "data"))

    assert (said.code, said.err) == (0, "")
    assert str(tmp_path / "data") in said.out


async def test_check_reads_dotenv(tmp_path: Path) -> None:
    """A file .env in the working folder is read, too."""
    (tmp_path / "key.pem").write_text(PUBLIC_PEM)
    (tmp_path / ".env").write_text(
        "MAIN_SERVICE_JWT_PUBLIC_KEY_FILE=key.pem\n"
        f"EXPECTED_JWT_ISSUER={ISSUER}\nEXPECTED_JWT_AUDIENCE={AUDIENCE}\n"
        "LOCAL_TEMP_CHUNK_PATH=here\n"
    )

    assert (await run("check", cwd=tmp_path)).code == 0
    assert (tmp_path / "here").is_dir()


async def test_check_finds_a_bad_folder(tmp_path: Path) -> None:
    """A folder that cannot be written to is exit code 2."""
    (tmp_path / "data").touch()

    assert_one_line(await run("check", cwd=tmp_path, environ=settings(tmp_path / "data")), 2)


async def test_sweep(tmp_path: Path) -> None:
    """One pass, and what it did."""
    said = await run("sweep", cwd=tmp_path, environ=settings(tmp_path / "data"))

    assert said.code == 0
    assert said.out == "0 expired, 0 finished, 0 forgotten, 0 cleaned, 0 quarantined, 0 failed\n"


# --- token


async def test_token_without_a_key_is_one_line(tmp_path: Path) -> None:
    """Without a private key it says where one would come from."""
    said = await run("token", "--user", "42", cwd=tmp_path)

    assert_one_line(said, 2, "--key", "tusd-py dev")


async def test_token_with_the_wrong_key_is_one_line(tmp_path: Path) -> None:
    """The public key signs nothing."""
    (tmp_path / "key.pem").write_text(PUBLIC_PEM)
    said = await run("token", "--user", "42", "--key", "key.pem", cwd=tmp_path)

    assert_one_line(said, 2, "key.pem")


# --- dev


@asynccontextmanager
async def dev(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`tusd-py dev` once it listens, and what it printed."""
    async with running("dev", "--port", "0", cwd=folder) as process:
        yield process, await up_to(process.stdout, "Ctrl-C stops.\n")


async def test_dev_works_as_pasted(tmp_path: Path) -> None:
    """Addresses, token, and a curl line that works when run by sh; Ctrl-C stops it cleanly."""
    async with dev(tmp_path) as (process, welcome):
        curl = next(line for line in welcome.splitlines() if "curl" in line)
        shell = await asyncio.create_subprocess_exec(
            *("sh", "-c", curl.strip()), stdout=asyncio.subprocess.PIPE
        )
        pasted = await ended_shell(shell)
        token = re.search(r"#token=(\S+)", welcome)
        another = await run("token", "--user", "42", cwd=tmp_path)
        process.send_signal(signal.SIGINT)
        said = await ended(process)

    assert re.search(r"http://127\.0\.0\.1:[1-9][0-9]*/", welcome)
    assert re.search(r"^  http://127\.0\.0\.1:[1-9][0-9]*/docs$", welcome, re.M)
    assert token is not None
    assert token[1] in welcome.replace(f"#token={token[1]}", "")
    assert pasted.startswith("HTTP/1.1 201 ")
    assert "Upload-Offset: 14" in pasted
    assert contents(tmp_path, "hello.txt") == [b"Hello, upload!"]
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", another.out)
    assert said.code == 0
    assert "Traceback" not in said.err


def contents(folder: Path, name: str) -> list[bytes]:
    """What the files of a name below a folder hold."""
    return [path.read_bytes() for path in folder.rglob(name)]


async def ended_shell(shell: asyncio.subprocess.Process) -> str:
    """What a shell command printed; it must succeed."""
    async with asyncio.timeout(30):
        out, _ = await shell.communicate()
    assert shell.returncode == 0
    return out.decode()


async def test_dev_keeps_its_keys(tmp_path: Path) -> None:
    """A token of yesterday's server is good for today's, and nothing else lies in the folder."""
    async with dev(tmp_path):
        pass
    before = (tmp_path / ".tusd-dev" / "private.pem").read_text()
    async with dev(tmp_path):
        pass

    assert (tmp_path / ".tusd-dev" / "private.pem").read_text() == before
    assert os.listdir(tmp_path) == [".tusd-dev"]
