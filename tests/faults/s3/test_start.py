"""The start with settings that are wrong: one line that names the setting, exit code 2."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from aiohttp import web

from tests.servers import free_port, settings
from tests.store_calls import Kind
from tests.store_proxy import Refuse, StoreProxy
from tests.weed import Bucket


async def run(command: str, folder: Path, environ: Mapping[str, str]) -> tuple[int, str]:
    """Run a command; its exit code, and what it complained about."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tusd_py", command),
        env={**settings(folder / "data"), "HOME": str(folder), **environ},
        cwd=folder,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        _, complaint = await process.communicate()
    assert process.returncode is not None
    return process.returncode, complaint.decode()


@pytest.fixture
async def stranger() -> AsyncIterator[str]:
    """The address of an HTTP server that is no S3 store."""

    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(text="<html>It works!</html>", content_type="text/html")

    server = web.Server(answer)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "key": ({"S3_ACCESS_KEY": "nobody"}, "S3_ACCESS_KEY"),
    "secret": ({"S3_SECRET_KEY": "not the secret"}, "S3_SECRET_KEY"),
    "bucket": ({"S3_BUCKET_NAME": "there-is-none"}, "S3_BUCKET_NAME"),
    "bucket-name": ({"S3_BUCKET_NAME": "No Bucket!"}, "S3_BUCKET_NAME"),
    "no-keys": (
        {"S3_ACCESS_KEY": "", "S3_SECRET_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"},
        "S3_ACCESS_KEY",
    ),
    "one-key": ({"S3_SECRET_KEY": ""}, "S3_SECRET_KEY"),
    "region": ({"S3_REGION_NAME": "no region"}, "S3_REGION_NAME"),
}


@pytest.mark.parametrize(("wrong", "named"), WRONG.values(), ids=WRONG)
async def test_wrong_setting(
    bucket: Bucket, tmp_path: Path, wrong: dict[str, str], named: str
) -> None:
    """`check` names the setting that is wrong in one line, and exits with 2."""
    code, complaint = await run("check", tmp_path, {**bucket.settings, **wrong})

    assert code == 2
    assert complaint.startswith("tusd-py: ")
    assert complaint.count("\n") == 1
    assert named in complaint


async def test_serve_complains_in_the_same_words(bucket: Bucket, tmp_path: Path) -> None:
    """`serve` does not start with a wrong setting."""
    environ = {**bucket.settings, "S3_BUCKET_NAME": "there-is-none"}
    served, checked = await asyncio.gather(
        *(run(command, tmp_path, environ) for command in ("serve", "check"))
    )

    assert served == checked
    assert served[0] == 2


async def test_nothing_listens(bucket: Bucket, tmp_path: Path) -> None:
    """An endpoint at which nothing listens is told, soon enough for who waits for the start."""
    endpoint = f"http://127.0.0.1:{free_port()}"
    environ = {**bucket.settings, "S3_ENDPOINT_URL": endpoint}
    async with asyncio.timeout(30):
        code, complaint = await run("check", tmp_path, environ)

    assert code == 2
    assert complaint == f"tusd-py: S3_ENDPOINT_URL: nothing answers at {endpoint}.\n"


@pytest.mark.parametrize("command", ["check", "serve"])
async def test_endpoint_that_is_no_store(
    bucket: Bucket, tmp_path: Path, stranger: str, command: str
) -> None:
    """A web server of another kind is not taken for a store."""
    code, complaint = await run(command, tmp_path, {**bucket.settings, "S3_ENDPOINT_URL": stranger})

    assert code == 2
    assert complaint.startswith(f"tusd-py: S3_ENDPOINT_URL: {stranger} ")
    assert complaint.count("\n") == 1


async def test_key_that_may_only_read(bucket: Bucket, proxy: StoreProxy, tmp_path: Path) -> None:
    """A key that may not write is found at the start, not by the first user."""
    environ = {**bucket.settings, "S3_ENDPOINT_URL": proxy.endpoint}
    with proxy.rule(Refuse(status=403, code="AccessDenied"), Kind.PUT):
        code, complaint = await run("check", tmp_path, environ)

    assert code == 2
    assert bucket.name in complaint
    assert complaint.count("\n") == 1


async def test_check_of_right_settings(bucket: Bucket, tmp_path: Path) -> None:
    """`check` with right settings exits with 0 and leaves nothing in the bucket."""
    code, complaint = await run("check", tmp_path, bucket.settings)

    assert (code, complaint) == (0, "")
    assert await bucket.keys() == {}


async def test_keys_of_the_environment(bucket: Bucket, tmp_path: Path) -> None:
    """Without S3_ACCESS_KEY and S3_SECRET_KEY the keys come from where AWS's own tools look."""
    own = bucket.settings
    chain = {
        "S3_ACCESS_KEY": "",
        "S3_SECRET_KEY": "",
        "AWS_ACCESS_KEY_ID": own["S3_ACCESS_KEY"],
        "AWS_SECRET_ACCESS_KEY": own["S3_SECRET_KEY"],
    }
    code, complaint = await run("check", tmp_path, {**own, **chain})

    assert (code, complaint) == (0, "")
