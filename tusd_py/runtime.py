"""How Python runs a server: on which event loop, and when it looks for garbage."""

import asyncio
import gc
from collections.abc import Callable

from tusd_py.setting_types import EventLoop

OBJECTS_BETWEEN = 20_000
"""New objects between two looks for cycles among the youngest; Python's default is 700."""


def loop_factory(event_loop: EventLoop) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop: uvloop's, unless it is not installed or not wanted."""
    if event_loop is EventLoop.UVLOOP:
        try:
            import uvloop
        except ImportError:  # there is none for PyPy
            return asyncio.new_event_loop
        return uvloop.new_event_loop
    return asyncio.new_event_loop


def loop_name(event_loop: EventLoop) -> str:
    """Which event loop that is: `uvloop` or `asyncio`."""
    return loop_factory(event_loop).__module__.partition(".")[0]


def calm_garbage_collector() -> None:
    """Look for garbage less often, and never again among what is there now: the modules, the
    settings, what every request uses."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN, 10, 10)
