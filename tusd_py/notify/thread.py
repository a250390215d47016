"""The one thread that works on the outbox: what comes together is written together."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from tusd_py.errors import NoSpace
from tusd_py.notify.file import connect, translated

T = TypeVar("T")

TOGETHER = 64
"""So many calls are one transaction at most."""

_Call = Callable[[sqlite3.Connection], Any]
_Asked = tuple[_Call, bool, asyncio.Future[Any]]


class Scribe:
    """Works on the file at `path`; `start` opens it. Errors are `StorageError` and `NoSpace`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._asked: SimpleQueue[_Asked | None] = SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._serve, name="outbox", daemon=True)

    async def start(self) -> None:
        """Open the file. A full disk is no reason not to go on: it is opened when there is room."""
        self._thread.start()
        with contextlib.suppress(NoSpace):
            await self.read(lambda _: None)

    async def read(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Ask for something that changes nothing."""
        return await self._ask(call, writes=False)

    async def write(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Change something; it is on the medium afterwards, or nothing was changed."""
        return await self._ask(call, writes=True)

    async def close(self) -> None:
        """Do what was asked for, and close the file."""
        self._asked.put(None)
        await self._ended

    async def _ask(self, call: Callable[[sqlite3.Connection], T], *, writes: bool) -> T:
        answer: asyncio.Future[T] = self._loop.create_future()
        self._asked.put((call, writes, answer))
        return await answer

    def _serve(self) -> None:
        while True:
            batch = self._next()
            stop = None in batch
            self._do([each for each in batch if each is not None])
            if stop:
                break
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._bring(partial(_give, [self._ended], [None]))

    def _next(self) -> list[_Asked | None]:
        """What waits, at least one."""
        batch = [self._asked.get()]
        while len(batch) < TOGETHER:
            try:
                batch.append(self._asked.get_nowait())
            except Empty:
                break
        return batch

    def _do(self, batch: list[_Asked]) -> None:
        writes = [each for each in batch if each[1]]
        for each in batch:
            if not each[1]:
                self._answer([each], lambda connection, calls: [calls[0](connection)])
        if writes:
            self._answer(writes, _transact)

    def _answer(
        self, asked: list[_Asked], make: Callable[[sqlite3.Connection, list[_Call]], list[Any]]
    ) -> None:
        answers = [answer for _, _, answer in asked]
        try:
            if self._connection is None:
                self._connection = connect(self._path)
            results = make(self._connection, [call for call, _, _ in asked])
        except BaseException as error:
            if len(asked) > 1:  # what one of them met is not the others' fault
                for each in asked:
                    self._answer([each], make)
            else:
                self._bring(partial(_fail, answers, self._told(error)))
        else:
            self._bring(partial(_give, answers, results))

    def _told(self, error: BaseException) -> BaseException:
        if not isinstance(error, sqlite3.Error):
            return error
        trouble = translated(error, self._path)
        trouble.__cause__ = error
        return trouble

    def _bring(self, call: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(call)


def _transact(connection: sqlite3.Connection, calls: list[_Call]) -> list[Any]:
    """All of them, or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        results = [call(connection) for call in calls]
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    return results


def _give(answers: list[asyncio.Future[Any]], results: list[Any]) -> None:
    for answer, result in zip(answers, results, strict=True):
        if not answer.done():  # who asked may be gone
            answer.set_result(result)


def _fail(answers: list[asyncio.Future[Any]], error: BaseException) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)
