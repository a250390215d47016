"""The rows of the outbox: what can be done with events, each as one piece of a transaction.

Of the events of an upload that wait only the first is due; the others have no time (`due` is NULL)
and get theirs when their turn comes. An event at work has a holder until some moment; who holds it
delivers it, and when that moment is over anybody may. All times are seconds since 1970, and a time
that lies too far ahead is one of a clock that was set back: it counts as over.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from tusd_py.notify.message import Message
from tusd_py.setting_types import Notification

FAR = 7200.0
"""Nothing is put off by so many seconds."""

HELD_LONG = 120.0
"""Nothing is held for so many seconds."""

BEFORE_FLAG = 0.5
"""Seconds that a completed upload needs at most, as a rule, until its record says so."""

PROBE = 60.0
"""Seconds that one event has to find out whether a receiver that asked for a pause is back."""

_FREE = f"NOT (held_until BETWEEN :now AND :now + {HELD_LONG})"
_PROGRESS = Notification.PROGRESS.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """An event to be delivered by who took it."""

    seq: int
    id: str
    kind: Notification
    upload_id: str
    owner: str
    body: bytes
    tries: int
    first_try: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where an event stands: `pending`, `dead` or `delivered`. It is not tried before `not_before`;
    `is_held` tells that somebody is at it."""

    state: str
    not_before: float
    is_held: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How much waits: events, the age of the oldest in seconds, and dead letters."""

    pending: int
    oldest: float
    dead: int


def add(
    connection: sqlite3.Connection,
    message: Message,
    *,
    now: float,
    holder: str | None,
    held_until: float,
    receiver: str,
) -> Taken | None:
    """Put an event at the end of its upload's line, unless it is there or was delivered, or comes
    too late.

    Returns it if `holder` may deliver it now. Progress that waits is old news then.
    """
    values = {"now": now, "upload": message.upload_id, "owner": message.owner}
    for known in (message.id, *message.before):
        if connection.execute("SELECT 1 FROM event WHERE id = ?", (known,)).fetchone():
            return None
    connection.execute(
        "DELETE FROM event WHERE upload = :upload AND owner = :owner AND state = 'pending' "
        f"AND kind = '{_PROGRESS}' AND {_FREE}",
        values,
    )
    is_first = _first(connection, message.owner, message.upload_id) is None
    is_held = is_first and holder is not None and _paused(connection, receiver) is None
    cursor = connection.execute(
        "INSERT INTO event (id, kind, upload, owner, body, at, due, holder, held_until) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            message.id,
            message.kind.value,
            message.upload_id,
            message.owner,
            message.body,
            message.at.timestamp(),
            None,
            holder if is_held else None,
            held_until if is_held else 0.0,
        ),
    )
    if is_first:
        _line_up(connection, message.owner, message.upload_id, now)
    if not is_held:
        return None
    assert cursor.lastrowid is not None
    return Taken(
        seq=cursor.lastrowid,
        id=message.id,
        kind=message.kind,
        upload_id=message.upload_id,
        owner=message.owner,
        body=message.body,
        tries=0,
        first_try=None,
    )


def is_due(connection: sqlite3.Connection, *, now: float, receiver: str) -> bool:
    """Whether `take` would find something."""
    paused = _paused(connection, receiver)
    if paused is not None and _lies_ahead(paused, now):
        return False
    return bool(_due(connection, now, most=1))


def take(
    connection: sqlite3.Connection,
    *,
    now: float,
    holder: str,
    held_until: float,
    most: int,
    receiver: str,
) -> list[Taken]:
    """Hold what is due and held by nobody. After a pause one event finds out for all."""
    paused = _paused(connection, receiver)
    if paused is not None:
        if _lies_ahead(paused, now):
            return []
        most = 1
    taken = [_taken(row) for row in _due(connection, now, most)]
    connection.executemany(
        "UPDATE event SET holder = ?, held_until = ? WHERE seq = ?",
        [(holder, held_until, each.seq) for each in taken],
    )
    if taken and paused is not None:
        connection.execute("UPDATE pause SET until = ? WHERE receiver = ?", (now + PROBE, receiver))
    return taken


def renew(
    connection: sqlite3.Connection, seqs: Sequence[int], *, holder: str, until: float
) -> None:
    """Hold for longer what is held still."""
    connection.executemany(
        "UPDATE event SET held_until = ? WHERE seq = ? AND holder = ? AND state = 'pending'",
        [(until, seq, holder) for seq in seqs],
    )


def give_back(connection: sqlite3.Connection, holder: str) -> None:
    """Hold nothing any more."""
    connection.execute(
        "UPDATE event SET holder = NULL, held_until = 0 WHERE state = 'pending' AND holder = ?",
        (holder,),
    )


def delivered(connection: sqlite3.Connection, taken: Taken, *, now: float, receiver: str) -> None:
    """The receiver has it: remember that, but for progress. It takes the others, too."""
    if taken.kind is Notification.PROGRESS:
        connection.execute("DELETE FROM event WHERE seq = ?", (taken.seq,))
    else:
        connection.execute(
            "UPDATE event SET state = 'delivered', ended = ?, body = x'', tries = tries + 1, "
            "due = NULL, holder = NULL, held_until = 0, why = NULL WHERE seq = ?",
            (now, taken.seq),
        )
    connection.execute("DELETE FROM pause WHERE receiver = ?", (receiver,))
    _line_up(connection, taken.owner, taken.upload_id, now)


def failed(
    connection: sqlite3.Connection, taken: Taken, *, now: float, due: float, holder: str, why: str
) -> None:
    """Try again when it is due; it stays the first of its line."""
    connection.execute(
        "UPDATE event SET tries = tries + 1, first_try = coalesce(first_try, :now), due = :due, "
        "holder = NULL, held_until = 0, why = :why "
        "WHERE seq = :seq AND holder = :holder AND state = 'pending'",
        {"now": now, "due": due, "why": why, "seq": taken.seq, "holder": holder},
    )


def died(
    connection: sqlite3.Connection, taken: Taken, *, now: float, holder: str, why: str
) -> None:
    """Not tried any more: a dead letter, which lets the next of its line pass. Progress goes."""
    values = {"now": now, "why": why, "seq": taken.seq, "holder": holder}
    mine = "WHERE seq = :seq AND holder = :holder AND state = 'pending'"
    if taken.kind is Notification.PROGRESS:
        connection.execute(f"DELETE FROM event {mine}", values)
    else:
        connection.execute(
            "UPDATE event SET state = 'dead', ended = :now, tries = tries + 1, due = NULL, "
            f"holder = NULL, held_until = 0, why = :why {mine}",
            values,
        )
    _line_up(connection, taken.owner, taken.upload_id, now)


def put_off(connection: sqlite3.Connection, *, receiver: str, until: float, why: str) -> None:
    """Try nothing before then."""
    connection.execute(
        "INSERT INTO pause (receiver, until, why) VALUES (:receiver, :until, :why) "
        "ON CONFLICT (receiver) DO UPDATE SET until = max(until, :until), why = :why",
        {"receiver": receiver, "until": until, "why": why},
    )


def standing(
    connection: sqlite3.Connection, message_id: str, *, now: float, receiver: str
) -> Standing | None:
    """Where an event stands; None when nothing is known of it (any more)."""
    found = connection.execute(
        "SELECT state, due, held_until FROM event WHERE id = ?", (message_id,)
    ).fetchone()
    if found is None:
        return None
    state, due, held_until = found
    paused = _paused(connection, receiver) or 0.0
    return Standing(
        state=state,
        not_before=max(due or 0.0, paused if _lies_ahead(paused, now) else 0.0),
        is_held=now <= held_until <= now + HELD_LONG,
    )


def depth(connection: sqlite3.Connection, *, now: float) -> Depth:
    """How much waits."""
    pending, oldest = connection.execute(
        "SELECT count(*), min(at) FROM event WHERE state = 'pending'"
    ).fetchone()
    [dead] = connection.execute("SELECT count(*) FROM event WHERE state = 'dead'").fetchone()
    return Depth(
        pending=pending, oldest=0.0 if oldest is None else max(0.0, now - oldest), dead=dead
    )


def prune(connection: sqlite3.Connection, *, before: float, most: int, at_once: int) -> int:
    """Forget events that were delivered before then, and the oldest beyond a number, some at a
    time; returns how many."""
    [there] = connection.execute("SELECT count(*) FROM event WHERE state = 'delivered'").fetchone()
    return connection.execute(
        "DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE state = 'delivered' "
        "AND ended < ? ORDER BY ended LIMIT ?)",
        (before, at_once),
    ).rowcount + (
        connection.execute(
            "DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE state = 'delivered' "
            "ORDER BY ended LIMIT ?)",
            (min(there - most, at_once),),
        ).rowcount
        if there > most
        else 0
    )


_Row = tuple[int, str, str, str, str, bytes, int, float | None]


def _due(connection: sqlite3.Connection, now: float, most: int) -> list[_Row]:
    """What is due and held by nobody. One question for each end of the index: together they would
    make SQLite look at all that is in between."""
    found: list[_Row] = []
    for moment in ("due <= :now", f"due > :now + {FAR}"):
        found += connection.execute(
            "SELECT seq, id, kind, upload, owner, body, tries, first_try FROM event "
            f"WHERE state = 'pending' AND {moment} AND {_FREE} ORDER BY due LIMIT :most",
            {"now": now, "most": most - len(found)},
        ).fetchall()
    return found


def _taken(row: _Row) -> Taken:
    seq, message_id, kind, upload, owner, body, tries, first_try = row
    return Taken(
        seq=seq,
        id=message_id,
        kind=Notification(kind),
        upload_id=upload,
        owner=owner,
        body=body,
        tries=tries,
        first_try=first_try,
    )


def _first(connection: sqlite3.Connection, owner: str, upload_id: str) -> int | None:
    query = "SELECT min(seq) FROM event WHERE upload = ? AND owner = ? AND state = 'pending'"
    first: int | None = connection.execute(query, (upload_id, owner)).fetchone()[0]
    return first


def _line_up(connection: sqlite3.Connection, owner: str, upload_id: str, now: float) -> None:
    """Let the first of a line be due; a completion not before its record may say so."""
    connection.execute(
        "UPDATE event SET due = max(?, CASE kind WHEN ? THEN at + ? ELSE 0 END) "
        "WHERE seq = ? AND due IS NULL",
        (now, Notification.COMPLETED.value, BEFORE_FLAG, _first(connection, owner, upload_id)),
    )


def _paused(connection: sqlite3.Connection, receiver: str) -> float | None:
    """Until when a receiver asked to be left alone, which may be over; None when it did not."""
    query = "SELECT until FROM pause WHERE receiver = ?"
    found = connection.execute(query, (receiver,)).fetchone()
    return None if found is None else found[0]


def _lies_ahead(time: float, now: float) -> bool:
    return now < time <= now + FAR
