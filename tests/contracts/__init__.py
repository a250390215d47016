"""One suite a seam, run on every implementation and on its fake."""

import pytest

pytest.register_assert_rewrite(
    "tests.contracts.storage",
    "tests.contracts.locker",
    "tests.contracts.body",
    "tests.contracts.sink",
)
