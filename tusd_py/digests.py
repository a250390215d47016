"""The SHA-256 of whole files: computed while bytes come; what was not seen is read back once.

A state is the digest of the committed bytes before an offset. It is kept after each append, in
memory, and is right as long as nothing before its offset was lost (`Upload.losses`): whoever
appended meanwhile, in whichever process, the bytes behind it are all that is missing.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from tusd_py.interfaces import Storage
from tusd_py.upload import Upload

MOST = 4096
"""So many states are kept, each in some 500 bytes; those that were not used the longest go."""


class _Hash(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...
    def digest(self) -> bytes: ...
    def copy(self) -> "_Hash": ...


@dataclass(frozen=True, slots=True)
class _State:
    """`hash` has seen the first `offset` bytes, and is never updated."""

    hash: _Hash
    offset: int
    losses: int


class Digests:
    """The digests of uploads that want one: all, if `is_for_all`, or those that claim one."""

    def __init__(self, storage: Storage, *, is_for_all: bool, most: int = MOST) -> None:
        self._storage = storage
        self._is_for_all = is_for_all
        self._most = most
        self._states: OrderedDict[str, _State] = OrderedDict()

    def running(self, upload: Upload) -> "RunningDigest | None":
        """Who is to see the bytes that come next; None when that is of no use: nobody wants the
        digest, or bytes before these were not seen."""
        if not self._is_wanted(upload):
            return None
        state = self._state(upload)
        if state.offset != upload.offset:
            return None
        return RunningDigest(self, state.hash.copy(), upload.offset)

    def keep(self, upload: Upload, seen: _Hash) -> None:
        """`seen` is the digest of all committed bytes of `upload`, and nobody updates it."""
        self._states[upload.key] = _State(seen, upload.offset, upload.losses)
        self._states.move_to_end(upload.key)
        if len(self._states) > self._most:
            self._states.popitem(last=False)

    def forget(self, upload: Upload) -> None:
        """The upload ended."""
        self._states.pop(upload.key, None)

    async def found(self, upload: Upload) -> bytes | None:
        """The digest of a full upload; None when nobody wants it, or when its bytes cannot be read
        before they are assembled, which is never so when a digest is claimed.

        Bytes that were not seen are read. Raises `StorageError`; what was read is then forgotten.
        """
        if not self._is_wanted(upload):
            return None
        state = self._state(upload)
        if state.offset < upload.offset:
            whole = state.hash.copy()
            if not await self._storage.show(upload, whole, state.offset):
                return None
            self.keep(upload, whole)
            return whole.digest()
        return state.hash.digest()

    def _is_wanted(self, upload: Upload) -> bool:
        return (self._is_for_all or upload.claim is not None) and not upload.is_partial

    def _state(self, upload: Upload) -> _State:
        """What is known of the first bytes of an upload: perhaps of none."""
        state = self._states.get(upload.key)
        if state is None or state.losses != upload.losses or state.offset > upload.offset:
            return _State(hashlib.sha256(), 0, upload.losses)
        return state


class RunningDigest:
    """A `Hasher` of the bytes of one append, which goes on from the last commit."""

    def __init__(self, digests: Digests, begun: _Hash, offset: int) -> None:
        self._digests = digests
        self._hash = begun
        self._offset = offset

    def update(self, data: bytes | memoryview, /) -> None:
        """See `Hasher.update`."""
        self._hash.update(data)
        self._offset += len(data)

    def keep(self, upload: Upload) -> None:
        """`upload` was committed. If these are the bytes that were seen, the next append goes on
        from here; if not, as when it was committed before all of them, nothing is kept."""
        if self._offset == upload.offset:
            self._digests.keep(upload, self._hash.copy())
