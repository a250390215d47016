"""Puts what a hook said into an answer, but for what would break it, or the protocol."""

import logging

from aiohttp import web

from tusd_py.verdict import Reply

logger = logging.getLogger(__name__)

EXPOSED: web.RequestKey[frozenset[str]] = web.RequestKey("exposed", frozenset)
"""Header fields that hooks added, for pages in browsers to read, too."""

_OURS = frozenset(
    (
        "connection",
        "content-encoding",
        "content-length",
        "date",
        "keep-alive",
        "location",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "vary",
    )
)
"""They say how the bytes are framed, where the upload is, and who may see the answer."""
_OUR_KINDS = ("access-control-", "proxy-", "tus-", "upload-")
_WITHOUT_BODY = {204, 205, 304}


def put(request: web.Request, response: web.Response, reply: Reply) -> None:
    """Change an answer that was not sent yet. That to a HEAD gets header fields only: a client
    depends on its status."""
    for name, value in reply.headers.items():
        if name.lower() in _OURS or name.lower().startswith(_OUR_KINDS):
            logger.warning("hook_header_ignored", extra={"field": name.lower()})
            continue
        response.headers[name] = value.strip()
        request[EXPOSED] = request.get(EXPOSED, frozenset()) | {name}
    if request.method == "HEAD":
        return
    if reply.status is not None:
        response.set_status(reply.status)
    if reply.body:
        if not any(name.lower() == "content-type" for name in reply.headers):
            response.headers["Content-Type"] = "text/plain; charset=utf-8"
        response.body = reply.body.encode()
    if response.status in _WITHOUT_BODY:
        response.body = None
