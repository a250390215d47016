"""What a hook is asked: the request's body, as tusd v2 writes it (pkg/hooks, HookRequest)."""

import json
from collections.abc import Callable, Collection, Mapping

from tusd_py.hooks import HookEvent
from tusd_py.metadata import values_of
from tusd_py.request import RequestInfo
from tusd_py.upload import Final, Upload
from tusd_py.verdict import Hook

SECRET = frozenset(("authorization", "cookie", "proxy-authorization"))
"""Header fields that are sent only when the settings name them: who has a token is its user."""

Place = Callable[[Upload], Mapping[str, str]]
"""Where the file of an upload lies or will lie, in tusd's words."""


def question(hook: Hook, event: HookEvent, place: Place, forwarded: Collection[str]) -> bytes:
    """The body; `forwarded` names the header fields that are sent although they are secret."""
    return json.dumps(
        {
            "Type": hook.value,
            "Event": {
                "Upload": _upload(hook, event.upload, place),
                "HTTPRequest": _request(event.request, forwarded),
                "User": event.upload.owner,
            },
        },
        separators=(",", ":"),
    ).encode()


def _upload(hook: Hook, upload: Upload, place: Place) -> dict[str, object]:
    is_new = hook is Hook.PRE_CREATE
    final = upload.concat if isinstance(upload.concat, Final) else None
    return {
        "ID": "" if is_new else upload.id,
        "Size": upload.length or 0,
        "SizeIsDeferred": upload.length is None,
        "Offset": upload.offset,
        "MetaData": values_of(upload),
        "IsPartial": upload.is_partial,
        "IsFinal": final is not None,
        "PartialUploads": None if final is None else list(final.partials),
        "Storage": None if is_new else dict(place(upload)),
    }


def _request(request: RequestInfo | None, forwarded: Collection[str]) -> dict[str, object]:
    """What is known of the client's request; nothing when the server itself is at work."""
    if request is None:
        return {"Method": "", "URI": "", "RemoteAddr": "", "Header": {}}
    kept = {
        canonical(name): [whole(value) for value in values]
        for name, values in request.headers.items()
        if name.lower() not in SECRET or name.lower() in forwarded
    }
    return {
        "Method": request.method,
        "URI": whole(request.uri),
        "RemoteAddr": request.remote,
        "Header": kept,
    }


def canonical(name: str) -> str:
    """The name of a header field as Go writes it: `x-request-id` is `X-Request-Id`."""
    return "-".join(word.capitalize() for word in name.split("-"))


def whole(text: str) -> str:
    """A text of a client without bytes that are not UTF-8, which aiohttp keeps as surrogates."""
    return text.encode("utf-8", "replace").decode()
