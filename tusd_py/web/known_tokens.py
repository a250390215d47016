"""Tokens that were verified, so that each is verified once and not with every request."""

import hashlib
import time
from collections.abc import Callable

MOST = 4096
"""So many tokens are known at most; the one that came first goes first."""


class KnownTokens:
    """Only what was verified is known: whose token it is, from then until it expires.

    A token is known by a digest of the line it came in, never itself. `clock` gives seconds since
    1970; while it says less than when a token was verified, as after it was put right, that token
    is not known.
    """

    def __init__(self, most: int = MOST, *, clock: Callable[[], float] = time.time) -> None:
        self._most = most
        self._clock = clock
        self._known: dict[bytes, tuple[str, float, float]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def owner(self, line: str) -> str | None:
        """Whose token it is; None when that must be found out."""
        digest = _digest(line)
        known = self._known.get(digest)
        if known is None:
            return None
        owner, since, until = known
        if since <= self._clock() < until:
            return owner
        del self._known[digest]
        return None

    def note(self, line: str, owner: str, *, until: float) -> None:
        """A token was verified just now; it counts `until` then, in seconds since 1970."""
        self._known[_digest(line)] = (owner, self._clock(), until)
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]


def _digest(line: str) -> bytes:
    return hashlib.sha256(line.encode("utf-8", "surrogateescape")).digest()
