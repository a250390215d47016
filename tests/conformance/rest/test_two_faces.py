"""One upload seen from REST and from tus (design.md 1.4, last bullet; 1.8)."""

from base64 import b64encode

import pytest

from tests.conformance.rest.client import (
    CHUNK_STORED,
    RestClient,
    assert_error,
)


def metadata(name: str = "audio.mp3", file_id: int = 123) -> str:
    """The Upload-Metadata that gives a tus upload the place of a REST upload."""
    fields = {"filename": name, "main_service_file_id": str(file_id)}
    return ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in fields.items())


async def finished(rest: RestClient, upload_id: str, total: int) -> bytes:
    """Complete an upload over REST and return what was stored."""
    return await rest.stored(await rest.complete(upload_id, total))


# --- a REST session on the tus face -----------------------------------------------------------


async def test_session_is_an_upload_of_unknown_length(rest: RestClient) -> None:
    """A session is an upload: its id works on the tus face (`/files/<id>`)."""
    upload_id = await rest.init()
    answer = await rest.tus("HEAD", upload_id)

    assert answer.status == 200
    assert answer.headers["Upload-Offset"] == "0"
    assert answer.headers["Upload-Defer-Length"] == "1"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Upload-Length" not in answer.headers


async def test_offset_is_the_bytes_without_a_gap(rest: RestClient) -> None:
    """HEAD shows as Upload-Offset the bytes of the chunks without a gap from index 0."""
    upload_id = await rest.init()
    offsets = []
    for index, content in ((2, b"cc"), (0, b"a"), (4, b"eeeee"), (1, b"bbb"), (3, b"")):
        await rest.chunk(upload_id, index, content)
        offsets.append(await rest.offset(upload_id))

    assert offsets == [0, 1, 1, 6, 11]


async def test_finished_session_is_a_complete_upload(rest: RestClient) -> None:
    """Once HEAD says offset == length the final file exists and is listed."""
    upload_id = await rest.uploaded(b"hello ", b"world")
    head = await rest.tus("HEAD", upload_id)
    download = await rest.tus("GET", upload_id)

    assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == ("11", "11")
    assert "Upload-Defer-Length" not in head.headers
    assert (download.status, download.body) == (200, b"hello world")


async def test_patched_bytes_are_one_next_chunk(rest: RestClient) -> None:
    """Bytes PATCHed at that offset, in however many requests, count as one next chunk."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"zero ")
    patches = [
        await rest.patch(upload_id, 5, b"o"),
        await rest.patch(upload_id, 6, b"n"),
        await rest.patch(upload_id, 7, b"e "),
    ]
    chunk = await rest.chunk(upload_id, 2, b"two")

    assert [answer.status for answer in patches] == [204, 204, 204]
    assert [answer.headers["Upload-Offset"] for answer in patches] == ["6", "7", "9"]
    assert chunk.json() == CHUNK_STORED
    assert await rest.offset(upload_id) == 12
    assert await finished(rest, upload_id, 3) == b"zero one two"


async def test_patched_bytes_may_be_the_first_chunk(rest: RestClient) -> None:
    """Without chunks the offset is 0, and bytes PATCHed there are chunk 0."""
    upload_id = await rest.init()
    await rest.patch(upload_id, 0, b"zero ")
    await rest.chunk(upload_id, 1, b"one")

    assert await finished(rest, upload_id, 2) == b"zero one"


async def test_patched_bytes_may_be_the_last_chunk(rest: RestClient) -> None:
    """`complete` counts the PATCHed bytes as one chunk at the end too."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"zero ")
    await rest.patch(upload_id, 5, b"o")
    await rest.patch(upload_id, 6, b"ne")
    missing = await rest.complete(upload_id, 3)
    wrong = await rest.complete(upload_id, 1)

    assert_error(missing, 409, "missing_chunks")
    assert missing.json()["missing"] == [2]
    assert_error(wrong, 409, "chunk_count_mismatch")
    assert await finished(rest, upload_id, 2) == b"zero one"


async def test_patches_and_chunks_may_alternate(rest: RestClient) -> None:
    """Each run of PATCHes between two chunks is one chunk."""
    upload_id = await rest.init()
    await rest.patch(upload_id, 0, b"0")
    await rest.patch(upload_id, 1, b"0")
    await rest.chunk(upload_id, 1, b"11")
    await rest.patch(upload_id, 4, b"2")
    await rest.patch(upload_id, 5, b"2")
    await rest.chunk(upload_id, 3, b"33")
    await rest.chunk(upload_id, 4, b"44")

    assert await finished(rest, upload_id, 5) == b"0011223344"


async def test_patched_bytes_close_the_gap_for_a_chunk_that_waits(rest: RestClient) -> None:
    """A chunk that waits behind the PATCHed bytes becomes part of the file, not later than at
    `complete`."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"zero ")
    await rest.chunk(upload_id, 2, b"two")
    patch = await rest.patch(upload_id, 5, b"one ")

    assert patch.status == 204
    assert patch.headers["Upload-Offset"] == "9"
    assert await finished(rest, upload_id, 3) == b"zero one two"


async def test_patched_chunk_sent_again_over_rest(rest: RestClient) -> None:
    """The same bytes again are a success; other bytes for an index of the file are a 409."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"zero ")
    await rest.patch(upload_id, 5, b"on")
    await rest.patch(upload_id, 7, b"e ")
    await rest.chunk(upload_id, 2, b"two")
    same = await rest.chunk(upload_id, 1, b"one ")
    other = await rest.chunk(upload_id, 1, b"ONE ")

    assert same.json() == CHUNK_STORED
    assert_error(other, 409, "chunk_conflict")
    assert await finished(rest, upload_id, 3) == b"zero one two"


async def test_empty_patch_is_no_chunk(rest: RestClient) -> None:
    """A PATCH without bytes adds nothing, so it counts as no chunk."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"zero ")
    patch = await rest.patch(upload_id, 5, b"")
    await rest.chunk(upload_id, 1, b"one")

    assert (patch.status, patch.headers["Upload-Offset"]) == (204, "5")
    assert await finished(rest, upload_id, 2) == b"zero one"


async def test_patch_elsewhere_is_409(rest: RestClient) -> None:
    """A PATCH goes on at the bytes without a gap, not behind a chunk that waits."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"zero ")
    await rest.chunk(upload_id, 2, b"two")
    statuses = [(await rest.patch(upload_id, offset, b"x")).status for offset in (0, 4, 6, 8)]

    assert statuses == [409, 409, 409, 409]
    assert await rest.offset(upload_id) == 5


async def test_length_declared_over_tus_completes_a_session(rest: RestClient) -> None:
    """A session completed over tus is complete over REST: same place, same answer."""
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, b"hello ")
    await rest.patch(upload_id, 6, b"world", {"Upload-Length": "11"})
    listed = await rest.files()
    answer = await rest.complete(upload_id, 2)

    location = rest.server.location("42", 123, "audio.mp3")
    assert listed == [location]
    assert answer.data == {"file_path_on_upload_service": location}
    assert await rest.fetched(location) == b"hello world"


async def test_session_deleted_over_tus_is_gone_over_rest(rest: RestClient) -> None:
    """One upload, one end."""
    marker = b"bytes to look for"
    upload_id = await rest.init()
    await rest.chunk(upload_id, 0, marker)
    await rest.chunk(upload_id, 2, marker)
    deleted = await rest.tus("DELETE", upload_id)
    answers = [await rest.chunk(upload_id, 1, b"x"), await rest.complete(upload_id, 3)]

    assert deleted.status == 204
    assert {answer.status for answer in answers} <= {404, 410}
    assert await rest.server.holding(marker) == []


async def test_patch_does_not_change_a_finished_session(rest: RestClient) -> None:
    """A finished file does not grow."""
    upload_id = await rest.uploaded(b"hello")
    answer = await rest.patch(upload_id, 5, b" world")

    assert answer.status in {400, 403, 409, 413}
    assert await rest.server.file("42", 123, "audio.mp3") == b"hello"


# --- a tus upload over REST -------------------------------------------------------------------


async def test_deferred_tus_upload_takes_chunks(rest: RestClient) -> None:
    """A deferred tus upload takes REST chunks."""
    upload_id = await rest.create({"Upload-Defer-Length": "1", "Upload-Metadata": metadata()})
    await rest.chunk(upload_id, 1, b"world")
    await rest.chunk(upload_id, 0, b"hello ")
    answer = await rest.complete(upload_id, 2)

    location = rest.server.location("42", 123, "audio.mp3")
    assert answer.data == {"file_path_on_upload_service": location}
    assert await rest.fetched(location) == b"hello world"


async def test_deferred_tus_upload_that_has_bytes_takes_chunks(rest: RestClient) -> None:
    """Its bytes so far are chunk 0."""
    upload_id = await rest.create({"Upload-Defer-Length": "1", "Upload-Metadata": metadata()})
    await rest.patch(upload_id, 0, b"hel")
    await rest.patch(upload_id, 3, b"lo ")
    await rest.chunk(upload_id, 1, b"world")

    assert await finished(rest, upload_id, 2) == b"hello world"


async def test_complete_on_a_full_tus_upload_answers_its_path(rest: RestClient) -> None:
    """`complete` on a full tus upload answers its path."""
    upload_id = await rest.create({"Upload-Length": "11", "Upload-Metadata": metadata()})
    await rest.patch(upload_id, 0, b"hello ")
    await rest.patch(upload_id, 6, b"world")
    answers = [await rest.complete(upload_id, 1) for _ in range(2)]

    location = rest.server.location("42", 123, "audio.mp3")
    assert [a.json() for a in answers] == [
        {
            "status": "success",
            "message": "File upload completed.",
            "data": {"file_path_on_upload_service": location},
        }
    ] * 2
    assert await rest.fetched(location) == b"hello world"


async def test_complete_on_an_unfinished_tus_upload_is_409(rest: RestClient) -> None:
    """A tus upload of known length is not complete before its last byte; nothing is lost."""
    upload_id = await rest.create({"Upload-Length": "11", "Upload-Metadata": metadata()})
    await rest.patch(upload_id, 0, b"hello ")
    refused = await rest.complete(upload_id, 1)
    await rest.patch(upload_id, 6, b"world")
    answer = await rest.complete(upload_id, 1)

    assert refused.status == 409
    assert refused.json()["status"] == "error"
    assert answer.status == 200
    assert await rest.server.file("42", 123, "audio.mp3") == b"hello world"


async def test_id_mismatch_of_a_tus_upload_is_409(rest: RestClient) -> None:
    """The file id of a tus upload is what its metadata says."""
    upload_id = await rest.create({"Upload-Length": "5", "Upload-Metadata": metadata()})
    await rest.patch(upload_id, 0, b"hello")
    answer = await rest.complete(upload_id, 1, 124)

    assert_error(answer, 409, "id_mismatch")


async def test_tus_upload_without_a_file_id_is_filed_under_its_own(rest: RestClient) -> None:
    """file_id = main_service_file_id or the upload id."""
    name = b64encode(b"a.txt").decode()
    upload_id = await rest.create({"Upload-Length": "1", "Upload-Metadata": f"name {name}"})
    await rest.patch(upload_id, 0, b"x")

    assert await rest.server.file("42", upload_id, "a.txt") == b"x"


@pytest.mark.parametrize("full", [False, True])
async def test_tus_upload_can_be_deleted_over_rest(rest: RestClient, full: bool) -> None:
    """A tus upload can be listed and deleted over REST."""
    upload_id = await rest.create({"Upload-Length": "5", "Upload-Metadata": metadata()})
    await rest.patch(upload_id, 0, b"hello" if full else b"he")
    listed = await rest.files()
    answer = await rest.delete(upload_id)
    head = await rest.tus("HEAD", upload_id)

    location = rest.server.location("42", 123, "audio.mp3")
    assert listed == ([location] if full else [])
    assert answer.status == 200
    assert head.status in {404, 410}
    assert await rest.files() == []
    assert await rest.server.fetch(location) is None


async def test_the_same_place_over_the_other_face_is_replaced(rest: RestClient) -> None:
    """Finishing the same user/file_id/filename again replaces atomically, also across faces."""
    older = await rest.uploaded(b"over rest")
    newer = await rest.create({"Upload-Length": "8", "Upload-Metadata": metadata()})
    await rest.patch(newer, 0, b"over tus")
    gone = await rest.complete(older, 1)

    location = rest.server.location("42", 123, "audio.mp3")
    assert gone.status in {404, 410}
    assert await rest.fetched(location) == b"over tus"
    assert await rest.files() == [location]


async def test_another_users_upload_is_unknown_on_the_other_face(rest: RestClient) -> None:
    """Every upload belongs to its user on every verb of every face."""
    over_rest = await rest.uploaded(b"x")
    over_tus = await rest.create({"Upload-Length": "5"})
    stranger = RestClient(http=rest.http, server=rest.server, user="43")
    statuses = [
        (await stranger.tus("HEAD", over_rest)).status,
        (await stranger.tus("GET", over_rest)).status,
        (await stranger.tus("DELETE", over_rest)).status,
        (await stranger.patch(over_rest, 0, b"x")).status,
        (await stranger.chunk(over_tus, 0, b"x")).status,
        (await stranger.complete(over_tus, 1)).status,
        (await stranger.delete(over_tus)).status,
    ]

    assert statuses == [404] * 7
    assert len(await rest.files()) == 1
    assert await rest.offset(over_tus) == 0


async def test_complete_on_a_concatenated_upload_answers_its_path(rest: RestClient) -> None:
    """`complete` on a full tus upload answers its path, also when it was put together of parts."""
    part = {"Upload-Concat": "partial", "Upload-Length": "5"}
    parts = [await rest.create(part), await rest.create(part)]
    await rest.patch(parts[0], 0, b"hello")
    await rest.patch(parts[1], 0, b"world")
    urls = " ".join(f"/files/{each}" for each in parts)
    whole = await rest.create({"Upload-Concat": f"final;{urls}", "Upload-Metadata": metadata()})

    assert await finished(rest, whole, 1) == b"helloworld"
