"""A bucket of a fake store, in this process: what is tested here is ours, not the store's."""

import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from blockbuster import BlockBuster
from moto.server import ThreadedMotoServer

from tests.uploads import fresh
from tusd_py.storage.s3 import open_s3
from tusd_py.storage.s3.bucket import Bucket, open_bucket
from tusd_py.storage.s3.records import Records
from tusd_py.storage.s3.settings import S3Settings
from tusd_py.storage.s3.sizes import MIN_PART
from tusd_py.storage.s3.storage import S3Storage


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The address of a fake store."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def settings(moto: str, tmp_path: Path, blockbuster: BlockBuster) -> S3Settings:
    """Settings for a new bucket: the smallest parts, and memory for two of them."""
    for function in blockbuster.functions.values():
        function.can_block_in("tusd_py/storage/s3/bucket.py", {"open_bucket"})
    settings = S3Settings(
        bucket=fresh().id,
        endpoint_url=moto,
        region="us-east-1",
        access_key="tests",
        secret_key="secret",
        part_size=MIN_PART,
        memory=2 * MIN_PART,
        presigned=None,
        redirected=None,
        spill=tmp_path / "spill",
    )
    request = Request(f"{moto}/{settings.bucket}", method="PUT")
    with urlopen(request) as answer:
        assert answer.status == 200
    return settings


@pytest.fixture
async def bucket(settings: S3Settings) -> AsyncIterator[Bucket]:
    """An empty bucket."""
    async with open_bucket(settings) as bucket:
        yield bucket


@pytest.fixture
def records(bucket: Bucket) -> Records:
    """Its records."""
    return Records(bucket)


@pytest.fixture
async def storage(settings: S3Settings) -> AsyncIterator[S3Storage]:
    """The storage in that bucket."""
    async with open_s3(settings) as storage:
        yield storage


@pytest.fixture
async def few_parts(settings: S3Settings) -> AsyncIterator[S3Storage]:
    """The storage on a store that takes three parts at most."""
    async with open_s3(replace(settings, max_parts=3)) as storage:
        yield storage
