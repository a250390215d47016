"""Who is at work on which upload, until the server leaves."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType

from tusd_py.errors import BodyStopped, Trouble, UploadNotFound
from tusd_py.finisher import ignore
from tusd_py.interfaces import Body, Locker
from tusd_py.upload import is_upload_id, upload_key


class Holding:
    """Locks of uploads, and the bodies that come while they are held."""

    def __init__(self, locker: Locker) -> None:
        self._locker = locker
        self._bodies: set[Body] = set()
        self._is_draining = False

    def drain(self) -> None:
        """Let every running append commit and end, and begin no other."""
        self._is_draining = True
        for body in list(self._bodies):
            body.stop()

    def hold(
        self, owner: str, upload_id: str, body: Body | None, patience: float = 0.0
    ) -> AbstractAsyncContextManager[None]:
        """Hold the lock of an upload; `body` stops when somebody else wants it, or at shutdown.

        Raises `UploadNotFound` when there can be none of that id, and `UploadLocked`.
        """
        if not is_upload_id(upload_id):
            raise UploadNotFound
        wanted = ignore if body is None else body.stop
        key = upload_key(owner, upload_id)
        with_lock = self._locker.lock(key, wanted=wanted, patience=patience)
        return _Hold(self, body, with_lock)

    @asynccontextmanager
    async def draining(self, body: Body | None) -> AsyncIterator[None]:
        """Let `body` stop when the server is about to leave."""
        self.begin(body)
        try:
            yield
        finally:
            self.end(body)

    def begin(self, body: Body | None) -> None:
        """A body may come. Raises `BodyStopped` when the server is about to leave."""
        if body is not None:
            if self._is_draining:
                raise BodyStopped
            self._bodies.add(body)

    def end(self, body: Body | None) -> None:
        """No more of a body is asked for."""
        if body is not None:
            self._bodies.discard(body)

    def require_staying(self) -> None:
        """Raise `Trouble` when the server is about to leave."""
        if self._is_draining:
            raise Trouble("The server is about to leave; try again in a second.")


class _Hold:
    """An upload while its lock is held."""

    def __init__(
        self, holding: Holding, body: Body | None, lock: AbstractAsyncContextManager[None]
    ) -> None:
        self._holding = holding
        self._body = body
        self._lock = lock

    async def __aenter__(self) -> None:
        self._holding.begin(self._body)
        try:
            await self._lock.__aenter__()
        except BaseException:
            self._holding.end(self._body)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._lock.__aexit__(kind, error, traceback)
        finally:
            self._holding.end(self._body)
