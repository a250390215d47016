"""What an operator sees of the outbox, and can do: list, try again, discard."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tusd_py.notify.file import connect, translated


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """An event that was not delivered: `pending` or `dead`. `next_try` is None while it waits for
    an earlier event of its upload, and when it is dead; `why` the last try failed."""

    id: str
    type: str
    upload_id: str
    user_id: str
    state: str
    at: datetime
    tries: int
    next_try: datetime | None
    why: str | None


class Letters:
    """The outbox at `path`, for a command beside a server or without one. Blocking. Raises as
    `connect`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect(path)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def undelivered(self) -> list[Letter]:
        """All events that wait or are dead, oldest first."""
        try:
            found = self._connection.execute(
                "SELECT id, kind, upload, owner, state, at, tries, due, why FROM event "
                "WHERE state IN ('pending', 'dead') ORDER BY seq"
            ).fetchall()
        except sqlite3.Error as error:
            raise translated(error, self._path) from error
        return [
            Letter(
                id=own_id,
                type=f"upload.{kind}",
                upload_id=upload,
                user_id=owner,
                state=state,
                at=_datetime(at),
                tries=tries,
                next_try=None if due is None else _datetime(due),
                why=why,
            )
            for own_id, kind, upload, owner, state, at, tries, due, why in found
        ]

    def retry(self, ids: Sequence[str] | None, now: datetime) -> int:
        """Try events again now, dead ones from the start: those named, or all. A receiver that
        wanted to be left alone is asked again, too. Returns how many there were."""
        return self._change(ids, "('pending', 'dead')", now, _RETRY, ends_pause=True)

    def discard(self, ids: Sequence[str] | None, now: datetime) -> int:
        """Remove events for good: those named, or all that are dead. Returns how many."""
        states = "('dead')" if ids is None else "('pending', 'dead')"
        return self._change(ids, states, now, _DISCARD, ends_pause=False)

    def _change(
        self,
        ids: Sequence[str] | None,
        states: str,
        now: datetime,
        statement: str,
        *,
        ends_pause: bool,
    ) -> int:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                count = 0
                for seq, upload in self._named(ids, states):
                    connection.execute(statement, (seq,))
                    self._line_up(upload, now.timestamp())
                    count += 1
                if ends_pause and count:
                    connection.execute("DELETE FROM pause")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise translated(error, self._path) from error
        return count

    def _named(self, ids: Sequence[str] | None, states: str) -> list[tuple[int, str]]:
        query = f"SELECT seq, upload FROM event WHERE state IN {states}"
        if ids is None:
            return self._connection.execute(f"{query} ORDER BY seq").fetchall()
        found: list[tuple[int, str]] = []
        for each in ids:
            found += self._connection.execute(f"{query} AND id = ?", (each,)).fetchall()
        return found

    def _line_up(self, upload: str, now: float) -> None:
        """The first of a line is due now; the others wait for it, but for one at work."""
        values = {"upload": upload, "now": now}
        first = "(SELECT min(seq) FROM event WHERE upload = :upload AND state = 'pending')"
        self._connection.execute(
            f"UPDATE event SET due = NULL WHERE upload = :upload AND state = 'pending' "
            f"AND seq > {first} AND holder IS NULL",
            values,
        )
        self._connection.execute(
            f"UPDATE event SET due = :now WHERE seq = {first} AND (due IS NULL OR due > :now)",
            values,
        )


_RETRY = (
    "UPDATE event SET tries = CASE state WHEN 'dead' THEN 0 ELSE tries END, "
    "first_try = NULL, ended = NULL, state = 'pending' WHERE seq = ?"
)
_DISCARD = "DELETE FROM event WHERE seq = ?"


def _datetime(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
