"""Every kind of answer of the tus face, each with the shortest way to get it."""

import uuid
from collections.abc import Awaitable, Callable

from tests.conformance.tus.client import OCTETS, Answer, Headers, Tus

LIMIT = 1000
"""MAX_UPLOAD_SIZE of the server that the scenes play on."""

Scene = Callable[[Tus], Awaitable[Answer]]


def unknown(tus: Tus) -> str:
    """The URL of an upload that never was."""
    return f"{tus.address.files}{uuid.uuid4()}"


async def _ok_options(tus: Tus) -> Answer:
    return await tus.send("OPTIONS", tus.address.files)


async def _ok_head(tus: Tus) -> Answer:
    return await tus.head(await tus.create(5))


async def _ok_get(tus: Tus) -> Answer:
    return await tus.get(await tus.upload(b"hello"))


async def _ok_range(tus: Tus) -> Answer:
    return await tus.get(await tus.upload(b"hello"), {"Range": "bytes=1-2"})


async def _bad_range(tus: Tus) -> Answer:
    return await tus.get(await tus.upload(b"hello"), {"Range": "bytes=5-"})


async def _created(tus: Tus) -> Answer:
    return await tus.post({"Upload-Length": "5"})


async def _patched(tus: Tus) -> Answer:
    return await tus.patch(await tus.create(5), 0, b"hello")


async def _deleted(tus: Tus) -> Answer:
    return await tus.delete(await tus.create(5))


async def _bad_length(tus: Tus) -> Answer:
    return await tus.post({"Upload-Length": "-1"})


async def _bad_offset(tus: Tus) -> Answer:
    return await tus.patch(await tus.create(5), 0, b"hello", {"Upload-Offset": "x"})


async def _no_token(tus: Tus) -> Answer:
    return await tus.post({"Upload-Length": "5", "Authorization": None})


async def _bad_token(tus: Tus) -> Answer:
    stranger: Headers = {"Authorization": "Bearer nonsense"}
    return await tus.patch(await tus.create(5), 0, b"hello", stranger)


async def _no_token_for_head(tus: Tus) -> Answer:
    return await tus.head(await tus.create(5), {"Authorization": None})


async def _patch_on_final(tus: Tus) -> Answer:
    part = await tus.upload(b"hello", {"Upload-Concat": "partial"})
    final = await tus.post({"Upload-Concat": f"final;{tus.path(part)}"})
    return await tus.patch(tus.url(final.headers["Location"]), 5, b"")


async def _head_of_unknown(tus: Tus) -> Answer:
    return await tus.head(unknown(tus))


async def _get_of_unknown(tus: Tus) -> Answer:
    return await tus.get(unknown(tus))


async def _patch_of_unknown(tus: Tus) -> Answer:
    return await tus.patch(unknown(tus), 0, b"hello")


async def _no_such_route(tus: Tus) -> Answer:
    return await tus.send("GET", f"{tus.address.files}no/such/address")


async def _no_such_method(tus: Tus) -> Answer:
    return await tus.send("PUT", await tus.create(5))


async def _conflict(tus: Tus) -> Answer:
    return await tus.patch(await tus.create(5), 1, b"hell")


async def _head_of_terminated(tus: Tus) -> Answer:
    url = await tus.create(5)
    await tus.delete(url)
    return await tus.head(url)


async def _patch_of_terminated(tus: Tus) -> Answer:
    url = await tus.create(5)
    await tus.delete(url)
    return await tus.patch(url, 0, b"hello")


async def _other_version(tus: Tus) -> Answer:
    return await tus.post({"Upload-Length": "5", "Tus-Resumable": "0.2.2"})


async def _over_the_limit(tus: Tus) -> Answer:
    return await tus.post({"Upload-Length": str(LIMIT + 1)})


async def _over_the_length(tus: Tus) -> Answer:
    return await tus.patch(await tus.create(5), 0, b"hello!")


async def _other_media_type(tus: Tus) -> Answer:
    return await tus.patch(await tus.create(5), 0, b"hello", {"Content-Type": "text/plain"})


async def _other_expectation(tus: Tus) -> Answer:
    headers = {"Content-Type": OCTETS, "Upload-Offset": "0", "Expect": "miracles"}
    return (await tus.raw("PATCH", await tus.create(5), {**headers, "Content-Length": "5"}))[-1]


async def _mismatch(tus: Tus) -> Answer:
    wrong = {"Upload-Checksum": "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="}
    return await tus.patch(await tus.create(5), 0, b"hello", wrong)


SCENES: dict[str, tuple[int, Scene]] = {
    "200 OPTIONS": (200, _ok_options),
    "200 HEAD": (200, _ok_head),
    "200 GET": (200, _ok_get),
    "201 POST": (201, _created),
    "204 PATCH": (204, _patched),
    "204 DELETE": (204, _deleted),
    "206 GET": (206, _ok_range),
    "400 POST": (400, _bad_length),
    "400 PATCH": (400, _bad_offset),
    "401 POST": (401, _no_token),
    "401 PATCH": (401, _bad_token),
    "401 HEAD": (401, _no_token_for_head),
    "403 PATCH": (403, _patch_on_final),
    "404 HEAD": (404, _head_of_unknown),
    "404 GET": (404, _get_of_unknown),
    "404 PATCH": (404, _patch_of_unknown),
    "404 address": (404, _no_such_route),
    "405 PUT": (405, _no_such_method),
    "409 PATCH": (409, _conflict),
    "410 HEAD": (410, _head_of_terminated),
    "410 PATCH": (410, _patch_of_terminated),
    "412 POST": (412, _other_version),
    "413 POST": (413, _over_the_limit),
    "413 PATCH": (413, _over_the_length),
    "415 PATCH": (415, _other_media_type),
    "416 GET": (416, _bad_range),
    "417 PATCH": (417, _other_expectation),
    "460 PATCH": (460, _mismatch),
}
"""Name -> status, scene."""

REFUSALS = {
    name: scene
    for name, (status, scene) in SCENES.items()
    if status >= 400 and not name.endswith("HEAD")
}
"""The scenes that end in an error with a body."""
