"""Servers for what the pages say."""

from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from tests.conformance.tus.client import Tus
from tests.conftest import MakeServer

MakeTus = Callable[..., Awaitable[Tus]]


@pytest.fixture
def make_tus(http: aiohttp.ClientSession, make_server: MakeServer) -> MakeTus:
    """User 42 of a server with settings: `await make_tus(MAX_UPLOAD_SIZE="10")`."""

    async def make(**settings: str) -> Tus:
        return Tus(http=http, address=await make_server(**settings))

    return make


@pytest.fixture
async def tus(make_tus: MakeTus) -> Tus:
    """User 42 of a server with a limit of 100 bytes."""
    return await make_tus(MAX_UPLOAD_SIZE="100")
