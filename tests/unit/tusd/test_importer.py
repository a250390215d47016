"""What becomes of each upload in a tusd's folder, and what is said about it."""

import errno
import hashlib
import os
import re
import uuid
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.core import Core
from tests.fakes import Fault
from tests.tusd_folder import NAMES, TusdFolder
from tusd_py.setting_types import SettingError
from tusd_py.tusd.importer import Fate, Order, import_tusd
from tusd_py.tusd.store import new_id
from tusd_py.tusd.survey import Rules
from tusd_py.upload import Claim, Final, NewUpload, Upload

CONTENT = b"0123456789"
SHA256 = hashlib.sha256(CONTENT).digest()
FILED = {**NAMES, "main_service_file_id": "7"}


@dataclass(kw_only=True)
class Scene:
    """A tusd's folder, a service on fakes, and what was said in all runs."""

    tusd: TusdFolder
    core: Core = field(default_factory=Core)
    said: list[str] = field(default_factory=list)
    max_metadata: int = 1000

    async def run(
        self, *, is_dry: bool = False, moves: bool = False, user: str | None = None
    ) -> Counter[Fate]:
        """Import everything."""
        rules = Rules(user=user, user_key="user", max_metadata=self.max_metadata, base="/files/")
        order = Order(folder=self.tusd.root, without=(), rules=rules, is_dry=is_dry, moves=moves)
        return +await import_tusd(self.core.service, order, self.said.append)

    async def upload(self, tusd_id: str, owner: str = "42") -> Upload:
        """An upload as it is here."""
        return await self.core.service.alive(owner, new_id(tusd_id))

    def content(self, place: str) -> bytes | None:
        """A finished file."""
        return self.core.storage.file(place)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """An empty folder."""
    (tmp_path / "tusd").mkdir()
    return Scene(tusd=TusdFolder(root=tmp_path / "tusd"))


# --- what is taken over


@pytest.mark.parametrize("version", [1, 2])
async def test_an_upload_keeps_what_tusd_knew(scene: Scene, version: int) -> None:
    """The id is the same number; name, type, file id and metadata are those the client sent."""
    metadata = {**FILED, "filename": 'ü<&> "1".mp3', "empty": ""}
    tusd_id = scene.tusd.upload(CONTENT[:4], length=10, metadata=metadata, version=version)

    fates = await scene.run()
    upload = await scene.upload(tusd_id)

    assert fates == {Fate.UNFINISHED: 1}
    assert upload.id == str(uuid.UUID(tusd_id))
    assert (upload.offset, upload.length) == (4, 10)
    assert upload.place == '42/7/ü<&> "1".mp3'
    assert upload.content_type == "audio/mpeg"
    assert upload.metadata is not None
    assert {"user NDI=", "empty"} <= set(upload.metadata.split(","))


async def test_without_metadata(scene: Scene) -> None:
    """An upload without metadata is filed under its id, where all belong to one user."""
    tusd_id = scene.tusd.upload(CONTENT, metadata={})

    await scene.run(user="7")
    upload = await scene.upload(tusd_id, "7")

    assert upload.metadata is None
    assert scene.content(f"7/{upload.id}/{upload.id}") == CONTENT


@pytest.mark.parametrize(
    "said",
    [SHA256.hex(), SHA256.hex().upper(), b64encode(SHA256).decode()],
    ids=["hex", "upper", "base64"],
)
async def test_a_file_is_held_to_the_digest_its_client_claimed(scene: Scene, said: str) -> None:
    """A valid `sha256` in the metadata is the claim of the upload, as if it was created here."""
    open_id = scene.tusd.upload(CONTENT[:4], length=10, metadata={**NAMES, "sha256": said})
    done_id = scene.tusd.upload(CONTENT, metadata={**NAMES, "sha256": said})

    await scene.run()
    done = await scene.upload(done_id)

    assert (await scene.upload(open_id)).claim == Claim(sha256=SHA256)
    assert done.completion is not None
    assert done.completion.sha256 == SHA256


@pytest.mark.parametrize(
    "said", ["", "junk", "0" * 63, "0" * 65, "é" * 64, "=" * 44, "0" * 32, "٣" * 64], ids=ascii
)
async def test_what_is_no_digest_claims_nothing(scene: Scene, said: str) -> None:
    """tusd let a client write anything as `sha256`."""
    tusd_id = scene.tusd.upload(CONTENT, metadata={**NAMES, "sha256": said})

    fates = await scene.run()

    assert fates == {Fate.FINISHED: 1}
    assert (await scene.upload(tusd_id)).claim is None


@pytest.mark.parametrize("moves", [False, True], ids=["copy", "move"])
async def test_a_file_with_another_digest(scene: Scene, moves: bool) -> None:
    """A file that is not the one its client claimed is said to be so, in every run; it becomes no
    file and stays at tusd, and the others are taken over."""
    wrong = scene.tusd.upload(b"other", metadata={**FILED, "sha256": SHA256.hex()}, age=9)
    right = scene.tusd.upload(CONTENT, metadata={**NAMES, "sha256": SHA256.hex()})

    first = await scene.run(moves=moves)
    again = await scene.run(moves=moves)

    assert first == {Fate.FAILED: 1, Fate.FINISHED: 1}
    assert again == ({Fate.FAILED: 1} if moves else {Fate.FAILED: 1, Fate.KNOWN: 1})
    for line in (line for line in scene.said if wrong in line):
        assert re.match(f"failed +{wrong}: .*sha256 that was claimed", line)
    assert scene.content("42/7/audio.mp3") is None
    assert (scene.tusd.root / wrong).read_bytes() == b"other"
    assert (await scene.upload(right)).is_file


async def test_the_length_may_come_later(scene: Scene) -> None:
    """A deferred length stays deferred."""
    tusd_id = scene.tusd.upload(CONTENT, is_deferred=True)

    await scene.run()

    assert (await scene.upload(tusd_id)).length is None


async def test_parts_and_what_was_made_of_them(scene: Scene) -> None:
    """Partial uploads stay partial; a final one is a file that names its parts by their new ids."""
    part = scene.tusd.upload(CONTENT, is_partial=True)
    final = scene.tusd.upload(CONTENT, partials=[part, "odd"])

    fates = await scene.run()
    upload = await scene.upload(final)

    assert fates == {Fate.PARTIAL: 1, Fate.FINISHED: 1}
    assert (await scene.upload(part)).is_partial
    assert isinstance(upload.concat, Final)
    assert upload.concat.header == f"final;/files/{new_id(part)} /files/{new_id('odd')}"
    assert scene.content(upload.place) == CONTENT


async def test_other_ids_get_new_ones(scene: Scene) -> None:
    """An id that a hook of tusd chose is another one here, always the same, which is said; a UUID
    stays as it is."""
    dashed = str(uuid.uuid4())
    odd = ["projects/1/a", "a+b", "A" * 32, "ü"]
    for tusd_id in (*odd, dashed):
        scene.tusd.upload(CONTENT, upload_id=tusd_id)

    fates = await scene.run()
    uploads = [await scene.upload(tusd_id) for tusd_id in odd]

    assert fates == {Fate.FINISHED: 5}
    assert (await scene.upload(dashed)).id == dashed
    assert [uuid.UUID(upload.id).version for upload in uploads] == [5] * 4
    assert new_id("a+b") == "557cc3f9-ff01-5443-893b-9bd196ed291c"
    for tusd_id, upload in zip(odd, uploads, strict=True):
        assert [line for line in scene.said if f" {tusd_id} as {upload.id}: " in line]


async def test_no_name_breaks_the_report(scene: Scene) -> None:
    """One line an upload, whatever its id is."""
    scene.tusd.upload(CONTENT, upload_id="a\nfailed b\x1b[2J")

    await scene.run()

    assert len(scene.said) == 1
    assert scene.said[0].startswith("finished    a\\nfailed b\\x1b[2J as ")
    assert scene.said[0].isprintable()


async def test_data_that_a_hook_put_elsewhere(scene: Scene, tmp_path: Path) -> None:
    """Storage.Path names the file of the bytes: below the folder, wherever tusd saw that, or
    anywhere else on this machine."""
    inside = scene.tusd.upload(None, length=10, Path=f"{scene.tusd.seen}/named/audio.mp3")
    outside = scene.tusd.upload(None, length=10, Path=str(tmp_path / "elsewhere"))
    relative = TusdFolder(root=scene.tusd.root, seen="./data").upload(
        None, length=10, Path="data/../odd"
    )
    (scene.tusd.root / "named").mkdir()
    (scene.tusd.root / "named/audio.mp3").write_bytes(CONTENT)
    (tmp_path / "elsewhere").write_bytes(CONTENT)

    fates = await scene.run()

    assert fates == {Fate.FINISHED: 2, Fate.FAILED: 1}
    for tusd_id in (inside, outside):
        assert scene.content((await scene.upload(tusd_id)).place) == CONTENT
    assert [line for line in scene.said if relative in line and "below which folder" in line]


# --- what is not


NO_UPLOADS = {
    "empty": b"",
    "torn": b'{"ID":"a","Size":',
    "no object": b"[]",
    "deep": b"[" * 100_000,
    "not text": b"\xff\xfe",
    "no size": b'{"ID":"a"}',
    "negative": b'{"ID":"a","Size":-1}',
    "huge": b'{"ID":"a","Size":9223372036854775808}',
    "text": b'{"ID":"a","Size":"10"}',
    "metadata": b'{"ID":"a","Size":10,"MetaData":{"user":42}}',
    "flag": b'{"ID":"a","Size":10,"IsPartial":1}',
    "another's": b'{"ID":"b","Size":10,"MetaData":{"user":"42"}}',
}


@pytest.mark.parametrize("info", NO_UPLOADS.values(), ids=NO_UPLOADS)
async def test_damaged_ones_keep_nobody_waiting(scene: Scene, info: bytes) -> None:
    """A damaged `.info` is told and counted, and the others are taken over."""
    (scene.tusd.root / "a").write_bytes(CONTENT)
    (scene.tusd.root / "a.info").write_bytes(info)
    scene.tusd.upload(CONTENT)

    fates = await scene.run()

    assert fates == {Fate.FINISHED: 1, Fate.FAILED: 1}
    assert [line for line in scene.said if re.match(r"failed +a: its? ", line)]


async def test_bytes_that_cannot_be(scene: Scene) -> None:
    """Missing data, more data than Size, data that is no file, a link to nowhere."""
    reasons = {
        scene.tusd.upload(None, length=3): "its data is missing",
        scene.tusd.upload(CONTENT, length=3): "its data has 10 bytes, more than its 3",
        (folder := scene.tusd.upload(None, length=3)): "its data is no file",
        (link := scene.tusd.upload(None, length=3)): "its data is missing",
        scene.tusd.upload(CONTENT[:3], length=10, partials=[]): "did not finish this",
    }
    (scene.tusd.root / folder).mkdir()
    (scene.tusd.root / link).symlink_to("nowhere")

    fates = await scene.run()

    assert fates == {Fate.FAILED: 5}
    for tusd_id, reason in reasons.items():
        assert [line for line in scene.said if tusd_id in line and reason in line], reason


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, "its metadata have no user"),
        ({"user": ""}, "its metadata have no user"),
        ({"user": "../root"}, "cannot be the name of a folder"),
        ({"user": ".."}, "cannot be the name of a folder"),
        ({"user": "a\nb"}, r"'a\nb'"),
        ({**NAMES, "main_service_file_id": "a/b"}, "main_service_file_id"),
        ({**NAMES, "two words": "x"}, "Upload-Metadata"),
        ({**NAMES, "long": "x" * 1000}, "1000 bytes"),
    ],
    ids=["none", "empty", "climbs", "dots", "control", "file id", "key", "long"],
)
async def test_metadata_that_we_would_refuse(
    scene: Scene, metadata: dict[str, str], reason: str
) -> None:
    """Whose upload it is has to be clear, and no name reaches another's folder."""
    tusd_id = scene.tusd.upload(CONTENT, metadata=metadata)

    fates = await scene.run()

    assert fates == {Fate.FAILED: 1}
    assert [line for line in scene.said if tusd_id in line and reason in line], scene.said
    assert scene.core.storage.records == []


@pytest.mark.parametrize("kind", ["s3store", None], ids=["typed", "untyped"])
async def test_uploads_of_the_s3_store(scene: Scene, kind: str | None) -> None:
    """An `.info` of tusd's S3 store, as a copy of its bucket has it, is told by name."""
    info = {"ID": f"{'a' * 32}+{'b' * 20}", "Size": 3, "Storage": {"Type": kind} if kind else None}
    scene.tusd.write("a" * 32, info)

    fates = await scene.run()

    assert fates == {Fate.FAILED: 1}
    assert "s3store; only tusd's file store is taken over" in scene.said[0]


async def test_files_that_no_info_speaks_of(scene: Scene) -> None:
    """They are named and left alone; tusd's locks and our own folders are not even named."""
    tusd_id = scene.tusd.upload(CONTENT)
    for name in ("stray", f"{tusd_id}.lock", f"{tusd_id}.stop"):
        (scene.tusd.root / name).write_bytes(b"")

    fates = await scene.run()

    assert fates == {Fate.FINISHED: 1}
    assert scene.said[0] == "stray       stray: no .info speaks of it"
    assert len(scene.said) == 2


async def test_a_folder_inside_that_cannot_be_read(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told and counted, and the rest is taken over."""
    scene.tusd.upload(CONTENT)
    scene.tusd.upload(CONTENT, upload_id="closed/a")
    scandir = os.scandir

    def closed(path: Path) -> object:
        if path.name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)

    fates = await scene.run()

    assert fates == {Fate.FINISHED: 1, Fate.FAILED: 1}
    assert scene.said[0] == "failed      closed: Permission denied"


async def test_a_folder_that_cannot_be_read(scene: Scene) -> None:
    """It is told in one line."""
    scene.tusd.root.rmdir()

    with pytest.raises(SettingError, match="cannot be read: No such file"):
        await scene.run()


# --- which file is the newer one


async def test_the_newest_of_rivals_is_taken(scene: Scene) -> None:
    """Of finished uploads with one file id and name the newest becomes the file, once and again."""
    old = scene.tusd.upload(b"old", metadata=FILED, age=100)
    scene.tusd.upload(b"new", metadata=FILED)
    scene.tusd.upload(b"older", metadata=FILED, age=200)

    first = await scene.run()
    second = await scene.run()

    assert first == {Fate.FINISHED: 1, Fate.SUPERSEDED: 2}
    assert second == {Fate.KNOWN: 1, Fate.SUPERSEDED: 2}
    assert scene.content("42/7/audio.mp3") == b"new"
    assert [line for line in scene.said if old in line and "is newer" in line]


async def test_a_newer_one_replaces_what_was_taken_over(scene: Scene) -> None:
    """tusd finished another one between two runs."""
    scene.tusd.upload(b"old", metadata=FILED, age=100)
    await scene.run()
    scene.tusd.upload(b"new", metadata=FILED)

    fates = await scene.run()

    assert fates == {Fate.FINISHED: 1, Fate.SUPERSEDED: 1}
    assert scene.content("42/7/audio.mp3") == b"new"


async def test_a_file_of_ours_is_not_replaced(scene: Scene) -> None:
    """What was uploaded here is newer than what tusd has."""
    scene.tusd.upload(b"old", metadata=FILED)
    ours = NewUpload(owner="42", filename="audio.mp3", declared_file_id="7")
    await scene.core.append(await scene.core.created(3, ours), 0, b"new")

    fates = await scene.run()

    assert fates == {Fate.SUPERSEDED: 1}
    assert scene.content("42/7/audio.mp3") == b"new"


# --- --dry-run, --move


async def test_a_dry_run_stores_nothing(scene: Scene) -> None:
    """It says what a run would do, before and after one."""
    scene.tusd.upload(CONTENT)
    scene.tusd.upload(CONTENT[:4], length=10)
    scene.tusd.upload(None)

    before = await scene.run(is_dry=True, moves=True)
    stored = list(scene.core.storage.records)
    real = await scene.run()
    after = await scene.run(is_dry=True)

    assert before == real == {Fate.FINISHED: 1, Fate.UNFINISHED: 1, Fate.FAILED: 1}
    assert stored == []
    assert after == {Fate.KNOWN: 2, Fate.FAILED: 1}


async def test_a_copy_leaves_the_source_as_it_was(scene: Scene) -> None:
    """Without --move no byte and no time of tusd's files changes."""
    scene.tusd.upload(CONTENT)
    scene.tusd.upload(CONTENT[:4], length=10)
    before = scene.tusd.contents()

    await scene.run()

    assert scene.tusd.contents() == before


async def test_a_move_removes_what_is_here(scene: Scene) -> None:
    """Also what an earlier run took over; not what failed, and not what others need."""
    scene.tusd.upload(CONTENT)
    await scene.run()
    scene.tusd.upload(CONTENT[:4], length=10, upload_id="folder/a")
    broken = scene.tusd.upload(CONTENT, length=3)

    fates = await scene.run(moves=True)

    assert fates == {Fate.KNOWN: 1, Fate.UNFINISHED: 1, Fate.FAILED: 1}
    assert sorted(os.listdir(scene.tusd.root)) == [broken, f"{broken}.info"]


@pytest.mark.parametrize(
    "fault", [Fault.WRITE, Fault.RECORD, Fault.MOVE], ids=lambda each: each.name
)
async def test_a_move_that_fails_removes_nothing(scene: Scene, fault: Fault) -> None:
    """What could not be stored stays where it is, and is taken the next time."""
    tusd_id = scene.tusd.upload(CONTENT)
    before = scene.tusd.contents()
    with scene.core.storage.failing(fault):
        fates = await scene.run(moves=True)
    left = scene.tusd.contents()
    await scene.run(moves=True)

    assert fates == {Fate.FAILED: 1}
    assert left == before
    assert scene.tusd.contents() == {}
    assert scene.content((await scene.upload(tusd_id)).place) == CONTENT


async def test_a_move_leaves_what_tusd_works_on(scene: Scene) -> None:
    """While tusd holds its lock the upload is copied, and its files stay."""
    tusd_id = scene.tusd.upload(CONTENT[:4], length=10)
    (scene.tusd.root / f"{tusd_id}.lock").write_text("1")

    fates = await scene.run(moves=True)

    assert fates == {Fate.FAILED: 1}
    assert (await scene.upload(tusd_id)).offset == 4
    assert {tusd_id, f"{tusd_id}.info"} <= set(scene.tusd.contents())
    assert f"{tusd_id}.lock says tusd has it open" in scene.said[0]


@pytest.mark.parametrize(("content", "length"), [(CONTENT, 10), (CONTENT[:4], 10), (b"", 0)])
async def test_a_move_that_was_stopped_in_between_is_ended(
    scene: Scene, content: bytes, length: int
) -> None:
    """The bytes were removed and the `.info` not yet: the next run knows why."""
    tusd_id = scene.tusd.upload(content, length=length)
    await scene.run()
    (scene.tusd.root / tusd_id).unlink()

    fates = await scene.run(moves=True)

    assert fates == {Fate.KNOWN: 1}
    assert scene.tusd.contents() == {}


async def test_a_large_file_is_the_same_here(scene: Scene) -> None:
    """Files of many pieces, and of an odd size, too."""
    content = os.urandom(20_000_003)
    tusd_id = scene.tusd.upload(content)

    await scene.run()
    stored = scene.content((await scene.upload(tusd_id)).place)

    assert stored is not None
    assert hashlib.sha256(stored).digest() == hashlib.sha256(content).digest()
