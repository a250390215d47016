"""The delimiter behind a part of a form (RFC 2046, 5.1.1): looked for in bytes as they come."""

from collections.abc import Sequence

from tusd_py.block import hash_all
from tusd_py.interfaces import Hasher


class Delimiter:
    """What stands behind each part of a form with this boundary."""

    def __init__(self, boundary: str) -> None:
        self._text = f"\r\n--{boundary}".encode()

    def __len__(self) -> int:
        """Bytes."""
        return len(self._text)

    def begins_in(self, data: bytes | bytearray, size: int) -> int:
        """How many of the first `size` bytes stand before it for certain."""
        begin = self.whole_in(data, size)
        return self.cut_in(data, size) if begin is None else begin

    def whole_in(self, data: bytes | bytearray, size: int) -> int | None:
        """How many of the first `size` bytes stand before it; None if it is not among them."""
        begin = data.find(self._text, 0, size)
        return None if begin < 0 else begin

    def cut_in(self, data: bytes | bytearray, size: int) -> int:
        """Where the last of the first `size` bytes begin that may be those of a delimiter whose end
        is still to come; `size` if none may."""
        begin = data.rfind(b"\r", max(0, size - len(self._text) + 1), size)
        return begin if begin >= 0 and self._text.startswith(data[begin:size]) else size


class Finder:
    """See `Hasher`: sees bytes of a part, and what comes behind it. The `hashers` see the part."""

    def __init__(self, delimiter: Delimiter, hashers: Sequence[Hasher]) -> None:
        self.size = 0
        """So many bytes of the part there were."""
        self.rest = b""
        """What came behind them: a delimiter, or what may begin one, and all that follows."""
        self.is_found = False
        """Whether the delimiter came."""
        self._delimiter = delimiter
        self._hashers = hashers

    def update(self, data: bytes | memoryview, /) -> None:
        """See `Hasher.update`."""
        seen = self.rest + bytes(data)
        if self.is_found:
            self.rest = seen
            return
        end = self._delimiter.whole_in(seen, len(seen))
        self.is_found = end is not None
        if end is None:
            end = self._delimiter.cut_in(seen, len(seen))
        hash_all(self._hashers, memoryview(seen)[:end])
        self.size += end
        self.rest = seen[end:]
