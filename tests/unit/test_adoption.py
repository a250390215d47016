"""Uploads of another server: taken over whole or in part, once."""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.core import LIFE, NEW, USER, Core
from tests.fakes import Fault, MemoryBody
from tusd_py.adoption import Adoption, adopt
from tusd_py.errors import BodyInterrupted, Conflict, Trouble, UploadTooLarge
from tusd_py.upload import End, Final, NewUpload, Partial, Upload

ID = str(uuid.UUID(int=7))
CONTENT = b"0123456789"
PARTIAL = replace(NEW, concat=Partial())
FINAL = replace(NEW, concat=Final(partials=(ID,), header=f"final;{ID}"))


class Source:
    """The bytes of an upload at its old server; `asked` notes from where they were wanted."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.asked: list[int] = []
        self.breaks_at: int | None = None

    def __call__(self, offset: int) -> MemoryBody:
        self.asked.append(offset)
        if self.breaks_at is not None:
            part = self.content[offset : self.breaks_at]
            return MemoryBody.broken(part, error=BodyInterrupted())
        return MemoryBody(self.content[offset:])


async def taken(
    core: Core, source: Source, new: NewUpload = NEW, length: int | None = len(CONTENT)
) -> tuple[Adoption, Upload]:
    """Take an upload over."""
    return await adopt(
        core.service, replace(new, length=length), ID, size=len(source.content), body=source
    )


@pytest.fixture
def core() -> Iterator[Core]:
    """A service on fakes."""
    yield Core()


async def test_an_unfinished_upload_goes_on_here(core: Core) -> None:
    """It has its id, its offset and a whole life from now on, and takes the rest."""
    adoption, upload = await taken(core, Source(CONTENT[:4]))
    core.clock.forward(LIFE - timedelta(seconds=1))
    done = await core.append(upload, 4, CONTENT[4:])

    assert adoption is Adoption.TAKEN
    assert (upload.id, upload.offset, upload.length, upload.completion) == (ID, 4, 10, None)
    assert core.storage.file(done.place) == CONTENT


async def test_a_full_upload_becomes_a_file(core: Core) -> None:
    """It ends as any other does, and whoever listens hears of it."""
    adoption, upload = await taken(core, Source())

    assert adoption is Adoption.TAKEN
    assert core.storage.file(f"{USER}/123/audio.mp3") == CONTENT
    assert [each.id for each in await core.service.files(USER)] == [upload.id]
    assert core.sink.kinds() == ["Created", "Received", "Completed"]


@pytest.mark.parametrize("new", [NEW, PARTIAL, FINAL], ids=["file", "partial", "final"])
@pytest.mark.parametrize("content", [CONTENT, b""], ids=["bytes", "empty"])
async def test_kinds_stay_what_they_are(core: Core, new: NewUpload, content: bytes) -> None:
    """A partial upload stays partial, a final one final; an empty one is complete, too."""
    _, upload = await taken(core, Source(content), new, len(content))

    assert upload.completion is not None
    assert upload.concat == new.concat
    assert upload.is_file == (new is not PARTIAL)


@pytest.mark.parametrize("content", [CONTENT, CONTENT[:4]], ids=["full", "unfinished"])
async def test_a_second_time_nothing_is_stored(core: Core, content: bytes) -> None:
    """What is here already is left as it is."""
    await taken(core, Source(content))
    before, heard = list(core.storage.records), core.sink.kinds()
    source = Source(content)
    adoption, _ = await taken(core, source)

    assert adoption is Adoption.KNOWN
    assert source.asked == []
    assert (core.storage.records, core.sink.kinds()) == (before, heard)


async def test_it_goes_on_behind_what_was_stored(core: Core) -> None:
    """When the source breaks, the bytes before that count; the next run takes the others only."""
    source = Source()
    source.breaks_at = 6
    with pytest.raises(BodyInterrupted):
        await taken(core, source)
    source.breaks_at = None
    adoption, upload = await taken(core, source)

    assert adoption is Adoption.TAKEN
    assert source.asked == [0, 6]
    assert core.storage.file(upload.place) == CONTENT


@pytest.mark.parametrize(
    "fault", [Fault.WRITE, Fault.RECORD, Fault.MOVE], ids=lambda each: each.name
)
async def test_a_storage_that_failed_is_asked_again(core: Core, fault: Fault) -> None:
    """Wherever the storage failed, the next run makes one whole file."""
    with core.storage.failing(fault), pytest.raises(Trouble):
        await taken(core, Source())
    await taken(core, Source())

    assert core.storage.file(f"{USER}/123/audio.mp3") == CONTENT
    assert len(await core.service.files(USER)) == 1


async def test_what_came_here_is_kept(core: Core) -> None:
    """Bytes that the client sent here after the first run are not the source's to take back."""
    _, upload = await taken(core, Source(CONTENT[:4]))
    await core.append(upload, 4, CONTENT[4:8])
    adoption, upload = await taken(core, Source(CONTENT[:6]))

    assert adoption is Adoption.KNOWN
    assert upload.offset == 8


async def test_a_length_that_was_told_meanwhile(core: Core) -> None:
    """A deferred length that the old server learned between two runs is known here, too, and
    finishes the upload if that was all."""
    _, first = await taken(core, Source(), length=None)
    _, second = await taken(core, Source())

    assert (first.length, first.completion) == (None, None)
    assert second.length == 10
    assert core.storage.file(second.place) == CONTENT


async def test_a_length_is_known_before_the_last_bytes(core: Core) -> None:
    """Also when no byte came with it."""
    await taken(core, Source(CONTENT[:4]), length=None)
    await taken(core, Source(CONTENT[:4]))

    assert (await core.service.alive(USER, ID)).length == 10


async def test_the_dead_stay_dead(core: Core) -> None:
    """What ended here is not taken over again; nor does a second run renew what expired."""
    _, upload = await taken(core, Source(CONTENT[:4]))
    core.clock.forward(LIFE)
    expired, _ = await taken(core, Source(CONTENT[:4]))
    await core.service.finisher.remove(upload, End.TERMINATED)
    ended, _ = await taken(core, Source())

    assert (expired, ended) == (Adoption.GONE, Adoption.GONE)


@pytest.mark.parametrize(
    ("new", "length"), [(NEW, 11), (PARTIAL, 10)], ids=["another length", "another kind"]
)
async def test_another_upload_of_that_id_is_no_victim(
    core: Core, new: NewUpload, length: int
) -> None:
    """An upload that cannot be the same one is left alone."""
    await taken(core, Source(CONTENT[:4]))
    before = list(core.storage.records)
    with pytest.raises(Conflict, match="Another upload"):
        await taken(core, Source(), new, length)

    assert core.storage.records == before


async def test_a_finished_one_does_not_grow(core: Core) -> None:
    """More bytes than the finished file has are another file's."""
    await taken(core, Source(CONTENT))
    with pytest.raises(Conflict):
        await taken(core, Source(CONTENT + b"more"), length=None)

    assert core.storage.file(f"{USER}/123/audio.mp3") == CONTENT


@pytest.mark.parametrize("length", [10, None])
async def test_limits_hold(length: int | None) -> None:
    """MAX_UPLOAD_SIZE is asked before anything is stored."""
    core = Core(max_size=9)
    with pytest.raises(UploadTooLarge):
        await taken(core, Source(), length=length)

    assert core.storage.records == []


async def test_who_is_at_work_on_it_is_waited_for(core: Core) -> None:
    """Two runs at once make one upload: the second finds it."""
    (one, _), (other, _) = await asyncio.gather(taken(core, Source()), taken(core, Source()))

    assert {one, other} == {Adoption.TAKEN, Adoption.KNOWN}
    assert core.sink.kinds() == ["Created", "Received", "Completed"]
