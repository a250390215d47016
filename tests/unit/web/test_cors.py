"""Cors: which pages may read the answers."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tusd_py.web.cors import EXPOSED, METHODS, REQUEST_HEADERS, Cors


def answer(
    allowed: tuple[str, ...], origin: str | None, method: str = "PATCH", status: int = 200
) -> web.Response:
    """The answer to a request from a page of `origin`."""
    headers = {} if origin is None else {"Origin": origin}
    response = web.Response(status=status)
    Cors(allowed).add_headers(make_mocked_request(method, "/files/", headers=headers), response)
    return response


@pytest.mark.parametrize("status", [200, 401, 404, 460, 500, 503])
def test_all_origins(status: int) -> None:
    """* allows every page, and errors can be read as well."""
    headers = answer(("*",), "https://any.example", status=status).headers

    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Access-Control-Expose-Headers"] == EXPOSED


@pytest.mark.parametrize("origin", ["https://a.example", "HTTPS://A.Example"])
def test_an_allowed_origin(origin: str) -> None:
    """An origin of the list is named as the page sent it, and caches are told."""
    headers = answer(("https://a.example", "https://b.example"), origin).headers

    assert headers["Access-Control-Allow-Origin"] == origin
    assert headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "origin",
    [
        "https://a.example.evil.example",
        "https://xa.example",
        "http://a.example",
        "https://a.example:444",
        "https://a-example",
        "null",
        "",
    ],
)
def test_another_origin(origin: str) -> None:
    """Origins are compared whole; others get nothing, and caches are told."""
    headers = answer(("https://a.example",), origin).headers

    assert "Access-Control-Allow-Origin" not in headers
    assert headers["Vary"] == "Origin"


def test_no_origin() -> None:
    """Who is no page needs no headers."""
    headers = answer(("*",), None).headers

    assert not [name for name in headers if name.startswith("Access-Control")]


def test_a_preflight() -> None:
    """OPTIONS tells what a page may send, and for how long that holds."""
    headers = answer(("*",), "https://a.example", "OPTIONS").headers

    assert headers["Access-Control-Allow-Methods"] == METHODS
    assert headers["Access-Control-Allow-Headers"] == REQUEST_HEADERS
    assert int(headers["Access-Control-Max-Age"]) > 0


def test_a_preflight_of_another_origin() -> None:
    """It tells another page nothing."""
    headers = answer(("https://a.example",), "https://evil.example", "OPTIONS").headers

    assert not [name for name in headers if name.startswith("Access-Control")]


def test_credentials_are_never_asked_for() -> None:
    """Cookies play no part: the token is a header."""
    headers = answer(("*",), "https://a.example", "OPTIONS").headers

    assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize(
    "name",
    [
        "Upload-Offset",
        "Location",
        "Upload-Length",
        "Upload-Expires",
        "Upload-Metadata",
        "Tus-Resumable",
        "Tus-Version",
        "Tus-Max-Size",
        "Retry-After",
        "Content-Disposition",
        "Content-Range",
    ],
)
def test_what_a_client_in_a_page_reads(name: str) -> None:
    """Every header that tus-js-client or the demo page reads is exposed."""
    assert name in EXPOSED.split(", ")


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Content-Type",
        "Tus-Resumable",
        "Upload-Offset",
        "Upload-Length",
        "Upload-Defer-Length",
        "Upload-Metadata",
        "Upload-Concat",
        "Upload-Checksum",
        "X-HTTP-Method-Override",
        "X-Request-ID",
    ],
)
def test_what_a_client_in_a_page_sends(name: str) -> None:
    """Every header that tus-js-client sends is allowed."""
    assert name in REQUEST_HEADERS.split(", ")
