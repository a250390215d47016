"""Chooses where uploads are kept."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tusd_py.config import Config
from tusd_py.interfaces import Storage
from tusd_py.setting_types import Backend, S3Download, UrlStyle
from tusd_py.storage.local import LocalStorage


@asynccontextmanager
async def open_storage(config: Config) -> AsyncIterator[Storage]:
    """The storage that the settings name, checked. Raises `StorageError`."""
    if config.storage_backend is Backend.S3:
        async with _open_s3(config) as storage:
            yield storage
    else:
        local = LocalStorage(config.local_temp_chunk_path)
        await local.check()
        yield local


@asynccontextmanager
async def _open_s3(config: Config) -> AsyncIterator[Storage]:
    """Imports the client only where it is used: it takes 40 MiB of memory and half a second."""
    from tusd_py.storage.s3 import open_s3
    from tusd_py.storage.s3.settings import S3Settings

    assert config.s3_bucket_name is not None
    assert config.s3_endpoint_url is not None
    presigns = config.s3_url_style is UrlStyle.PRESIGNED
    redirects = config.s3_download is S3Download.REDIRECT
    settings = S3Settings(
        bucket=config.s3_bucket_name,
        endpoint_url=config.s3_endpoint_url,
        region=config.s3_region_name,
        access_key=config.s3_access_key,
        secret_key=config.s3_secret_key,
        part_size=config.s3_part_size,
        memory=config.s3_memory,
        presigned=config.s3_url_expires if presigns else None,
        redirected=config.s3_url_expires if redirects else None,
        spill=config.local_temp_chunk_path,
    )
    async with open_s3(settings) as storage:
        yield storage
