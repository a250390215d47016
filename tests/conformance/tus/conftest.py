"""Clients of the tus face."""

from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from tests.conformance.tus.client import Tus
from tests.conftest import MakeServer
from tests.servers import Address

MakeTus = Callable[..., Awaitable[Tus]]


@pytest.fixture
def tus(http: aiohttp.ClientSession, server: Address) -> Tus:
    """User 42 of a server with default settings."""
    return Tus(http=http, address=server)


@pytest.fixture
def make_tus(http: aiohttp.ClientSession, make_server: MakeServer) -> MakeTus:
    """User 42 of a server with settings: `await make_tus(MAX_UPLOAD_SIZE="10")`."""

    async def make(**settings: str) -> Tus:
        return Tus(http=http, address=await make_server(**settings))

    return make
