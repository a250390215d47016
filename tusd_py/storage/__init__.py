"""Chooses where uploads are kept."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tusd_py.config import Config
from tusd_py.errors import NoSpace
from tusd_py.interfaces import Storage
from tusd_py.setting_types import Backend, Durability, S3Download, UrlStyle
from tusd_py.storage.local import medium
from tusd_py.storage.local.storage import LocalStorage
from tusd_py.watching import StoreWatch

logger = logging.getLogger(__name__)


@asynccontextmanager
async def open_storage(
    config: Config, watches: Sequence[StoreWatch] = ()
) -> AsyncIterator[Storage]:
    """The storage that the settings name, checked; `watches` hear of calls to a store. Raises
    `StorageError`; a full disk is no reason not to start."""
    if config.storage_backend is Backend.S3:
        async with _open_s3(config, watches) as storage:
            yield storage
    else:
        boot = await asyncio.to_thread(medium.boot_id)
        local = LocalStorage(
            config.local_temp_chunk_path,
            boot=boot,
            is_strict=config.durability is Durability.STRICT,
            least_free=config.min_free_disk,
        )
        try:
            await local.check()
        except NoSpace:  # what is there can be fetched, and deleted, which makes room
            logger.error("no_space")
        yield local


@asynccontextmanager
async def _open_s3(config: Config, watches: Sequence[StoreWatch]) -> AsyncIterator[Storage]:
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
    async with open_s3(settings, watches) as storage:
        yield storage
