"""The seam to those who steer uploads: they are asked before something happens, and told after."""

from contextvars import ContextVar
from dataclasses import dataclass

from tusd_py.errors import HookFailed, Rejected, UploadStopped
from tusd_py.request import RequestInfo
from tusd_py.upload import Upload
from tusd_py.verdict import Admission, Hook, Reply

__all__ = [
    "Admission",
    "Hook",
    "HookEvent",
    "HookFailed",
    "Hooks",
    "Rejected",
    "Reply",
    "RequestInfo",
    "Upload",
    "UploadStopped",
]

REPLIES: ContextVar[list[Reply] | None] = ContextVar("replies", default=None)
"""What hooks add to the answer of the request that is at work; None where nobody will look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookEvent:
    """An upload as it is now, and the request that is at work; None when the server itself is, as
    when it finishes what a crash left."""

    upload: Upload
    request: RequestInfo | None


class Hooks:
    """Override what you want to steer; what is left as it is costs nothing.

    Those named `pre_` are waited for, and nothing has happened yet. They refuse with `Rejected`;
    whatever else they raise, and silence for more than `patience` seconds, is a `HookFailed`: the
    client is asked to try again later (503), and nothing happens either. Those named `post_` keep
    nobody waiting: what they raise is logged, and they are not called again.
    """

    patience: float = 60.0

    def wants(self, hook: Hook) -> bool:
        """Whether there is anything to call. The default: what was overridden."""
        return getattr(type(self), hook.method) is not getattr(Hooks, hook.method)

    async def pre_create(self, event: HookEvent) -> Admission | None:
        """An upload is about to be created; its id is the one it will have. None: as it is."""
        return None

    async def post_create(self, event: HookEvent) -> None:
        """An upload was created."""

    async def post_receive(self, event: HookEvent) -> None:
        """Bytes came, `upload.offset` of them in all, more perhaps than are stored. Called every
        HOOKS_PROGRESS_INTERVAL while a request brings bytes, and when it ends. `UploadStopped` ends
        the upload."""

    async def pre_finish(self, event: HookEvent) -> Reply | None:
        """All bytes are there, and the file is about to appear. Asked again until it agrees: by
        the client's next request, and by the sweeper. Not asked for partial uploads."""
        return None

    async def post_finish(self, event: HookEvent) -> None:
        """The file is there."""

    async def pre_terminate(self, event: HookEvent) -> Reply | None:
        """A client wants to remove an upload or its file."""
        return None

    async def post_terminate(self, event: HookEvent) -> None:
        """An upload is gone: a client or a hook removed it, or its creation failed."""
