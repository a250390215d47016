"""`tusd-py events`: what an operator sees of what was not delivered, and can do about it."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from tests.conformance.tus.client import Tus, metadata
from tests.conftest import MakeServer
from tests.e2e.commands import REPOSITORY, run
from tests.receiver import Receiver
from tests.servers import settings
from tests.uploads import NOW, UPLOAD
from tusd_py.cli import main
from tusd_py.notify.file import NAME
from tusd_py.notify.message import message, message_id
from tusd_py.notify.outbox import Outbox
from tusd_py.setting_types import Notification

OTHER = replace(UPLOAD, id="11111111-2f6a-4d3e-9d3c-0a1b2c3d4e5f", owner="7\x1b[2J")
DEAD = message_id(UPLOAD, Notification.CREATED)
BEHIND = message_id(UPLOAD, Notification.TERMINATED)
WAITING = message_id(OTHER, Notification.CREATED)
Said = tuple[int, list[str]]
Events = Callable[..., Said]


async def fill(folder: Path) -> None:
    """One dead event, one that waits for the next try, and one behind that."""
    async with Outbox.open(folder / NAME, receiver="r", now=time.time) as outbox:
        for upload in (UPLOAD, OTHER):
            created = message(Notification.CREATED, upload, at=NOW, location=None)
            assert await outbox.add(created, holds=False) is None
        [dead, waiting] = await outbox.take(9)
        await outbox.died(dead, why="status 410")
        await outbox.failed(waiting, due=time.time() + 3000, why="no answer in time")
        for upload in (OTHER, UPLOAD):
            gone = message(Notification.TERMINATED, upload, at=NOW, location=None)
            assert await outbox.add(gone, holds=False) is None
        await outbox.put_off(3000, why="status 410")


async def due(folder: Path) -> list[str]:
    """What could be delivered now."""
    async with Outbox.open(folder / NAME, receiver="r", now=time.time) as outbox:
        return [each.id for each in await outbox.take(9)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with an outbox."""
    asyncio.run(fill(tmp_path))
    return tmp_path


@pytest.fixture
def events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Events:
    """`tusd-py events ...` on that folder: its exit code, and the lines it prints."""
    for name, value in settings(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> Said:
        code = main(["events", *arguments])
        said = capsys.readouterr()
        return code, [*said.out.splitlines(), *said.err.splitlines()]

    return command


@pytest.mark.parametrize("arguments", [(), ("list",)], ids=["nothing", "list"])
def test_list(folder: Path, events: Events, arguments: tuple[str, ...]) -> None:
    """What waits and what is dead, a line each, and how many; nothing in it steers a terminal."""
    code, lines = events(*arguments)
    [dead, waiting, behind, other, total] = lines

    assert (code, total) == (0, "3 waiting, 1 dead.")
    assert dead.startswith(f"{DEAD}  upload.created  dead  since 2026-01-01T12:00:00+00:00  ")
    assert dead.endswith("1 try, last: status 410")
    assert "1 try, last: no answer in time, next 20" in waiting
    assert behind.endswith("behind an earlier event of its upload")
    assert f"upload {UPLOAD.id}  user 42" in other
    assert "\x1b" not in "".join(lines)


def test_list_as_json(folder: Path, events: Events) -> None:
    """The same for programs: an object a line."""
    code, lines = events("--json")
    listed = [json.loads(line) for line in lines]

    assert code == 0
    assert listed[0] == {
        "id": DEAD,
        "type": "upload.created",
        "upload_id": UPLOAD.id,
        "user_id": "42",
        "state": "dead",
        "at": "2026-01-01T12:00:00+00:00",
        "tries": 1,
        "next_try": None,
        "why": "status 410",
    }
    assert [each["state"] for each in listed] == ["dead", "pending", "pending", "pending"]


def test_retry_one(folder: Path, events: Events) -> None:
    """A dead event is tried again, before the later ones of its upload, and the receiver is asked
    although it wanted a pause."""
    said = events("retry", DEAD)

    assert said == (0, ["1 event is to be tried again."])
    assert asyncio.run(due(folder)) == [DEAD]


@pytest.mark.parametrize(
    "order",
    [
        ("--port", "1", "retry", DEAD),
        ("retry", "--port", "1", DEAD),
        ("retry", DEAD, "--port", "1"),
    ],
    ids=["first", "between", "last"],
)
def test_flags_stand_anywhere(folder: Path, events: Events, order: tuple[str, ...]) -> None:
    """Settings may be given before, between and behind the words."""
    assert events(*order) == (0, ["1 event is to be tried again."])


def test_retry_all(folder: Path, events: Events) -> None:
    """All that is listed is tried again, in order."""
    said = events("retry", "--all")

    assert said == (0, ["4 events are to be tried again."])
    assert set(asyncio.run(due(folder))) == {DEAD, WAITING}


def test_discard_one(folder: Path, events: Events) -> None:
    """An event is gone, dead or not; the next of its upload has its turn."""
    said = events("discard", WAITING, DEAD)
    _, lines = events()

    assert said == (0, ["2 events are discarded."])
    assert lines[-1] == "2 waiting, 0 dead."
    assert "behind" not in "".join(lines)


def test_discard_all(folder: Path, events: Events) -> None:
    """`--all` discards what is dead, never what will be tried again."""
    said = events("discard", "--all")

    assert said == (0, ["1 event is discarded."])
    assert events()[1][-1] == "3 waiting, 0 dead."


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_unknown_ids(folder: Path, events: Events, action: str) -> None:
    """Who names what is not there hears so by the exit code; the others are done."""
    code, lines = events(action, "nonsense", DEAD, DEAD)

    assert (code, lines[0].split()[0]) == (1, "1")


@pytest.mark.parametrize(
    "arguments",
    [
        *(("retry",), ("discard",), ("retry", DEAD, "--all"), ("retry", "--all", DEAD)),
        *(("list", DEAD), ("list", "--all"), ("repeat", DEAD)),
    ],
    ids=" ".join,
)
def test_words_that_make_no_sense(folder: Path, events: Events, arguments: tuple[str, ...]) -> None:
    """What is not clear changes nothing: one line, exit code 2."""
    code, lines = events(*arguments)

    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith("tusd-py: events")
    assert events()[1][-1] == "3 waiting, 1 dead."


def test_without_an_outbox(tmp_path: Path, events: Events) -> None:
    """Where none was ever needed none is made."""
    listed = events()
    retried = events("retry", "--all")

    assert listed == (0, ["0 waiting, 0 dead."])
    assert retried == (1, [f"There is no outbox in {tmp_path}."])
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_outbox(tmp_path: Path, events: Events) -> None:
    """One line, exit code 2."""
    (tmp_path / NAME).write_bytes(b"no database" * 1000)
    code, lines = events()

    assert (code, len(lines)) == (2, 1)
    assert "is damaged" in lines[0]


@pytest.mark.parametrize("command", ["serve", "sweep", "check"])
async def test_a_server_on_a_damaged_outbox(
    tmp_path: Path, receiver: Receiver, command: str
) -> None:
    """A server does not start on it, and says why in one line."""
    (tmp_path / NAME).write_bytes(b"no database" * 1000)
    environ = settings(tmp_path, **receiver.settings, PYTHONPATH=str(REPOSITORY))

    done = await run(sys.executable, "-m", "tusd_py", command, cwd=tmp_path, **environ)

    assert done.code == 2
    assert done.stderr.count("\n") == 1
    assert "is damaged; move it away" in done.stderr


async def test_beside_a_running_server(
    http: aiohttp.ClientSession, make_server: MakeServer, receiver: Receiver, tmp_path: Path
) -> None:
    """A running server does what the command says, within a second or two."""
    receiver.answers = [410]
    server = await make_server(tmp_path / "data", **receiver.settings)
    environ = settings(server.root, **receiver.settings, PYTHONPATH=str(REPOSITORY))
    await Tus(http=http, address=server).upload(b"hello", metadata(filename="a.txt"))
    await receiver.until(1)

    async def events(*arguments: str) -> str:
        command = (sys.executable, "-m", "tusd_py", "events", *arguments)
        return (await run(*command, cwd=tmp_path, **environ)).stdout

    listed = await until(events, "1 dead.")
    retried = await events("retry", listed.partition(" ")[0])
    told = await receiver.until(2)

    assert retried == "1 event is to be tried again.\n"
    assert told[0].id == told[1].id
    assert await until(events, "0 waiting, 0 dead.")


async def until(say: Callable[[], Awaitable[str]], words: str) -> str:
    """What is said, once it has these words in it."""
    async with asyncio.timeout(20):
        while words not in (said := await say()):
            pass
    return said


async def test_what_a_sweep_tells(
    http: aiohttp.ClientSession, make_server: MakeServer, receiver: Receiver, tmp_path: Path
) -> None:
    """`tusd-py sweep` writes its events into the outbox and leaves; a server delivers them."""
    told = {**receiver.settings, "NOTIFY_EVENTS": "expired"}
    silent = await make_server(tmp_path / "data", SWEEP_INTERVAL="1h", UPLOAD_EXPIRES_AFTER="0.01s")
    await Tus(http=http, address=silent).create(10)
    environ = settings(silent.root, **told, PYTHONPATH=str(REPOSITORY))
    done = await run(sys.executable, "-m", "tusd_py", "sweep", cwd=tmp_path, **environ)
    before = len(receiver.told)
    await make_server(tmp_path / "data", **told)
    [expired] = await receiver.until(1)

    assert done.stdout.startswith("1 expired")
    assert (before, expired.type) == (0, "upload.expired")
