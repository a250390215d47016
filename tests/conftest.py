"""Fixtures that every folder of tests shares."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from tests.servers import Address, ServerProcess, running

MakeServer = Callable[..., Awaitable[Address]]
MakeProcess = Callable[..., Awaitable[ServerProcess]]


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """A blocking call on the event loop made by the package fails the test."""
    with blockbuster_ctx("tusd_py") as guard:
        yield guard


@pytest.fixture
async def make_server(tmp_path: Path) -> AsyncIterator[MakeServer]:
    """Starts servers in this process: `await make_server(MAX_UPLOAD_SIZE="10")`."""
    async with AsyncExitStack() as stack:

        async def make(root: Path | None = None, **overrides: str) -> Address:
            return await stack.enter_async_context(running(root or tmp_path / "data", **overrides))

        yield make


@pytest.fixture
async def server(make_server: MakeServer) -> Address:
    """A server with default settings."""
    return await make_server()


@pytest.fixture
async def make_process(tmp_path: Path) -> AsyncIterator[MakeProcess]:
    """Starts servers as processes: `await make_process(BODY_TIMEOUT="2")`."""
    started: list[ServerProcess] = []

    async def make(root: Path | None = None, **overrides: str) -> ServerProcess:
        folder = root or tmp_path / "data"
        folder.mkdir(exist_ok=True)
        process = ServerProcess(root=folder, overrides=overrides)
        started.append(process)
        await process.start()
        return process

    yield make
    for process in started:
        await process.end()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that shows answers as they are."""
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout) as session:
        yield session
