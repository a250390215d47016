"""Spares the tests of the S3 storage the waiting: behaviour stays as it is."""

from functools import cache

import pytest
from aiobotocore.session import AioSession, get_session
from botocore.retries.standard import ExponentialBackoff

PAUSE = 0.001
"""Seconds before a call is made again."""


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients of the store try again almost at once, and share what they read when opened: the
    description of S3, one megabyte of JSON."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda _self, _context: PAUSE)
    monkeypatch.setattr("tusd_py.storage.s3.bucket.get_session", session)


@cache
def session() -> AioSession:
    """What all clients of a test run share."""
    return get_session()
