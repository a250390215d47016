"""A whole server: what is limited for all workers together is divided among them."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.servers import settings
from tusd_py.config import load_config
from tusd_py.run import own_share

CONFIG = load_config({}, settings(Path("/data")), None)


@pytest.mark.parametrize(("most", "count"), [(4096, 3), (5, 4), (4, 4), (1, 1)])
def test_connections_are_divided(most: int, count: int) -> None:
    """Every worker may have some, and all together no more than there may be."""
    config = replace(CONFIG, max_connections=most)
    shares = [own_share(config, number, count, 9999).max_connections for number in range(count)]

    assert sum(shares) == most
    assert max(shares) - min(shares) <= 1


def test_few_files_allow_fewer_connections() -> None:
    """What a process may open is for it alone."""
    assert own_share(CONFIG, 0, 2, 100).max_connections == 100


def test_memory_is_divided() -> None:
    """S3_MEMORY is that of all uploads together."""
    assert own_share(CONFIG, 1, 4, 100).s3_memory == CONFIG.s3_memory // 4
