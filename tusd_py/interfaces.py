"""The seams: how bytes arrive, where they are kept, who may write, who is told."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from tusd_py.events import Cleaned, Event
from tusd_py.upload import Chunk, Upload
from tusd_py.usage import Usage


class Hasher(Protocol):
    """Computes something of the bytes that it sees, one block after the other."""

    def update(self, data: bytes | memoryview, /) -> object:
        """See the next bytes."""


class Block(Protocol):
    """The next bytes of a body. They have come, perhaps to the system only: taking them never
    waits for the client, but may take long enough for a thread."""

    @property
    def most(self) -> int:
        """At most so many bytes; 0 is the end of the body."""

    def into(self, fd: int, position: int, most: int | None = None) -> int:
        """Write the bytes to a file, and return how many there were; with `most` no more than that,
        and the next ones when it is called again. When it returns 0 the hashers have seen all.

        What the file has behind them is of no meaning. Raises the `OSError` of writing; the bytes
        are lost then. What breaks the body is told by the next `Body.arrive`.
        """

    def take(self) -> bytes:
        """The bytes, or some of them in one piece, and the next ones when it is called again; `b""`
        when no more have come. Those that are left come with the next block."""

    def take_into(self, buffer: memoryview) -> int:
        """As `take`, into memory that is there; returns how many."""


class Body(Protocol):
    """The bytes of one request, not read before the first `read` or `arrive`."""

    @property
    def size(self) -> int | None:
        """Bytes in all; None when the client does not say (chunked)."""

    async def read(self, pause: float | None = None) -> bytes | None:
        """The next bytes; `b""` at the end; None when none came for `pause` seconds.

        Raises `BodyInterrupted`, `BodyMalformed`, `BodyStalled` or `BodyStopped`. All bytes that
        reached the server before a failure were returned, but for those that `stop` cuts off.
        """

    async def arrive(
        self, pause: float | None = None, *, hashers: Sequence[Hasher] = ()
    ) -> Block | None:
        """As `read`, for large bodies: the next bytes as a block, which may be in the system still.

        They are to be taken before the next call, or of `read`. The `hashers` see what is taken:
        they have seen all of it, in threads perhaps, when the end comes or a `BodyError` is raised.
        """

    def stop(self) -> None:
        """Let a waiting or later `read` or `arrive` raise `BodyStopped`. Never blocks or raises."""


class Writer(Protocol):
    """Appends to one upload. Only the holder of the upload's lock has one."""

    async def write(self, block: Block) -> int:
        """Take the next bytes, and return how many. Nothing counts before `commit`.

        Raises `NoSpace` or `StorageError`, if not `commit` does because the bytes wait for it; the
        upload is then as it was at the last commit.
        """

    async def absorb(self, source: Upload | int) -> Chunk:
        """Append all bytes of a full upload, or of the chunk that waits under an index.

        The source stays. Raises `UploadNotFound` when it is not there (any more), else as `write`.
        """

    async def commit(self, upload: Upload) -> Upload:
        """Store `upload` as the truth, its offset being what was written; return it.

        After a failure (`NoSpace`, `StorageError`) the last commit is the truth. So it is after
        `UploadLocked`: then another writer committed, and this one is of no use any more.
        """

    async def checkpoint(self, grown: Callable[[int], Upload]) -> Upload:
        """Let the truth follow what was written, as far as that keeps nobody waiting for long.

        `grown(n)` is the upload as of the last commit with n more bytes. Returns what was stored,
        which may be the last commit still; raises as `commit`.
        """


class Outlet(Protocol):
    """Where the bytes of a download go: a socket that never blocks."""

    @property
    def fd(self) -> int:
        """Write to it without waiting, also from a thread: what finds no room is refused
        (`EAGAIN`)."""

    async def writable(self) -> None:
        """Return when there may be room. What it raises ends the download."""


class Content(Protocol):
    """The bytes of a finished upload, open for reading: its own, also while it is replaced or
    deleted, or else `StorageError`."""

    @property
    def size(self) -> int:
        """Bytes in all."""

    def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to, not including, `stop`. Raises `StorageError`."""

    async def send(self, outlet: Outlet, start: int, stop: int) -> None:
        """Put the same bytes into an outlet, as it takes them, and return when all are there.

        Raises `StorageError`, `ConnectionError` when the socket takes no more, and what
        `outlet.writable` raises. No thread uses the outlet any more then.
        """


class Storage(Protocol):
    """Keeps uploads: one record each, their bytes, and the finished files.

    Every method raises `StorageError` when the storage does not do its work (`NoSpace` when it
    is full); what was stored before then is still stored.
    """

    async def check(self) -> None:
        """Return if the storage can be written to."""

    async def create(self, upload: Upload) -> Upload:
        """Keep a new upload that has no bytes yet; return it. Raises `TooLarge` when its length is
        beyond what can be stored."""

    async def load(self, owner: str, upload_id: str) -> Upload:
        """The upload; `UploadNotFound` when `owner` has none of that id."""

    async def save(self, upload: Upload) -> Upload:
        """Replace the record and return the upload. The bytes stay as they are.

        Raises `UploadLocked` when somebody replaced the record since `upload` was loaded, as far
        as the storage can tell.
        """

    def writer(self, upload: Upload, *, atomic: bool) -> AbstractAsyncContextManager[Writer]:
        """Append to an upload. What is not committed at the end is discarded.

        With `atomic` the caller commits once, at the end or not at all.
        """

    def stage(self, upload: Upload, index: int) -> AbstractAsyncContextManager["ChunkWriter"]:
        """Keep a chunk until its turn comes. Needs no lock."""

    async def staged(self, upload: Upload) -> dict[int, int]:
        """The chunks that wait: index -> size in bytes."""

    async def unstage(self, upload: Upload, index: int) -> None:
        """Forget a chunk that waited, if it did."""

    async def assemble(self, upload: Upload, done: Upload | None = None) -> list[Upload]:
        """Make the finished file of a full upload; of a partial one, bytes to concatenate.

        They are durable before this returns. Replaces an earlier file atomically: returns the
        uploads whose file lay there and whose record does not say yet that it is gone. Raises
        `UploadGone` when the record says so of `upload`. May be called again after a crash or a
        failure. Needs the lock of the place.

        `done` is what will be saved next, most likely. Its record may be made ready, but nobody
        sees it.
        """

    async def location(self, upload: Upload) -> str:
        """The path or URL of a finished file, for its owner and the main service."""

    async def download_url(self, upload: Upload) -> str | None:
        """Where a client can fetch a finished file itself for a while; None: only from us."""

    def open(self, upload: Upload) -> AbstractAsyncContextManager[Content]:
        """The bytes of a completed upload. `UploadNotFound` when they are not there (any more)."""

    async def digests(self, upload: Upload, start: int, size: int) -> tuple[Chunk, ...] | None:
        """The pieces, one after the other, of `size` committed bytes from `start`, each with its
        digest; None when the storage cannot tell."""

    async def show(self, upload: Upload, hasher: Hasher, start: int) -> bool:
        """Let `hasher` see the committed bytes of a full upload from `start` on, wherever they lie:
        before `assemble` and after it. Does not keep the event loop waiting.

        False, without a byte seen, when they cannot be read before `assemble`; never so of an
        upload that claims a digest. After an error some bytes were seen, perhaps.
        """

    async def has_file(self, upload: Upload) -> bool:
        """Whether the upload's own finished file lies at its place: somebody may have moved it, or
        another upload replaced it."""

    async def delete(self, upload: Upload) -> None:
        """Remove all bytes of an upload, staged chunks and the finished file too; keep its record.

        May be called again.
        """

    async def forget(self, upload: Upload) -> None:
        """Remove an upload's bytes and its record."""

    def uploads(self, owner: str) -> AsyncIterator[Upload]:
        """All uploads of one owner. A record that cannot be read is left out and logged."""

    async def usage(self, owner: str) -> Usage:
        """What the uploads of one owner take. A record that cannot be read is left out and logged.

        Cheap: what was once seen to be finished is not read again.
        """

    def unsettled(self) -> AsyncIterator[Upload]:
        """All uploads but finished files. A record that cannot be read is left out and logged."""

    async def clean(self) -> Cleaned:
        """Remove what dead processes left half-written, and set aside what is damaged or foreign
        where it could disturb."""


class ChunkWriter(Protocol):
    """Takes one chunk out of turn."""

    async def write(self, block: Block) -> int:
        """Take the next bytes, and return how many. Nothing counts before `commit`."""

    async def commit(self, chunk: Chunk) -> None:
        """The chunk is whole: keep it, in place of an earlier one of that index."""


class Locker(Protocol):
    """Lets one request at a time work on an upload. A lock dies with its process."""

    def lock(
        self, key: str, *, wanted: Callable[[], None], patience: float = 0.0
    ) -> AbstractAsyncContextManager[None]:
        """Hold `key`. `wanted` is called once when somebody else asks for it meanwhile.

        The present holder is asked to let go after `patience` seconds.
        Raises `UploadLocked` when it does not in time.
        """

    def try_lock(
        self, key: str, *, wanted: Callable[[], None]
    ) -> AbstractAsyncContextManager[bool]:
        """Hold `key` if nobody does; tells whether it is held. Disturbs nobody."""


class EventSink(Protocol):
    """Is told what happens."""

    async def emit(self, event: Event) -> None:
        """Take note. Raises `StorageError` when a note that must not be lost was not taken."""
