"""The command `tusd-py events`: what the main service did not get yet, and what becomes of it."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tusd_py.notify.file import NAME
from tusd_py.notify.letters import Letter, Letters
from tusd_py.setting_types import SettingError

ACTIONS = ("list", "retry", "discard")


def add_arguments(parser: ArgumentParser) -> None:
    """What `tusd-py events` understands beside the settings."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="ACTION ID",
        help="list (or nothing): what waits and what is dead; retry: try events again now, named "
        "by their ids in the list; discard: remove them for good",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="retry all that is in the list; discard all that is dead",
    )
    parser.add_argument("--json", action="store_true", help="list as JSON, one object a line")


def run(arguments: Namespace, folder: Path) -> int:
    """Do what was asked for with the outbox in `folder`, also while a server runs; returns the exit
    code. Raises `SettingError` for words that make no sense together, and as `Letters`."""
    action, ids = _understood(arguments)
    path = folder / NAME
    if not path.exists():
        if action == "list":
            return _list([], is_json=arguments.json)
        print(f"There is no outbox in {folder}.")
        return 1
    now = datetime.now(UTC)
    with closing(Letters(path)) as letters:
        if action == "list":
            return _list(letters.undelivered(), is_json=arguments.json)
        change = letters.retry if action == "retry" else letters.discard
        count = change(ids, now)
    done = "to be tried again" if action == "retry" else "discarded"
    print(f"{count} {_events(count)} {done}.")
    return 0 if ids is None or count == len(ids) else 1


def _understood(arguments: Namespace) -> tuple[str, Sequence[str] | None]:
    """What is to be done, and to which events; None for all."""
    action, *named = arguments.words or ["list"]
    if action not in ACTIONS:
        raise SettingError(f"events: say {', '.join(ACTIONS)}, or nothing.")
    if action == "list":
        if named or arguments.all:
            raise SettingError("events list shows all that was not delivered; name none of them.")
        return action, None
    if bool(named) == arguments.all:
        raise SettingError(f"events {action}: name events by their ids, or say --all.")
    return action, None if arguments.all else list(dict.fromkeys(named))


def _list(letters: Sequence[Letter], *, is_json: bool) -> int:
    if is_json:
        for letter in letters:
            print(json.dumps(asdict(letter), default=datetime.isoformat))
        return 0
    for letter in letters:
        print(
            f"{letter.id}  {letter.type}  {letter.state}  since {_time(letter.at)}  "
            f"upload {letter.upload_id}  user {_shown(letter.user_id)}  {_fate(letter)}"
        )
    dead = sum(letter.state == "dead" for letter in letters)
    print(f"{len(letters) - dead} waiting, {dead} dead.")
    return 0


def _fate(letter: Letter) -> str:
    tries = f"{letter.tries} {'try' if letter.tries == 1 else 'tries'}"
    last = f", last: {letter.why}" if letter.why else ""
    if letter.state == "dead":
        return f"{tries}{last}"
    if letter.next_try is None:
        return "behind an earlier event of its upload"
    return f"{tries}{last}, next {_time(letter.next_try)}"


def _events(count: int) -> str:
    return "event is" if count == 1 else "events are"


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def _shown(text: str) -> str:
    """A user id without what could steer a terminal."""
    return text if text.isprintable() else ascii(text)
