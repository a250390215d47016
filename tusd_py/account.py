"""What one user has: open uploads, and bytes of all their uploads.

An account is counted from the storage once, then kept by what this process does, and counted again
from time to time, because other processes work on the same storage. Bytes on their way count, too.
So it is exact within a process, however many requests come at once; what another process did is
seen `FRESH_SECONDS` later, and before a refusal `AGAIN_SECONDS` later. Whoever has so many files
that counting them takes long is counted less often.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace

from tusd_py.errors import QuotaExceeded, StorageError, TooManyUploads, UploadError
from tusd_py.upload import Final, Upload
from tusd_py.usage import Held, Usage, held

FRESH_SECONDS = 10.0
AGAIN_SECONDS = 1.0
IDLE_SECONDS = 60.0
REST = 20
"""After a count there is none for so many times as long as it took."""

Look = Callable[[str], Awaitable[Usage]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What goes for every account: `max_open` uploads and `quota` bytes, None is unlimited; `look`
    counts what a user has; `clock` gives seconds."""

    look: Look
    max_open: int | None
    quota: int | None
    clock: Callable[[], float] = time.monotonic


class Claim:
    """Whether an upload is to count from now on as it was claimed."""

    is_kept = False


class Account:
    """What one user has. Only `refresh`, `admit`, `claimed` and `fly` wait."""

    def __init__(self, terms: Terms, owner: str) -> None:
        self.used_at = terms.clock()
        self._terms = terms
        self._owner = owner
        self._open: dict[str, Held] = {}
        self._open_size = 0
        self._finished = 0
        self._flying = 0
        self._at_work: Counter[str] = Counter()
        self._changed: dict[str, int | None] = {}
        self._looking = asyncio.Lock()
        self._looks = 0
        self._begun_at: float | None = None
        self._ended_at = 0.0
        self._took = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost when it is counted anew."""
        is_used = self._at_work or self._looking.locked()
        return not is_used and self._age(self.used_at) >= IDLE_SECONDS

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._open_size + self._finished + self._flying

    @property
    def count(self) -> int:
        """Open uploads."""
        return len(self._open)

    @contextlib.contextmanager
    def at_work(self, upload_id: str) -> Iterator[None]:
        """While this process is at work on an upload it knows best what that one takes."""
        self._at_work[upload_id] += 1
        try:
            yield
        finally:
            self._at_work[upload_id] -= 1
            if not self._at_work[upload_id]:
                del self._at_work[upload_id]

    async def refresh(self) -> None:
        """Count again after a while. Where that fails the earlier count stays, if there is one."""
        if not self._is_stale():
            return
        async with self._looking:
            if not self._is_stale():
                return
            try:
                await self._look()
            except StorageError:
                if self._begun_at is None:
                    raise
                self._begun_at = self._terms.clock()

    async def admit(self, upload: Upload) -> None:
        """Take a new upload in. Raises `TooManyUploads` or `QuotaExceeded`."""
        count = 0 if isinstance(upload.concat, Final) else 1  # that one is finished at once
        await self.require(count, held(upload, {}).total)
        self.note(upload)

    async def require(self, count: int, size: int) -> None:
        """Return if there is room for so many open uploads and bytes more.

        Raises `TooManyUploads` or `QuotaExceeded`, but not before other processes were looked at.
        """
        while (refusal := self._refusal(count, size)) is not None:
            if not await self._look_again():
                raise refusal

    @contextlib.asynccontextmanager
    async def claimed(self, upload: Upload) -> AsyncIterator[Claim]:
        """Count an upload as `upload`, whose length may be news; as before, if that is not kept.

        Raises `QuotaExceeded`.
        """
        await self.require(0, self._growth(upload))
        before = self._open.get(upload.id)
        self.note(upload)
        claim = Claim()
        try:
            yield claim
        finally:
            if before is not None and not claim.is_kept and self._drop(upload.id) is not None:
                self._put(upload.id, before)
                if before.is_told != (upload.length is not None):
                    self.doubt()  # chunks may have come meanwhile

    async def fly(self, size: int) -> None:
        """Count so many bytes that are on their way. Raises `QuotaExceeded`."""
        await self.refresh()
        await self.require(0, size)
        self._flying += size

    def land(self, size: int) -> None:
        """Count so many bytes on their way no more."""
        self._flying -= size

    def note(self, upload: Upload) -> None:
        """An upload is now as its record says."""
        before = self._drop(upload.id)
        self._changed[upload.id] = None
        if upload.is_open:
            self._put(upload.id, held(upload, {} if before is None else before.waiting))
        elif upload.is_file:
            self._changed[upload.id] = upload.offset
            self._finished += upload.offset if before is not None else 0
        elif before is None and upload.completion is not None and not upload.is_partial:
            self._finished = max(0, self._finished - upload.offset)

    def forget(self, upload_id: str) -> None:
        """An open upload is gone, if it was there."""
        self._drop(upload_id)
        self._changed[upload_id] = None

    def waiting(self, upload_id: str, index: int) -> int:
        """The size of the chunk that waits under an index, as far as it counts."""
        known = self._open.get(upload_id)
        return 0 if known is None else known.waiting.get(index, 0)

    def wait(self, upload: Upload, index: int, size: int | None) -> None:
        """A chunk of `upload` waits under an index, or with None no more."""
        before = self._drop(upload.id)
        if before is not None:
            chunks = {n: each for n, each in before.waiting.items() if n != index}
            if size is not None and not before.is_told:
                chunks[index] = size
            self._put(upload.id, replace(before, waiting=chunks))

    @contextlib.contextmanager
    def in_doubt(self) -> Iterator[None]:
        """Count again before the next use if a call fails: what became of it is not known."""
        try:
            yield
        except BaseException:
            self.doubt()
            raise

    def doubt(self) -> None:
        """Count again before the next use."""
        self._begun_at = None

    def _put(self, upload_id: str, what: Held) -> None:
        self._open[upload_id] = what
        self._open_size += what.total

    def _drop(self, upload_id: str) -> Held | None:
        before = self._open.pop(upload_id, None)
        self._open_size -= 0 if before is None else before.total
        return before

    def _growth(self, upload: Upload) -> int:
        before = self._open.get(upload.id)
        if before is None:
            return held(upload, {}).total
        return held(upload, before.waiting).total - before.total

    def _refusal(self, count: int, size: int) -> UploadError | None:
        max_open, quota = self._terms.max_open, self._terms.quota
        if max_open is not None and count and self.count + count > max_open:
            return TooManyUploads(max_open)
        if quota is not None and size > 0 and self.size + size > quota:
            return QuotaExceeded(quota)
        return None

    def _is_stale(self) -> bool:
        fresh = max(FRESH_SECONDS, REST * self._took)
        return self._begun_at is None or self._age(self._begun_at) >= fresh

    def _age(self, moment: float) -> float:
        return self._terms.clock() - moment

    async def _look_again(self) -> bool:
        """Count again, unless that was done just now; tells whether there is a new count."""
        looks = self._looks
        async with self._looking:
            if self._looks != looks:
                return True
            is_trusted = self._begun_at is not None
            if is_trusted and self._age(self._ended_at) < max(AGAIN_SECONDS, REST * self._took):
                return False
            await self._look()
            return True

    async def _look(self) -> None:
        """Count what is stored; what this process changed meanwhile, or is at work on, it knows
        better."""
        begun_at = self._terms.clock()
        self._changed = {}
        usage = await self._terms.look(self._owner)
        own = self._changed.keys() | (self._at_work.keys() & self._open.keys())
        opened = {each: held for each, held in usage.open.items() if each not in own}
        opened |= {each: held for each, held in self._open.items() if each in own}
        finished = {each: size for each, size in usage.finished.items() if each not in own}
        finished |= {each: size for each, size in self._changed.items() if size is not None}
        self._open = opened
        self._open_size = sum(each.total for each in opened.values())
        self._finished = sum(finished.values())
        self._begun_at, self._ended_at = begun_at, self._terms.clock()
        self._took = self._ended_at - begun_at
        self._looks += 1
