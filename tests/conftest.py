"""Fixtures that every folder of tests shares."""

import asyncio
import os
import resource
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from tests.quick_s3 import sharing
from tests.receiver import Receiver, receiving
from tests.servers import Address, ServerProcess, running
from tests.stores import Folder, InBucket, MakeStore
from tests.weed import Bucket, Weed
from tusd_py.runtime import loop_factory
from tusd_py.setting_types import EventLoop

MakeServer = Callable[..., Awaitable[Address]]
MakeProcess = Callable[..., Awaitable[ServerProcess]]

OF_BODIES = {
    "tests.conformance.rest.test_chunk",
    "tests.conformance.rest.test_integrity",
    "tests.conformance.rest.test_limits",
    "tests.conformance.tus.test_checksum",
    "tests.conformance.tus.test_creation_with_upload",
    "tests.conformance.tus.test_download",
    "tests.conformance.tus.test_integrity",
    "tests.conformance.tus.test_limits",
    "tests.conformance.tus.test_patch",
    "tests.faults.disk.test_full_disk",
    "tests.faults.test_behind_a_body",
    "tests.faults.test_broken_framing",
    "tests.faults.test_clients",
    "tests.faults.test_lost_bytes",
    "tests.faults.test_shutdown",
    "tests.faults.test_slow_loris",
    "tests.faults.test_smuggling",
    "tests.faults.test_takeover",
}
"""What has to do with bodies runs on local storage both ways: straight from the socket, and through
aiohttp. With TESTS_WAYS=all everything does (`make nightly`)."""
EVERY_WAY = os.environ.get("TESTS_WAYS") == "all"
EventLoopFactory = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """A blocking call on the event loop made by the package fails the test."""
    with blockbuster_ctx("tusd_py") as guard:
        for call in guard.functions.values():  # the client of S3 reads files when it is made
            call.can_block_in("tusd_py/storage/s3/bucket.py", "open_bucket")
        for name, call in guard.functions.items():  # a thread may go on alone for a moment (BRIEF)
            if "acquire" in name:
                call.can_block_in("tusd_py/storage/pool.py", "_wait_for")
        yield guard


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What clients see is the same on every kind of storage, and whichever way bytes go."""
    name = metafunc.module.__name__
    is_for_all = name.startswith(("tests.conformance.", "tests.e2e."))
    is_for_faults = name.startswith("tests.faults.") and not name.startswith("tests.faults.s3")
    marks = metafunc.definition.iter_markers("parametrize")
    is_chosen = any(mark.args[0] == "make_store" for mark in marks)
    if "make_store" in metafunc.fixturenames and not is_chosen and (is_for_all or is_for_faults):
        ways = ["local"]
        if name in OF_BODIES or EVERY_WAY:
            ways.append("stream")
        if is_for_all:
            ways.append("s3")
        metafunc.parametrize("make_store", ways, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a test that is marked `decided_early` the first case runs on S3, and every one on local
    storage: its cases differ in what is refused, or answered, before storage is asked, so each asks
    it the same. With TESTS_WAYS=all every one runs everywhere."""
    if EVERY_WAY:
        return
    tried: set[str] = set()
    left = []
    for item in items:
        if item.get_closest_marker("decided_early") is None or _store_of(item) != "s3":
            continue
        test = item.nodeid.partition("[")[0]
        if test in tried:
            left.append(item)
        tried.add(test)
    if left:
        items[:] = [item for item in items if item not in set(left)]
        config.hook.pytest_deselected(items=left)


def _store_of(item: pytest.Item) -> object:
    return item.callspec.params.get("make_store") if isinstance(item, pytest.Function) else None


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, EventLoopFactory]:
    """Tests of what clients see run on the event loop that users have, the others on the one that
    is always there, so that each is tried; TESTS_LOOP=uvloop, or asyncio, is for all."""
    factories = {each.value: loop_factory(each) for each in EventLoop}
    is_for_clients = bool({"conformance", "e2e"} & set(item.path.parts))
    name = os.environ.get("TESTS_LOOP") or ("uvloop" if is_for_clients else "asyncio")
    return {name: factories[name]}


@pytest.fixture(scope="session", autouse=True)
def quick_clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Clients of S3 share what they would make of the same description of S3 each."""
    with sharing(tmp_path_factory.mktemp("certificates")):
        yield


@pytest.fixture
def make_store(request: pytest.FixtureRequest) -> MakeStore:
    """Where the servers of `make_server` and `make_process` store, and which way bytes go: with
    "local" straight from the socket into their folders; with "stream" there, too, but through
    aiohttp; with "s3" through aiohttp, all into the same bucket."""
    kind = getattr(request, "param", "local")
    if kind != "s3":
        return lambda root: Folder(root=root, is_direct=kind != "stream")
    bucket: Bucket = request.getfixturevalue("bucket")
    return lambda root: InBucket(bucket=bucket, root=root)


@pytest.fixture
async def make_server(tmp_path: Path, make_store: MakeStore) -> AsyncIterator[MakeServer]:
    """Starts servers in this process: `await make_server(MAX_UPLOAD_SIZE="10")`."""
    async with AsyncExitStack() as stack:

        async def make(root: Path | None = None, **overrides: str) -> Address:
            folder = root or tmp_path / "data"
            server = running(folder, make_store(folder), **overrides)
            return await stack.enter_async_context(server)

        yield make


@pytest.fixture
async def server(make_server: MakeServer) -> Address:
    """A server with default settings."""
    return await make_server()


@pytest.fixture
async def make_process(tmp_path: Path, make_store: MakeStore) -> AsyncIterator[MakeProcess]:
    """Starts servers as processes: `await make_process(BODY_TIMEOUT="2")`."""
    started: list[ServerProcess] = []

    async def make(
        root: Path | None = None, *, under: tuple[str, ...] = (), **overrides: str
    ) -> ServerProcess:
        folder = root or tmp_path / "data"
        folder.mkdir(exist_ok=True)
        process = ServerProcess(
            root=folder, store=make_store(folder), overrides=overrides, under=under
        )
        started.append(process)
        await process.start()
        return process

    yield make
    for process in started:
        await process.end()


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as the machine allows, for tests with many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that shows answers as they are."""
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout) as session:
        yield session


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A main service that can be told of uploads: `await make_server(**receiver.settings)`."""
    async with receiving() as one:
        yield one


@pytest.fixture(scope="session")
def weed() -> Iterator[Weed]:
    """A real S3 store for all tests of this process; a test that stops it starts it again."""
    with tempfile.TemporaryDirectory(prefix="weed-", ignore_cleanup_errors=True) as folder:
        store = Weed(folder=Path(folder))
        try:
            store.start()
            yield store
        finally:
            store.kill()


@pytest.fixture(scope="session")
def used_bucket(weed: Weed) -> Bucket:
    """The bucket of that store, with what the test before left in it."""
    one = weed.bucket("tests")
    with asyncio.Runner() as runner:
        runner.run(one.create())
    return one


@pytest.fixture
def bucket(used_bucket: Bucket) -> Iterator[Bucket]:
    """An empty bucket. All tests of this process use the same one, one after the other: the first
    write to a new one takes 0.2 s, and each has files of its own on the disk."""
    yield used_bucket
    used_bucket.empty()


@pytest.fixture
def own_weed(tmp_path: Path) -> Iterator[Weed]:
    """A store of this test's own, to be stopped, killed and started again; it has no bucket."""
    store = Weed(folder=tmp_path / "weed")
    try:
        store.start()
        yield store
    finally:
        store.kill()
