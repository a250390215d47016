"""Runtime: the event loop that a setting names, and a garbage collector that is seldom at work."""

import asyncio
import subprocess
import sys
from collections.abc import Callable

import pytest
import uvloop

from tusd_py.runtime import OBJECTS_BETWEEN, loop_factory, loop_name
from tusd_py.setting_types import EventLoop


@pytest.mark.parametrize(
    ("event_loop", "factory"),
    [(EventLoop.UVLOOP, uvloop.new_event_loop), (EventLoop.ASYNCIO, asyncio.new_event_loop)],
    ids=["uvloop", "asyncio"],
)
def test_the_loop_is_the_one_that_is_named(
    event_loop: EventLoop, factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """And the log tells its name."""
    assert loop_factory(event_loop) is factory
    assert loop_name(event_loop) == event_loop.value


def test_without_uvloop_there_is_a_loop_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is Python's own, and the log says so."""
    monkeypatch.setitem(sys.modules, "uvloop", None)

    assert loop_factory(EventLoop.UVLOOP) is asyncio.new_event_loop
    assert loop_name(EventLoop.UVLOOP) == "asyncio"


def test_what_is_there_is_not_looked_at_again() -> None:
    """The garbage collector leaves it alone, and looks less often at the rest."""
    script = (
        "import gc; from tusd_py.runtime import calm_garbage_collector; calm_garbage_collector();"
        "print(gc.get_freeze_count() > 10_000, gc.get_threshold()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["True", str(OBJECTS_BETWEEN)]
