"""The SHA-256 of whole files over REST: told in lists and answers, checked when init says one."""

import base64
import hashlib

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient, assert_error
from tests.conftest import MakeServer

MIB = 1 << 20
HELLO = hashlib.sha256(b"hello world").digest()


async def init(rest: RestClient, sha256: object) -> str:
    """Open an upload that claims a digest."""
    fields = {"main_service_file_id": 123, "original_file_name": "audio.mp3", "sha256": sha256}
    answer = await rest.post("/upload/init", fields)
    assert answer.status == 200, answer.body
    return str(answer.data["upload_session_id"])


async def described(rest: RestClient) -> dict[str, object]:
    """The one upload of the list."""
    uploads = (await rest.listing()).json()["uploads"]
    assert isinstance(uploads, list)
    [one] = uploads
    assert isinstance(one, dict)
    return one


async def test_no_digest_unless_asked_for(rest: RestClient) -> None:
    """Without the setting answers are as they always were, and the list says null."""
    upload_id = await rest.uploaded(b"hello", b" world")
    answer = await rest.complete(upload_id, 2)

    assert set(answer.data) == {"file_path_on_upload_service"}
    assert (await described(rest))["sha256"] is None


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]], ids=str)
async def test_chunks_in_any_order(
    http: aiohttp.ClientSession, make_server: MakeServer, order: list[int]
) -> None:
    """The answer of complete, each time, and the list tell the digest in hexadecimal."""
    rest = RestClient(http=http, server=await make_server(DIGEST="sha256"))
    chunks = [bytes([index]) * 6 * MIB for index in range(3)]
    upload_id = await rest.init()
    for index in order:
        assert (await rest.chunk(upload_id, index, chunks[index])).status == 200
    assert (await rest.chunk(upload_id, 0, chunks[0])).status == 200
    answers = [await rest.complete(upload_id, 3) for _ in range(2)]

    right = hashlib.sha256(b"".join(chunks)).hexdigest()
    assert [answer.data["sha256"] for answer in answers] == [right, right]
    assert (await described(rest))["sha256"] == right
    assert hashlib.sha256(await rest.stored(answers[0])).hexdigest() == right


async def test_both_faces(http: aiohttp.ClientSession, make_server: MakeServer) -> None:
    """Chunks and PATCHes make one file, with one digest."""
    rest = RestClient(http=http, server=await make_server(DIGEST="sha256"))
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"hel")
    await rest.patch(upload_id, 3, b"lo wo")
    await rest.chunk(upload_id, 2, b"rld")
    answer = await rest.complete(upload_id, 3)

    assert answer.data["sha256"] == HELLO.hex()


@pytest.mark.parametrize("value", [HELLO.hex(), base64.b64encode(HELLO).decode()], ids=len)
async def test_a_right_claim(rest: RestClient, value: str) -> None:
    """init takes the digest in hexadecimal or in Base64."""
    upload_id = await init(rest, value)
    await rest.chunk(upload_id, 1, b" world")
    await rest.chunk(upload_id, 0, b"hello")
    answer = await rest.complete(upload_id, 2)

    assert answer.data["sha256"] == HELLO.hex()


@pytest.mark.parametrize("size", [5, 12 * MIB])
async def test_a_wrong_claim_is_460(rest: RestClient, size: int) -> None:
    """complete refuses it with a stable word, each time; nothing is listed, nothing lies at its
    place, and it can be deleted."""
    upload_id = await init(rest, HELLO.hex())
    await rest.chunk(upload_id, 0, bytes(size))
    answers = [await rest.complete(upload_id, 1) for _ in range(2)]
    head = await rest.tus("HEAD", upload_id)
    files, finished = await rest.files(), await rest.server.finished()
    deleted = await rest.delete(upload_id)

    for answer in answers:
        assert_error(answer, 460, "digest_mismatch")
    assert head.status == 460
    assert (files, finished, deleted.status) == ([], {}, 200)


@pytest.mark.parametrize("make_store", ["local"], indirect=True)
@pytest.mark.parametrize(
    "value",
    ["", "abc", 5, True, ["x"], {}, "g" * 64, "é" * 32, "\ud800" * 32, HELLO.hex()[:32]],
    ids=ascii,
)
async def test_a_malformed_claim_is_refused(rest: RestClient, value: object) -> None:
    """What cannot be a SHA-256 is 400, and nothing is created."""
    fields = {"main_service_file_id": 123, "original_file_name": "audio.mp3", "sha256": value}
    answer = await rest.post("/upload/init", fields)

    assert_error(answer, 400, "bad_request")
    assert await rest.server.size() == 0


async def test_null_claims_nothing(rest: RestClient) -> None:
    """null is as if the field were not there."""
    upload_id = await init(rest, None)
    await rest.chunk(upload_id, 0, b"hello")

    assert (await rest.complete(upload_id, 1)).status == 200
