"""A fake S3 store for tests: it differs from SeaweedFS where stores may differ, and is as AWS
there."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import ThreadedMotoServer

from tests.quick_s3 import session
from tests.weed import ACCESS_KEY, REGION, SECRET_KEY


@contextmanager
def moto_store() -> Iterator[int]:
    """The port it listens on."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()[1]
    finally:
        server.stop()


async def make_bucket(port: int, name: str) -> None:
    """Make a bucket in the store that listens there."""
    async with session().create_client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    ) as client:
        await client.create_bucket(Bucket=name)
