"""PublicAddress: where clients see this server."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tusd_py.setting_types import Network, networks
from tusd_py.web.origin import PublicAddress

LOCAL = networks("127.0.0.0/8")


def request(peer: str = "127.0.0.1", **fields: str) -> web.Request:
    """A request to `internal:8000` that came from `peer`."""
    headers = {"Host": "internal:8000"}
    headers |= {name.replace("_", "-"): value for name, value in fields.items()}
    transport = asyncio.Transport(extra={"peername": (peer, 4711)})
    return make_mocked_request("POST", "/files/", headers=headers, transport=transport)


def url(
    request: web.Request, *, public_url: str | None = None, trusted: tuple[Network, ...] = LOCAL
) -> str:
    """Where the client sees /files/x."""
    return PublicAddress(public_url=public_url, trusted=trusted).url(request, "/files/x")


def test_a_request_tells_its_host() -> None:
    """Without a proxy the Host header is the address."""
    assert url(request()) == "http://internal:8000/files/x"


def test_the_public_url_wins() -> None:
    """PUBLIC_URL is the prefix, whatever a proxy says."""
    said = request(X_Forwarded_Host="proxy.example")

    assert url(said, public_url="https://e.org/up") == "https://e.org/up/files/x"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"X_Forwarded_Proto": "https"}, "https://internal:8000/files/x"),
        ({"X_Forwarded_Host": "e.org"}, "http://e.org/files/x"),
        ({"X_Forwarded_Host": "e.org:444"}, "http://e.org:444/files/x"),
        (
            {"X_Forwarded_Host": "e.org", "X_Forwarded_Port": "8443"},
            "http://e.org:8443/files/x",
        ),
        (
            {
                "X_Forwarded_Host": "e.org",
                "X_Forwarded_Port": "443",
                "X_Forwarded_Proto": "https",
            },
            "https://e.org/files/x",
        ),
        (
            {"X_Forwarded_Host": "e.org", "X_Forwarded_Port": "80", "X_Forwarded_Proto": "http"},
            "http://e.org/files/x",
        ),
        (
            {"X_Forwarded_Host": "e.org:1", "X_Forwarded_Port": "2"},
            "http://e.org:1/files/x",
        ),
        ({"X_Forwarded_Prefix": "/up"}, "http://internal:8000/up/files/x"),
        ({"X_Forwarded_Prefix": "/up/"}, "http://internal:8000/up/files/x"),
        (
            {"X_Forwarded_Host": "e.org, inner.example", "X_Forwarded_Proto": "https, http"},
            "https://e.org/files/x",
        ),
        ({"X_Forwarded_Host": "[2001:db8::1]:444"}, "http://[2001:db8::1]:444/files/x"),
        ({"Forwarded": "for=1.2.3.4;proto=https;host=e.org"}, "https://e.org/files/x"),
        ({"Forwarded": 'Proto=HTTPS; Host="e.org:444"'}, "https://e.org:444/files/x"),
        ({"Forwarded": "host=e.org, host=inner.example"}, "http://e.org/files/x"),
        ({"Forwarded": "host=e.org", "X_Forwarded_Host": "x.example"}, "http://x.example/files/x"),
    ],
    ids=str,
)
def test_a_trusted_proxy_is_believed(fields: dict[str, str], expected: str) -> None:
    """Forwarded and X-Forwarded-* of a trusted proxy make the address; its first value counts."""
    assert url(request(**fields)) == expected


@pytest.mark.parametrize("peer", ["10.0.0.1", "::1", "", "not an address"])
def test_others_are_not_believed(peer: str) -> None:
    """What a client says about itself is ignored."""
    said = request(peer, X_Forwarded_Host="evil.example", Forwarded="host=evil.example")

    assert url(said) == "http://internal:8000/files/x"


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.1.2.3", "10.0.0.0/8"),
        ("::ffff:10.1.2.3", "10.0.0.0/8"),
        ("fe80::1%eth0", "fe80::/10"),
        ("192.0.2.1", "*"),
        ("2001:db8::1", "*"),
    ],
)
def test_networks_are_trusted(peer: str, trusted: str) -> None:
    """Networks in CIDR notation, IPv4 within IPv6, and * for all."""
    said = request(peer, X_Forwarded_Host="e.org")

    assert url(said, trusted=networks(trusted)) == "http://e.org/files/x"


@pytest.mark.parametrize(
    "fields",
    [
        {"X_Forwarded_Proto": "javascript"},
        {"X_Forwarded_Prefix": "//evil.example"},
        {"X_Forwarded_Prefix": "/a b"},
        {"X_Forwarded_Prefix": "no-slash"},
        {"X_Forwarded_Prefix": "/<script>"},
    ],
    ids=str,
)
def test_nonsense_of_a_proxy_is_left_out(fields: dict[str, str]) -> None:
    """Schemes, prefixes and ports that cannot be are left out."""
    assert url(request(**fields)) == "http://internal:8000/files/x"


@pytest.mark.parametrize("host", ["a b", "e.org/x", "e.org:x", "user@e.org", "e.org\\x", "[::1"])
def test_a_host_that_is_none_gives_a_path(host: str) -> None:
    """When no host is known the Location is a path, which clients resolve themselves."""
    assert url(request(X_Forwarded_Host=host)) == "/files/x"


@pytest.mark.parametrize(
    "written",
    [
        "/files/",
        "/up/files/",
        "https://e.org/up/files/",
        "http://internal:8000/files/",
        "https://internal:8000/files/",
    ],
)
def test_a_client_may_write_its_urls_in_many_ways(written: str) -> None:
    """As it was given them, without scheme and host, and with the host it now uses."""
    said = request(X_Forwarded_Host="e.org", X_Forwarded_Proto="https", X_Forwarded_Prefix="/up")

    assert written in PublicAddress(public_url=None, trusted=LOCAL).urls(said, "/files/")


def test_foreign_urls_are_not_among_them() -> None:
    """Another host's uploads are not ours."""
    urls = PublicAddress(public_url=None, trusted=()).urls(
        request(X_Forwarded_Host="evil.example"), "/files/"
    )

    assert not [each for each in urls if "evil" in each]
