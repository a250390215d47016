"""Chooses where uploads are kept."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tusd_py.config import Config
from tusd_py.interfaces import Storage
from tusd_py.storage.local import LocalStorage


@asynccontextmanager
async def open_storage(config: Config) -> AsyncIterator[Storage]:
    """The storage that the settings name, checked. Raises `StorageError`."""
    storage = LocalStorage(config.local_temp_chunk_path)
    await storage.check()
    yield storage
