"""Small files: whole or not there, on the medium where that is said."""

import os
from pathlib import Path

import pytest

from tests.fakes import Fault
from tests.faulty_os import FaultyOs, faulty_os
from tusd_py.storage.small_files import replace
from tusd_py.storage.steps import at_once


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    """A disk that can fail and notes what it is told."""
    return faulty_os(monkeypatch)


def names(folder: Path) -> list[str]:
    """What lies in a folder, hidden or not."""
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """Afterwards the new bytes are all there is."""
    path = tmp_path / "a.info"
    at_once(replace(path, b"a long first version", durable=False))
    at_once(replace(path, b"second", durable=False))

    assert path.read_bytes() == b"second"
    assert names(tmp_path) == ["a.info"]


@pytest.mark.parametrize("fault", [Fault.WRITE, Fault.RECORD])
def test_a_failed_replacement_leaves_the_file(
    fault: Fault, tmp_path: Path, faulty: FaultyOs
) -> None:
    """After a failure the old bytes are there, and nothing else is."""
    path = tmp_path / "a.info"
    at_once(replace(path, b"first", durable=False))
    with faulty.failing(fault), pytest.raises(OSError):
        at_once(replace(path, b"second", durable=True))

    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["a.info"]


def test_a_durable_replacement_is_on_the_medium(tmp_path: Path, faulty: FaultyOs) -> None:
    """The bytes are synced before the name is, and the folder after it."""
    at_once(replace(tmp_path / "a.info", b"x", durable=True))
    kinds = [call.split()[0] for call in faulty.calls]

    assert kinds == ["fsync", "rename", "fsync"]
    assert faulty.calls[-1] == f"fsync {tmp_path.name}"


def test_other_replacements_do_not_wait_for_the_medium(tmp_path: Path, faulty: FaultyOs) -> None:
    """An intermediate record costs no sync."""
    at_once(replace(tmp_path / "a.info", b"x", durable=False))

    assert faulty.calls == ["rename a.info"]


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    """`replace` makes no folders."""
    with pytest.raises(FileNotFoundError):
        at_once(replace(tmp_path / "nowhere" / "a", b"x", durable=False))


def test_a_file_that_was_taken_for_a_dead_ones_is_made_again(
    tmp_path: Path, faulty: FaultyOs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweeper of a process whose clock jumped may remove it before it has its name."""
    rename = faulty.rename

    def too_late(source: os.PathLike[str], target: os.PathLike[str]) -> None:
        monkeypatch.setattr(faulty, "rename", rename)
        os.unlink(source)
        rename(source, target)

    monkeypatch.setattr(faulty, "rename", too_late)
    at_once(replace(tmp_path / "a.info", b"whole", durable=False))

    assert (tmp_path / "a.info").read_bytes() == b"whole"
    assert names(tmp_path) == ["a.info"]
