"""Uploads that come to the end of their part numbers."""

import functools

import pytest

from tests.faults.s3.conftest import MakeScene
from tests.faults.s3.scene import MIB, PART, Scene, content_of, file_of, record_of
from tusd_py.storage.s3.settings import S3Settings

MOST = 2 * PART


@pytest.fixture
async def scene(make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A server whose uploads have two parts of 5 MiB at most."""
    few = functools.partial(S3Settings, max_parts=2)
    monkeypatch.setattr("tusd_py.storage.s3.settings.S3Settings", few)
    return await make_scene()


@pytest.mark.parametrize("sizes", [[MOST + 1], [PART, PART + 1], [MIB] * 11, [MOST, 1]])
async def test_deferred_length_that_is_too_long(scene: Scene, sizes: list[int]) -> None:
    """A deferred-length stream that reaches the end of its part numbers gets a 413; what was sent
    is kept, and can be finished."""
    content = content_of(sum(sizes))
    upload_id = await scene.created(None)
    statuses = []
    for number, size in enumerate(sizes):
        offset = sum(sizes[:number])
        answer = await scene.client.patch(upload_id, offset, content[offset : offset + size])
        statuses.append(answer.status)
    offset = await scene.client.offset(upload_id)
    length = {"Upload-Length": str(offset)}
    last = await scene.client.patch(upload_id, offset, b"", length)

    assert statuses == [204] * (len(sizes) - 1) + [413]
    assert sum(sizes[:-1]) <= offset <= MOST
    assert last.status == 204
    assert await scene.is_stored(file_of(upload_id), content[:offset])
    await scene.assert_only(file_of(upload_id), record_of(upload_id))


async def test_deferred_length_that_just_fits(scene: Scene) -> None:
    """All parts may be used."""
    content = content_of(MOST)
    upload_id = await scene.created(None)
    await scene.sent(upload_id, 0, content[:-100], content[-100:])
    length = {"Upload-Length": str(MOST)}
    last = await scene.client.patch(upload_id, MOST, b"", length)

    assert last.status == 204
    assert await scene.is_stored(file_of(upload_id), content)


async def test_chunks_that_are_too_long(scene: Scene) -> None:
    """The same over REST: the chunk that does not fit is refused, the others are a file."""
    chunks = [content_of(PART + number) for number in (0, 1)]
    upload_id = await scene.client.init(7)
    answers = [
        await scene.client.chunk(upload_id, index, chunk) for index, chunk in enumerate(chunks)
    ]
    last = await scene.client.chunk(upload_id, 1, chunks[0])
    completed = await scene.client.complete(upload_id, 2, 7)

    assert [answer.status for answer in answers] == [200, 413]
    assert (last.status, completed.status) == (200, 200)
    assert await scene.is_stored("42/7/audio.mp3", chunks[0] * 2)


async def test_known_length_has_parts_large_enough(scene: Scene) -> None:
    """Part size grows with Upload-Length, so that the numbers suffice."""
    content = content_of(4 * PART)
    upload_id = await scene.created(len(content))
    await scene.sent(upload_id, 0, content[:MIB], content[MIB : 3 * PART], content[3 * PART :])

    assert await scene.is_stored(file_of(upload_id), content)


async def test_length_that_comes_too_late(scene: Scene) -> None:
    """A length that is told when parts have their size already, and that does not fit: 413, and the
    upload can still be finished at a length that does."""
    content = content_of(2 * PART)
    upload_id = await scene.created(None)
    await scene.sent(upload_id, 0, content[:PART])
    refused = await scene.client.patch(
        upload_id, PART, content[:1], {"Upload-Length": str(3 * PART)}
    )
    answer = await scene.client.patch(
        upload_id, PART, content[PART:], {"Upload-Length": str(len(content))}
    )

    assert (refused.status, answer.status) == (413, 204)
    assert await scene.is_stored(file_of(upload_id), content)


async def test_length_beyond_what_a_store_takes(scene: Scene) -> None:
    """No object has more than 5 TiB: the creation is refused, nothing is stored."""
    answer = await scene.client.tus("POST", "", None, {"Upload-Length": str((5 << 40) + 1)})

    assert answer.status == 413
    await scene.assert_only()
