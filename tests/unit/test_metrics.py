"""Metrics: counters of refusals and of limits that were met, in the text format of Prometheus."""

import aiohttp

from tests.servers import Address
from tusd_py.errors import TooLarge, UploadNotFound
from tusd_py.events import Swept
from tusd_py.metrics import LIMITS, Metrics


class _Limited(TooLarge):
    limit = "max_upload_size"


async def lines(metrics: Metrics) -> list[str]:
    """The exposition, line by line."""
    data, _ = await metrics.exposition()
    return data.decode().splitlines()


async def test_every_limit_is_there_before_it_is_met() -> None:
    """A rule can watch a limit that nobody has met yet."""
    found = await lines(Metrics())

    for limit in LIMITS:
        assert f'tusd_py_limit_hits_total{{limit="{limit}"}} 0.0' in found


async def test_refusals_are_counted_by_code() -> None:
    """Each refusal counts once, and the limit that was in its way, if one was."""
    metrics = Metrics()
    metrics.refused(UploadNotFound())
    metrics.refused(_Limited("Too much."))
    metrics.refused(_Limited("Too much."))

    found = await lines(metrics)

    assert 'tusd_py_refusals_total{code="not_found"} 1.0' in found
    assert 'tusd_py_refusals_total{code="too_large"} 2.0' in found
    assert 'tusd_py_limit_hits_total{limit="max_upload_size"} 2.0' in found


async def test_what_the_sweeper_did_is_counted() -> None:
    """Deeds add up from pass to pass; records that cannot be read are those of the last one."""
    metrics = Metrics()
    await metrics.emit(Swept(quarantined=2, unreadable=3))
    await metrics.emit(Swept(quarantined=1, expired=1, unreadable=1))

    found = await lines(metrics)

    assert 'tusd_py_swept_total{deed="quarantined"} 3.0' in found
    assert 'tusd_py_swept_total{deed="expired"} 1.0' in found
    assert "tusd_py_unreadable_records 1.0" in found


async def test_metrics_are_served(http: aiohttp.ClientSession, server: Address) -> None:
    """/metrics needs no token and tells of the requests that were refused."""
    async with http.get(f"{server.base}/upload/files") as refused:
        assert refused.status == 401
    async with http.get(f"{server.base}/metrics") as response:
        text = await response.text()

    assert response.status == 200
    assert response.content_type == "text/plain"
    assert 'tusd_py_refusals_total{code="unauthorized"} 1.0' in text.splitlines()


async def test_metrics_are_only_read(http: aiohttp.ClientSession, server: Address) -> None:
    """Any other method is 405, and the answer says which ones are right."""
    async with http.post(f"{server.base}/metrics") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, HEAD"
