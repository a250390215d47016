"""ChunkAssembler: chunks in any order, in parallel, again, and beside PATCHes."""

import asyncio
import contextlib
import itertools
from dataclasses import replace

import pytest

from tests.core import LIFE, NEW, USER, Core
from tests.fakes import Fault, MemoryBody
from tusd_py.errors import (
    BodyInterrupted,
    BodyStopped,
    ChunkConflict,
    ChunkCountMismatch,
    IdMismatch,
    MissingChunks,
    NoSpace,
    StorageError,
    TooLarge,
    UploadGone,
    UploadNotFound,
    UploadUnfinished,
)
from tusd_py.upload import Append, Final, Partial, Upload

PARTS = [b"one", b"", b"three", b"4"]
WHOLE = b"".join(PARTS)


async def waiting(core: Core, upload: Upload) -> dict[int, int]:
    """The chunks that wait."""
    return await core.storage.staged(upload)


# --- order


async def test_chunks_in_order_are_never_copied() -> None:
    """The next chunk in order goes straight into the upload."""
    core = Core()
    upload = await core.created()
    for index, data in enumerate(PARTS):
        await core.chunk(upload, index, data)

        assert await waiting(core, upload) == {}
    assert await core.content(upload) == WHOLE


async def test_a_chunk_is_appended_whole() -> None:
    """One record a chunk: a chunk counts as a whole or not at all."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 0, b"h", b"el", b"lo")

    assert [record.offset for record in core.storage.records] == [0, 5]


async def test_a_chunk_before_its_turn_waits() -> None:
    """A later chunk is staged, and counts in no offset."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 2, b"three")

    assert await waiting(core, upload) == {2: 5}
    assert (await core.now(upload)).offset == 0


async def test_who_closes_the_gap_absorbs_what_waits() -> None:
    """All chunks whose turn has come become part of the file."""
    core = Core()
    upload = await core.created()
    for index in (3, 1, 2):
        await core.chunk(upload, index, PARTS[index])
    await core.chunk(upload, 0, PARTS[0])

    assert await core.content(upload) == WHOLE
    assert await waiting(core, upload) == {}


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
async def test_any_order_makes_the_same_file(order: tuple[int, ...]) -> None:
    """Chunks may come in any order."""
    core = Core()
    upload = await core.created()
    for index in order:
        await core.chunk(upload, index, PARTS[index])
    done = await core.complete(upload, 4)

    assert core.storage.file(done.place) == WHOLE


async def test_parallel_chunks_make_the_same_file() -> None:
    """Chunks may come in parallel."""
    core = Core()
    upload = await core.created()
    parts = [bytes([n]) * (n + 1) for n in range(12)]
    async with asyncio.TaskGroup() as group:
        for index, data in reversed(list(enumerate(parts))):
            halves = MemoryBody(data[: index // 2], data[index // 2 :])
            group.create_task(core.chunk_of(upload, index, halves))
    done = await core.complete(upload, 12)

    assert core.storage.file(done.place) == b"".join(parts)


async def test_a_slow_chunk_does_not_hold_up_later_ones() -> None:
    """While one chunk comes slowly, others are taken; the last to arrive closes the gap."""
    core = Core()
    upload = await core.created()
    slow = MemoryBody(b"o", is_open=True)
    running = asyncio.create_task(core.chunk_of(upload, 0, slow))
    await slow.drained()
    await core.chunk(upload, 1, b"two")
    before = await waiting(core, upload)
    slow.send(b"ne")
    slow.finish()
    await running

    assert before == {1: 3}
    assert await core.content(upload) == b"onetwo"


async def test_no_chunk_is_left_behind_by_a_lock_that_was_held() -> None:
    """A chunk that found the lock held is absorbed by the holder after it has let go."""
    core = Core()
    upload = await core.created()
    first, second = MemoryBody(b"one", is_open=True), MemoryBody(b"two", is_open=True)
    running = [
        asyncio.create_task(core.chunk_of(upload, index, body))
        for index, body in enumerate((first, second))
    ]
    await first.drained()
    await second.drained()
    for body in (second, first):
        body.finish()
    await asyncio.gather(*running)

    assert await core.content(upload) == b"onetwo"


# --- again


@pytest.mark.parametrize("index", [0, 1])
async def test_the_same_bytes_again_are_a_success(index: int) -> None:
    """A repeated chunk, appended or waiting, changes nothing."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, index, b"he", b"llo")
    await core.chunk(upload, index, b"hello")
    await core.chunk(upload, 1 - index, b"!")

    assert await core.content(upload) == (b"hello!", b"!hello")[index]


@pytest.mark.parametrize("other", [b"jello", b"hell", b"hello!", b""])
async def test_other_bytes_for_a_part_of_the_file_are_a_conflict(other: bytes) -> None:
    """Other bytes for an index that is already part of the file are refused; the first stay."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 0, b"hello")
    with pytest.raises(ChunkConflict):
        await core.chunk(upload, 0, other)

    assert await core.content(upload) == b"hello"


async def test_other_bytes_replace_a_chunk_that_waits() -> None:
    """What is not part of the file yet may be sent anew."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 1, b"wrong")
    await core.chunk(upload, 1, b"right!")
    await core.chunk(upload, 0, b"")

    assert await core.content(upload) == b"right!"


async def test_a_resend_that_breaks_off_keeps_the_whole_version() -> None:
    """A re-send that breaks off keeps the version that was whole."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 1, b"whole")
    with pytest.raises(BodyInterrupted):
        await core.chunk_of(upload, 1, MemoryBody.broken(b"ha", error=BodyInterrupted()))
    await core.chunk(upload, 0, b"")

    assert await core.content(upload) == b"whole"


async def test_a_broken_chunk_does_not_count() -> None:
    """A chunk counts as a whole or not at all."""
    core = Core()
    upload = await core.created()
    with pytest.raises(BodyInterrupted):
        await core.chunk_of(upload, 0, MemoryBody.broken(b"ha", error=BodyInterrupted()))

    assert await core.now(upload) == upload


async def test_chunks_of_a_file_may_be_repeated() -> None:
    """After completion the same bytes are a success, others a conflict."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 0, b"hello")
    await core.complete(upload, 1)
    await core.chunk(upload, 0, b"hello")
    for index, data in ((0, b"jello"), (1, b"")):
        with pytest.raises(ChunkConflict):
            await core.chunk(upload, index, data)

    assert core.storage.file(upload.place) == b"hello"


# --- twins


async def test_equal_twins_are_one_chunk() -> None:
    """The same chunk twice at the same time is a success for both, and is part of the file once."""
    core = Core()
    upload = await core.created()
    bodies = [MemoryBody(b"he", is_open=True) for _ in range(2)]
    running = [asyncio.create_task(core.chunk_of(upload, 0, body)) for body in bodies]
    for body in bodies:
        await body.drained()
    for body in bodies:
        body.send(b"llo")
        body.finish()
    await asyncio.gather(*running)

    assert await core.content(upload) == b"hello"
    assert await waiting(core, upload) == {}


@pytest.mark.parametrize("winner", [0, 1])
async def test_of_different_twins_one_is_refused(winner: int) -> None:
    """Of two versions of a chunk at the same time one is part of the file, the other a conflict."""
    core = Core()
    upload = await core.created()
    bodies = [MemoryBody(b"a", is_open=True), MemoryBody(b"bb", is_open=True)]
    running = [asyncio.create_task(core.chunk_of(upload, 0, body)) for body in bodies]
    for body in bodies:
        await body.drained()
    for body in (bodies[winner], bodies[1 - winner]):
        body.finish()
        await asyncio.sleep(0)
    results = await asyncio.gather(*running, return_exceptions=True)
    content = await core.content(upload)

    assert [type(result) for result in results if result is not None] == [ChunkConflict]
    assert content == (b"a" if results[0] is None else b"bb")
    assert await waiting(core, upload) == {}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_a_twin_leaves_no_chunk_behind(order: tuple[int, ...]) -> None:
    """While a chunk that waits is sent again beside its neighbours, none misses its turn."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 1, PARTS[1])
    await asyncio.gather(*[core.chunk(upload, index, PARTS[index]) for index in order])

    assert await waiting(core, upload) == {}
    assert await core.content(upload) == b"".join(PARTS[:3])


async def test_many_twins_of_many_chunks() -> None:
    """However they interleave, the file is whole and every sender of it succeeds."""
    core = Core()
    upload = await core.created()
    parts = [bytes([n]) * 3 for n in range(6)]
    async with asyncio.TaskGroup() as group:
        for index in [3, 1, 5, 0, 2, 4, 4, 2, 0, 5, 1, 3]:
            part = parts[index]
            group.create_task(core.chunk_of(upload, index, MemoryBody(part[:1], part[1:])))
    done = await core.complete(upload, 6)

    assert core.storage.file(done.place) == b"".join(parts)


# --- complete


async def test_complete_makes_the_file() -> None:
    """The length becomes known, and the file is at its place."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 0, b"hello")
    done = await core.complete(upload, 1)

    assert done.length == 5
    assert done.is_file
    assert core.storage.file("42/123/audio.mp3") == b"hello"


async def test_complete_again_gives_the_same_answer() -> None:
    """complete is idempotent."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 0, b"hello")

    assert await core.complete(upload, 1) == await core.complete(upload, 1)
    assert core.sink.kinds().count("Completed") == 1


async def test_parallel_completes_give_one_result() -> None:
    """However often at once."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 0, b"hello")
    results = await asyncio.gather(*(core.complete(upload, 1) for _ in range(5)))

    assert results == [results[0]] * 5
    assert core.sink.kinds().count("Completed") == 1


async def test_an_empty_file_is_one_empty_chunk() -> None:
    """An empty file is one empty chunk."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 0, b"")
    await core.complete(upload, 1)

    assert core.storage.file(upload.place) == b""


@pytest.mark.parametrize(
    ("sent", "total", "missing", "count"),
    [
        ([], 1, [0], 1),
        ([], 3, [0, 1, 2], 3),
        ([0, 1], 3, [2], 1),
        ([0, 2, 4], 6, [1, 3, 5], 3),
        ([2], 3, [0, 1], 2),
        ([0, 5], 3, [1, 2], 2),
        ([], 10**18, list(range(100)), 10**18),
        ([7], 1000, [n for n in range(101) if n != 7], 999),
    ],
)
async def test_missing_chunks_are_named(
    sent: list[int], total: int, missing: list[int], count: int
) -> None:
    """`missing` names them, at most 100, and how many there are, at once whatever the total."""
    core = Core()
    upload = await core.created()
    for index in sent:
        await core.chunk(upload, index, b"x")
    with pytest.raises(MissingChunks) as caught:
        await core.complete(upload, total)

    assert (caught.value.missing, caught.value.count) == (missing, count)


async def test_a_refused_complete_loses_nothing() -> None:
    """Send what is missing and call again."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 2, b"c")
    await core.chunk(upload, 0, b"a")
    with pytest.raises(MissingChunks):
        await core.complete(upload, 3)
    await core.chunk(upload, 1, b"b")
    await core.complete(upload, 3)

    assert core.storage.file(upload.place) == b"abc"


@pytest.mark.parametrize("sent", [[0, 1, 2], [0, 1, 5]])
async def test_more_chunks_than_said_are_refused(sent: list[int]) -> None:
    """Chunks beyond `total_chunks` are not dropped silently."""
    core = Core()
    upload = await core.created()
    for index in sent:
        await core.chunk(upload, index, b"x")

    with pytest.raises(ChunkCountMismatch):
        await core.complete(upload, 2)
    assert await core.content(upload) == b"x" * sum(index < 3 for index in sent)


async def test_another_count_after_completion_is_refused() -> None:
    """A file has the number of chunks it has."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 0, b"x")
    await core.complete(upload, 1)

    with pytest.raises(ChunkCountMismatch):
        await core.complete(upload, 2)


async def test_another_file_id_is_refused() -> None:
    """The file id is the one the upload began with, before and after completion."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 0, b"x")
    with pytest.raises(IdMismatch):
        await core.complete(upload, 1, file_id="124")
    await core.complete(upload, 1)

    with pytest.raises(IdMismatch):
        await core.complete(upload, 1, file_id="124")


async def test_an_upload_without_a_file_id_takes_any() -> None:
    """An upload of the tus face that declared none is filed under its own id."""
    core = Core()
    upload = await core.created(5, replace(NEW, declared_file_id=None))
    await core.append(upload, 0, b"hello")
    done = await core.complete(upload, 1, file_id="9")

    assert done.place == f"{USER}/{upload.id}/audio.mp3"


async def test_a_declared_length_must_be_reached() -> None:
    """All chunks may be there and the upload still be short of its length."""
    core = Core()
    upload = await core.created(10)
    await core.chunk(upload, 0, b"hello")

    with pytest.raises(UploadUnfinished, match="5 of 10"):
        await core.complete(upload, 1)


async def test_a_chunk_that_reaches_the_length_finishes() -> None:
    """Once offset == length the final file exists, without a call of complete."""
    core = Core()
    upload = await core.created(8)
    await core.chunk(upload, 1, b"two")
    await core.chunk(upload, 0, b"three")

    assert core.storage.file(upload.place) == b"threetwo"
    assert (await core.complete(upload, 2)).is_file


async def test_a_partial_upload_is_not_completed() -> None:
    """A partial upload becomes a file by concatenation only."""
    core = Core()
    partial = await core.created(5, replace(NEW, concat=Partial()))

    with pytest.raises(UploadUnfinished):
        await core.complete(partial, 1)


async def test_a_final_upload_takes_no_chunks() -> None:
    """A concatenated upload is complete: `complete` answers its path, other bytes conflict."""
    core = Core()
    partial = await core.partial(b"ab")
    final = await core.service.concatenate(NEW, Final(partials=(partial.id,), header="final;x"))

    with pytest.raises(ChunkConflict):
        await core.chunk(final, 0, b"x")
    assert await core.complete(final, 1) == final


# --- PATCHed bytes


async def test_patched_bytes_are_one_next_chunk() -> None:
    """Bytes PATCHed at the offset, in however many requests, count as one next chunk."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 0, b"zero")
    await core.append(upload, 4, b"o")
    await core.append(upload, 5, b"ne")
    await core.chunk(upload, 2, b"two")
    await core.complete(upload, 3)

    assert core.storage.file(upload.place) == b"zeroonetwo"


async def test_a_patched_chunk_may_be_repeated() -> None:
    """The same bytes as a REST chunk are a success, others a conflict."""
    core = Core()
    upload = await core.created()
    await core.append(upload, 0, b"he")
    await core.append(upload, 2, b"llo")
    await core.chunk(upload, 0, b"hello")

    with pytest.raises(ChunkConflict):
        await core.chunk(upload, 0, b"jello")
    assert await core.content(upload) == b"hello"


async def test_a_waiting_chunk_does_not_cut_a_run_short() -> None:
    """PATCHed bytes may still grow before a chunk that waits behind them."""
    core = Core()
    upload = await core.created()
    await core.append(upload, 0, b"he")
    await core.chunk(upload, 2, b"third")
    await core.append(upload, 2, b"llo")
    await core.chunk(upload, 1, b", ")
    await core.complete(upload, 3)

    assert core.storage.file(upload.place) == b"hello, third"


async def test_a_chunk_beside_a_running_patch_waits() -> None:
    """A chunk neither disturbs nor is disturbed by a PATCH that runs."""
    core = Core()
    upload = await core.created()
    await core.append(upload, 0, b"a")
    patch = MemoryBody(b"b", is_open=True)
    append = Append(offset=1, size=None)
    running = asyncio.create_task(core.service.append(USER, upload.id, append, patch))
    await patch.drained()
    await core.chunk(upload, 3, b"d")
    is_stopped = patch.is_stopped
    patch.finish()
    await running

    assert not is_stopped
    assert await core.content(upload) == b"ab"
    assert await waiting(core, upload) == {3: 1}


async def test_a_chunk_in_its_turn_waits_for_a_patch_that_brings_nothing() -> None:
    """A chunk whose turn it was while a PATCH held the lock becomes part of the file after it."""
    core = Core()
    upload = await core.created()
    patch = MemoryBody(is_open=True)
    append = Append(offset=0, size=None)
    running = asyncio.create_task(core.service.append(USER, upload.id, append, patch))
    await patch.drained()
    body = MemoryBody(b"hello", is_open=True)
    chunk = asyncio.create_task(core.chunk_of(upload, 0, body))
    await body.drained()
    body.finish()
    patch.finish()
    await asyncio.gather(running, chunk)

    assert await core.content(upload) == b"hello"
    assert await waiting(core, upload) == {}


async def test_after_completion_patched_bytes_have_no_count() -> None:
    """`complete` on a full tus upload answers its path, however many chunks it is said to have."""
    core = Core()
    upload = await core.created(5)
    await core.append(upload, 0, b"hello")

    assert (await core.complete(upload, 7)).is_file


# --- limits


async def test_exactly_the_limit_fits() -> None:
    """MAX_UPLOAD_SIZE counts in sum over chunks."""
    core = Core(max_size=6)
    upload = await core.created()
    for index in (1, 0, 2):
        await core.chunk(upload, index, b"xx")
    await core.complete(upload, 3)

    assert core.storage.file(upload.place) == b"xxxxxx"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_one_byte_more_than_the_limit_does_not(order: tuple[int, ...]) -> None:
    """In whatever order they come, chunks that wait count, too."""
    core = Core(max_size=5)
    upload = await core.created()
    for index in order[:2]:
        await core.chunk(upload, index, b"xx")

    with pytest.raises(TooLarge):
        await core.chunk(upload, order[2], b"xx")


async def test_resends_do_not_count() -> None:
    """The limit counts without re-sends."""
    core = Core(max_size=4)
    upload = await core.created()
    for index in (1, 1, 0, 0, 1):
        await core.chunk(upload, index, b"xx")

    assert await core.content(upload) == b"xxxx"


async def test_parallel_chunks_do_not_get_around_the_limit() -> None:
    """Of chunks that come at once only those that fit are taken."""
    core = Core(max_size=6)
    upload = await core.created()
    results = await asyncio.gather(
        *(core.chunk(upload, index, b"x", b"x") for index in range(1, 8)), return_exceptions=True
    )

    assert sum(result is None for result in results) == 3
    assert all(result is None or isinstance(result, TooLarge) for result in results)
    assert sum((await waiting(core, upload)).values()) == 6


async def test_a_length_is_a_limit() -> None:
    """Chunks of a tus upload end where its length does."""
    core = Core()
    upload = await core.created(5)
    await core.chunk(upload, 0, b"hel")
    with pytest.raises(TooLarge):
        await core.chunk(upload, 1, b"lo!")
    await core.chunk(upload, 1, b"lo")

    assert core.storage.file(upload.place) == b"hello"


# --- failure


async def test_a_full_storage_loses_nothing() -> None:
    """The same chunk works later."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 0, b"a")
    await core.chunk(upload, 2, b"c")
    for index in (1, 2, 3):
        with core.storage.failing(Fault.WRITE), pytest.raises(NoSpace):
            await core.chunk(upload, index, b"b")
    await core.chunk(upload, 1, b"b")
    await core.complete(upload, 3)

    assert core.storage.file(upload.place) == b"abc"


async def test_a_failed_complete_can_be_called_again() -> None:
    """When the file cannot be made, nothing is lost."""
    core = Core()
    upload = await core.created()
    await core.chunk(upload, 0, b"hello")
    with core.storage.failing(Fault.MOVE), pytest.raises(StorageError):
        await core.complete(upload, 1)
    await core.complete(upload, 1)

    assert core.storage.file(upload.place) == b"hello"


async def test_head_ends_a_running_chunk() -> None:
    """A newcomer makes a chunk in its turn stop: it does not count, and may be sent again."""
    core = Core()
    upload = await core.created()
    body = MemoryBody(b"hel", is_open=True)
    running = asyncio.create_task(core.chunk_of(upload, 0, body))
    await body.drained()
    found = await core.service.find(USER, upload.id)

    with pytest.raises(BodyStopped):
        await running
    assert found == upload


@pytest.mark.parametrize("index", [0, 3])
async def test_draining_ends_a_running_chunk(index: int) -> None:
    """At shutdown chunks end, in their turn or not, and count only if they were whole."""
    core = Core()
    upload = await core.created()
    body = MemoryBody(b"hel", is_open=True)
    running = asyncio.create_task(core.chunk_of(upload, index, body))
    await body.drained()
    core.service.drain()

    with pytest.raises(BodyStopped):
        await running
    assert await core.now(upload) == upload
    assert await waiting(core, upload) == {}


async def test_anothers_upload_is_not_found() -> None:
    """Another owner's upload is `UploadNotFound` for both verbs."""
    core = Core()
    upload = await core.created()

    with pytest.raises(UploadNotFound):
        await core.chunks.append_chunk("43", upload.id, 0, MemoryBody(b"x"))
    with pytest.raises(UploadNotFound):
        await core.chunks.complete("43", upload.id, total=1, file_id="123")


async def test_an_expired_upload_is_gone() -> None:
    """No chunk brings it back."""
    core = Core()
    upload = await core.created()
    core.clock.forward(LIFE)

    with pytest.raises(UploadGone):
        await core.chunk(upload, 0, b"x")


async def test_a_chunk_of_a_terminated_upload_is_not_kept() -> None:
    """An upload that goes while a chunk of it arrives takes the chunk with it."""
    core = Core()
    upload = await core.created()
    body = MemoryBody(b"x", is_open=True)
    running = asyncio.create_task(core.chunk_of(upload, 3, body))
    await body.drained()
    await core.service.terminate(USER, upload.id)
    body.finish()

    with pytest.raises(UploadGone):
        await running
    assert await waiting(core, upload) == {}


# --- number and life


async def test_the_number_of_chunks_has_a_limit() -> None:
    """So many chunks become part of a file; the same chunk again does not count."""
    core = Core(max_chunks=3)
    upload = await core.created()
    for index in (0, 1, 2, 2):
        await core.chunk(upload, index, b"x")
    with pytest.raises(TooLarge):
        await core.chunk(upload, 3, b"")

    assert (await core.now(upload)).offset == 3
    assert (await core.complete(upload, 3)).is_file


async def test_the_number_of_waiting_chunks_has_a_limit() -> None:
    """A chunk before its turn waits only if it and all others that were sent are few enough; the
    same chunk again does not count."""
    core = Core(max_chunks=3)
    upload = await core.created()
    await core.chunk(upload, 0, b"a")
    await core.chunk(upload, 7, b"b")
    await core.chunk(upload, 8, b"c")
    await core.chunk(upload, 8, b"c")
    with pytest.raises(TooLarge):
        await core.chunk(upload, 9, b"")

    assert await waiting(core, upload) == {7: 1, 8: 1}


async def test_waiting_chunks_do_not_get_around_the_limit() -> None:
    """A file never has more chunks than the limit says, in whatever order they come."""
    core = Core(max_chunks=3)
    upload = await core.created()
    for index in (3, 2, 1, 0):
        with contextlib.suppress(TooLarge):
            await core.chunk(upload, index, b"x")

    assert len((await core.now(upload)).chunks) <= 3


async def test_waiting_chunks_keep_an_upload_alive() -> None:
    """An upload lives on from its last byte, also when that is of a chunk before its turn."""
    core = Core()
    upload = await core.created()
    for index in (5, 4, 3, 2, 1):
        core.clock.forward(LIFE * 0.6)
        await core.chunk(upload, index, b"x")
    await core.chunk(upload, 0, b"x")

    assert await core.content(await core.complete(upload, 6)) == b"xxxxxx"


async def test_a_twin_that_ends_after_completion_is_compared() -> None:
    """The same bytes again are a success, also when the file became complete meanwhile."""
    core = Core()
    upload = await core.created()
    same, other = MemoryBody(is_open=True), MemoryBody(is_open=True)
    first = asyncio.create_task(core.chunk_of(upload, 1, same))
    second = asyncio.create_task(core.chunk_of(upload, 1, other))
    await same.drained()
    await other.drained()
    await core.chunk(upload, 0, b"one")
    await core.chunk(upload, 1, b"two")
    await core.complete(upload, 2)
    same.send(b"two")
    same.finish()
    other.send(b"six")
    other.finish()
    await first

    with pytest.raises(ChunkConflict):
        await second
