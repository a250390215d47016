"""The accounts of those who are at work, and of bytes that are in no upload yet."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable

from tusd_py.account import IDLE_SECONDS, Account, Look, Terms


class Accounts:
    """The accounts of the users who are at work. `max_open` uploads and `quota` bytes for each;
    None is unlimited. `look` counts what a user has; `clock` gives seconds."""

    def __init__(
        self,
        look: Look,
        *,
        max_open: int | None,
        quota: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.terms = Terms(look=look, max_open=max_open, quota=quota, clock=clock)
        self._accounts: dict[str, Account] = {}
        self._tidied_at = clock()

    @property
    def are_limited(self) -> bool:
        """Whether there is anything to count."""
        return self.terms.max_open is not None or self.terms.quota is not None

    @contextlib.asynccontextmanager
    async def flight(self, owner: str) -> AsyncIterator["Flight"]:
        """Count bytes of a user that are kept for a moment, in no upload yet."""
        if self.terms.quota is None:
            yield Flight(None)
            return
        account = await self.open(owner)
        flight = Flight(account)
        with account.at_work("nothing yet"):
            try:
                yield flight
            finally:
                flight.land(flight.size)

    async def require(self, owner: str, size: int) -> None:
        """Return if a user may have so many bytes more. Raises `QuotaExceeded`."""
        if self.terms.quota is not None:
            account = await self.open(owner)
            await account.require(0, size)

    async def open(self, owner: str) -> Account:
        """The account of a user, counted not long ago. Raises `StorageError`."""
        self._forget_idle()
        account = self._accounts.get(owner)
        if account is None:
            account = self._accounts[owner] = Account(self.terms, owner)
        account.used_at = self.terms.clock()
        await account.refresh()
        return account

    def known(self, owner: str) -> Account | None:
        """The account of a user who is at work; there is nothing to keep for others."""
        return self._accounts.get(owner)

    def _forget_idle(self) -> None:
        """Whoever comes back after a while is counted again anyway."""
        if self.terms.clock() - self._tidied_at < IDLE_SECONDS:
            return
        self._tidied_at = self.terms.clock()
        for owner in [owner for owner, each in self._accounts.items() if each.is_idle]:
            del self._accounts[owner]


class Flight:
    """Bytes on their way, which count while they are; without an account they do not."""

    def __init__(self, account: Account | None) -> None:
        self._account = account
        self.size = 0

    async def take(self, size: int) -> None:
        """Count so many more. Raises `QuotaExceeded`."""
        if self._account is not None:
            await self._account.fly(size)
            self.size += size

    def land(self, size: int) -> None:
        """So many are on their way no more: they count where they are now, or are gone."""
        if self._account is not None:
            landed = max(0, min(size, self.size))
            self._account.land(landed)
            self.size -= landed
