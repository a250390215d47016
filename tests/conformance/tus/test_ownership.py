"""Another user's upload is an unknown one, to every verb (design 1.5, 1.8)."""

from collections.abc import Awaitable, Callable

import pytest

from tests.conformance.tus.client import OCTETS, Headers, Tus, checksum, metadata
from tests.conformance.tus.scenes import unknown

Make = Callable[[Tus], Awaitable[str]]


async def _fresh(tus: Tus) -> str:
    return await tus.create(10)


async def _begun(tus: Tus) -> str:
    url = await tus.create(10)
    await tus.patch(url, 0, b"hello")
    return url


async def _deferred(tus: Tus) -> str:
    return await tus.create(None)


async def _complete(tus: Tus) -> str:
    return await tus.upload(b"helloworld", metadata(filename="secret.txt"))


async def _terminated(tus: Tus) -> str:
    url = await tus.create(10)
    await tus.delete(url)
    return url


async def _partial(tus: Tus) -> str:
    return await tus.upload(b"hello", {"Upload-Concat": "partial"})


async def _final(tus: Tus) -> str:
    answer = await tus.post({"Upload-Concat": f"final;{tus.path(await _partial(tus))}"})
    return tus.url(answer.headers["Location"])


UPLOADS: dict[str, Make] = {
    "fresh": _fresh,
    "begun": _begun,
    "deferred": _deferred,
    "complete": _complete,
    "terminated": _terminated,
    "partial": _partial,
    "final": _final,
}
BYTES = {"Content-Type": OCTETS, "Upload-Offset": "0"}
REQUESTS: dict[str, tuple[str, Headers, bytes | None]] = {
    "HEAD": ("HEAD", {}, None),
    "HEAD without version": ("HEAD", {"Tus-Resumable": None}, None),
    "GET": ("GET", {}, None),
    "GET of a range": ("GET", {"Range": "bytes=0-1"}, None),
    "GET with If-None-Match": ("GET", {"If-None-Match": "*"}, None),
    "PATCH": ("PATCH", BYTES, b"hello"),
    "PATCH without bytes": ("PATCH", BYTES, b""),
    "PATCH at another offset": ("PATCH", {**BYTES, "Upload-Offset": "5"}, b"world"),
    "PATCH of too much": ("PATCH", BYTES, b"x" * 100),
    "PATCH with a length": ("PATCH", {**BYTES, "Upload-Length": "7"}, b"hello"),
    "PATCH with a checksum": ("PATCH", {**BYTES, **checksum("sha1", b"other")}, b"hello"),
    "PATCH of another type": ("PATCH", {**BYTES, "Content-Type": "text/plain"}, b"hello"),
    "PATCH of another version": ("PATCH", {**BYTES, "Tus-Resumable": "0.2.2"}, b"hello"),
    "PATCH by override": ("POST", {**BYTES, "X-HTTP-Method-Override": "PATCH"}, b"hello"),
    "POST": ("POST", {"Upload-Length": "5"}, None),
    "PUT": ("PUT", {}, b"hello"),
    "OPTIONS": ("OPTIONS", {}, None),
    "DELETE by override": ("POST", {"X-HTTP-Method-Override": "DELETE"}, None),
    "DELETE": ("DELETE", {}, None),
}


@pytest.mark.parametrize("make", UPLOADS.values(), ids=UPLOADS)
async def test_a_foreign_upload_is_an_unknown_one(tus: Tus, make: Make) -> None:
    """Another's id gives the same body and headers as an unknown one, on every verb. [T20, T29,
    T85, design 1.8]"""
    url = await make(tus)
    before = await tus.head(url)
    stranger = tus.of("7")

    for name, (method, headers, body) in REQUESTS.items():
        expected = await stranger.send(method, unknown(tus), headers, body)
        answer = await stranger.send(method, url, headers, body)

        assert (name, answer.sameness) == (name, expected.sameness)
        assert answer.status >= 400 or method == "OPTIONS"

    assert (await tus.head(url)).sameness == before.sameness


async def test_a_user_may_have_any_safe_id(tus: Tus) -> None:
    """Every upload belongs to its user. [design 1.3]"""
    users = ["7", "anna@example.com", "\u00e9va", "a b"]

    urls = [await tus.of(user).upload(user.encode()) for user in users]

    assert [await tus.of(user).download(url) for user, url in zip(users, urls, strict=True)] == [
        user.encode() for user in users
    ]
    for user in users:
        assert len(await tus.of(user).listed()) == 1


async def test_two_users_may_use_the_same_place(tus: Tus) -> None:
    """Finished files are filed by user. [design 1.6]"""
    place = metadata(filename="a.txt", main_service_file_id="1")

    await tus.upload(b"mine", place)
    await tus.of("7").upload(b"yours", place)

    assert await tus.address.file("42", 1, "a.txt") == b"mine"
    assert await tus.address.file("7", 1, "a.txt") == b"yours"
