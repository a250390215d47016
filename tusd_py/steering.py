"""Asks the hooks, tells them, and makes refusals of what they say."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TypeVar

from tusd_py.admitting import CannotChange, admitted
from tusd_py.aside import Aside
from tusd_py.errors import BodyStopped, HookFailed, Rejected, UploadError, UploadStopped
from tusd_py.events import Created, Event, Terminated
from tusd_py.hooks import REPLIES, HookEvent, Hooks
from tusd_py.interfaces import Body
from tusd_py.request import CURRENT
from tusd_py.upload import NewUpload, Upload
from tusd_py.verdict import Admission, Hook, Reply

T = TypeVar("T")

logger = logging.getLogger(__name__)

Count = Callable[[int], None]
"""Is told how many bytes of the upload have come in all."""

End = Callable[[str, str], Awaitable[None]]
"""Removes the upload of an owner that a hook stopped."""


class Steering:
    """Between the service and the hooks. An `EventSink`, too: hooks are told what happened.

    `interval` in seconds between two calls while bytes come; `max_metadata` in bytes; `grace` in
    seconds for hooks that are being told at the end, None: until all of them are told.
    """

    def __init__(
        self, hooks: Hooks, *, interval: float, max_metadata: int, grace: float | None = None
    ) -> None:
        self._hooks = hooks
        self._interval = interval
        self._max_metadata = max_metadata
        self._aside = Aside(grace)
        self._late: set[str] = set()

    async def close(self) -> None:
        """See to it that hooks that are being told are told."""
        await self._aside.close()

    async def emit(self, event: Event) -> None:
        """See `EventSink.emit`. Never fails; returns at once in a server."""
        if isinstance(event, Created):
            await self._tell(Hook.POST_CREATE, event.upload, self._hooks.post_create)
        elif isinstance(event, Terminated):
            await self._tell(Hook.POST_TERMINATE, event.upload, self._hooks.post_terminate)

    async def admit(self, new: NewUpload, draft: Upload) -> tuple[NewUpload, str]:
        """What is to be created, and its id. Raises `Rejected` or `HookFailed`."""
        if not self._hooks.wants(Hook.PRE_CREATE):
            return new, draft.id
        admission = await self._ask(Hook.PRE_CREATE, draft, self._hooks.pre_create, Admission)
        if admission is None:
            return new, draft.id
        try:
            new = admitted(new, admission, max_metadata=self._max_metadata)
        except CannotChange as error:
            raise self.refused(Hook.PRE_CREATE, draft.id, str(error)) from error
        _note(admission.reply)
        return new, admission.upload_id or draft.id

    def refused(self, hook: Hook, upload_id: str, why: str) -> HookFailed:
        """What a hook said cannot be done: what is to be raised then."""
        extra = {"hook": hook.value, "upload": upload_id, "why": why}
        logger.error("hook_answer_refused", extra=extra)
        return HookFailed()

    def may_forbid(self, upload: Upload) -> bool:
        """Whether `before_finish` asks anybody."""
        return not upload.is_partial and self._hooks.wants(Hook.PRE_FINISH)

    async def before_finish(self, upload: Upload) -> None:
        """Return when the file may appear. Raises `Rejected` or `HookFailed`."""
        if self.may_forbid(upload):
            _note(await self._ask(Hook.PRE_FINISH, upload, self._hooks.pre_finish, Reply))

    async def finished(self, upload: Upload) -> None:
        """The file is there."""
        await self._tell(Hook.POST_FINISH, upload, self._hooks.post_finish)

    async def before_terminate(self, upload: Upload) -> None:
        """Return when the upload may go. Raises `Rejected` or `HookFailed`."""
        if self._hooks.wants(Hook.PRE_TERMINATE):
            _note(await self._ask(Hook.PRE_TERMINATE, upload, self._hooks.pre_terminate, Reply))

    @asynccontextmanager
    async def watching(self, upload: Upload, body: Body, end: End) -> AsyncIterator[Count | None]:
        """Let a hook follow the bytes of a request. Raises `UploadStopped` when it does not want
        them: the upload is to be removed then. What it says after the request removes it, too,
        with `end`, unless it is complete."""
        if not self._hooks.wants(Hook.POST_RECEIVE):
            yield None
            return
        watch = _Watch(self._receive, upload, body, self._interval)
        following = asyncio.create_task(watch.follow())
        try:
            try:
                yield watch.count
            finally:
                following.cancel()
                await self._see_off(watch, upload, end)
        except BodyStopped as error:
            if watch.stopped is not None:
                raise watch.stopped from error
            raise
        if watch.stopped is not None:
            raise watch.stopped

    async def _see_off(self, watch: "_Watch", upload: Upload, end: End) -> None:
        """Tell the last bytes, beside what the request does now; once at a time of one upload."""
        if watch.stopped is not None or not watch.is_owing:
            return
        if upload.key in self._late:
            watch.drop()
            return

        async def late() -> None:
            try:
                await watch.rest()
                if watch.stopped is not None:
                    await end(upload.owner, upload.id)
            finally:
                self._late.discard(upload.key)

        self._late.add(upload.key)
        if not await self._aside.do(Hook.POST_RECEIVE.value, upload.id, late):
            self._late.discard(upload.key)
            watch.drop()

    async def _receive(self, upload: Upload) -> UploadStopped | None:
        """Tell how far an upload is; what the hook wants it to end with."""
        try:
            await self._ask(Hook.POST_RECEIVE, upload, self._hooks.post_receive, type(None))
        except UploadStopped as stopped:
            logger.info("upload_stopped", extra={"upload": upload.id, "owner": upload.owner})
            return stopped
        except UploadError:
            return None
        return None

    async def _tell(
        self, hook: Hook, upload: Upload, call: Callable[[HookEvent], Awaitable[None]]
    ) -> None:
        async def told() -> None:
            with suppress(UploadError):  # it is logged
                await self._ask(hook, upload, call, type(None))

        if self._hooks.wants(hook):
            await self._aside.do(hook.value, upload.id, told)

    async def _ask(
        self,
        hook: Hook,
        upload: Upload,
        call: Callable[[HookEvent], Awaitable[T | None]],
        kind: type[T],
    ) -> T | None:
        """What the hook says. Raises `Rejected`, `UploadStopped`, or `HookFailed`, which is logged.

        The code of hooks is not ours: whatever it raises ends here.
        """
        extra = {"hook": hook.value, "upload": upload.id}
        try:
            async with asyncio.timeout(self._hooks.patience):
                said = await call(HookEvent(upload=upload, request=CURRENT.get()))
        except Rejected:
            if hook.is_asked:
                raise
            raise self.refused(hook, upload.id, "only hooks that are asked can reject") from None
        except UploadStopped:
            if hook is Hook.POST_RECEIVE:
                raise
            raise self.refused(hook, upload.id, "only post-receive can stop") from None
        except HookFailed:
            raise
        except TimeoutError as error:
            logger.error("hook_failed", extra={**extra, "why": "it took too long"})
            raise HookFailed from error
        except Exception as error:  # a border: to the code of others
            logger.exception("hook_crashed", extra=extra)
            raise HookFailed from error
        if said is not None and not isinstance(said, kind):
            raise self.refused(hook, upload.id, "it returned what no such hook returns")
        return said


class _Watch:
    """How far one request is, and how much of that a hook knows."""

    def __init__(
        self,
        tell: Callable[[Upload], Awaitable[UploadStopped | None]],
        upload: Upload,
        body: Body,
        interval: float,
    ) -> None:
        self._tell = tell
        self._upload = upload
        self._body = body
        self._interval = interval
        self._position = self._told = upload.offset
        self._call: asyncio.Task[UploadStopped | None] | None = None
        self.stopped: UploadStopped | None = None

    @property
    def is_owing(self) -> bool:
        """Whether the hook is being told, or there is more to tell."""
        return self._call is not None or self._position > self._told

    def count(self, position: int) -> None:
        """So many bytes of the upload have come in all."""
        self._position = position

    async def follow(self) -> None:
        """Tell the hook as bytes come; when it does not want them, stop them."""
        while self.stopped is None:
            await asyncio.sleep(self._interval)
            if self._position > self._told:
                await self._once()
        self._body.stop()

    async def rest(self) -> None:
        """Tell what was not told, after `follow` was cancelled."""
        try:
            while self.stopped is None and self.is_owing:
                await self._once()
        finally:
            self.drop()

    def drop(self) -> None:
        """Tell nothing more."""
        if self._call is not None:
            self._call.cancel()

    async def _once(self) -> None:
        """One call, which goes on when who waits for it is cancelled."""
        if self._call is None:
            self._told = self._position
            now = replace(self._upload, offset=self._position)
            self._call = asyncio.create_task(self._called(now))
        await asyncio.shield(self._call)

    async def _called(self, now: Upload) -> None:
        try:
            self.stopped = await self._tell(now)
        finally:
            self._call = None


def _note(reply: Reply | None) -> None:
    """Let who answers the request know."""
    replies = REPLIES.get()
    if reply is not None and replies is not None:
        replies.append(reply)
