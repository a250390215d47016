"""Authentication that a program brings along which this server is a part of."""

import inspect
from collections.abc import Awaitable, Callable

from aiohttp import web

from tusd_py.errors import Unauthorized
from tusd_py.names import is_segment

Authenticate = Callable[[web.Request], str | Awaitable[str]]
"""The user id of who asks, from the request; a coroutine function or a plain one. It raises
`Unauthorized` or a `web.HTTPException` for nobody, and must not read the body."""


class OwnAuthentication:
    """See `Authentication`: what a function of the program says."""

    def __init__(self, function: Authenticate) -> None:
        self._function = function

    async def owner_of(self, request: web.Request) -> str:
        """See `Authentication.owner_of`. Nobody (None) and what cannot be the name of a folder are
        `Unauthorized`."""
        try:
            said: object = self._function(request)
            if inspect.isawaitable(said):
                said = await said
        except web.HTTPException as answer:
            if request.can_read_body and not request.content.is_eof():
                answer.force_close()  # nobody will read the body
            raise
        if said is None:
            raise Unauthorized("Log in first.")
        if isinstance(said, bool) or not isinstance(said, str | int):
            raise TypeError("`authenticate` gives a user id, a text or an integer")
        if not is_segment(owner := str(said)):
            raise Unauthorized("The user id cannot be the name of a folder.")
        return owner
