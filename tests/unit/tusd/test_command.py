"""`tusd-py import-tusd` as an operator types it."""

import os
from pathlib import Path

import pytest

from tests.e2e.commands import REPOSITORY
from tests.servers import settings
from tests.tusd_folder import TusdFolder
from tests.unit.test_cli import Said, assert_one_line, run
from tusd_py.config import load_config
from tusd_py.finisher import ignore
from tusd_py.locks import open_locker
from tusd_py.setting_types import SettingError
from tusd_py.tusd.command import run_import


@pytest.fixture
def tusd(tmp_path: Path) -> TusdFolder:
    """A folder with a finished upload."""
    (tmp_path / "tusd").mkdir()
    folder = TusdFolder(root=tmp_path / "tusd")
    folder.upload(b"content", upload_id="1" * 32)
    return folder


async def imported(tusd: TusdFolder, *arguments: str) -> Said:
    """The command, up to its end."""
    data = tusd.root.parent / "data"
    environ = {**settings(data), "LOG_LEVEL": "warning", "PYTHONPATH": str(REPOSITORY)}
    return await run("import-tusd", *arguments, cwd=tusd.root.parent, environ=environ)


async def test_the_report(tusd: TusdFolder) -> None:
    """A line an upload, a sum, and 1 when one could not be taken over."""
    tusd.upload(None, upload_id="2" * 32)

    said = await imported(tusd, "tusd", "--user-from", "user")

    assert said == Said(
        code=1,
        out=f"finished    {'1' * 32}: 7 of 7 bytes, 42: audio.mp3\n"
        f"failed      {'2' * 32}: its data is missing\n"
        "1 finished, 0 unfinished, 0 partial, 0 known, 0 gone, 0 superseded, 1 failed\n",
        err="",
    )


async def test_a_folder_that_is_ours_too(tusd: TusdFolder) -> None:
    """Our records, which are called .info as well, are not taken for tusd's."""
    data = tusd.root.parent / "data"
    tusd.root.rename(data)

    first = await imported(tusd, "data", "--user", "42", "--dry-run")
    await imported(tusd, "data", "--user", "42")
    second = await imported(tusd, "data", "--user", "42")

    assert first.out.endswith(" 0 failed (nothing was done: --dry-run)\n")
    assert (first.code, second.code) == (0, 0)
    assert second.out.startswith(f"known       {'1' * 32}: ")
    assert (data / f"final/42/{'1' * 8}-1111-1111-1111-{'1' * 12}/audio.mp3").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere", "--user", "42"), ("nowhere", "cannot be read")),
        (("tusd", "--user", "../42"), ("--user", "'../42'")),
    ],
    ids=["folder", "user"],
)
async def test_what_cannot_be_begun(
    tusd: TusdFolder, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """It is one line, and exit code 2."""
    assert_one_line(await imported(tusd, *arguments), 2, *words)


@pytest.mark.parametrize("arguments", [(), ("--user", "1", "--user-from", "user")])
async def test_whose_they_are_has_to_be_said_once(
    tusd: TusdFolder, arguments: tuple[str, ...]
) -> None:
    """Either of --user and --user-from."""
    said = await imported(tusd, "tusd", *arguments)

    assert (said.code, said.out) == (2, "")
    assert "--user" in said.err


async def test_one_at_a_time(tusd: TusdFolder) -> None:
    """A second run beside the first would only be in its way."""
    async with (
        open_locker(tusd.root.parent / "data") as locker,
        locker.try_lock("import-tusd", wanted=ignore),
    ):
        said = await imported(tusd, "tusd", "--user", "42")

    assert_one_line(said, 2, "Another import-tusd is at work")


def test_root_leaves_no_files_in_anothers_folder(
    tusd: TusdFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of another user could not use them."""
    data = tusd.root.parent / "data"
    data.mkdir()
    if os.geteuid() == 0:
        os.chown(data, 10001, 10001)
    monkeypatch.setattr("tusd_py.tusd.command.os.geteuid", lambda: 0)
    config = load_config({}, settings(data), None)

    with pytest.raises(SettingError, match="Run this as the user"):
        run_import(config, tusd.root, user="42", user_key=None, is_dry=False, moves=False)
    assert list(data.iterdir()) == []
