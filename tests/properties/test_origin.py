"""The server's own address: whatever proxies and clients say, an address or a path."""

import asyncio
import re

from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from tusd_py.setting_types import networks
from tusd_py.web.origin import PublicAddress

LOCAL = networks("127.0.0.0/8")
PATH = "/files/x"
URL = re.compile(
    r"(?:https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~-]+)*)?"
    + re.escape(PATH)
)
NAMES = [
    "Host",
    "Forwarded",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-For",
]
said = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FF), max_size=30) | (
    st.lists(
        st.sampled_from(
            [*'e.org;host="http://[::1]:80/,@#?%\\', " ", "host=", "proto=https", "//", "\u212a"]
        ),
        max_size=12,
    ).map("".join)
)
claims = st.dictionaries(st.sampled_from(NAMES), said)


def request(peer: str, fields: dict[str, str]) -> web.Request:
    """A request with these fields that came from `peer`."""
    transport = asyncio.Transport(extra={"peername": (peer, 4711)})
    return make_mocked_request("POST", "/files/", headers=fields, transport=transport)


@given(claims)
def test_an_address_is_one(fields: dict[str, str]) -> None:
    """Location is http or https, a host and a path, or a path alone: no user, no query, nothing
    that ends a header."""
    address = PublicAddress(public_url=None, trusted=LOCAL)

    assert URL.fullmatch(address.url(request("127.0.0.1", fields), PATH))


@given(claims)
def test_a_stranger_is_not_believed(fields: dict[str, str]) -> None:
    """From an address that is not trusted only Host counts; it cannot choose https or a path."""
    address = PublicAddress(public_url=None, trusted=LOCAL)
    host = {name: value for name, value in fields.items() if name == "Host"}
    url = address.url(request("192.0.2.1", fields), PATH)

    assert url == address.url(request("192.0.2.1", host), PATH)
    assert re.fullmatch(r"(?:http://[^/]+)?" + PATH, url)


@given(claims, st.sampled_from(["127.0.0.1", "192.0.2.1"]))
def test_a_fixed_address_is_fixed(fields: dict[str, str], peer: str) -> None:
    """With PUBLIC_URL nothing in a request changes the address."""
    address = PublicAddress(public_url="https://e.org/up", trusted=LOCAL)

    assert address.url(request(peer, fields), PATH) == f"https://e.org/up{PATH}"


@given(claims)
def test_a_client_finds_its_own_addresses(fields: dict[str, str]) -> None:
    """What a client was given as Location is among the addresses it may name again, and each of
    these ends where ids begin."""
    address = PublicAddress(public_url=None, trusted=LOCAL)
    one = request("127.0.0.1", fields)
    urls = address.urls(one, "/files/")

    assert address.url(one, "/files/") in urls
    for each in urls:
        assert each == "/files/" or re.fullmatch(r"(?:https?://[^/@\s]+)?/[!-~]*", each)
        assert each.endswith("/files/")
