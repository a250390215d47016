"""Work on files in steps: what comes onto the medium between them."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faulty_os import FaultyOs, faulty_os
from tusd_py.storage.fsync import NotSynced
from tusd_py.storage.steps import Returned, Steps, Target, at_once, step, sync


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    """A disk that notes what it is told."""
    return faulty_os(monkeypatch)


def opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT)


def test_steps_go_on_when_the_medium_has_taken_it(tmp_path: Path, faulty: FaultyOs) -> None:
    """First the file and the folder, then what comes after them."""
    seen: list[list[str]] = []

    def work() -> Steps[str]:
        fd = opened(tmp_path / "a")
        yield [fd, str(tmp_path)]
        seen.append(faulty.calls.copy())
        os.close(fd)
        return "done"

    assert at_once(work()) == "done"
    assert seen == [["fsync a", f"fsync {tmp_path.name}"]]


def test_a_refusal_is_raised_where_it_matters(tmp_path: Path, faulty: FaultyOs) -> None:
    """The steps may mend what they did, in further steps."""
    faulty.refuses = lambda name: name == "a"

    def work() -> Steps[str]:
        fd = opened(tmp_path / "a")
        try:
            yield [fd]
        except NotSynced as error:
            yield [str(tmp_path)]
            return f"mended {error.errno}"
        finally:
            os.close(fd)
        return "never"

    assert at_once(work()) == f"mended {errno.EIO}"
    assert faulty.calls == [f"fsync {tmp_path.name}"]


def test_what_nobody_handles_is_raised(tmp_path: Path, faulty: FaultyOs) -> None:
    """The caller hears of a refusal that the steps do not expect."""
    faulty.refuses = lambda name: name == "a"

    def work() -> Steps[None]:
        yield [opened(tmp_path / "a")]

    with pytest.raises(NotSynced):
        at_once(work())


def test_a_step_tells_what_it_waits_for() -> None:
    """Whoever runs the steps may do that elsewhere."""

    def work() -> Steps[int]:
        yield ["/a"]
        return 7

    steps = work()
    made: list[Sequence[Target] | Returned[int]] = [step(steps, None), step(steps, None)]

    assert made == [["/a"], Returned(7)]


def test_each_target_is_synced_once_and_judged_alone(tmp_path: Path, faulty: FaultyOs) -> None:
    """A folder that many ask for costs one call; one that is refused or gone does not hurt the
    others."""
    faulty.refuses = lambda name: name == "bad"
    good, bad = opened(tmp_path / "good"), opened(tmp_path / "bad")
    gone = str(tmp_path / "gone")
    refused = sync([good, str(tmp_path), bad, gone, str(tmp_path)])

    assert {target: type(error) for target, error in refused.items()} == {
        bad: NotSynced,
        gone: FileNotFoundError,
    }
    assert faulty.calls == ["fsync good", f"fsync {tmp_path.name}"]
