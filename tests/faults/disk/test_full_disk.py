"""A disk that gets full, runs out of inodes or becomes read-only, in the middle of everything.

Every refusal is a 507 or a 503, every offset is true, and once there is room again each upload goes
on to its end.
"""

import json
import sys

import aiohttp
import pytest

from tests.conformance.tus.client import OCTETS, Answer, Tus, checksum, content_of, metadata
from tests.conftest import MakeProcess
from tests.e2e.commands import run
from tests.faults.disk.scene import HALF, NAME, Scene, sha256, upload_id_of
from tests.servers import settings
from tests.small_disk import MIB, Trouble

PAGES = 32
"""So many are left of a disk that gets full: a part of every body still fits."""

CONTENT = content_of(2 * MIB)

any_trouble = pytest.mark.parametrize("trouble", Trouble, ids=[t.name.lower() for t in Trouble])
any_shortage = pytest.mark.parametrize(
    "trouble", [Trouble.SPACE, Trouble.INODES], ids=["space", "inodes"]
)
any_moment = pytest.mark.parametrize("sent", [0, HALF], ids=["before_it", "in_the_middle"])


def left(trouble: Trouble) -> int:
    """How much of what the disk is short of is left."""
    return PAGES if trouble is Trouble.SPACE else 0


def assert_refused(answer: Answer, trouble: Trouble) -> None:
    """The status of the trouble, and one line that says what to do."""
    assert answer.status == trouble.status
    assert answer.body.count(b"\n") == 1
    assert b"try again later" in answer.body
    assert "Upload-Offset" not in answer.headers


def assert_rest_refused(answer: Answer, trouble: Trouble) -> None:
    """The same in JSON."""
    told = json.loads(answer.body)
    code = "unavailable" if trouble is Trouble.READ_ONLY else "no_space"
    assert answer.status == trouble.status
    assert (told["status"], told["code"]) == ("error", code)
    assert "try again later" in told["message"]


def is_whole(head: Answer) -> bool:
    """Whether HEAD says that all bytes are there."""
    return head.headers.get("Upload-Offset") == head.headers.get("Upload-Length", "unknown")


# --- tus


@any_trouble
@any_moment
async def test_patch(scene: Scene, trouble: Trouble, sent: int) -> None:
    """A PATCH that does not fit takes nothing away, gives back what it took, and is sent again
    later."""
    tus = scene.tus
    url = await tus.create(2 * MIB, metadata(filename=NAME))
    await tus.patch(url, 0, CONTENT[:MIB])
    async with (
        scene.patch(url, MIB, CONTENT[MIB:]).begun(sent) as request,
        scene.trouble(trouble, left(trouble)),
    ):
        refused = await request.ended()
        during = await tus.offset(url)
        held = scene.stored(upload_id_of(url))
    after = await tus.offset(url)
    again = await tus.patch(url, after, CONTENT[after:])

    assert_refused(refused, trouble)
    assert MIB <= during <= after
    assert held == CONTENT[:during]
    assert again.status == 204
    assert await scene.finished(upload_id_of(url)) == sha256(CONTENT)
    assert scene.litter() == []


@any_trouble
@any_moment
async def test_checksum_patch(scene: Scene, trouble: Trouble, sent: int) -> None:
    """A PATCH with a checksum counts as a whole or not at all, also then."""
    tus = scene.tus
    url = await tus.create(2 * MIB, metadata(filename=NAME))
    await tus.patch(url, 0, CONTENT[:MIB])
    claim = checksum("sha256", CONTENT[MIB:])
    async with (
        scene.patch(url, MIB, CONTENT[MIB:], claim).begun(sent) as request,
        scene.trouble(trouble, left(trouble)),
    ):
        refused = await request.ended()
        during = await tus.offset(url)
    after = await tus.offset(url)
    again = await tus.patch(url, after, CONTENT[MIB:], claim)

    assert_refused(refused, trouble)
    assert (during, after) == (MIB, MIB)
    assert again.status == 204
    assert await scene.finished(upload_id_of(url)) == sha256(CONTENT)
    assert scene.litter() == []


@any_trouble
async def test_creation(scene: Scene, trouble: Trouble) -> None:
    """An upload that cannot be noted is refused, and nothing of it is left."""
    fields = {"Upload-Length": str(2 * MIB), **metadata(filename=NAME)}
    async with scene.trouble(trouble):
        refused = await scene.tus.post(fields)
    litter, noted = scene.litter(), scene.noted()
    url = await scene.tus.upload(CONTENT, metadata(filename=NAME))

    assert_refused(refused, trouble)
    assert "Location" not in refused.headers
    assert (litter, noted) == ([], [])
    assert await scene.finished(upload_id_of(url)) == sha256(CONTENT)


@any_trouble
@any_moment
async def test_creation_with_upload(scene: Scene, trouble: Trouble, sent: int) -> None:
    """A creation whose bytes do not fit is refused, and sent again later."""
    fields = {"Upload-Length": str(2 * MIB), **metadata(filename=NAME)}
    async with (
        scene.post(fields, CONTENT[:MIB]).begun(sent) as request,
        scene.trouble(trouble, left(trouble)),
    ):
        refused = await request.ended()
    again = await scene.tus.post({**fields, "Content-Type": OCTETS}, CONTENT[:MIB])
    url = scene.tus.url(again.headers["Location"])
    last = await scene.tus.patch(url, MIB, CONTENT[MIB:])

    assert_refused(refused, trouble)
    assert "Location" not in refused.headers
    assert (again.status, again.headers["Upload-Offset"]) == (201, str(MIB))
    assert last.status == 204
    assert await scene.finished(upload_id_of(url)) == sha256(CONTENT)


@any_shortage
@any_moment
async def test_creation_with_upload_is_undone(scene: Scene, trouble: Trouble, sent: int) -> None:
    """An upload of which nobody learned the address is not kept."""
    fields = {"Upload-Length": str(2 * MIB), **metadata(filename=NAME)}
    async with (
        scene.post(fields, CONTENT[:MIB]).begun(sent) as request,
        scene.trouble(trouble, left(trouble)),
    ):
        refused = await request.ended()

    assert refused.status == 507
    assert scene.litter() == []
    assert scene.noted() == []


@any_trouble
async def test_concatenation(scene: Scene, trouble: Trouble) -> None:
    """A concatenation that does not fit leaves its parts as they were, and is made later."""
    tus = scene.tus
    partial = {"Upload-Concat": "partial"}
    urls = [await tus.upload(half, partial) for half in (CONTENT[:MIB], CONTENT[MIB:])]
    final = {"Upload-Concat": f"final;{' '.join(urls)}", **metadata(filename=NAME)}
    noted = scene.noted()
    async with scene.trouble(trouble, left(trouble)):
        refused = await tus.post(final)
        during = [await tus.offset(url) for url in urls]
    left_over = scene.noted()
    made = await tus.post(final)

    assert_refused(refused, trouble)
    assert during == [MIB, MIB]
    assert left_over == noted
    assert made.status == 201
    assert await scene.finished(upload_id_of(made.headers["Location"])) == sha256(CONTENT)


# --- REST


@any_trouble
@any_moment
@pytest.mark.parametrize("is_late", [False, True], ids=["fields_first", "fields_last"])
@pytest.mark.parametrize("index", [1, 2], ids=["in_turn", "early"])
async def test_chunk(scene: Scene, trouble: Trouble, sent: int, is_late: bool, index: int) -> None:
    """A chunk that does not fit is refused as a whole and sent again later, whether its turn has
    come or not, and wherever in its form the fields are. One whose turn has not come needs no more
    inodes than it has."""
    rest = scene.rest
    pieces = [CONTENT[:1000], CONTENT[1000:MIB], CONTENT[MIB:]]
    upload_id = await rest.init(123, NAME)
    await rest.chunk(upload_id, 0, pieces[0])
    async with (
        scene.chunk(upload_id, index, pieces[index], late=is_late).begun(sent) as request,
        scene.trouble(trouble, left(trouble)),
    ):
        refused = await request.ended()
        during = await rest.offset(upload_id)
    incomplete = await rest.complete(upload_id, 3)
    again = [(await rest.chunk(upload_id, n, pieces[n])).status for n in (index, 3 - index)]
    done = await rest.complete(upload_id, 3)

    fits = trouble is Trouble.INODES and index == 2 and sent > 0 and not is_late
    if fits:
        assert refused.status == 200
    else:
        assert_rest_refused(refused, trouble)
    assert during == 1000
    assert incomplete.json()["missing"] == ([1] if fits else [1, 2])
    assert again == [200, 200]
    assert done.status == 200
    assert await scene.finished(123) == sha256(CONTENT)
    assert scene.litter() == []


@any_moment
@pytest.mark.parametrize("is_late", [False, True], ids=["fields_first", "fields_last"])
async def test_no_piece_of_a_chunk_is_left(scene: Scene, sent: int, is_late: bool) -> None:
    """A chunk that was refused takes no room."""
    upload_id = await scene.rest.init(123, NAME)
    async with (
        scene.chunk(upload_id, 1, CONTENT, late=is_late).begun(sent) as request,
        scene.trouble(Trouble.SPACE, PAGES),
    ):
        refused = await request.ended()
        files = [path for path in scene.litter() if not path.endswith(".chunks")]

    assert refused.status == 507
    assert files == []


@any_trouble
async def test_chunks_that_wait(scene: Scene, trouble: Trouble) -> None:
    """Chunks that wait are kept when there is no room to append them, and appended later."""
    rest = scene.rest
    pieces = [CONTENT[:1000], CONTENT[1000:MIB], CONTENT[MIB:]]
    upload_id = await rest.init(123, NAME)
    waiting = [(await rest.chunk(upload_id, n, pieces[n])).status for n in (2, 1)]
    async with scene.trouble(trouble, left(trouble)):
        refused = await rest.chunk(upload_id, 0, pieces[0])
        during = await rest.complete(upload_id, 3)
        offset = await rest.offset(upload_id)
    first = await rest.chunk(upload_id, 0, pieces[0])
    done = await rest.complete(upload_id, 3)

    assert waiting == [200, 200]
    assert refused.status == trouble.status
    assert during.status in {409, trouble.status}
    assert offset in {0, 1000}
    assert (first.status, done.status) == (200, 200)
    assert await scene.finished(123) == sha256(CONTENT)
    assert scene.litter() == []


@any_trouble
async def test_complete(scene: Scene, trouble: Trouble) -> None:
    """A file that cannot be put in its place now is put there by the next call."""
    rest = scene.rest
    upload_id = await rest.init(123, NAME)
    await rest.chunk(upload_id, 0, CONTENT[:MIB])
    await rest.chunk(upload_id, 1, CONTENT[MIB:])
    async with scene.trouble(trouble):
        refused = await rest.complete(upload_id, 2)
        during = await rest.files()
        again = await rest.complete(upload_id, 2)
    done = await rest.complete(upload_id, 2)

    assert [answer.status for answer in (refused, again)] == [trouble.status] * 2
    assert during == []
    assert done.status == 200
    assert await scene.finished(123) == sha256(CONTENT)
    assert scene.litter() == []


# --- what ends uploads, and what makes room


@pytest.mark.parametrize("room", range(6))
@any_shortage
async def test_completion_step_by_step(scene: Scene, trouble: Trouble, room: int) -> None:
    """At whichever step the last PATCH runs out of room, what is told is true at once, and the
    upload goes on from there."""
    tus = scene.tus
    content = content_of(5000)
    url = await tus.create(len(content), metadata(filename=NAME))
    await tus.patch(url, 0, content[:1000])
    async with scene.trouble(trouble, room):
        last = await tus.patch(url, 1000, content[1000:])
        told = await tus.head(url)
        got = await tus.get(url)
    after = await tus.offset(url)
    again = await tus.patch(url, after, content[after:])

    assert (last.status, is_whole(told)) in {(204, True), (507, False)}
    assert told.status in {200, 423}
    assert (got.status, got.body) == (200, content) if is_whole(told) else got.status == 409
    assert again.status == 204
    assert await scene.finished(upload_id_of(url)) == sha256(content)
    assert scene.litter() == []


@any_trouble
async def test_who_looks_from_outside_is_told(scene: Scene, trouble: Trouble) -> None:
    """/readyz is 503 while nothing can be written."""
    before = await scene.status("/readyz")
    async with scene.trouble(trouble):
        during = await scene.status("/readyz")
    after = await scene.status("/readyz")

    assert (before, during, after) == (200, 503, 200)
    assert scene.litter() == []


@any_shortage
async def test_deletion_makes_room(scene: Scene, trouble: Trouble) -> None:
    """A full disk is no reason to refuse to delete what fills it."""
    tus = scene.tus
    unfinished = await tus.create(2 * MIB)
    await tus.patch(unfinished, 0, CONTENT[:MIB])
    finished = await tus.upload(CONTENT)
    async with scene.trouble(trouble):
        answers = [await tus.delete(url) for url in (unfinished, finished)]
        gone = [(await tus.head(url)).status for url in (unfinished, finished)]

    assert [answer.status for answer in answers] == [204, 204]
    assert gone == [410, 410]
    assert scene.litter() == []


@any_shortage
async def test_expiry_makes_room(scene: Scene, trouble: Trouble) -> None:
    """The sweeper removes what is over from a full disk, too."""
    url = await scene.tus.create(2 * MIB)
    await scene.tus.patch(url, 0, CONTENT[:MIB])
    scene.expire(upload_id_of(url))
    async with scene.trouble(trouble):
        swept = await scene.sweep_later()
        gone = await scene.tus.head(url)

    assert (swept.expired, swept.failed) == (1, 0)
    assert gone.status == 410
    assert scene.litter() == []


@any_shortage
async def test_start_on_a_full_disk(
    scene: Scene, trouble: Trouble, make_process: MakeProcess, http: aiohttp.ClientSession
) -> None:
    """A server starts on a full disk: what is there can be fetched, and deleted, and then there is
    room again."""
    url = await scene.tus.upload(CONTENT, metadata(filename=NAME))
    async with scene.trouble(trouble):
        process = await make_process(scene.disk.root / "data", MIN_FREE_DISK="0")
        tus = Tus(http=http, address=process.address)
        at = f"{process.address.files}{upload_id_of(url)}"
        fetched = await tus.download(at)
        refused = await tus.post({"Upload-Length": "5"})
        deleted = await tus.delete(at)
        created = await tus.post({"Upload-Length": "5"})

    assert fetched == CONTENT
    assert [answer.status for answer in (refused, deleted, created)] == [507, 204, 201]


async def test_no_start_on_a_read_only_disk(scene: Scene, make_process: MakeProcess) -> None:
    """A server that can neither keep nor remove anything does not start."""
    async with scene.trouble(Trouble.READ_ONLY):
        with pytest.raises(RuntimeError, match="server left: 2"):
            await make_process(scene.disk.root / "data", MIN_FREE_DISK="0")


@any_trouble
async def test_check_tells(scene: Scene, trouble: Trouble) -> None:
    """tusd-py check fails when nothing can be written, and says why."""
    root = scene.disk.root / "data"
    async with scene.trouble(trouble):
        left = await run(sys.executable, "-m", "tusd_py", "check", cwd=root, **settings(root))

    assert left.code == 2
    assert left.stdout == ""
    assert left.stderr.splitlines()[-1].startswith("tusd-py: The s")
    assert "try again later" in left.stderr
