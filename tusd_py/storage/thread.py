"""Blocking calls in threads, their errors in our words: the border to the operating system."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from tusd_py.errors import UploadNotFound, from_os

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a call to the disk in a thread and translate its errors; absence is `UploadNotFound`.

    Ends only when the call has ended, even if cancelled: no thread ever uses a closed descriptor.
    """
    running = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
    except FileNotFoundError as error:
        raise UploadNotFound from error
    except OSError as error:
        raise from_os(error) from error
