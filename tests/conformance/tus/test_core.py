"""tus 1.0.0, core protocol: headers, versions, OPTIONS, method override."""

import pytest

from tests.conformance.tus.client import (
    OCTETS,
    Answer,
    Headers,
    Tus,
    checksum,
    parse,
)
from tests.conformance.tus.conftest import MakeTus
from tests.conformance.tus.scenes import LIMIT, REFUSALS, SCENES, Scene, unknown

NO_INTEGERS = [
    "-1",
    "+1",
    "1.0",
    "1e3",
    "0x10",
    "",
    "abc",
    "1_0",
    "1 0",
    "\u0661",
    "\u00b2",
    "1,1",
    "1;q=1",
    "9" * 400,
]
VERSIONS = ["0.2.2", "1.0", "1.0.1", "2.0.0", "1.0.0, 0.2.2", "abc"]
EXTENSIONS = {
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "expiration",
    "checksum",
    "termination",
    "concatenation",
}


def names(line: str) -> list[str]:
    """The members of a comma-separated line."""
    return [name.strip() for name in line.split(",")]


@pytest.mark.parametrize(("status", "scene"), SCENES.values(), ids=SCENES)
async def test_t1_every_answer_carries_the_version(
    make_tus: MakeTus, status: int, scene: Scene
) -> None:
    """The Tus-Resumable header MUST be included in every request and response except for OPTIONS
    requests. [T1]"""
    tus = await make_tus(MAX_UPLOAD_SIZE=str(LIMIT))

    answer = await scene(tus)

    assert (answer.status, answer.headers.get("Tus-Resumable")) == (status, "1.0.0")


@pytest.mark.parametrize("scene", REFUSALS.values(), ids=REFUSALS)
async def test_t1_an_error_is_one_line_of_text(make_tus: MakeTus, scene: Scene) -> None:
    """Errors are text/plain, one line, and carry Tus-Resumable. Bad input gets a one-line reason
    that tells what to do. [T1, design 1.5]"""
    tus = await make_tus(MAX_UPLOAD_SIZE=str(LIMIT))

    answer = await scene(tus)

    lines = answer.body.decode().splitlines()
    assert answer.headers["Content-Type"].partition(";")[0] == "text/plain"
    assert len(lines) == 1
    assert len(lines[0]) > 5


@pytest.mark.decided_early
@pytest.mark.parametrize("version", VERSIONS)
async def test_t2_patch_of_another_version_is_not_processed(tus: Tus, version: str) -> None:
    """If the version specified by the Client is not supported by the Server, it MUST respond with
    the 412 Precondition Failed status and MUST include the Tus-Version header into the response.
    In addition, the Server MUST NOT process the request. [T2]"""
    url = await tus.create(5)

    answer = await tus.patch(url, 0, b"hello", {"Tus-Resumable": version})

    assert answer.status == 412
    assert "1.0.0" in names(answer.headers["Tus-Version"])
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert await tus.offset(url) == 0


async def test_t3_post_of_another_version_creates_nothing(tus: Tus) -> None:
    """In addition, the Server MUST NOT process the request. [T3]"""
    answer = await tus.post(
        {"Upload-Length": "5", "Tus-Resumable": "0.2.2", "Content-Type": OCTETS}, b"hello"
    )

    assert answer.status == 412
    assert "1.0.0" in names(answer.headers["Tus-Version"])
    assert "location" not in answer.words
    assert await tus.listed() == []
    assert await tus.address.finished() == {}


async def test_t3_delete_of_another_version_deletes_nothing(tus: Tus) -> None:
    """In addition, the Server MUST NOT process the request. [T3]"""
    url = await tus.create(5)

    answer = await tus.delete(url, {"Tus-Resumable": "0.2.2"})

    assert answer.status == 412
    assert "1.0.0" in names(answer.headers["Tus-Version"])
    assert await tus.offset(url) == 0


async def test_t3_head_of_another_version_tells_nothing(tus: Tus) -> None:
    """In addition, the Server MUST NOT process the request. [T3]"""
    url = await tus.create(5)

    answer = await tus.head(url, {"Tus-Resumable": "0.2.2"})

    assert answer.status == 412
    assert "1.0.0" in names(answer.headers["Tus-Version"])
    assert "upload-offset" not in answer.words


async def test_t4_post_without_version_is_refused(tus: Tus) -> None:
    """The Tus-Resumable header MUST be included in every request. [T4]"""
    answer = await tus.post({"Upload-Length": "5", "Tus-Resumable": None})

    assert answer.status == 412
    assert "1.0.0" in names(answer.headers["Tus-Version"])
    assert "location" not in answer.words


async def test_t4_patch_without_version_is_refused(tus: Tus) -> None:
    """The Tus-Resumable header MUST be included in every request. [T4]"""
    url = await tus.create(5)

    answer = await tus.patch(url, 0, b"hello", {"Tus-Resumable": None})

    assert answer.status == 412
    assert "1.0.0" in names(answer.headers["Tus-Version"])
    assert await tus.offset(url) == 0


async def test_t4_delete_without_version_is_refused(tus: Tus) -> None:
    """The Tus-Resumable header MUST be included in every request. [T4]"""
    url = await tus.create(5)

    answer = await tus.delete(url, {"Tus-Resumable": None})

    assert answer.status == 412
    assert "1.0.0" in names(answer.headers["Tus-Version"])
    assert await tus.offset(url) == 0


async def test_t4_head_without_version_is_answered(tus: Tus) -> None:
    """HEAD and GET are lenient about a missing Tus-Resumable. [T4]"""
    url = await tus.create(5)

    answer = await tus.head(url, {"Tus-Resumable": None})

    assert (answer.status, answer.headers["Upload-Offset"]) == (200, "0")
    assert answer.headers["Tus-Resumable"] == "1.0.0"


async def test_t4_get_without_version_is_answered(tus: Tus) -> None:
    """HEAD and GET are lenient about a missing Tus-Resumable. [T4]"""
    url = await tus.upload(b"hello")

    answer = await tus.get(url, {"Tus-Resumable": None})

    assert (answer.status, answer.body) == (200, b"hello")


@pytest.mark.decided_early
@pytest.mark.parametrize("version", [None, "9.9.9", "1.0.0", "abc"])
async def test_t5_options_ignores_the_version(tus: Tus, version: str | None) -> None:
    """The Client SHOULD NOT include the Tus-Resumable header in the request and the Server MUST
    ignore the header. [T5]"""
    answer = await tus.send("OPTIONS", tus.address.files, {"Tus-Resumable": version})

    assert answer.status == 200


async def test_t6_options_tells_the_versions(tus: Tus) -> None:
    """A successful response indicated by the 204 No Content or 200 OK status MUST contain the
    Tus-Version header. OPTIONS answers 200. [T6, design 1.5]"""
    answer = await tus.send("OPTIONS", tus.address.files, {"Tus-Resumable": None})

    assert answer.status == 200
    assert names(answer.headers["Tus-Version"])[0] == "1.0.0"


async def test_t6_options_needs_no_token(tus: Tus) -> None:
    """OPTIONS answers 200; CORS preflight needs no token. [T6, design 1.5]"""
    headers: Headers = {"Tus-Resumable": None, "Authorization": None}

    answer = await tus.send("OPTIONS", tus.address.files, headers)

    assert (answer.status, answer.headers["Tus-Version"]) == (200, "1.0.0")


async def test_t7_options_tells_the_extensions(tus: Tus) -> None:
    """The Tus-Extension response header MUST be a comma-separated list of the extensions supported
    by the Server. [T7]"""
    answer = await tus.send("OPTIONS", tus.address.files)

    assert set(names(answer.headers["Tus-Extension"])) == EXTENSIONS


async def test_t8_options_tells_the_limit(make_tus: MakeTus) -> None:
    """The Tus-Max-Size response header MUST be a non-negative integer indicating the maximum
    allowed size of an entire upload in bytes. The Server SHOULD set this header if there is a
    known hard limit. [T8]"""
    tus = await make_tus(MAX_UPLOAD_SIZE="1000")

    answer = await tus.send("OPTIONS", tus.address.files)

    assert answer.headers["Tus-Max-Size"] == "1000"


async def test_t8_options_is_silent_without_a_limit(tus: Tus) -> None:
    """The Server SHOULD set this header if there is a known hard limit. [T8]"""
    answer = await tus.send("OPTIONS", tus.address.files)

    assert "tus-max-size" not in answer.words


async def test_t9_options_of_an_upload_is_options_of_the_server(tus: Tus) -> None:
    """An OPTIONS request MAY be used to gather information about the Server's current
    configuration. [T9]"""
    server = await tus.send("OPTIONS", tus.address.files)

    known = await tus.send("OPTIONS", await tus.create(5))
    nobodys = await tus.send("OPTIONS", unknown(tus))

    assert known.sameness == nobodys.sameness
    assert known.status == 200
    for name in ("Tus-Version", "Tus-Extension", "Tus-Checksum-Algorithm"):
        assert known.headers[name] == server.headers[name]


@pytest.mark.parametrize("actual", ["POST", "GET", "PUT", "DELETE"])
async def test_t10_override_patches(tus: Tus, actual: str) -> None:
    """The X-HTTP-Method-Override request header MUST be a string which MUST be interpreted as the
    request's method by the Server, if the header is presented. The actual method of the request
    MUST be ignored. [T10, T11]"""
    url = await tus.create(5)
    headers = {
        "X-HTTP-Method-Override": "PATCH",
        "Content-Type": OCTETS,
        "Upload-Offset": "0",
    }

    answer = await tus.send(actual, url, headers, b"hello")

    assert (answer.status, answer.headers["Upload-Offset"]) == (204, "5")
    assert await tus.download(url) == b"hello"


@pytest.mark.parametrize("actual", ["POST", "GET", "HEAD", "PATCH", "PUT"])
async def test_t11_override_deletes(tus: Tus, actual: str) -> None:
    """The actual method of the request MUST be ignored. [T11]"""
    url = await tus.create(5)

    answer = await tus.send(actual, url, {"X-HTTP-Method-Override": "DELETE"})

    assert answer.status == 204
    assert (await tus.head(url)).status in {404, 410}


@pytest.mark.parametrize("actual", ["POST", "GET", "DELETE", "PATCH"])
async def test_t11_override_heads(tus: Tus, actual: str) -> None:
    """The actual method of the request MUST be ignored. [T11]"""
    url = await tus.create(5)

    answer = await tus.send(actual, url, {"X-HTTP-Method-Override": "HEAD"})

    assert (answer.status, answer.headers["Upload-Offset"]) == (200, "0")
    assert answer.headers["Upload-Length"] == "5"
    assert answer.body == b""
    assert await tus.offset(url) == 0


@pytest.mark.parametrize("actual", ["GET", "PUT", "PATCH"])
async def test_t11_override_creates(tus: Tus, actual: str) -> None:
    """The actual method of the request MUST be ignored. [T11]"""
    headers = {"X-HTTP-Method-Override": "POST", "Upload-Length": "5"}

    answer = await tus.send(actual, tus.address.files, headers)

    assert answer.status == 201
    assert await tus.offset(tus.url(answer.headers["Location"])) == 0


@pytest.mark.decided_early
@pytest.mark.parametrize("override", ["FOO", "PUT", "TRACE", "", "PATCH DELETE", "../PATCH"])
@pytest.mark.parametrize("actual", ["DELETE", "PATCH"])
async def test_t12_unknown_override_is_refused(tus: Tus, actual: str, override: str) -> None:
    """The actual method of the request MUST be ignored: an unknown override is refused and never
    falls back to it. [T12]"""
    url = await tus.create(5)
    headers = {
        "X-HTTP-Method-Override": override,
        "Content-Type": OCTETS,
        "Upload-Offset": "0",
    }

    answer = await tus.send(actual, url, headers, b"hello" if actual == "PATCH" else None)

    assert answer.status in {400, 405}
    assert (answer.status == 405) == ("allow" in answer.words)
    assert await tus.offset(url) == 0


@pytest.mark.decided_early
@pytest.mark.parametrize("method", ["PUT", "POST", "PROPFIND"])
async def test_t12_a_method_an_upload_does_not_have_is_refused(tus: Tus, method: str) -> None:
    """The origin server MUST generate an Allow header field in a 405 response (RFC 9110). [T12]"""
    url = await tus.create(5)

    answer = await tus.send(method, url)

    assert answer.status == 405
    assert {"HEAD", "GET", "PATCH", "DELETE"} <= set(names(answer.headers["Allow"]))


@pytest.mark.decided_early
@pytest.mark.parametrize("value", NO_INTEGERS)
async def test_t13_upload_offset_is_an_integer(tus: Tus, value: str) -> None:
    """The Upload-Offset request and response header indicates a byte offset within a resource. The
    value MUST be a non-negative integer. [T13]"""
    url = await tus.create(5)

    answer = await tus.patch(url, 0, b"hello", {"Upload-Offset": value})

    assert answer.status == 400
    assert await tus.offset(url) == 0


@pytest.mark.decided_early
@pytest.mark.parametrize("value", NO_INTEGERS)
async def test_t13_upload_length_is_an_integer(tus: Tus, value: str) -> None:
    """The Upload-Length request and response header indicates the size of the entire upload in
    bytes. The value MUST be a non-negative integer. [T13]"""
    answer = await tus.post({"Upload-Length": value})

    assert answer.status == 400
    assert "location" not in answer.words


@pytest.mark.decided_early
@pytest.mark.parametrize("value", NO_INTEGERS)
async def test_t13_a_late_upload_length_is_an_integer(tus: Tus, value: str) -> None:
    """The Upload-Length request and response header indicates the size of the entire upload in
    bytes. The value MUST be a non-negative integer. [T13]"""
    url = await tus.create(None)

    answer = await tus.patch(url, 0, b"hello", {"Upload-Length": value})

    assert answer.status == 400
    head = await tus.head(url)
    assert (head.headers["Upload-Offset"], head.headers["Upload-Defer-Length"]) == ("0", "1")


@pytest.mark.parametrize("value", ["9" * 19, "9" * 20, str(2**63), str(2**64)])
async def test_t13_an_absurd_upload_length_is_the_clients_fault(tus: Tus, value: str) -> None:
    """Bad input never gives a 5xx. [T13, design 1.8]"""
    answer = await tus.post({"Upload-Length": value})

    assert answer.status in {201, 400, 413}


async def test_t13_two_upload_offsets_are_refused(tus: Tus) -> None:
    """Duplicate Upload-Offset or Upload-Length header lines: 400. [T13, design 1.8]"""
    url = await tus.create(5)
    headers = {"Content-Type": OCTETS, "Content-Length": "5", "Upload-Offset": "0"}

    answers = await tus.raw("PATCH", url, headers, ("Upload-Offset", "0"), body=b"hello")

    assert [answer.status for answer in answers] == [400]
    assert await tus.offset(url) == 0


async def test_t13_two_upload_lengths_are_refused(tus: Tus) -> None:
    """Duplicate Upload-Offset or Upload-Length header lines: 400. [T13, design 1.8]"""
    headers = {"Content-Length": "0", "Upload-Length": "5"}

    answers = await tus.raw("POST", tus.address.files, headers, ("Upload-Length", "6"))

    assert [answer.status for answer in answers] == [400]
    assert "location" not in answers[0].words


async def test_t13_two_late_upload_lengths_are_refused(tus: Tus) -> None:
    """Duplicate Upload-Offset or Upload-Length header lines: 400. [T13, design 1.8]"""
    url = await tus.create(None)
    headers = {
        "Content-Type": OCTETS,
        "Content-Length": "5",
        "Upload-Offset": "0",
        "Upload-Length": "5",
    }

    answers = await tus.raw("PATCH", url, headers, ("Upload-Length", "5"), body=b"hello")

    assert [answer.status for answer in answers] == [400]
    assert await tus.offset(url) == 0


async def test_t14_leading_zeros_do_not_change_a_number(tus: Tus) -> None:
    """The value MUST be a non-negative integer: digits, as in Content-Length. [T14]"""
    created = await tus.post({"Upload-Length": "007"})
    url = tus.url(created.headers["Location"])

    answer = await tus.patch(url, 0, b"1234567", {"Upload-Offset": "000"})

    assert (answer.status, answer.headers["Upload-Offset"]) == (204, "7")
    assert (await tus.head(url)).headers["Upload-Length"] == "7"


async def test_a_token_elsewhere_does_not_count(tus: Tus) -> None:
    """Tokens: only in the Authorization header. [design 1.8]"""
    token = tus.address.auth()["Authorization"].removeprefix("Bearer ")
    url = await tus.create(5)

    answer = await tus.head(f"{url}?token={token}&access_token={token}", {"Authorization": None})

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.decided_early
@pytest.mark.parametrize("authorization", [None, "Bearer x", "Basic NDI6eA==", "", "Bearer"])
@pytest.mark.parametrize("method", ["HEAD", "GET", "PATCH", "DELETE", "POST"])
async def test_no_verb_works_without_a_token(
    tus: Tus, method: str, authorization: str | None
) -> None:
    """All need a valid token; 401 comes with WWW-Authenticate: Bearer. [design 1.5, design 1.8]"""
    content = await tus.upload(b"secret")
    unfinished = await tus.create(6)
    headers = {
        "Authorization": authorization,
        "Content-Type": OCTETS,
        "Upload-Offset": "0",
        "Upload-Length": "6",
    }
    url = {"GET": content, "POST": tus.address.files}.get(method, unfinished)

    answer = await tus.send(method, url, headers, None if method in {"HEAD", "GET"} else b"secret")

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert b"secret" not in answer.body
    assert await tus.offset(unfinished) == 0
    assert len(await tus.listed()) == 1


@pytest.mark.decided_early
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_of_a_token_has_no_case(tus: Tus, scheme: str) -> None:
    """Tokens: only in the Authorization header, `Bearer` in any case. [design 1.8]"""
    token = tus.address.auth()["Authorization"].removeprefix("Bearer ")

    answer = await tus.post({"Upload-Length": "5", "Authorization": f"{scheme} {token}"})

    assert answer.status == 201


@pytest.mark.decided_early
@pytest.mark.parametrize("expectation", [b"\x80", b"miracles", b"100-continue, miracles"])
async def test_an_odd_expectation_is_the_clients_fault(tus: Tus, expectation: bytes) -> None:
    """aiohttp traps seen: `Expect: \\x80` raising 500. [design 1.8]"""
    headers = {
        "Content-Type": OCTETS,
        "Content-Length": "5",
        "Upload-Offset": "0",
        "Connection": "close",
    }
    head = tus.wire("PATCH", await tus.create(5), headers)
    lines = head.removesuffix(b"\r\n") + b"Expect: " + expectation + b"\r\n\r\n"

    stream = await tus.address.raw(lines + b"hello")

    assert 400 <= parse(stream)[0].status < 500


async def test_a_base_path_of_ones_own(make_tus: MakeTus) -> None:
    """TUS_BASE_PATH names the creation URL. [design 1.3]"""
    tus = await make_tus(TUS_BASE_PATH="/api/uploads/")
    creation = f"{tus.address.base}/api/uploads/"

    created = await tus.send("POST", creation, {"Upload-Length": "5"})
    options = await tus.send("OPTIONS", creation)

    url = tus.url(created.headers["Location"])
    assert url.startswith(creation)
    assert (await tus.patch(url, 0, b"hello", checksum("sha1", b"hello"))).status == 204
    assert options.headers["Tus-Version"] == "1.0.0"


async def test_no_slash_is_no_redirect(tus: Tus) -> None:
    """A redirect of a POST loses the upload: 301 turns POST into GET. [design 1.5]"""
    answer: Answer = await tus.send("POST", tus.address.files.rstrip("/"), {"Upload-Length": "5"})

    assert answer.status in {201, 404}
