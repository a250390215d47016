"""The pure rules of uploads, in protocol order."""

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.uploads import LIFE, NOW, UPLOAD, chunk, completed
from tusd_py.errors import BadRequest, Forbidden, OffsetMismatch, TooLarge, UploadGone
from tusd_py.upload import (
    Append,
    Chunk,
    End,
    Ending,
    Final,
    NewUpload,
    Partial,
    Upload,
    accept,
    is_upload_id,
    new_upload,
    patched,
    require_alive,
    require_within,
    room,
    shrunk,
    upload_id_of,
    upload_key,
    with_chunk,
)

FINAL = replace(UPLOAD, concat=Final(partials=("a",), header="final;a"), length=10)
DEFERRED = replace(UPLOAD, length=None, offset=4)


@pytest.mark.parametrize("text", [str(uuid.UUID(int=1)), "1b4dc0e0-e6f3-11f1-bf1f-02fc00000001"])
def test_ids_are_uuids(text: str) -> None:
    """An id that this server made, or took over from another, is recognized."""
    assert is_upload_id(str(uuid.uuid4()))
    assert is_upload_id(text)


def test_an_id_without_dashes_is_the_same_one() -> None:
    """tusd spells its ids so."""
    there, here = "8550270294884b9bbf6113ec549432fd", "85502702-9488-4b9b-bf61-13ec549432fd"

    assert upload_id_of(there) == here


@pytest.mark.parametrize(
    "text",
    [
        "",
        "85502702-9488-4b9b-bf61-13ec549432fd",
        "8550270294884B9BBF6113EC549432FD",
        "8550270294884b9bbf6113ec549432fd\n",
        "../0270294884b9bbf6113ec549432fd",
    ],
)
def test_any_other_text_stays_as_it_is(text: str) -> None:
    """What is no such number is not made one."""
    assert upload_id_of(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "0E6ADBED-05CF-42B3-B3F5-BF6D0A14D003",
        "4653417d-4356-4927-b2ec-18cd8b91c582\n",
        "../aafda5db-1d42-4b43-9ad6-dbc5ab008f1c",
        "8550270294884b9bbf6113ec549432fd",
        "{c6dfaf78-46dd-49dd-8272-17c5a1c14954}",
    ],
)
def test_other_ids_are_refused(text: str) -> None:
    """No other text is an id, so none reaches a path."""
    assert not is_upload_id(text)


@pytest.mark.parametrize("file_id", ["", ".", "..", "a/b", "a\\b", "a\nb", "x" * 256])
def test_a_file_id_is_a_path_segment(file_id: str) -> None:
    """A file id that cannot be a folder is refused by name."""
    with pytest.raises(BadRequest, match="main_service_file_id"):
        NewUpload(owner="42", filename="a", declared_file_id=file_id)


def test_the_first_snapshot() -> None:
    """A new upload has no bytes, expires in time, and is filed under its id when none is given."""
    new = NewUpload(owner="42", filename=None, length=7)
    upload = new_upload(new, upload_id="id", now=NOW, expires_after=LIFE)

    assert (upload.offset, upload.length, upload.chunks) == (0, 7, ())
    assert upload.expires_at == NOW + LIFE
    assert upload.place == "42/id/id"


def test_the_place_of_a_file() -> None:
    """user/file_id/filename."""
    assert UPLOAD.place == "42/123/audio.mp3"


# --- accept: Forbidden, OffsetMismatch, BadRequest, TooLarge


def test_an_append_is_accepted() -> None:
    """Bytes for the present offset that fit are welcome."""
    upload = replace(UPLOAD, offset=4)

    assert accept(upload, Append(offset=4, size=6), max_size=None) == upload


def test_an_empty_append_to_a_full_upload_is_accepted() -> None:
    """Nothing more at the right offset is a success."""
    upload = replace(UPLOAD, offset=10)

    assert accept(upload, Append(offset=10, size=0), max_size=10) == upload


def test_a_concatenated_upload_refuses_first() -> None:
    """A final upload is Forbidden, whatever else is wrong."""
    with pytest.raises(Forbidden):
        accept(FINAL, Append(offset=99, size=99, length=5), max_size=1)


@pytest.mark.parametrize("offset", [0, 3, 5, 99])
def test_another_offset_is_a_mismatch_before_all_sizes(offset: int) -> None:
    """The offset is compared before length and size are, and the right one is told."""
    with pytest.raises(OffsetMismatch) as caught:
        accept(DEFERRED, Append(offset=offset, size=99, length=1), max_size=1)

    assert caught.value.expected == 4


def test_a_deferred_length_is_told_by_an_append() -> None:
    """The length that an append brings is part of the accepted upload."""
    accepted = accept(DEFERRED, Append(offset=4, size=6, length=10), max_size=10)

    assert accepted == replace(DEFERRED, length=10)


def test_the_same_length_again_is_no_change() -> None:
    """A known length may be repeated."""
    assert accept(UPLOAD, Append(offset=0, size=1, length=10), max_size=None) == UPLOAD


def test_a_known_length_does_not_change() -> None:
    """Another length than the known one is a BadRequest, before the size is looked at."""
    with pytest.raises(BadRequest, match="10"):
        accept(UPLOAD, Append(offset=0, size=99, length=11), max_size=None)


def test_a_length_below_the_offset_is_refused() -> None:
    """A length that is less than what came already is a BadRequest."""
    with pytest.raises(BadRequest, match="4"):
        accept(DEFERRED, Append(offset=4, size=0, length=3), max_size=None)


def test_a_length_at_the_offset_completes() -> None:
    """A length that is exactly what came already makes the upload full."""
    assert accept(DEFERRED, Append(offset=4, size=0, length=4), max_size=None).is_full


def test_a_length_over_the_limit_is_too_large() -> None:
    """A deferred length is held to the limit of the server, too."""
    with pytest.raises(TooLarge, match="at most 9"):
        accept(DEFERRED, Append(offset=4, size=0, length=10), max_size=9)


@pytest.mark.parametrize("size", [7, 10**18])
def test_bytes_beyond_the_length_are_too_large(size: int) -> None:
    """A body that is known to go beyond the length is refused before it is read."""
    with pytest.raises(TooLarge, match="6"):
        accept(replace(UPLOAD, offset=4), Append(offset=4, size=size), max_size=None)


def test_bytes_beyond_the_limit_are_too_large() -> None:
    """A deferred upload is held to the limit of the server."""
    with pytest.raises(TooLarge, match="6"):
        accept(DEFERRED, Append(offset=4, size=7), max_size=10)


def test_bytes_beyond_a_length_that_came_along_are_too_large() -> None:
    """The length an append brings counts for its own body."""
    with pytest.raises(TooLarge):
        accept(DEFERRED, Append(offset=4, size=7, length=10), max_size=None)


def test_a_body_of_unknown_size_is_accepted() -> None:
    """Chunked bodies are measured while they are read."""
    assert accept(UPLOAD, Append(offset=0, size=None), max_size=5) == UPLOAD


# --- room and limits


@pytest.mark.parametrize(
    ("length", "max_size", "offset", "expected"),
    [
        (None, None, 4, None),
        (10, None, 4, 6),
        (None, 8, 4, 4),
        (10, 8, 4, 4),
        (8, 10, 4, 4),
        (10, None, 10, 0),
        (None, 3, 4, 0),
    ],
)
def test_room(length: int | None, max_size: int | None, offset: int, expected: int | None) -> None:
    """What still fits is bounded by the length and by the limit, and never negative."""
    assert room(replace(UPLOAD, length=length, offset=offset), max_size) == expected


@pytest.mark.parametrize(("length", "max_size"), [(10, None), (10, 10), (0, 0)])
def test_exactly_the_limit_is_within(length: int, max_size: int | None) -> None:
    """Exactly the limit works."""
    require_within(length, max_size)


def test_one_byte_more_is_not_within() -> None:
    """One byte more than the limit does not."""
    with pytest.raises(TooLarge, match="at most 10 bytes"):
        require_within(11, 10)


# --- life


def test_an_upload_is_alive_up_to_its_end() -> None:
    """Expired is a comparison: one moment before, the upload is alive."""
    require_alive(UPLOAD, now=UPLOAD.expires_at - timedelta(microseconds=1))


def test_an_upload_expires() -> None:
    """At its end it is gone."""
    with pytest.raises(UploadGone, match="expired"):
        require_alive(UPLOAD, now=UPLOAD.expires_at)


def test_a_finished_file_does_not_expire() -> None:
    """A file stays for ever."""
    require_alive(completed(UPLOAD), now=UPLOAD.expires_at + timedelta(days=9999))


def test_a_finished_partial_upload_expires() -> None:
    """A partial upload is no file of its own: it expires whether finished or not."""
    partial = completed(replace(UPLOAD, concat=Partial()))

    with pytest.raises(UploadGone):
        require_alive(partial, now=UPLOAD.expires_at)


@pytest.mark.parametrize("why", End)
def test_an_ended_upload_is_gone(why: End) -> None:
    """An upload that ended is gone, and the reason is told."""
    ended = completed(replace(UPLOAD, ending=Ending(why=why, at=NOW)))

    with pytest.raises(UploadGone, match=why.value):
        require_alive(ended, now=NOW)


@pytest.mark.parametrize(
    ("upload", "is_file"),
    [
        (UPLOAD, False),
        (replace(UPLOAD, offset=10), False),
        (completed(UPLOAD), True),
        (completed(FINAL), True),
        (completed(replace(UPLOAD, concat=Partial())), False),
        (completed(replace(UPLOAD, ending=Ending(why=End.TERMINATED, at=NOW))), False),
    ],
)
def test_what_is_a_file(upload: Upload, is_file: bool) -> None:
    """A file is complete, not ended, and not partial."""
    assert upload.is_file is is_file


@pytest.mark.parametrize(
    ("offset", "length", "is_full"),
    [(0, 0, True), (9, 10, False), (10, 10, True), (0, None, False)],
)
def test_what_is_full(offset: int, length: int | None, is_full: bool) -> None:
    """Full is offset == length; a deferred upload never is."""
    assert replace(UPLOAD, offset=offset, length=length).is_full is is_full


# --- growing


def test_patched_bytes_count_as_one_chunk() -> None:
    """However many PATCHes bring them, bytes in a row are one chunk."""
    upload = UPLOAD
    for size in (3, 0, 4):
        upload = patched(upload, size, now=NOW, expires_after=LIFE)

    assert upload.offset == 7
    assert upload.chunks == (Chunk(size=7, digest=None),)


def test_a_chunk_closes_a_run_of_patches() -> None:
    """A REST chunk ends the run; later PATCHes begin another chunk."""
    upload = patched(UPLOAD, 2, now=NOW, expires_after=LIFE)
    upload = with_chunk(upload, chunk(b"abc"), now=NOW, expires_after=LIFE)
    upload = patched(upload, 1, now=NOW, expires_after=LIFE)

    assert upload.offset == 6
    assert [each.size for each in upload.chunks] == [2, 3, 1]
    assert upload.has_open_run


def test_an_empty_patch_is_no_chunk() -> None:
    """No bytes, no chunk."""
    assert patched(UPLOAD, 0, now=NOW, expires_after=LIFE).chunks == ()


def test_an_empty_chunk_is_a_chunk() -> None:
    """A REST chunk counts even when it is empty."""
    upload = with_chunk(UPLOAD, chunk(b""), now=NOW, expires_after=LIFE)

    assert upload.chunks == (chunk(b""),)
    assert not upload.has_open_run


@pytest.mark.parametrize(
    ("size", "kept"),
    [
        (0, []),
        (2, []),
        (3, [3]),
        (5, [3, 2]),
        (7, [3, 4]),
        (9, [3, 4]),
        (10, [3, 4, 3]),
        (99, [3, 4, 3]),
    ],
)
def test_what_is_left_of_lost_bytes(size: int, kept: list[int]) -> None:
    """Whole REST chunks are kept, and PATCHed bytes as far as they go, in a row from the start."""
    upload = with_chunk(UPLOAD, chunk(b"abc"), now=NOW, expires_after=LIFE)
    upload = patched(upload, 4, now=NOW, expires_after=LIFE)
    upload = with_chunk(upload, chunk(b"xyz"), now=NOW, expires_after=LIFE)
    left = shrunk(upload, size)

    assert [each.size for each in left.chunks] == kept
    assert left.offset == sum(kept)
    assert left.losses == (size < 10)
    assert replace(left, offset=10, chunks=upload.chunks, losses=0) == upload


def test_the_key_of_an_upload_names_its_owner() -> None:
    """Nobody locks another's upload, whatever ids they send."""
    assert UPLOAD.key == upload_key("42", UPLOAD.id)
    assert UPLOAD.key != replace(UPLOAD, owner="43").key


def test_life_is_prolonged_by_bytes() -> None:
    """Expiry slides: it counts from the last bytes."""
    later = NOW + timedelta(hours=5)

    assert patched(UPLOAD, 1, now=later, expires_after=LIFE).expires_at == later + LIFE
    assert with_chunk(UPLOAD, chunk(b""), now=later, expires_after=LIFE).expires_at == later + LIFE
