"""What becomes of uploads, and how fast they come, as real requests cause it."""

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient
from tests.conformance.tus.client import OCTETS, Tus, content_of
from tests.conftest import MakeServer
from tests.core import LIFE, Core
from tests.exposition import exposition, read
from tests.fakes import Fault, MemoryBody
from tusd_py.errors import StorageError
from tusd_py.events import Swept
from tusd_py.metrics import Metrics
from tusd_py.sweeper import sweep
from tusd_py.upload import Append
from tusd_py.watched import WatchedStorage

LARGE = content_of(2 << 20)


@pytest.fixture
async def tus(http: aiohttp.ClientSession, make_server: MakeServer) -> Tus:
    """User 42 of a server whose sweeper has passed once."""
    return Tus(http=http, address=await make_server())


async def test_life_of_uploads(tus: Tus) -> None:
    """Created, completed and terminated uploads, and the bytes that were stored."""
    await tus.upload(LARGE)
    await tus.delete(await tus.create(10))

    found = await exposition(tus.address)

    assert found.value("tusd_py_uploads_total", event="created") == 2
    assert found.value("tusd_py_uploads_total", event="completed") == 1
    assert found.value("tusd_py_uploads_total", event="terminated") == 1
    assert found.value("tusd_py_received_bytes_total") == len(LARGE)


async def test_appends_are_measured(tus: Tus) -> None:
    """Each body that brings bytes counts with its time, and with its rate if it is large; one that
    is refused, or empty, does not."""
    url = await tus.upload(LARGE)
    await tus.post({"Upload-Length": "5", "Content-Type": OCTETS}, b"small")
    await tus.patch(url, 1, b"x")

    found = await exposition(tus.address)

    assert found.value("tusd_py_append_duration_seconds_count") == 2
    assert found.value("tusd_py_append_bytes_per_second_count") == 1
    assert found.value("tusd_py_append_bytes_per_second_sum") > 1 << 20


async def test_chunks_are_measured(tus: Tus, http: aiohttp.ClientSession) -> None:
    """A REST chunk counts, whether it comes in its turn or has to wait for it."""
    rest = RestClient(http=http, server=tus.address)
    session = await rest.init()
    await rest.chunk(session, 1, b"second")
    await rest.chunk(session, 0, b"first")

    found = await exposition(tus.address)

    assert found.value("tusd_py_append_duration_seconds_count") == 2


async def test_the_sweeper_sees_what_is_open() -> None:
    """Neither complete nor ended: what expires in this pass counts no more, what fails does."""
    core = Core()
    metrics = Metrics()
    await core.finished(b"done")
    await core.partial(b"part")
    await core.created(10)
    core.clock.forward(LIFE * 0.9)
    await core.created(10)
    await metrics.emit(await sweep(core.service))
    before = read((await metrics.exposition())[0].decode())
    core.clock.forward(LIFE * 0.1)
    with core.storage.failing(Fault.RECORD):
        failed = await sweep(core.service)
    after = await sweep(core.service)

    assert before.value("tusd_py_uploads_open") == 2
    assert before.value("tusd_py_last_sweep_timestamp_seconds") > 1_700_000_000
    assert (failed.failed, failed.open) == (2, 2)
    assert (after.expired, after.open) == (2, 1)


async def test_what_a_pass_sees_is_no_deed() -> None:
    """A pass with open uploads that did nothing is idle."""
    assert Swept(open=3, unreadable=1).is_idle


async def test_an_append_that_fails_is_measured() -> None:
    """What came before the storage failed took its time; the error goes on as it is."""
    core = Core()
    appends: list[int] = []

    class Appends:
        def appended(self, seconds: float, size: int) -> None:
            """See `AppendWatch`."""
            assert seconds >= 0
            appends.append(size)

    upload = await core.created(10)
    core.service.storage = WatchedStorage(core.storage, Appends())
    body = MemoryBody.sized(b"hello")
    with core.storage.failing(Fault.RECORD), pytest.raises(StorageError):
        await core.service.append("42", upload.id, Append(offset=0, size=5, length=None), body)

    assert appends == [5]


async def test_all_series_are_there_before_anything_happens() -> None:
    """A rule can watch what has not happened yet."""
    found = read((await Metrics().exposition())[0].decode())

    for event in ("created", "completed", "terminated", "expired"):
        assert found.value("tusd_py_uploads_total", event=event) == 0
    for code in ("internal_error", "unavailable", "no_space", "locked", "unauthorized"):
        assert found.value("tusd_py_refusals_total", code=code) == 0
    for status in ("204", "500", "503", "507"):
        count = found.value("tusd_py_requests_total", face="tus", method="PATCH", status=status)
        assert count == 0
