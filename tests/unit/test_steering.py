"""Hooks in Python: what they are asked and told, and what becomes of what they say."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.core import LIFE, NEW, USER, Core
from tests.fakes import MemoryBody
from tusd_py import aside, sweeper
from tusd_py.errors import Forbidden, HookFailed, StorageError, UploadGone, UploadNotFound
from tusd_py.events import Completed, Expired, Received, Swept
from tusd_py.hooks import (
    REPLIES,
    Admission,
    Hook,
    HookEvent,
    Hooks,
    Rejected,
    Reply,
    UploadStopped,
)
from tusd_py.request import CURRENT, RequestInfo
from tusd_py.sweeper import MOST_FAILED, sweep
from tusd_py.upload import Append, End, Final, Upload

REQUEST = RequestInfo(id="1", method="POST", uri="/files/", remote="127.0.0.1", headers={})


class Noting(Hooks):
    """Notes all that it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Upload]] = []
        self.requests: list[RequestInfo | None] = []

    def hear(self, hook: Hook, event: HookEvent) -> None:
        """Note one event."""
        self.heard.append((hook.value, event.upload))
        self.requests.append(event.request)

    def kinds(self) -> list[str]:
        """The hooks that were called, in order."""
        return [kind for kind, _ in self.heard]

    async def pre_create(self, event: HookEvent) -> Admission | None:
        self.hear(Hook.PRE_CREATE, event)
        return None

    async def post_create(self, event: HookEvent) -> None:
        self.hear(Hook.POST_CREATE, event)

    async def post_receive(self, event: HookEvent) -> None:
        self.hear(Hook.POST_RECEIVE, event)

    async def pre_finish(self, event: HookEvent) -> Reply | None:
        self.hear(Hook.PRE_FINISH, event)
        return None

    async def post_finish(self, event: HookEvent) -> None:
        self.hear(Hook.POST_FINISH, event)

    async def pre_terminate(self, event: HookEvent) -> Reply | None:
        self.hear(Hook.PRE_TERMINATE, event)
        return None

    async def post_terminate(self, event: HookEvent) -> None:
        self.hear(Hook.POST_TERMINATE, event)


async def settled(core: Core) -> None:
    """Wait until all are told."""
    assert core.service.steering is not None
    await core.service.steering.close()


async def full(core: Core) -> Upload:
    """An upload with all its bytes that nobody tried to finish."""
    upload = await core.created()
    await core.append(upload, 0, b"hello")
    return await core.storage.save(replace(await core.now(upload), length=5))


async def left(core: Core) -> list[Upload]:
    """What the storage has."""
    return [upload async for upload in core.storage.uploads(USER)]


@contextlib.contextmanager
def answering() -> Iterator[list[Reply]]:
    """A request whose answer hooks add to."""
    replies: list[Reply] = []
    token, current = REPLIES.set(replies), CURRENT.set(REQUEST)
    yield replies
    REPLIES.reset(token)
    CURRENT.reset(current)


async def test_a_life_as_hooks_hear_of_it() -> None:
    """Each hook is called once, in its place, with the upload as it is then and the request."""
    hooks = Noting()
    core = Core(hooks=hooks)
    with answering():
        upload = await core.created(5)
        await core.append(upload, 0, b"hello")
        await core.service.terminate(USER, upload.id)
        await settled(core)

    assert sorted(hooks.kinds()) == sorted(hook.value for hook in Hook)
    heard = dict(hooks.heard)
    assert {each.id for each in heard.values()} == {upload.id}
    assert heard["pre-create"] == upload
    assert heard["pre-finish"].completion is None
    assert heard["post-finish"].completion is not None
    assert heard["pre-terminate"].ending is None
    assert hooks.kinds().index("pre-finish") < hooks.kinds().index("post-finish")
    assert hooks.requests == [REQUEST] * len(Hook)


async def test_what_is_not_overridden_is_not_called() -> None:
    """`Hooks` as it is wants nothing; one that overrides one method wants that one."""

    class One(Hooks):
        async def post_finish(self, event: HookEvent) -> None:
            raise AssertionError

    assert [hook for hook in Hook if Hooks().wants(hook)] == []
    assert [hook for hook in Hook if One().wants(hook)] == [Hook.POST_FINISH]
    core = Core(hooks=Hooks())
    await core.finished(b"hello")
    assert len(asyncio.all_tasks()) == 1


async def test_an_admission_in_python() -> None:
    """Id, metadata, place and reply are as the hook says."""
    upload_id = "0b5a3c1e-7d7c-4c5e-9d0e-3f1b2a4c5d6e"
    reply = Reply(headers={"X-Job": "9"})

    class Changing(Hooks):
        async def pre_create(self, event: HookEvent) -> Admission | None:
            return Admission(
                upload_id=upload_id, metadata={"filetype": "a/b"}, path="7/b", reply=reply
            )

    core = Core(hooks=Changing())
    with answering() as replies:
        upload = await core.created(5, replace(NEW, metadata="filename YQ=="))

    assert (upload.id, upload.file_id, upload.filename) == (upload_id, "7", "b")
    assert (upload.content_type, upload.metadata) == ("a/b", "filetype YS9i")
    assert replies == [reply]


def saying(hook: Hook, say: Callable[[], object]) -> Hooks:
    """Hooks one of which says this, or raises."""

    async def method(self: Hooks, event: HookEvent) -> object:
        return say()

    return type("Saying", (Hooks,), {hook.method: method})()  # type: ignore[no-any-return]


def raising(error: BaseException) -> Callable[[], object]:
    """What raises."""

    def say() -> object:
        raise error

    return say


BAD = {
    "bug": raising(KeyError("quota")),
    "other refusal": raising(Forbidden("no")),
    "other type": lambda: True,
    "dict": lambda: {"RejectUpload": True},
    "stop": raising(UploadStopped()),
    "time-out": raising(TimeoutError()),
}


@pytest.mark.parametrize("say", BAD.values(), ids=BAD)
@pytest.mark.parametrize("hook", [hook for hook in Hook if hook.is_asked], ids=lambda h: h.value)
async def test_a_hook_that_fails_refuses(
    hook: Hook, say: Callable[[], object], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong in a hook that is asked is `HookFailed`, one line in the log, and nothing
    happened."""
    core = Core(hooks=saying(hook, say))
    with pytest.raises(HookFailed):
        upload = await core.created(5)
        await core.append(upload, 0, b"hello")
        await core.service.terminate(USER, upload.id)

    assert "Terminated" not in core.sink.kinds()
    assert ("Completed" in core.sink.kinds()) == (hook is Hook.PRE_TERMINATE)
    assert ("Created" in core.sink.kinds()) == (hook is not Hook.PRE_CREATE)
    lines = [line for line in caplog.records if line.getMessage().startswith("hook_")]
    assert [vars(line)["hook"] for line in lines] == [hook.value]


@pytest.mark.parametrize("say", BAD.values(), ids=BAD)
async def test_a_hook_that_only_hears_can_fail(
    say: Callable[[], object], caplog: pytest.LogCaptureFixture
) -> None:
    """What goes wrong in a hook that is told is one line in the log."""
    core = Core(hooks=saying(Hook.POST_FINISH, say))

    await core.finished(b"hello")
    await settled(core)

    lines = [line for line in caplog.records if line.getMessage().startswith("hook_")]
    assert [vars(line)["hook"] for line in lines] == ["post-finish"]


async def test_a_hook_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    """A hook that is asked has `patience` seconds."""

    class Hanging(Hooks):
        patience = 0.05

        async def pre_create(self, event: HookEvent) -> Admission | None:
            await asyncio.Event().wait()
            return None

    core = Core(hooks=Hanging())
    with pytest.raises(HookFailed):
        await core.created(5)

    assert core.storage.records == []
    assert [line.getMessage() for line in caplog.records if line.levelno >= logging.ERROR] == [
        "hook_failed"
    ]


async def test_a_rejection_in_python() -> None:
    """`Rejected` is passed on as it is, with its reply."""
    reply = Reply(status=403, body="no")
    core = Core(hooks=saying(Hook.PRE_CREATE, raising(Rejected("No.", reply=reply))))

    with pytest.raises(Rejected, match=r"^No") as caught:
        await core.created(5)

    assert caught.value.reply is reply


async def test_a_place_is_not_held_while_a_hook_thinks() -> None:
    """Two uploads that end at one place do not wait for each other's hooks."""
    both = asyncio.Barrier(2)

    class Meeting(Hooks):
        async def pre_finish(self, event: HookEvent) -> Reply | None:
            async with asyncio.timeout(10):
                await both.wait()
            return None

    core = Core(hooks=Meeting())

    await asyncio.gather(core.finished(b"one"), core.finished(b"two"))

    assert core.sink.kinds().count("Completed") == 2


async def test_a_stop_in_python() -> None:
    """`UploadStopped` ends the append and the upload; its reply goes to the client."""
    reply = Reply(status=410)
    core = Core(hooks=saying(Hook.POST_RECEIVE, raising(UploadStopped(reply=reply))))
    upload = await core.created(100)
    body = MemoryBody(b"hello", is_open=True, size=100)

    with pytest.raises(UploadStopped) as caught:
        await core.service.append(USER, upload.id, Append(offset=0, size=100), body)

    assert caught.value.reply is reply
    ending = (await core.now(upload)).ending
    assert ending is not None
    assert ending.why is End.TERMINATED
    assert core.sink.kinds() == ["Created", "Received", "Terminated"]


async def test_a_stop_leaves_the_next_request_nothing() -> None:
    """After a stop the upload is gone for all requests."""
    core = Core(hooks=saying(Hook.POST_RECEIVE, raising(UploadStopped())))
    upload = await core.created(100)
    await core.append(upload, 0, b"hello")
    await settled(core)

    with pytest.raises(UploadGone):
        await core.append(upload, 5, b"more")


async def test_a_full_upload_that_is_stopped_is_no_file() -> None:
    """A stop while the last byte was on its way comes before the file."""
    body = MemoryBody(b"hello", is_open=True, size=5)
    heard = asyncio.Event()

    class Late(Hooks):
        async def post_receive(self, event: HookEvent) -> None:
            heard.set()
            raise UploadStopped

    core = Core(hooks=Late())
    appending = asyncio.create_task(
        core.service.create(replace(NEW, length=5), body),
    )
    async with asyncio.timeout(10):
        await heard.wait()
    body.finish()

    with pytest.raises(UploadStopped):
        await appending
    assert await left(core) == []
    assert await core.service.files(USER) == []


async def test_concatenation_is_steered() -> None:
    """Partial uploads are created and removed with consent, and only the whole is finished."""
    hooks = Noting()
    core = Core(hooks=hooks)
    part = await core.partial(b"one")

    await core.service.concatenate(NEW, Final(partials=(part.id,), header="final;x"))
    await settled(core)

    assert sorted(hooks.kinds()) == [
        "post-create",
        "post-create",
        "post-finish",
        "post-receive",
        "pre-create",
        "pre-create",
        "pre-finish",
    ]


async def test_a_refused_creation_is_undone() -> None:
    """The finish of a creation that a hook does not want leaves nothing for the sweeper."""
    core = Core(hooks=saying(Hook.PRE_FINISH, raising(Rejected())))
    with pytest.raises(Rejected):
        await core.finished(b"hello")

    assert await left(core) == []
    assert core.sink.kinds() == ["Created", "Received", "Terminated"]


async def test_a_late_stop_of_nothing() -> None:
    """An upload that went meanwhile is stopped without a word."""
    core = Core(hooks=Hooks())

    await core.service.end_stopped(USER, "0b5a3c1e-7d7c-4c5e-9d0e-3f1b2a4c5d6e")

    assert core.sink.kinds() == []
    with pytest.raises(UploadNotFound):
        await core.service.find(USER, "0b5a3c1e-7d7c-4c5e-9d0e-3f1b2a4c5d6e")


async def test_the_sweeper_does_not_wait_for_the_dead() -> None:
    """After a few questions that fail one pass of the sweeper asks no more."""
    hooks = Noting()
    core = Core(hooks=hooks)
    for _ in range(MOST_FAILED + 2):
        await full(core)
    asked = 0

    async def fail(event: HookEvent) -> Reply | None:
        nonlocal asked
        asked += 1
        raise HookFailed

    hooks.pre_finish = fail  # type: ignore[method-assign]

    swept = await sweep(core.service)

    assert asked == MOST_FAILED
    assert swept == Swept(failed=MOST_FAILED)
    assert swept.open == MOST_FAILED + 2
    await settled(core)


async def test_questions_that_fail_count_at_the_end_of_a_life() -> None:
    """Also of uploads that expire for want of an answer; those that are not asked about do, too."""
    asked = 0

    def say() -> None:
        nonlocal asked
        asked += 1
        raise HookFailed

    core = Core(hooks=saying(Hook.PRE_FINISH, say))
    for _ in range(MOST_FAILED + 2):
        await full(core)
    core.clock.forward(LIFE)

    assert await sweep(core.service) == Swept(expired=MOST_FAILED + 2)
    assert asked == MOST_FAILED


async def test_a_refusal_is_no_failure_of_the_sweeper(caplog: pytest.LogCaptureFixture) -> None:
    """A hook that says no is asked about every upload, and nobody is warned."""
    core = Core(hooks=saying(Hook.PRE_FINISH, raising(Rejected())))
    for _ in range(MOST_FAILED + 2):
        await full(core)
    caplog.set_level(logging.DEBUG)
    swept = await sweep(core.service)

    assert (swept, swept.open) == (Swept(), MOST_FAILED + 2)
    assert [(line.getMessage(), line.levelno) for line in caplog.records] == [
        ("finish_refused", logging.DEBUG)
    ] * (MOST_FAILED + 2)


async def test_what_expires_does_not_wait_for_hooks() -> None:
    """A pass of the sweeper ends what is over before it asks about what is full."""
    gate, asked = asyncio.Event(), asyncio.Event()

    class Slow(Hooks):
        async def pre_finish(self, event: HookEvent) -> Reply | None:
            asked.set()
            await gate.wait()
            return None

    core = Core(hooks=Slow())
    await full(core)
    await core.created(10)
    core.clock.forward(LIFE)
    sweeping = asyncio.create_task(sweep(core.service))
    async with asyncio.timeout(10):
        await asked.wait()
    told = [type(event) for event in core.sink.events]
    gate.set()

    assert told[-1] is Expired
    assert await sweeping == Swept(expired=1, finished=1)


async def test_one_pass_asks_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the time for questions is over, the rest is asked about in later passes."""
    monkeypatch.setattr(sweeper, "MOST_SECONDS", 0)
    hooks = Noting()
    core = Core(hooks=hooks)
    await full(core)
    hurried = await sweep(core.service)
    asked = hooks.kinds().count("pre-finish")
    monkeypatch.undo()
    swept = await sweep(core.service)
    await settled(core)

    assert (hurried, hurried.open, asked) == (Swept(), 1, 0)
    assert swept == Swept(finished=1)


async def unrecorded(core: Core) -> Upload:
    """An upload that a hook agreed to, and whose file is there, as a crash left it."""
    upload = await full(core)
    with core.sink.refusing(Completed), pytest.raises(StorageError):
        await core.service.find(USER, upload.id)
    return upload


async def test_a_file_that_is_there_is_not_asked_about() -> None:
    """After a crash between the file and its record the upload is complete, whatever the hook says
    now: the main service may have heard so."""
    answers: list[object] = [None]

    def say() -> object:
        if not answers:
            raise Rejected
        return answers.pop()

    core = Core(hooks=saying(Hook.PRE_FINISH, say))
    upload = await unrecorded(core)
    found = await core.service.find(USER, upload.id)

    assert found.is_file
    assert core.storage.file(upload.place) == b"hello"


async def test_a_file_that_is_there_is_finished_without_questions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the sweeper, too, at the end of its life, and when there is no time to ask."""
    core = Core(hooks=Noting())
    upload = await unrecorded(core)
    core.clock.forward(LIFE)
    monkeypatch.setattr(sweeper, "MOST_SECONDS", 0)
    swept = await sweep(core.service)
    await settled(core)

    assert swept == Swept(finished=1)
    assert (await core.now(upload)).is_file


async def test_every_byte_is_told_once() -> None:
    """The sizes of `Received` add up to what is stored, also when a body breaks off, and for chunks
    that waited for their turn."""
    core = Core()
    upload = await core.created(20)
    body = MemoryBody(b"hel", is_open=True, size=9)
    appending = asyncio.create_task(
        core.service.append(USER, upload.id, Append(offset=0, size=9), body)
    )
    await body.drained()
    body.stop()
    with contextlib.suppress(Exception):
        await appending
    await core.append(upload, 3, b"lo")
    await core.chunk(upload, 2, b"!" * 10)
    await core.chunk(upload, 1, b"?" * 5)

    received = [event for event in core.sink.events if isinstance(event, Received)]
    assert [event.size for event in received] == [3, 2, 5, 10]
    assert [event.upload.offset for event in received] == [3, 5, 10, 20]


async def test_the_record_is_told_as_it_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long append tells at each checkpoint how much more is stored."""
    monkeypatch.setattr("tusd_py.receiving.CHECK_BYTES", 4)
    core = Core()
    upload = await core.created(10)

    await core.append(upload, 0, b"1234", b"5678", b"90")

    received = [event for event in core.sink.events if isinstance(event, Received)]
    assert [event.size for event in received] == [4, 4, 2]


# --- what is told beside the requests ---------------------------------------------------------


async def test_many_things_to_tell(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """So many hooks are told at a time, so many wait; what is beyond that is dropped and logged."""
    monkeypatch.setattr(aside, "MOST", 3)
    monkeypatch.setattr(aside, "AT_ONCE", 2)
    things = aside.Aside(grace=10)
    gate, at_work, done = asyncio.Event(), 0, 0

    async def work() -> None:
        nonlocal at_work, done
        at_work += 1
        await gate.wait()
        done += 1

    begun = [await things.do("post-finish", "id", work) for _ in range(5)]
    await asyncio.sleep(0)
    first = at_work
    gate.set()
    await things.close()

    assert begun == [True, True, True, False, False]
    assert (first, done) == (2, 3)
    assert [line.getMessage() for line in caplog.records] == ["hook_dropped"] * 2


async def test_a_command_tells_all(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a grace nothing is dropped or lost: one waits for a place, and in the end for all;
    what a task adds itself needs no place."""
    monkeypatch.setattr(aside, "MOST", 2)
    monkeypatch.setattr(aside, "AT_ONCE", 2)
    things = aside.Aside()
    gate, begun, done = asyncio.Event(), 0, 0

    async def more() -> None:
        nonlocal done
        done += 1

    async def work() -> None:
        await gate.wait()
        await things.do("post-terminate", "id", more)

    async def all_of_them() -> None:
        nonlocal begun
        for _ in range(5):
            assert await things.do("post-finish", "id", work)
            begun += 1

    beginning = asyncio.create_task(all_of_them())
    for _ in range(5):
        await asyncio.sleep(0)
    first = begun
    gate.set()
    async with asyncio.timeout(10):
        await beginning
        await things.close()

    assert (first, begun, done) == (2, 5, 5)
    assert caplog.records == []


async def test_leaving_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    """A server that leaves waits a moment for those who are being told; the log counts the rest."""
    things = aside.Aside(grace=0.01)

    async def work() -> None:
        await asyncio.Event().wait()

    await things.do("post-finish", "id", work)
    await things.close()

    [line] = caplog.records
    assert (line.getMessage(), vars(line)["count"]) == ("hooks_lost", 1)
    assert len(asyncio.all_tasks()) == 1
