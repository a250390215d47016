"""The requests of a server with hooks: they see each, and add to its answer."""

from dataclasses import replace

from aiohttp import web

from tusd_py.hooks import REPLIES
from tusd_py.request import CURRENT
from tusd_py.verdict import Reply
from tusd_py.web.errors import REFUSAL, Handler
from tusd_py.web.reply import put


def heard(handler: Handler) -> Handler:
    """The handler of a face, for servers with hooks: they see the request, and add to its answer
    when that is no refusal."""

    async def handle(request: web.Request) -> web.StreamResponse:
        replies: list[Reply] = []
        REPLIES.set(replies)
        info = CURRENT.get()
        assert info is not None  # `Watch` stands before it
        CURRENT.set(replace(info, remote=_peer(request)))
        response = await handler(request)
        if replies and isinstance(response, web.Response) and REFUSAL not in request:
            for reply in replies:
                put(request, response, reply)
        return response

    return handle


def _peer(request: web.Request) -> str:
    """Address and port of who is connected; of a proxy, if there is one."""
    peer = None if request.transport is None else request.transport.get_extra_info("peername")
    if not isinstance(peer, tuple) or len(peer) < 2:
        return request.remote or ""
    host = f"[{peer[0]}]" if ":" in str(peer[0]) else peer[0]
    return f"{host}:{peer[1]}"
