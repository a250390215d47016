"""Fixtures of the tests in which the store fails."""

from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient
from tests.conftest import MakeServer
from tests.faults.s3.scene import Scene
from tests.quick_s3 import hurry
from tests.store_proxy import StoreProxy, store_proxy
from tests.weed import Bucket

MakeScene = Callable[..., Awaitable[Scene]]


@pytest.fixture(autouse=True)
def _quick_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture
async def proxy(bucket: Bucket) -> AsyncIterator[StoreProxy]:
    """A proxy in front of the store of this run."""
    async with store_proxy(bucket.weed.port) as proxy:
        yield proxy


@pytest.fixture
def make_scene(
    http: aiohttp.ClientSession, bucket: Bucket, proxy: StoreProxy, make_server: MakeServer
) -> MakeScene:
    """User 42 at a server with settings: `await make_scene(S3_PART_SIZE="8MiB")`."""

    async def make(**overrides: str) -> Scene:
        through = {"S3_ENDPOINT_URL": proxy.endpoint, "S3_PART_SIZE": "5MiB"}
        server = await make_server(**{**bucket.settings, **through, **overrides})
        return Scene(client=RestClient(http=http, server=server), proxy=proxy, bucket=bucket)

    return make


@pytest.fixture
async def scene(make_scene: MakeScene) -> Scene:
    """User 42 at a server with parts of 5 MiB."""
    return await make_scene()
