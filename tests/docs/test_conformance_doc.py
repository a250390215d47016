"""docs/conformance.md covers every line of the checklist, with tests that exist."""

import asyncio
import re
from itertools import groupby

import pytest

from tests.conformance.tus.client import OCTETS, Headers, Tus, metadata
from tests.docs.conftest import MakeTus
from tests.docs.generated import DOCS, TESTS, named_tests, with_tests
from tests.docs.markdown import rows, section

PAGE = (DOCS / "conformance.md").read_text()
LINES = list(range(1, 105))
PARTIAL = {"Upload-Concat": "partial"}
BYTES = {"Content-Type": OCTETS}


def test_tests_named_are_those_of_the_code() -> None:
    """The page names the tests that name its lines, and only those."""
    assert with_tests(PAGE, named_tests()) == PAGE, "run `make docs`"


def test_every_line_is_there_once_and_in_order() -> None:
    """T1 to T104, each with a level."""
    found = re.findall(r"^- \*\*T(\d+)\*\* (?:MUST|SHOULD|MAY|choice) · \S", PAGE, re.M)

    assert [int(number) for number in found] == LINES


def test_every_line_has_a_test() -> None:
    """No line is without a test, and no test names a line that is not there."""
    assert sorted(named_tests()) == LINES


def test_other_places_exist() -> None:
    """The files named for what is beyond tus are there, and every file of the conformance tests is
    on the page."""
    places = [place.strip("`") for _, place in rows(section(PAGE, "## Beyond tus"))]
    files = {path.relative_to(TESTS).as_posix() for path in TESTS.glob("conformance/**/test_*.py")}
    named = {f"conformance/{name}" for name in re.findall(r"`conformance/([^`]+\.py)`", PAGE)}
    folders = tuple(place for place in places if place.endswith("/"))

    assert [place for place in places if not (TESTS / place).exists()] == []
    assert {file for file in files - named if not file.startswith(folders)} == set()


# --- choices: the status that the page names --------------------------------------------------


async def test_t12_unknown_override_is_405(tus: Tus) -> None:
    """T12: an unknown override is 405 with `Allow`."""
    answer = await tus.send("PATCH", await tus.create(5), {"X-HTTP-Method-Override": "FOO"})

    assert (answer.status, "allow" in answer.words) == (405, True)


async def test_t23_unfinished_upload_is_409(tus: Tus) -> None:
    """T23: GET of an unfinished upload is 409."""
    answer = await tus.get(await tus.create(5))

    assert answer.status == 409


async def test_t32_farewell_is_503(make_tus: MakeTus) -> None:
    """T32 and docs/architecture.md: a silent client gets 503, and the connection closes."""
    tus = await make_tus(BODY_TIMEOUT="0.2")
    headers = {**BYTES, "Upload-Offset": "0", "Content-Length": "5"}

    answers = await tus.raw("PATCH", await tus.create(5), headers, body=b"hel")

    assert [answer.status for answer in answers] == [503]


async def test_t48_late_length_below_the_offset_is_400(tus: Tus) -> None:
    """T48: a late length below the offset is 400."""
    url = await tus.create(None)
    await tus.patch(url, 0, b"hello")

    answer = await tus.patch(url, 5, b"", {"Upload-Length": "4"})

    assert answer.status == 400


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE", "PUT"])
async def test_t57_other_methods_of_the_creation_url_are_405(tus: Tus, method: str) -> None:
    """T57: any other method than POST and OPTIONS of the creation URL is 405."""
    answer = await tus.send(method, tus.address.files, BYTES)

    assert answer.status == 405


async def test_t57_post_of_an_upload_is_405(tus: Tus) -> None:
    """T57: POST of an upload without override is 405."""
    answer = await tus.send("POST", await tus.create(5), BYTES)

    assert answer.status == 405


async def test_t69_head_tells_when_an_upload_expires(tus: Tus) -> None:
    """T68: HEAD has `Upload-Expires`, too, while the upload is not finished."""
    unfinished, finished = await tus.create(5), await tus.upload(b"hello")

    heads = [await tus.head(url) for url in (unfinished, finished)]

    assert ["upload-expires" in head.words for head in heads] == [True, False]


@pytest.mark.parametrize("is_terminated", [True, False], ids=["terminated", "expired"])
async def test_t70_record_is_forgotten_one_day(make_tus: MakeTus, is_terminated: bool) -> None:
    """T70, T84: 410 while the record is kept, for another UPLOAD_EXPIRES_AFTER; then 404."""
    tus = await make_tus(UPLOAD_EXPIRES_AFTER="0.3s", SWEEP_INTERVAL="0.05s")
    url = await tus.create(5)
    if is_terminated:
        await tus.delete(url)

    statuses = [200]
    async with asyncio.timeout(10):
        while statuses[-1] != 404:
            statuses.append((await tus.head(url)).status)

    assert [status for status, _ in groupby(statuses)] == [200, 410, 404]


REFUSED_FINALS: dict[str, tuple[int, str, Headers]] = {
    "foreign address": (400, "final;https://other.example/files/{id}", {}),
    "unknown": (400, "final;8f14e45f-ceea-467f-a9c7-3b1d2f6a0c55", {}),
    "no list": (400, "final;", {}),
    "length": (400, "final;{id}", {"Upload-Length": "5"}),
    "deferred": (400, "final;{id}", {"Upload-Defer-Length": "1"}),
    "bytes": (403, "final;{id}", {**BYTES, "Content-Length": "5"}),
    "too large": (413, "final;" + "{id} " * 21, {}),
}


@pytest.mark.parametrize(
    ("status", "value", "headers"), REFUSED_FINALS.values(), ids=REFUSED_FINALS
)
async def test_t96_final_uploads_are_refused(
    tus: Tus, status: int, value: str, headers: Headers
) -> None:
    """T91, T96, T98, T99: which status each of them is."""
    part = await tus.upload(b"hello", PARTIAL)
    final = {"Upload-Concat": value.format(id=part.rpartition("/")[2]), **headers}

    answer = await tus.post(final, b"hello" if "Content-Length" in headers else None)

    assert answer.status == status


@pytest.mark.parametrize("kind", ["ordinary", "final", "foreign"])
async def test_t96_what_is_no_part_is_400(tus: Tus, kind: str) -> None:
    """T96: one of another user and one that is not partial are 400."""
    part = await tus.upload(b"hello", PARTIAL)
    final = await tus.post({"Upload-Concat": f"final;{part}"})
    url = {
        "ordinary": await tus.upload(b"hello"),
        "final": tus.url(final.headers["Location"]),
        "foreign": await tus.of("7").upload(b"hello", PARTIAL),
    }[kind]

    answer = await tus.post({"Upload-Concat": f"final;{url}"})

    assert (final.status, answer.status) == (201, 400)


async def test_t52_metadata_up_to_the_limit(make_tus: MakeTus) -> None:
    """T52: metadata of almost 64 KiB are accepted if the server is told so, and more than the limit
    are 431."""
    tus = await make_tus(MAX_METADATA_SIZE="64KiB")
    usual = await make_tus()
    headers = {"Upload-Length": "5", **metadata(note=b"x" * 48_000)}

    answers = [await each.post(headers) for each in (tus, usual)]

    assert len(headers["Upload-Metadata"] or "") > 64_000
    assert [answer.status for answer in answers] == [201, 431]
