"""A wall clock that jumps under a server, as libfaketime makes it; its monotonic clock does not,
as no real one does."""

import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.servers import Address
from tests.tokens import claims, sign

DAY = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class FakeClock:
    """The clock of processes that have `environ` in their environment; `file` tells how far it is
    off. The times of files stay the true ones: after a jump to the right time the clock agrees
    with them, after a jump to a wrong one it does so with files written before, as any clock."""

    file: Path

    @property
    def environ(self) -> dict[str, str]:
        """What makes a process live by this clock."""
        return {
            "LD_PRELOAD": _library(),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def jump(self, days: int) -> None:
        """Let the clock be off by so many days from now on."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{days:+d}d\n")
        new.rename(self.file)


@dataclass(frozen=True, kw_only=True)
class AnyTime(Address):
    """The address of a server, for users whose tokens are valid on all those days."""

    @classmethod
    def of(cls, address: Address) -> "AnyTime":
        """The address of a server, for those users."""
        return cls(host=address.host, port=address.port, root=address.root, store=address.store)

    def auth(self, user: str | int = "42") -> dict[str, str]:
        """See `Address.auth`."""
        return {"Authorization": f"Bearer {_lasting_token(user)}"}


@cache
def _lasting_token(user: str | int) -> str:
    return sign(claims(user_id=user, iat=None, exp=int(time.time()) + 10 * DAY))


@cache
def _library() -> str:
    """Where libfaketime is, as its own command tells."""
    command = ["faketime", "-m", "-f", "+0", "printenv", "LD_PRELOAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
