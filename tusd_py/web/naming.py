"""What a request is called: the id that its client or a proxy gave it, or a new one."""

import itertools
import re
import secrets
from collections.abc import Iterator, Mapping

from aiohttp import web
from multidict import CIMultiDictProxy

from tusd_py.request import CURRENT, RequestInfo

HEADER = "X-Request-ID"

_SAFE = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestNames:
    """Ids of requests. What a client sends is taken if it can stand in a log line and a header as
    it is. New ones are a random word for this process and a number; they tell nobody anything."""

    def __init__(self) -> None:
        self._word = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    def name(self, request: web.BaseRequest) -> RequestInfo:
        """The request of this task, which has its name from now on."""
        info = CURRENT.get()
        if info is None:
            given = request.headers.get(HEADER)
            info = RequestInfo(
                id=given if given is not None and _SAFE.fullmatch(given) else self.new(),
                method=request.method,
                uri=request.raw_path,
                remote=request.remote or "",
                headers=_Lines(request.headers),
            )
            CURRENT.set(info)
        return info

    def new(self) -> str:
        """An id that no other request has."""
        return f"{self._word}-{next(self._numbers):x}"


class _Lines(Mapping[str, tuple[str, ...]]):
    """Header fields, read when somebody asks for them."""

    def __init__(self, headers: CIMultiDictProxy[str]) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return tuple(self._headers.getall(name))

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.title() for name in self._headers))

    def __len__(self) -> int:
        return len(set(self))
