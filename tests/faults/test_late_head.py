"""A HEAD that was answered before the upload was found."""

import asyncio
import gc

import aiohttp
import pytest

from tests.conformance.tus.client import Tus
from tests.conftest import MakeServer
from tusd_py.finisher import ignore
from tusd_py.locks import open_locker
from tusd_py.upload import upload_key
from tusd_py.web import tus as face


async def test_what_comes_of_a_late_search_disturbs_nobody(
    http: aiohttp.ClientSession, make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A HEAD that takes too long is 423; that the lock was not free later on is no error in the
    log."""
    monkeypatch.setattr(face, "HEAD_SECONDS", 0.05)
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
    tus = Tus(http=http, address=await make_server())
    url = await tus.create(5)
    key = upload_key("42", url.rpartition("/")[2])
    async with open_locker(tus.address.root) as locker, locker.lock(key, wanted=ignore):
        answer = await tus.head(url)
        searches = [task for task in asyncio.all_tasks() if "_find" in repr(task.get_coro())]
        done, _ = await asyncio.wait(searches, timeout=30)
    found = len(done)
    del searches, done
    await tus.head(url)  # the connection forgets the request before
    gc.collect()

    assert answer.status == 423
    assert found == 1
    assert complaints == []
