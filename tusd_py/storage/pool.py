"""Threads that take the calls of an event loop many at a time.

Where a loop and a thread both want the interpreter, a hand-over costs more than most calls to a
file system. So what many requests ask for in one round of the loop goes to one thread, and the
answers come back together. Where calls have to wait for the medium, more threads take part.
"""

import asyncio
import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = 0.002
"""Seconds between two looks of the loop at who waits."""

BRIEF = 0.004
"""Seconds that the loop waits at most for a thread to which it gave calls. Otherwise both want the
interpreter, and hand it over at each system call of the thread: twice the time for small calls."""

SKIPPED = 8
"""So many times it does not wait after it did in vain: the medium is slow, or calls are long."""


class Answer(asyncio.Future[T]):
    """What a call will return. A task that waits for it is cancelled only when the call has
    ended."""

    def cancel(self, msg: object = None) -> bool:
        """Not yet: then asyncio cancels the task when it goes on (`Task.cancel`)."""
        return False


class Pool:
    """At most `size` threads, for one event loop at a time.

    `width` of them take part, so that a call that waits does not hold up the others. There are
    more of them when one call was the next for longer than `PATIENCE`, and fewer again when calls
    go on. Where one thread is enough the loop waits for it, for a moment, if calls are `brief`.
    """

    def __init__(self, size: int, name: str, *, width: int = 1, brief: bool = True) -> None:
        self._name = name
        self._size = size
        self._threads: list[_Turns] = []
        self._idle: _Idle = deque()
        weakref.finalize(self, _dismiss, self._threads)
        self._least = self._width = width
        self._is_brief = brief and width == 1
        self._calls: _Calls = deque()
        self._answers: _Answers = deque()
        self._leaves: _Leaves = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._awake = 0
        self._is_waking = False
        self._is_looking = False
        self._next: Answer[Any] | None = None
        self._skips = 0

    def ask(self, call: Callable[[], T]) -> Answer[T]:
        """Make a call in a thread, in the context of who asks: its log lines name the request. What
        it raises, its answer raises."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._awake, self._is_waking, self._is_looking = loop, 0, False, False
        answer: Answer[T] = Answer(loop=loop)
        self._calls.append((partial(copy_context().run, call), answer))
        if self._awake < self._width and not self._is_waking:
            self._is_waking = True
            loop.call_soon(self._wake, loop)
        if not self._is_looking:
            self._is_looking = True
            loop.call_later(PATIENCE, self._look, loop)
        return answer

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let threads begin with all that was asked for in this round of the loop."""
        self._is_waking = False
        turn = None
        for _ in range(min(len(self._calls), self._width - self._awake)):
            thread = self._spare()
            if thread is None:
                break  # `_look` tries again
            self._awake += 1
            turn = _Turn(self._calls, self._answers, self._leaves, loop, self._rest)
            thread.put(turn)
        if turn is not None and self._awake == 1 and self._is_brief:
            self._wait_for(turn)

    def _spare(self) -> "_Turns | None":
        """The thread that was at work last of those that are not, or another one; None when the
        system has none for us now."""
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        turns: _Turns = SimpleQueue()
        name = f"{self._name}-{len(self._threads) + 1}"
        thread = threading.Thread(target=_serve, args=[turns, self._idle], name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return None
        self._threads.append(turns)
        return turns

    def _wait_for(self, turn: "_Turn") -> None:
        """Let the only thread at work go on alone for a moment."""
        if self._skips:
            self._skips -= 1
        elif turn.over.acquire(timeout=BRIEF):
            self._rest(turn)
        else:
            self._skips = SKIPPED

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Bring what answers there are; let more threads take part if the same call is still the
        next, and fewer if not."""
        if loop is not self._loop:
            return
        self._deliver()
        waiting, self._next = self._next, self._calls[0][1] if self._calls else None
        if waiting is not None and waiting is self._next:
            self._width = min(self._size, 2 * self._width)
        elif waiting is not None:  # also where there is always more to do
            self._width = max(self._least, self._width - 1)
            if self._awake > self._width:
                self._leaves.append(None)
        self._wake(loop)
        self._is_looking = bool(self._calls)
        if self._is_looking:
            loop.call_later(PATIENCE, self._look, loop)

    def _rest(self, turn: "_Turn") -> None:
        """A thread found nothing more to do."""
        if turn.is_noted:
            return
        turn.is_noted = True
        self._awake -= 1
        self._leaves.clear()
        self._deliver()
        if self._calls and not self._is_waking:
            assert self._loop is not None
            self._wake(self._loop)
        elif not self._awake:
            self._width = max(self._least, self._width - 1)

    def _deliver(self) -> None:
        while self._answers:
            answer, result, error = self._answers.popleft()
            if error is None:
                answer.set_result(result)
            else:
                answer.set_exception(error)


_Calls = deque[tuple[Callable[[], object], Answer[Any]]]
_Answers = deque[tuple[Answer[Any], object, BaseException | None]]
_Leaves = deque[None]
"""For each of them one thread rests though there are more calls."""

_Turns = SimpleQueue["_Turn | None"]
"""What one thread gets to do: if all had one queue, each that takes a turn would wake another."""

_Idle = deque[_Turns]


class _Turn:
    """What a thread is to do: the calls, where their answers go, and who hears of the end."""

    def __init__(
        self,
        calls: _Calls,
        answers: _Answers,
        leaves: _Leaves,
        loop: asyncio.AbstractEventLoop,
        rest: "Callable[[_Turn], None]",
    ) -> None:
        self.calls = calls
        self.answers = answers
        self.leaves = leaves
        self.loop = loop
        self.rest = rest
        self.is_noted = False
        self.over = threading.Lock()
        self.over.acquire()

    def tell(self) -> None:
        """Let the loop know that it is done."""
        self.over.release()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self.rest, self)


def _dismiss(threads: list[_Turns]) -> None:
    """Let the threads of a pool end that nobody can ask any more."""
    for turns in threads:
        turns.put(None)


def _serve(turns: _Turns, idle: _Idle) -> None:
    """The life of a thread. No call is lost when the process ends around it: whoever asked waits
    for the answer."""
    while (turn := turns.get()) is not None:
        _work(turn)
        idle.append(turns)
        turn.tell()
        del turn  # it may be the last that knows the pool


def _taken(leaves: _Leaves) -> bool:
    try:
        leaves.pop()
    except IndexError:  # another thread was faster
        return False
    return True


def _work(turn: _Turn) -> None:
    """Make calls until none is left, or another thread is enough for them."""
    calls, answers, leaves = turn.calls, turn.answers, turn.leaves
    while calls and not (leaves and _taken(leaves)):
        try:
            call, answer = calls.popleft()
        except IndexError:  # another thread was faster
            break
        try:
            answers.append((answer, call(), None))
        except BaseException as error:
            answers.append((answer, None, error))
        del call, answer  # no traceback keeps them
