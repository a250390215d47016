"""The addresses beside the faces: health, and nowhere."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tests.core import Core
from tests.fakes import Fault
from tusd_py.web import plain


def request(method: str = "GET") -> web.Request:
    """A request to any address."""
    return make_mocked_request(method, "/healthz")


async def test_alive() -> None:
    """/healthz: the process answers."""
    assert (await plain.alive(request())).status == 200


async def test_ready() -> None:
    """/readyz: the storage takes bytes."""
    assert (await plain.ready(request(), Core().service, asyncio.Event())).status == 200


async def test_not_ready_while_leaving() -> None:
    """A server that is about to leave is no longer ready, though alive."""
    leaving = asyncio.Event()
    leaving.set()

    assert (await plain.ready(request(), Core().service, leaving)).status == 503
    assert (await plain.alive(request())).status == 200


async def test_not_ready_without_storage() -> None:
    """A storage that takes no bytes makes the server not ready."""
    core = Core()
    with core.storage.failing(Fault.UNREACHABLE):
        response = await plain.ready(request(), core.service, asyncio.Event())

    assert response.status == 503


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
async def test_health_is_only_read(method: str) -> None:
    """Other methods are 405 with what is allowed."""
    response = await plain.alive(request(method))

    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"


async def test_nowhere() -> None:
    """Any other address is 404 with a reason."""
    assert (await plain.nowhere(request())).status == 404
