"""CORS: what browsers need to talk to the tus face from another origin."""

from dataclasses import replace

import pytest

from tests.conformance.tus.client import Headers, Tus
from tests.conformance.tus.conftest import MakeTus
from tests.conformance.tus.scenes import LIMIT, SCENES, Scene, unknown

ORIGIN = "https://app.example.com"
METHODS = {"POST", "GET", "HEAD", "PATCH", "DELETE", "OPTIONS"}
ALLOWED = {
    "authorization",
    "content-type",
    "origin",
    "x-requested-with",
    "x-request-id",
    "x-http-method-override",
    "upload-length",
    "upload-offset",
    "upload-defer-length",
    "upload-metadata",
    "upload-concat",
    "upload-checksum",
    "tus-resumable",
    "upload-complete",
    "upload-incomplete",
    "upload-draft-interop-version",
    "content-disposition",
    "content-digest",
    "repr-digest",
    "want-repr-digest",
}
EXPOSED = {
    "upload-offset",
    "upload-length",
    "upload-defer-length",
    "upload-metadata",
    "upload-expires",
    "upload-concat",
    "location",
    "tus-version",
    "tus-resumable",
    "tus-max-size",
    "tus-extension",
    "tus-checksum-algorithm",
    "upload-complete",
    "upload-incomplete",
    "upload-limit",
    "upload-draft-interop-version",
    "repr-digest",
}
STRANGERS = [
    "https://evil.example",
    "https://app.example.com.evil.example",
    "https://evilapp.example.com",
    "https://appxexample.com",
    "https://app.example.com:8443",
    "http://app.example.com",
    "https://APP.example.org",
    "null",
]


def members(line: str) -> set[str]:
    """The members of a comma-separated line, in small letters."""
    return {name.strip().lower() for name in line.split(",")}


def preflight(origin: str, method: str = "PATCH") -> Headers:
    """What a browser sends before a request from another origin: no token, no version."""
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,tus-resumable,upload-offset",
        "Authorization": None,
        "Tus-Resumable": None,
    }


@pytest.mark.decided_early
@pytest.mark.parametrize("method", ["POST", "PATCH", "HEAD", "DELETE", "GET"])
@pytest.mark.parametrize("is_upload", [False, True], ids=["creation URL", "upload URL"])
async def test_t103_preflight(tus: Tus, method: str, is_upload: bool) -> None:
    """Preflight `OPTIONS` with `Origin` + `Access-Control-Request-Method` → 200 +
    `Access-Control-Allow-Origin`, `-Methods`, `-Headers`, `-Max-Age`; it needs no token. [T103]"""
    url = unknown(tus) if is_upload else tus.address.files

    answer = await tus.send("OPTIONS", url, preflight(ORIGIN, method))

    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] in {"*", ORIGIN}
    assert {name.lower() for name in METHODS} <= members(
        answer.headers["Access-Control-Allow-Methods"]
    )
    assert members(answer.headers["Access-Control-Allow-Headers"]) >= ALLOWED
    assert int(answer.headers["Access-Control-Max-Age"]) > 0


@pytest.mark.parametrize(("status", "scene"), SCENES.values(), ids=SCENES)
async def test_t104_every_answer_can_be_read_by_a_script(
    make_tus: MakeTus, status: int, scene: Scene
) -> None:
    """Actual responses (also errors) → `Access-Control-Expose-Headers`. No CORS headers on errors,
    so that browsers see nothing. [T104, design 3.4]"""
    server = await make_tus(MAX_UPLOAD_SIZE=str(LIMIT))
    tus = replace(server, extra={"Origin": ORIGIN})

    answer = await scene(tus)

    assert answer.status == status
    assert answer.headers["Access-Control-Allow-Origin"] in {"*", ORIGIN}
    assert members(answer.headers["Access-Control-Expose-Headers"]) >= EXPOSED


async def test_t104_retry_after_can_be_read_by_a_script(tus: Tus) -> None:
    """Temporary trouble is a 423 with Retry-After: a script must be able to read it, like the names
    of a download. [T104, design 1.5]"""
    answer = await tus.post({"Upload-Length": "5", "Origin": ORIGIN})

    exposed = members(answer.headers["Access-Control-Expose-Headers"])
    assert {"retry-after", "content-disposition"} <= exposed


@pytest.mark.decided_early
@pytest.mark.parametrize(
    "origins", [ORIGIN, f"https://other.example,{ORIGIN}", f"https://other.example, {ORIGIN}"]
)
async def test_t103_an_origin_in_the_settings_is_allowed(make_tus: MakeTus, origins: str) -> None:
    """CORS_ALLOW_ORIGINS: exact origins, comma separated. [T103, T104, design 1.3]"""
    tus = await make_tus(CORS_ALLOW_ORIGINS=origins)

    before = await tus.send("OPTIONS", tus.address.files, preflight(ORIGIN))
    answer = await tus.post({"Upload-Length": "5", "Origin": ORIGIN})

    for each in (before, answer):
        assert each.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "origin" in members(each.headers["Vary"])


@pytest.mark.decided_early
@pytest.mark.parametrize("origin", STRANGERS)
async def test_t103_a_strange_origin_is_not_allowed(make_tus: MakeTus, origin: str) -> None:
    """CORS origins matched as unanchored regular expressions. [T103, T104, design 3.4]"""
    tus = await make_tus(CORS_ALLOW_ORIGINS=ORIGIN)

    before = await tus.send("OPTIONS", tus.address.files, preflight(origin))
    answer = await tus.post({"Upload-Length": "5", "Origin": origin})

    assert "access-control-allow-origin" not in before.words
    assert "access-control-allow-origin" not in answer.words


async def test_t103_answers_differ_by_origin(make_tus: MakeTus) -> None:
    """A cache must not give the answer for one origin to another: Vary: Origin, also when there is
    no Origin. [T103]"""
    tus = await make_tus(CORS_ALLOW_ORIGINS=ORIGIN)

    answer = await tus.get(await tus.upload(b"hello"))

    assert "origin" in members(answer.headers["Vary"])


async def test_t104_credentials_are_not_for_everybody(tus: Tus) -> None:
    """Access-Control-Allow-Credentials never goes with an origin that is not named in the
    settings. [T104]"""
    answer = await tus.post({"Upload-Length": "5", "Origin": "https://evil.example"})

    assert "access-control-allow-credentials" not in answer.words
