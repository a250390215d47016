"""tus 1.0.0, Termination."""

import asyncio

import pytest

from tests.conformance.tus.client import (
    Tus,
    connected,
    content_of,
    metadata,
    stalled_patch,
)
from tests.conformance.tus.scenes import unknown


async def test_t82_termination_is_announced(tus: Tus) -> None:
    """If this extension is supported by the Server, it MUST be announced by adding termination to
    the Tus-Extension header. [T82, T87]"""
    answer = await tus.send("OPTIONS", tus.address.files)

    assert "termination" in answer.headers["Tus-Extension"].split(",")


async def test_t83_delete_of_an_unfinished_upload(tus: Tus) -> None:
    """When receiving a DELETE request for an existing upload the Server SHOULD free associated
    resources and MUST respond with the 204 No Content status. [T83]"""
    url = await tus.create(2**20)
    await tus.patch(url, 0, content_of(2**19))

    answer = await tus.delete(url)

    assert answer.status == 204
    assert await tus.address.size() < 2**16


async def test_t83_delete_of_a_complete_upload(tus: Tus) -> None:
    """This extension defines a way for the Client to terminate completed and unfinished uploads
    allowing the Server to free up used resources. [T83]"""
    url = await tus.upload(content_of(2**20), metadata(filename="a.txt"))

    answer = await tus.delete(url)

    assert answer.status == 204
    assert await tus.address.size() < 2**16
    assert await tus.address.finished() == {}
    assert await tus.listed() == []


async def test_t83_delete_of_one_upload_leaves_the_others(tus: Tus) -> None:
    """DELETE frees the resources of that upload only. [T83]"""
    kept = await tus.upload(b"hello", metadata(filename="a.txt"))
    url = await tus.upload(b"world", metadata(filename="a.txt"))

    await tus.delete(url)

    assert await tus.download(kept) == b"hello"
    assert len(await tus.listed()) == 1


async def test_t83_delete_of_a_deferred_upload(tus: Tus) -> None:
    """DELETE of an existing upload MUST be answered with 204 No Content. [T83]"""
    url = await tus.create(None)

    answer = await tus.delete(url)

    assert answer.status == 204


@pytest.mark.parametrize("is_complete", [False, True])
async def test_t84_a_terminated_upload_is_gone(tus: Tus, is_complete: bool) -> None:
    """For all future requests to this URL, the Server SHOULD respond with the 404 Not Found or 410
    Gone status. [T84]"""
    url = await tus.upload(b"hello") if is_complete else await tus.create(5)
    await tus.delete(url)

    answers = [
        await tus.head(url),
        await tus.get(url),
        await tus.patch(url, 0, b"hello"),
        await tus.delete(url),
    ]

    assert [answer.status for answer in answers] == [410, 410, 410, 410]
    assert all("upload-offset" not in answer.words for answer in answers)


async def test_t85_delete_of_an_unknown_upload(tus: Tus) -> None:
    """DELETE unknown → 404. [T85]"""
    answer = await tus.delete(unknown(tus))

    assert answer.status == 404


@pytest.mark.parametrize("size", [1000, 6 * 2**20], ids=["small", "large"])
async def test_t85_delete_stops_a_running_patch(tus: Tus, size: int) -> None:
    """DELETE while a PATCH runs → the PATCH is stopped, DELETE 204, no file left behind; within a
    second. [T85, design 2.3]"""
    url = await tus.create(size)

    async with stalled_patch(tus, url, 0, size, content_of(size // 2)) as stalled:
        async with asyncio.timeout(1):
            answer = await tus.delete(url)
        farewell = await stalled.head()

    assert answer.status == 204
    assert farewell.status == 503
    assert (await tus.head(url)).status == 410
    assert await tus.address.size() < max(2**16, size // 2)
    assert await tus.address.finished() == {}


async def test_t85_two_deletes_at_once(tus: Tus) -> None:
    """Parallel DELETEs: one removes the upload, the others find it gone. [T85]"""
    url = await tus.upload(b"hello")

    answers = await asyncio.gather(*(tus.delete(url) for _ in range(5)))

    assert sorted(answer.status for answer in answers) == [204, 410, 410, 410, 410]


async def test_t85_delete_during_a_download(tus: Tus) -> None:
    """GET is never under a lock; what it sends is content of the file. [T83, T85, design 1.5]"""
    content = content_of(16 * 2**20)
    url = await tus.upload(content)

    async with connected(tus.address) as connection:
        await connection.send(tus.wire("GET", url, {"Connection": "close"}))
        head = await connection.head()
        async with asyncio.timeout(1):
            answer = await tus.delete(url)
        body = await connection.rest()

    assert head.status == 200
    assert answer.status == 204
    assert content.startswith(body)


async def test_t86_delete_of_a_partial_upload_leaves_the_final_one(tus: Tus) -> None:
    """DELETE of a partial upload used by a final one: the final one stays whole. [T86]"""
    parts = [await tus.upload(word, {"Upload-Concat": "partial"}) for word in (b"hello", b"world")]
    created = await tus.post({"Upload-Concat": f"final;{' '.join(map(tus.path, parts))}"})
    final = tus.url(created.headers["Location"])

    statuses = {(await tus.delete(part)).status for part in parts}

    assert statuses <= {204, 404, 410}
    assert await tus.download(final) == b"helloworld"


async def test_t86_a_deleted_partial_upload_cannot_be_concatenated(tus: Tus) -> None:
    """DELETE of a partial upload: the final one fails cleanly. [T86]"""
    part = await tus.upload(b"hello", {"Upload-Concat": "partial"})
    await tus.delete(part)

    answer = await tus.post({"Upload-Concat": f"final;{tus.path(part)}"})

    assert answer.status in {400, 404, 410}
    assert "location" not in answer.words
    assert await tus.address.finished() == {}


async def test_t86_delete_of_a_final_upload_leaves_no_file(tus: Tus) -> None:
    """DELETE MUST be answered with 204 No Content, for a concatenated upload as well. [T83, T86]"""
    part = await tus.upload(b"hello", {"Upload-Concat": "partial"})
    created = await tus.post({"Upload-Concat": f"final;{tus.path(part)}"})
    final = tus.url(created.headers["Location"])

    answer = await tus.delete(final)

    assert answer.status == 204
    assert await tus.address.finished() == {}
