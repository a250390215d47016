"""The file of the outbox: an SQLite database, opened, checked, and its errors in our words."""

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from tusd_py.errors import NoSpace, StorageError, from_os

NAME = "outbox.sqlite3"

VERSION = 1
"""Of the schema. A file of a later version is not touched."""

PATIENCE = 10.0
"""Seconds to wait for another process that writes."""

TO_CHECK = 64 << 20
"""A file of up to so many bytes is read through when it is opened."""

_APPLICATION = 0x7475_6F62  # marks our files

_SCHEMA = """
CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    upload TEXT NOT NULL,
    owner TEXT NOT NULL,
    body BLOB NOT NULL,
    at REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'dead', 'delivered')),
    due REAL,
    tries INTEGER NOT NULL DEFAULT 0,
    first_try REAL,
    holder TEXT,
    held_until REAL NOT NULL DEFAULT 0,
    ended REAL,
    why TEXT
);
CREATE INDEX event_due ON event (due) WHERE state = 'pending';
CREATE INDEX event_line ON event (upload, seq) WHERE state = 'pending';
CREATE INDEX event_dead ON event (seq) WHERE state = 'dead';
CREATE INDEX event_ended ON event (ended) WHERE state = 'delivered';
CREATE TABLE pause (receiver TEXT PRIMARY KEY, until REAL NOT NULL, why TEXT NOT NULL);
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, and make it if it is not there. Times in it are seconds since 1970.

    Raises `NoSpace`, or `StorageError` with one line that says what is wrong with it.
    """
    try:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    except OSError as error:
        if isinstance(trouble := from_os(error), NoSpace):
            raise trouble from error
        raise StorageError(f"{path} cannot be opened ({error.strerror}).") from error
    except sqlite3.Error as error:
        raise _cannot_open(error, path) from error
    try:
        _prepare(connection, path)
    except sqlite3.DatabaseError as error:
        connection.close()
        code = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            raise _damaged(path) from error
        raise _cannot_open(error, path) from error
    except StorageError:
        connection.close()
        raise
    return connection


def translated(error: sqlite3.Error, path: Path) -> StorageError | NoSpace:
    """An error of SQLite in our words."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code & 0xFF == sqlite3.SQLITE_FULL or (
        code & 0xFF in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN} and _is_full(path)
    ):
        return NoSpace()
    return StorageError(f"The outbox cannot do this now ({_name(error)}); try again later.")


def _name(error: sqlite3.Error) -> str:
    """What SQLite calls it; of an error of Python's module, its kind."""
    name: str = getattr(error, "sqlite_errorname", type(error).__name__)
    return name


def _cannot_open(error: sqlite3.Error, path: Path) -> StorageError | NoSpace:
    trouble = translated(error, path)
    if isinstance(trouble, NoSpace):
        return trouble
    return StorageError(f"{path} cannot be opened ({_name(error)}).")


def _is_full(path: Path) -> bool:
    """SQLite does not always say why it could not write."""
    try:
        there = os.statvfs(path.parent)
    except OSError:
        return False
    return there.f_bavail < 16 or (there.f_files > 0 and there.f_ffree == 0)


def _damaged(path: Path) -> StorageError:
    return StorageError(
        f"{path} is damaged; move it away, with its -wal and -shm, and start again: notifications "
        "that wait in it are lost."
    )


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN")  # one look, also while another process makes the schema
    try:
        _require_ours(connection, path)  # before anything of it is changed
    finally:
        connection.execute("ROLLBACK")
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {16 << 20}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        _make_schema(connection, path)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    if path.stat().st_size <= TO_CHECK and _number(connection, "quick_check(1)") != "ok":
        raise _damaged(path)


def _make_schema(connection: sqlite3.Connection, path: Path) -> None:
    if _require_ours(connection, path):
        return
    for statement in _SCHEMA.split(";\n"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _require_ours(connection: sqlite3.Connection, path: Path) -> bool:
    """Raise `StorageError` for a file of somebody else or of a newer version; False: it is new."""
    version = _number(connection, "user_version")
    application = _number(connection, "application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not version and not application and not tables:
        return False
    if application != _APPLICATION:
        raise StorageError(f"{path} is not the outbox of this server; move it away.")
    if version != VERSION:
        raise StorageError(
            f"{path} was written by a newer version of this server (schema {version}, this one "
            f"knows {VERSION}); start that version, or move the file away."
        )
    return True


def _use_wal(connection: sqlite3.Connection) -> None:
    """Readers then never wait for a writer. Where several processes ask for it at the same time
    SQLite refuses without waiting."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            is_busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _number(connection: sqlite3.Connection, pragma: str) -> object:
    return connection.execute(f"PRAGMA {pragma}").fetchone()[0]
