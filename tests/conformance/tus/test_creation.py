"""tus 1.0.0, Creation: new uploads, deferred length, metadata, Location."""

import pytest

from tests.conformance.tus.client import (
    OCTETS,
    Headers,
    Tus,
    base64_of,
    chunked,
    connected,
    filenames,
    metadata,
)
from tests.conformance.tus.conftest import MakeTus

MEDIA_TYPES = [
    None,
    "text/plain",
    "application/octet-stream",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
]


async def test_t40_creation_is_announced(tus: Tus) -> None:
    """If the Server supports this extension, it MUST add creation to the Tus-Extension
    header. [T40]"""
    answer = await tus.send("OPTIONS", tus.address.files)

    assert "creation" in answer.headers["Tus-Extension"].split(",")


async def test_t41_an_empty_post_creates_an_upload(tus: Tus) -> None:
    """The Server MUST acknowledge a successful upload creation with the 201 Created status. The
    Server MUST set the Location header to the URL of the created resource. [T41]"""
    answer = await tus.post({"Upload-Length": "100"})

    head = await tus.head(tus.url(answer.headers["Location"]))
    assert answer.status == 201
    assert head.headers["Upload-Offset"] == "0"
    assert head.headers["Upload-Length"] == "100"


async def test_t41_every_post_creates_an_upload_of_its_own(tus: Tus) -> None:
    """An empty POST request is used to create a new upload resource. [T41]"""
    urls = {await tus.create(5) for _ in range(10)}

    assert len(urls) == 10


async def test_t41_the_location_can_be_resolved_from_anywhere(tus: Tus) -> None:
    """This URL MAY be absolute or relative: always absolute or root-relative, as clients resolve a
    relative one in different ways. [T41]"""
    answer = await tus.post({"Upload-Length": "5"})

    location = answer.headers["Location"]
    assert location.startswith(("/files/", tus.address.files))


@pytest.mark.decided_early
@pytest.mark.parametrize("headers", [{}, {"Upload-Concat": "partial"}, metadata(filename="a")])
async def test_t42_a_length_is_needed(tus: Tus, headers: Headers) -> None:
    """The request MUST include one of the following headers: a) Upload-Length to indicate the size
    of an entire upload in bytes. b) Upload-Defer-Length: 1 if upload size is not known at the
    time. [T42]"""
    answer = await tus.post(headers)

    assert answer.status == 400
    assert "location" not in answer.words


async def test_t42_both_lengths_are_one_too_many(tus: Tus) -> None:
    """The request MUST include one of the following headers. [T42]"""
    answer = await tus.post({"Upload-Length": "5", "Upload-Defer-Length": "1"})

    assert answer.status == 400
    assert "location" not in answer.words


@pytest.mark.decided_early
@pytest.mark.parametrize("value", ["2", "0", "true", "", "-1", "1, 1", "01", "1.0", "?1"])
async def test_t43_upload_defer_length_is_1(tus: Tus, value: str) -> None:
    """Upload-Defer-Length: its value MUST be 1. [T43]"""
    answer = await tus.post({"Upload-Defer-Length": value})

    assert answer.status == 400
    assert "location" not in answer.words


async def test_t44_a_length_can_be_deferred(tus: Tus) -> None:
    """If the Server supports deferring length, it MUST add creation-defer-length to the
    Tus-Extension header. [T44]"""
    options = await tus.send("OPTIONS", tus.address.files)

    answer = await tus.post({"Upload-Defer-Length": "1"})

    head = await tus.head(tus.url(answer.headers["Location"]))
    assert "creation-defer-length" in options.headers["Tus-Extension"].split(",")
    assert answer.status == 201
    assert head.headers["Upload-Defer-Length"] == "1"


async def test_t45_a_deferred_length_arrives_with_an_empty_patch(tus: Tus) -> None:
    """If the Upload-Defer-Length header is used, the Client MUST set the Upload-Length header in
    the next PATCH request, once the length is known. [T45]"""
    url = await tus.create(None)
    await tus.patch(url, 0, b"hello")

    answer = await tus.patch(url, 5, b"", {"Upload-Length": "100"})

    head = await tus.head(url)
    assert (answer.status, answer.headers["Upload-Offset"]) == (204, "5")
    assert head.headers["Upload-Length"] == "100"
    assert "upload-defer-length" not in head.words


async def test_t45_a_deferred_length_arrives_with_the_last_patch(tus: Tus) -> None:
    """The deferred length arrives with the last PATCH. [T45, design 1.5]"""
    url = await tus.create(None)
    await tus.patch(url, 0, b"hello")

    answer = await tus.patch(url, 5, b"world", {"Upload-Length": "10"})

    assert (answer.status, answer.headers["Upload-Offset"]) == (204, "10")
    assert await tus.download(url) == b"helloworld"
    assert len(await tus.listed()) == 1


async def test_t45_a_deferred_length_arrives_with_a_chunked_patch(tus: Tus) -> None:
    """The deferred length arrives with the last PATCH. [T45, design 1.5]"""
    url = await tus.create(None)
    headers = {
        "Content-Type": OCTETS,
        "Upload-Offset": "0",
        "Upload-Length": "5",
        "Transfer-Encoding": "chunked",
    }

    answers = await tus.raw("PATCH", url, headers, body=chunked(b"hel", b"lo"))

    assert [answer.status for answer in answers] == [204]
    assert await tus.download(url) == b"hello"


async def test_t45_an_upload_without_a_length_is_not_complete(tus: Tus) -> None:
    """As long as the length of the upload is not known, it is not complete. [T45]"""
    url = await tus.create(None)

    await tus.patch(url, 0, b"hello")

    assert (await tus.get(url)).status >= 400
    assert await tus.address.finished() == {}


@pytest.mark.parametrize("length", ["99", "101", "0", "5"])
async def test_t46_a_late_length_does_not_change(tus: Tus, length: str) -> None:
    """Once set, the length MUST NOT be changed. [T46]"""
    url = await tus.create(None)
    await tus.patch(url, 0, b"hello", {"Upload-Length": "100"})

    answer = await tus.patch(url, 5, b"", {"Upload-Length": length})

    head = await tus.head(url)
    assert answer.status == 400
    assert (head.headers["Upload-Length"], head.headers["Upload-Offset"]) == ("100", "5")


async def test_t46_the_same_late_length_is_no_change(tus: Tus) -> None:
    """Once set, the length MUST NOT be changed. [T46]"""
    url = await tus.create(None)
    await tus.patch(url, 0, b"hello", {"Upload-Length": "10"})

    answer = await tus.patch(url, 5, b"world", {"Upload-Length": "10"})

    assert answer.status == 204
    assert await tus.download(url) == b"helloworld"


async def test_t47_another_length_in_a_patch_is_refused(tus: Tus) -> None:
    """Once set, the length MUST NOT be changed. [T47]"""
    url = await tus.create(5)

    answer = await tus.patch(url, 0, b"hello", {"Upload-Length": "6"})

    head = await tus.head(url)
    assert answer.status == 400
    assert (head.headers["Upload-Length"], head.headers["Upload-Offset"]) == ("5", "0")


async def test_t47_the_same_length_in_a_patch_is_no_change(tus: Tus) -> None:
    """Once set, the length MUST NOT be changed. [T47]"""
    url = await tus.create(5)

    answer = await tus.patch(url, 0, b"hello", {"Upload-Length": "5"})

    assert answer.status == 204


async def test_t48_a_late_length_below_the_offset_is_refused(tus: Tus) -> None:
    """A deferred length below what was received cannot be true. [T48]"""
    url = await tus.create(None)
    await tus.patch(url, 0, b"hello")

    answer = await tus.patch(url, 5, b"", {"Upload-Length": "4"})

    head = await tus.head(url)
    assert answer.status in {400, 413}
    assert (head.headers["Upload-Offset"], head.headers["Upload-Defer-Length"]) == ("5", "1")


async def test_t48_a_late_length_below_the_body_is_refused(tus: Tus) -> None:
    """413 beyond length or limit; failure leaves the record as it was. [T48, design 2.4]"""
    url = await tus.create(None)
    await tus.patch(url, 0, b"hello")

    answer = await tus.patch(url, 5, b"world", {"Upload-Length": "9"})

    head = await tus.head(url)
    assert answer.status == 413
    assert (head.headers["Upload-Offset"], head.headers["Upload-Defer-Length"]) == ("5", "1")


async def test_t48_a_late_length_above_the_limit_is_refused(make_tus: MakeTus) -> None:
    """If the length of the upload exceeds the maximum, which MAY be specified using the
    Tus-Max-Size header, the Server MUST respond with the 413 Request Entity Too Large
    status. [T48]"""
    tus = await make_tus(MAX_UPLOAD_SIZE="10")
    url = await tus.create(None)

    answer = await tus.patch(url, 0, b"hello", {"Upload-Length": "11"})

    head = await tus.head(url)
    assert answer.status == 413
    assert (head.headers["Upload-Offset"], head.headers["Upload-Defer-Length"]) == ("0", "1")


async def test_t49_the_limit_holds_without_a_length(make_tus: MakeTus) -> None:
    """Size limit bypassed by a deferred length: 413 beyond length or limit. [T49, design 3.4]"""
    tus = await make_tus(MAX_UPLOAD_SIZE="10")
    url = await tus.create(None)
    await tus.patch(url, 0, b"hello")

    answer = await tus.patch(url, 5, b"world!")

    assert answer.status == 413
    assert await tus.offset(url) == 5


async def test_t49_the_limit_holds_for_a_chunked_body_without_a_length(make_tus: MakeTus) -> None:
    """Deferred and max size configured: the stream must be cut at max (413) although no length is
    known. [T49]"""
    tus = await make_tus(MAX_UPLOAD_SIZE="10")
    url = await tus.create(None)
    headers = {"Content-Type": OCTETS, "Upload-Offset": "0", "Transfer-Encoding": "chunked"}

    answers = await tus.raw("PATCH", url, headers, body=chunked(b"0123456789", b"!" * 100))
    offset = await tus.offset(url)

    assert [answer.status for answer in answers] == [413]
    assert 0 <= offset <= 10


async def test_t49_exactly_the_limit_works_without_a_length(make_tus: MakeTus) -> None:
    """Exactly the limit works. [T49, design 1.8]"""
    tus = await make_tus(MAX_UPLOAD_SIZE="10")
    url = await tus.create(None)
    headers = {"Content-Type": OCTETS, "Upload-Offset": "0", "Transfer-Encoding": "chunked"}

    answers = await tus.raw("PATCH", url, headers, body=chunked(b"hello", b"world"))

    assert [answer.status for answer in answers] == [204]
    assert (await tus.patch(url, 10, b"", {"Upload-Length": "10"})).status == 204
    assert await tus.download(url) == b"helloworld"


async def test_t50_a_late_length_can_complete_the_upload(tus: Tus) -> None:
    """Deferred: an empty PATCH with Upload-Length equal to the offset → 204 and the upload is
    complete. [T50]"""
    url = await tus.create(None)
    await tus.patch(url, 0, b"hello")

    answer = await tus.patch(url, 5, b"", {"Upload-Length": "5"})

    assert answer.status == 204
    assert await tus.download(url) == b"hello"
    assert len(await tus.listed()) == 1


async def test_t51_an_empty_file_is_complete_at_once(tus: Tus) -> None:
    """Upload-Length: the value MUST be a non-negative integer: an upload of 0 bytes is complete
    when it is created. [T51]"""
    answer = await tus.post({"Upload-Length": "0", **metadata(filename="empty.txt")})
    url = tus.url(answer.headers["Location"])

    head = await tus.head(url)

    assert answer.status == 201
    assert head.headers["Upload-Offset"] == head.headers["Upload-Length"] == "0"
    assert await tus.download(url) == b""
    assert filenames(await tus.address.finished()) == ["empty.txt"]
    assert len(await tus.listed()) == 1


async def test_t51_a_deferred_empty_file(tus: Tus) -> None:
    """Deferred, then Upload-Length: 0 with an empty PATCH: complete. [T50, T51]"""
    url = await tus.create(None)

    answer = await tus.patch(url, 0, b"", {"Upload-Length": "0"})

    assert answer.status == 204
    assert await tus.download(url) == b""


@pytest.mark.parametrize(
    "value", ["filename d29ybGQ=,is_confidential", "k dg==", "k", "k ,l", "a YQ==,b Yg==,c"]
)
async def test_t52_metadata_is_accepted(tus: Tus, value: str) -> None:
    """The Upload-Metadata request and response header MUST consist of one or more comma-separated
    key-value pairs. The value MAY be empty. In these cases, the space, which would normally
    separate the key and the value, MAY be left out. [T52]"""
    answer = await tus.post({"Upload-Length": "5", "Upload-Metadata": value})

    head = await tus.head(tus.url(answer.headers["Location"]))
    assert answer.status == 201
    assert head.headers["Upload-Metadata"] == value


@pytest.mark.decided_early
@pytest.mark.parametrize(
    "value",
    [
        ",k dg==",
        "k dg==,",
        "k dg==,,l dg==",
        "k dg==,k dg==",
        "k,k",
        "k !!!",
        "k dg",
        "k d",
        "a b c",
        "k dg== dg==",
        "k  dg==",
        "k dg==\u00e9",
    ],
)
async def test_t53_bad_metadata_is_refused(tus: Tus, value: str) -> None:
    """The key MUST NOT contain spaces and commas and MUST NOT be empty. The key SHOULD be ASCII
    encoded and the value MUST be Base64 encoded. All keys MUST be unique. [T53]"""
    answer = await tus.post({"Upload-Length": "5", "Upload-Metadata": value})

    assert answer.status == 400
    assert "location" not in answer.words


@pytest.mark.parametrize("value", ["", "\u00e9 dg=="])
async def test_t53_odd_metadata_is_ignored_or_refused(tus: Tus, value: str) -> None:
    """The key SHOULD be ASCII encoded; one or more pairs. [T53]"""
    answer = await tus.post({"Upload-Length": "5", "Upload-Metadata": value})

    assert answer.status in {201, 400}


HOSTILE = {
    "line break": b"a\r\nSet-Cookie: x=1\r\n\r\nb.txt",
    "null": b"a\x00b.txt",
    "parent": b"../../../etc/passwd",
    "absolute": b"/etc/passwd",
    "dots": b"..",
    "dot": b".",
    "backslash": b"..\\..\\evil.txt",
    "not UTF-8": b"\xff\xfe\xfd.bin",
    "escape": b"\x1b[31mred.txt",
    "long": b"x" * 1000 + b".txt",
    "long Unicode": "\u65e5".encode() * 400 + b".txt",
    "surrogate": b"\xed\xa0\x80.txt",
    "direction": "\u202egnp.exe".encode(),
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
async def test_t54_a_hostile_name_stays_in_its_folder(tus: Tus, name: bytes) -> None:
    """Since metadata can contain arbitrary binary values, Servers SHOULD carefully validate
    metadata values or sanitize them before using them as header values to avoid header
    smuggling. [T54]"""
    url = await tus.upload(b"hello", metadata(filename=name))

    answer = await tus.get(url)

    [stored] = await tus.address.finished()
    folder, _, filename = stored.rpartition("/")
    assert (answer.status, answer.body) == (200, b"hello")
    assert "set-cookie" not in answer.words
    assert folder == f"42/{url.rpartition('/')[2]}"
    assert len(filename.encode()) <= 255
    assert await tus.listed() == [tus.address.store.location(stored)]
    assert (await tus.delete(url)).status == 204
    assert await tus.address.finished() == {}


@pytest.mark.parametrize(
    "name",
    [
        "audio.mp3",
        "with space.txt",
        "quo\"te's.txt",
        "50%20off.txt",
        "what?.txt",
        "a#b&c=d;e,f.txt",
        "\u041e\u0442\u0447\u0451\u0442 \u2116 5.pdf",
        "\u65e5\u672c\u8a9e.txt",
        "e\u0301.txt",
        "\U0001f600.png",
        "CON",
        "-rf",
        "~",
        "$HOME",
        "*",
    ],
)
async def test_t54_a_harmless_name_stays_as_it_is(tus: Tus, name: str) -> None:
    """Names stay byte for byte when harmless (quotes, `%20`, `?`, any UTF-8). [T54, design 1.8]"""
    url = await tus.upload(b"hello", metadata(filename=name))

    upload_id = url.rpartition("/")[2]
    assert await tus.address.file("42", upload_id, name) == b"hello"
    assert await tus.listed() == [tus.address.location("42", upload_id, name)]


@pytest.mark.parametrize(
    ("values", "file_id", "filename"),
    [
        ({"filename": "a.txt", "main_service_file_id": "123"}, "123", "a.txt"),
        ({"name": "b.txt", "main_service_file_id": "0"}, "0", "b.txt"),
        ({"filename": "a.txt", "name": "b.txt", "main_service_file_id": "7"}, "7", "a.txt"),
    ],
)
async def test_metadata_says_where_the_file_ends(
    tus: Tus, values: dict[str, str], file_id: str, filename: str
) -> None:
    """Metadata `filename` (or `name`) names the file, `main_service_file_id` its file
    id. [design 1.5]"""
    await tus.upload(b"hello", metadata(**values))

    assert await tus.address.file("42", file_id, filename) == b"hello"


@pytest.mark.decided_early
@pytest.mark.parametrize("file_id", ["../7", "/7", ".", "..", "a/b", "7\x00", ".hidden", "x" * 300])
async def test_a_hostile_file_id_stays_in_its_folder(tus: Tus, file_id: str) -> None:
    """Bad input never gives a 5xx or a file outside the data folder. [T54, design 1.8]"""
    headers = metadata(filename="a.txt", main_service_file_id=file_id)

    answer = await tus.post({"Upload-Length": "0", **headers})

    assert answer.status in {201, 400}
    finished = [name.split("/") for name in await tus.address.finished()]
    assert [(len(parts), parts[0]) for parts in finished] == [(3, "42")] * (answer.status == 201)


async def test_the_same_place_again_is_replaced(tus: Tus) -> None:
    """Finishing the same user/file_id/filename again replaces atomically. [design 1.6]"""
    headers = metadata(filename="a.txt", main_service_file_id="123")
    await tus.upload(b"old content", headers)

    url = await tus.upload(b"new", headers)

    assert await tus.address.file("42", 123, "a.txt") == b"new"
    assert await tus.download(url) == b"new"
    assert await tus.listed() == [tus.address.location("42", 123, "a.txt")]


async def test_t55_more_than_the_limit_is_refused(make_tus: MakeTus) -> None:
    """If the length of the upload exceeds the maximum, which MAY be specified using the
    Tus-Max-Size header, the Server MUST respond with the 413 Request Entity Too Large
    status. [T55]"""
    tus = await make_tus(MAX_UPLOAD_SIZE="1000")

    answer = await tus.post({"Upload-Length": "1001"})

    assert answer.status == 413
    assert "location" not in answer.words


async def test_t55_exactly_the_limit_works(make_tus: MakeTus) -> None:
    """Exactly the limit works. [T55, design 1.8]"""
    tus = await make_tus(MAX_UPLOAD_SIZE="1000")

    url = await tus.upload(b"x" * 1000)

    assert await tus.download(url) == b"x" * 1000


@pytest.mark.decided_early
@pytest.mark.parametrize("media_type", MEDIA_TYPES)
async def test_t56_a_body_of_another_media_type_is_not_appended(
    tus: Tus, media_type: str | None
) -> None:
    """The Client MUST include the Content-Type: application/offset+octet-stream header: 415 wrong
    media type. [T56, T61, design 1.5]"""
    answer = await tus.post({"Upload-Length": "5", "Content-Type": media_type}, b"hello")

    assert answer.status == 415
    assert "location" not in answer.words
    assert await tus.address.finished() == {}


@pytest.mark.decided_early
@pytest.mark.parametrize("media_type", MEDIA_TYPES)
async def test_t56_an_empty_post_may_have_any_media_type(tus: Tus, media_type: str | None) -> None:
    """An empty POST request is used to create a new upload resource. [T56]"""
    answer = await tus.post({"Upload-Length": "5", "Content-Type": media_type}, b"")

    assert answer.status == 201


async def test_t56_a_form_is_no_upload(tus: Tus) -> None:
    """HTML form POST etc. → 4xx. [T56]"""
    headers: Headers = {
        "Tus-Resumable": None,
        "Content-Type": "application/x-www-form-urlencoded",
    }

    answer = await tus.post(headers, b"a=b")

    assert 400 <= answer.status < 500
    assert "location" not in answer.words


async def test_t57_post_to_an_upload_is_refused(tus: Tus) -> None:
    """The Client MUST send a POST request against a known upload creation URL to request a new
    upload resource. [T57]"""
    url = await tus.create(5)

    answer = await tus.send("POST", url, {"Upload-Length": "5", "Content-Type": OCTETS}, b"hello")

    assert answer.status in {404, 405}
    assert "location" not in answer.words
    assert await tus.offset(url) == 0


@pytest.mark.decided_early
@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE", "PUT"])
async def test_t57_the_creation_url_is_no_upload(tus: Tus, method: str) -> None:
    """The Client MUST send a POST request against a known upload creation URL. [T57]"""
    headers = {"Content-Type": OCTETS, "Upload-Offset": "0"}

    answer = await tus.send(method, tus.address.files, headers)

    assert answer.status in {404, 405}
    assert (answer.status == 405) == ("allow" in answer.words)


@pytest.mark.parametrize("prefix", ["https://up.example.com/api", "https://up.example.com/api/"])
async def test_location_under_a_public_url(make_tus: MakeTus, prefix: str) -> None:
    """PUBLIC_URL: absolute prefix of Location. [T41, design 1.3]"""
    tus = await make_tus(PUBLIC_URL=prefix)

    answer = await tus.post({"Upload-Length": "5", "X-Forwarded-Host": "evil.example"})

    location = answer.headers["Location"]
    assert location.startswith("https://up.example.com/api/files/")
    assert await tus.offset(tus.address.files + location.rpartition("/")[2]) == 0


FORWARDED: dict[str, tuple[Headers, str]] = {
    "proto": (
        {"Host": "up.example.com", "X-Forwarded-Proto": "https"},
        "https://up.example.com/files/",
    ),
    "proto and host": (
        {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "up.example.com"},
        "https://up.example.com/files/",
    ),
    "port": (
        {
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "up.example.com",
            "X-Forwarded-Port": "8443",
        },
        "https://up.example.com:8443/files/",
    ),
    "usual port": (
        {
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "up.example.com",
            "X-Forwarded-Port": "443",
        },
        "https://up.example.com/files/",
    ),
    "host with port": (
        {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "up.example.com:8443"},
        "https://up.example.com:8443/files/",
    ),
    "prefix": (
        {
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "up.example.com",
            "X-Forwarded-Prefix": "/api",
        },
        "https://up.example.com/api/files/",
    ),
    "address": (
        {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "[::1]:8443"},
        "https://[::1]:8443/files/",
    ),
    "RFC 7239": (
        {"Forwarded": "for=192.0.2.60;proto=https;host=up.example.com"},
        "https://up.example.com/files/",
    ),
    "RFC 7239, quoted": (
        {"Forwarded": 'For="[2001:db8::1]:47011"; Proto=https; Host="up.example.com:8443"'},
        "https://up.example.com:8443/files/",
    ),
}


@pytest.mark.decided_early
@pytest.mark.parametrize("proxies", ["127.0.0.1", "10.0.0.0/8, 127.0.0.0/8", "*"])
async def test_location_behind_a_trusted_proxy(make_tus: MakeTus, proxies: str) -> None:
    """TRUSTED_PROXIES: addresses (CIDR) whose Forwarded / X-Forwarded-{For,Proto,Host,Port,Prefix}
    are believed; `*` for all. [T41, design 1.3]"""
    tus = await make_tus(TRUSTED_PROXIES=proxies)
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "up.example.com"}

    answer = await tus.post({"Upload-Length": "5", **headers})

    assert answer.headers["Location"].startswith("https://up.example.com/files/")


@pytest.mark.decided_early
@pytest.mark.parametrize(("headers", "start"), FORWARDED.values(), ids=FORWARDED)
async def test_location_follows_what_the_proxy_says(
    make_tus: MakeTus, headers: Headers, start: str
) -> None:
    """A Location that is wrong behind a proxy. [T41, design 1.3, design 3.4]"""
    tus = await make_tus(TRUSTED_PROXIES="127.0.0.1/32")

    answer = await tus.post({"Upload-Length": "5", **headers})

    location = answer.headers["Location"]
    assert location.startswith(start)
    assert await tus.offset(tus.address.files + location.rpartition("/")[2]) == 0


@pytest.mark.parametrize("settings", [{}, {"TRUSTED_PROXIES": "192.0.2.0/24"}])
async def test_location_of_a_stranger_is_not_believed(
    make_tus: MakeTus, settings: dict[str, str]
) -> None:
    """TRUSTED_PROXIES: none by default. [T41, design 1.3]"""
    tus = await make_tus(**settings)

    answers = [
        await tus.post({"Upload-Length": "5", **headers, "Host": None})
        for headers, _ in FORWARDED.values()
    ]

    urls = [tus.url(answer.headers["Location"]) for answer in answers]
    assert all(url.startswith(tus.address.files) for url in urls)


@pytest.mark.decided_early
@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Proto": "javascript"},
        {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "a b/c?d#e"},
        {"X-Forwarded-Host": "http://[::1"},
        {"X-Forwarded-Host": "up.example.com", "X-Forwarded-Port": "99999999"},
        {"X-Forwarded-Host": "up.example.com", "X-Forwarded-Port": "abc"},
        {"X-Forwarded-Host": "up.example.com:abc"},
        {"X-Forwarded-Host": ""},
        {"X-Forwarded-Prefix": "//evil.example"},
        {"X-Forwarded-Prefix": "no-slash"},
        {"X-Forwarded-For": "not an address"},
        {"Forwarded": "nonsense"},
        {"Forwarded": 'host="unclosed'},
        {"Forwarded": ";;;,,,"},
        {"Forwarded": "proto=javascript;host=up.example.com"},
        {"Host": "[::1"},
    ],
)
async def test_location_survives_a_confused_proxy(make_tus: MakeTus, headers: Headers) -> None:
    """Bad input never gives a 5xx. [T41, design 1.8]"""
    tus = await make_tus(TRUSTED_PROXIES="*")

    answer = await tus.post({"Upload-Length": "5", **headers})

    assert answer.status in {201, 400}
    assert not answer.headers.get("Location", "").startswith(("//", "javascript"))


async def test_location_of_the_first_proxy_in_a_chain(make_tus: MakeTus) -> None:
    """Behind two trusted proxies the Location is the one the client asked for. [T41,
    design 1.3]"""
    tus = await make_tus(TRUSTED_PROXIES="127.0.0.1,10.0.0.0/8")
    headers = {
        "X-Forwarded-For": "203.0.113.7, 10.1.1.1",
        "X-Forwarded-Proto": "https, http",
        "X-Forwarded-Host": "up.example.com, inner.example.com",
    }

    answer = await tus.post({"Upload-Length": "5", **headers})

    assert answer.headers["Location"].startswith("https://up.example.com/files/")


async def test_long_metadata_is_accepted(tus: Tus) -> None:
    """The field limit (8190 bytes) must be raised for long Upload-Concat and
    Upload-Metadata. [T52, design 3.2]"""
    value = f"filename YQ==,thumbnail {base64_of(b'x' * 9000)}"
    url = await tus.create(5, {"Upload-Metadata": value})

    async with connected(tus.address) as connection:
        await connection.send(tus.wire("HEAD", url, {}))
        answer = await connection.head()

    assert answer.headers["Upload-Metadata"] == value
