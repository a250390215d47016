"""What the workers of a server know of its users together: tables in memory that they share.

A table has buckets of a few places. A user's bucket and key follow from a digest of the user's id,
so the tables have one size, however many users there are. A bucket is changed by one process at a
time, under a lock on a byte of the memory's descriptor (fcntl(2), F_SETLKW), held for microseconds;
it ends with its process.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

BUCKETS, PLACES = 8192, 8
"""Of a table. 65536 users have room at once: more than there can be requests at work, and of those
who asked lately some whose debts are nearly paid are forgiven them."""

UNCOUNTED = -1
"""The number of a request that found no place."""


class Ledger:
    """Made by the process that starts the workers, before it does; then each has it."""

    def __init__(self, workers: int) -> None:
        places = BUCKETS * PLACES
        sizes = (8 * places, 8 * places, 8 * places, *([4 * places] * workers))
        self._fd = os.memfd_create("tusd_py")
        os.ftruncate(self._fd, sum(sizes))
        memory = memoryview(mmap.mmap(self._fd, sum(sizes)))
        parts, start = [], 0
        for size in sizes:
            parts.append(memory[start : start + size])
            start += size
        self._debtors = _Buckets(self._fd, parts[0].cast("Q"), 0)
        self._empty_at = parts[1].cast("d")
        self._at_work = _Buckets(self._fd, parts[2].cast("Q"), BUCKETS)
        self._columns = [part.cast("I") for part in parts[3:]]

    @property
    def debts(self) -> SharedDebts:
        """How often each user asked, any worker."""
        return SharedDebts(self._debtors, self._empty_at)

    def at_work(self, worker: int) -> SharedAtWork:
        """How many requests of each user are at work, in all workers, as `worker` counts them."""
        return SharedAtWork(self._at_work, self._columns, worker)

    def forget(self, worker: int) -> None:
        """The worker ended, and with it what was at work there."""
        column = self._columns[worker]
        column[:] = memoryview(bytes(column.nbytes)).cast("I")


class SharedDebts:
    """See `Debts`. Of users who find no place in their bucket the one whose debt ends first is
    forgiven it."""

    def __init__(self, buckets: _Buckets, empty_at: memoryview[float]) -> None:
        self._buckets = buckets
        self._empty_at = empty_at

    def change(self, owner: str, now: float, change: Callable[[float], float]) -> None:
        """See `Debts.change`."""
        with self._buckets.alone(owner) as bucket:
            place = bucket.place
            if place is None:
                place = min(bucket.places, key=self._empty_at.__getitem__)
                empty_at = change(0.0)
            else:
                empty_at = change(self._empty_at[place])
            bucket.give(place)
            self._empty_at[place] = empty_at


class SharedAtWork:
    """See `AtWork`. Each worker has a column of its own, so that one that was killed can be
    forgotten."""

    def __init__(self, buckets: _Buckets, columns: list[memoryview[int]], worker: int) -> None:
        self._buckets = buckets
        self._columns = columns
        self._own = columns[worker]

    def begin(self, owner: str, most: int) -> int | None:
        """See `AtWork.begin`."""
        with self._buckets.alone(owner) as bucket:
            place = bucket.place
            if place is None:
                place = next((each for each in bucket.places if not self._count(each)), UNCOUNTED)
                if place == UNCOUNTED:
                    return UNCOUNTED
                bucket.give(place)
            elif self._count(place) >= most:
                return None
            self._own[place] += 1
        return place

    def end(self, owner: str, number: int) -> None:
        """See `AtWork.end`. No lock: nobody else writes this column."""
        if number != UNCOUNTED:
            self._own[number] -= 1

    def _count(self, place: int) -> int:
        return sum(column[place] for column in self._columns)


class _Bucket:
    """The places in which a user can be, and the `place` in which the user is."""

    def __init__(self, keys: memoryview[int], key: int, places: range) -> None:
        self._keys = keys
        self._key = key
        self.places = places
        self.place = next((each for each in places if keys[each] == key), None)

    def give(self, place: int) -> None:
        """The place is the user's now."""
        self._keys[place] = self._key


class _Buckets:
    """The keys of a table; byte `first` and those after it stand for its buckets' locks."""

    def __init__(self, fd: int, keys: memoryview[int], first: int) -> None:
        self._fd = fd
        self._keys = keys
        self._first = first

    @contextmanager
    def alone(self, owner: str) -> Iterator[_Bucket]:
        """The bucket of a user, which no other process changes meanwhile."""
        digest = hashlib.blake2b(owner.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        number = int.from_bytes(digest[:8], "big") % BUCKETS
        key = int.from_bytes(digest[8:], "big") | 1  # 0 is nobody
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, self._first + number)
        try:
            yield _Bucket(self._keys, key, range(number * PLACES, (number + 1) * PLACES))
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, self._first + number)
