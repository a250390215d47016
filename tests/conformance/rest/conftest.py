"""The fixture of the REST tests: a client of the default server."""

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient
from tests.servers import Address


@pytest.fixture
def rest(http: aiohttp.ClientSession, server: Address) -> RestClient:
    """User 42 at a server with default settings."""
    return RestClient(http=http, server=server)
