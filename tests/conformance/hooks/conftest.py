"""Servers that ask a hook server."""

from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient
from tests.conformance.tus.client import Tus
from tests.conftest import MakeServer
from tests.hook_server import HookServer, hook_server

MakeSteered = Callable[..., Awaitable[Tus]]

ALL = "pre-create,post-create,post-receive,pre-finish,post-finish,pre-terminate,post-terminate"


@pytest.fixture
async def hooks() -> AsyncIterator[HookServer]:
    """A hook server that agrees to all."""
    async with hook_server() as server:
        yield server


@pytest.fixture
def make_steered(
    http: aiohttp.ClientSession, make_server: MakeServer, hooks: HookServer
) -> MakeSteered:
    """User 42 of a server that asks it: `await make_steered(HOOKS_ENABLED_EVENTS="pre-create")`."""

    async def make(**settings: str) -> Tus:
        own = {
            "HOOKS_HTTP_URL": hooks.url,
            "HOOKS_ENABLED_EVENTS": ALL,
            "HOOKS_HTTP_BACKOFF": "0",
            **settings,
        }
        return Tus(http=http, address=await make_server(**own))

    return make


@pytest.fixture
async def tus(make_steered: MakeSteered) -> Tus:
    """User 42 of a server that asks about everything."""
    return await make_steered()


@pytest.fixture
def rest(http: aiohttp.ClientSession, tus: Tus) -> RestClient:
    """The same user over REST."""
    return RestClient(http=http, server=tus.address)
