"""How many connections fit into the files that the process may have open."""

import contextlib
import logging
import resource

A_CONNECTION = 3
"""Descriptors of one connection: its socket, the file it writes, and one to the store or so."""

OTHERS = 64
"""Descriptors of everything else."""

logger = logging.getLogger(__name__)


def connections_that_fit(wanted: int) -> int:
    """Raise the soft limit of open files to the hard one; return how many connections it allows,
    `wanted` at most. Fewer are logged once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # the kernel's own limit may be lower
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    if soft == resource.RLIM_INFINITY:
        return wanted
    fitting = max(1, (soft - OTHERS) // A_CONNECTION)
    if fitting < wanted:
        logger.warning(
            "few_descriptors", extra={"limit": soft, "wanted": wanted, "max_connections": fitting}
        )
    return min(wanted, fitting)
