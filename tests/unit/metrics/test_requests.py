"""Requests are counted by face, method and status, and none of these by words of a client."""

import asyncio

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tests.conformance.rest.client import RestClient
from tests.conformance.tus.client import Tus, content_of
from tests.exposition import exposition, read
from tests.servers import Address
from tusd_py.metrics import Metrics
from tusd_py.metrics.requests import METHODS
from tusd_py.request import CURRENT
from tusd_py.web.naming import RequestNames
from tusd_py.web.watch import Watch

COUNT = "tusd_py_requests_total"


@pytest.fixture
def tus(http: aiohttp.ClientSession, server: Address) -> Tus:
    """User 42 of a server."""
    return Tus(http=http, address=server)


async def test_requests_of_each_face(tus: Tus, http: aiohttp.ClientSession) -> None:
    """Each request counts once: of the tus face, the REST face, or neither; refusals, too."""
    url = await tus.upload(content_of(100))
    await tus.get(url)
    await tus.patch(url, 7, b"x")
    await RestClient(http=http, server=tus.address).uploaded(b"content", file_id=7, name="x")
    await tus.send("GET", f"{tus.address.base}/nowhere")

    found = await exposition(tus.address)

    assert found.value(COUNT, face="tus", method="POST", status="201") == 1
    assert found.value(COUNT, face="tus", method="PATCH", status="204") == 1
    assert found.value(COUNT, face="tus", method="GET", status="200") == 1
    assert found.value(COUNT, face="tus", method="PATCH", status="409") == 1
    assert found.value(COUNT, face="rest", method="POST", status="200") == 3
    assert found.value(COUNT, face="other", method="GET", status="404") == 1
    assert found.value("tusd_py_request_duration_seconds_count", face="tus") == 4
    assert found.value("tusd_py_request_duration_seconds_count", face="rest") == 3


async def test_words_of_a_client_are_no_labels(server: Address) -> None:
    """Methods that no face has are one series, and so are heads that are not HTTP."""
    for word in ("PROPFIND", "MKCOL", "LOCK"):
        await server.raw(
            f"{word} /files/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        )
    await server.raw(b"GET / HTTP/9.9\r\nHost: x\r\n\r\n")

    found = await exposition(server)

    assert found.value(COUNT, face="tus", method="other", status="401") == 3
    assert found.value(COUNT, face="other", method="other", status="400") == 1
    assert found.labels(COUNT, "method") <= METHODS | {"other"}


def request() -> web.Request:
    """Any request."""
    return make_mocked_request("GET", "/files/x")


@pytest.mark.parametrize("error", [ConnectionResetError, asyncio.CancelledError])
async def test_no_answer_counts_as_499(error: type[BaseException]) -> None:
    """A client that went away, or a request that was cut, has a status of its own."""
    metrics = Metrics()

    async def broken(_request: web.Request) -> web.StreamResponse:
        raise error

    with pytest.raises(error):
        await Watch(RequestNames(), metrics.requests.answered).over("tus", broken)(request())
    found = read((await metrics.exposition())[0].decode())

    assert found.value(COUNT, face="tus", method="GET", status="499") == 1


async def test_answers_that_are_raised_count_with_their_status() -> None:
    """aiohttp's own answers come as exceptions."""
    metrics = Metrics()

    async def raising(_request: web.Request) -> web.StreamResponse:
        raise web.HTTPNotFound

    with pytest.raises(web.HTTPNotFound):
        await Watch(RequestNames(), metrics.requests.answered).over("other", raising)(request())
    found = read((await metrics.exposition())[0].decode())

    assert found.value(COUNT, face="other", method="GET", status="404") == 1
    assert CURRENT.get() is not None
