"""Who steers the uploads of a server: hooks at a URL, those of a program, or nobody."""

import contextlib
from collections.abc import AsyncIterator, Mapping

from tusd_py.config import Config
from tusd_py.hooks import Hooks
from tusd_py.http_hooks.client import HttpHookSettings, open_http_hooks
from tusd_py.notify.signing import Signer
from tusd_py.setting_types import Backend, SettingError
from tusd_py.steering import Steering
from tusd_py.upload import Upload

TO_BE_TOLD = 0.04
"""Part of SHUTDOWN_TIMEOUT for hooks that are being told when a server leaves: with the
parts for requests and deliveries that hang, too, it is less than the whole."""


def is_steered(config: Config, hooks: Hooks | None) -> bool:
    """Whether there are hooks. Raises `SettingError` when there are two kinds of them."""
    if hooks is not None and config.hooks_http_url is not None:
        raise SettingError("HOOKS_HTTP_URL: the program has hooks of its own; give one of the two.")
    return hooks is not None or config.hooks_http_url is not None


@contextlib.asynccontextmanager
async def open_steering(
    config: Config, hooks: Hooks | None, *, is_server: bool
) -> AsyncIterator[Steering | None]:
    """What asks the hooks, until the end of the block; then those that are being told are told. A
    server has little time for that, and keeps no request waiting; a command does not lose any."""
    if not is_steered(config, hooks):
        yield None
        return
    async with _open_hooks(config, hooks) as opened:
        steering = Steering(
            opened,
            interval=config.hooks_progress_interval.total_seconds(),
            max_metadata=config.max_metadata_size,
            grace=config.shutdown_timeout.total_seconds() * TO_BE_TOLD if is_server else None,
        )
        try:
            yield steering
        finally:
            await steering.close()


@contextlib.asynccontextmanager
async def _open_hooks(config: Config, hooks: Hooks | None) -> AsyncIterator[Hooks]:
    if hooks is not None:
        yield hooks
        return
    assert config.hooks_http_url is not None
    settings = HttpHookSettings(
        url=config.hooks_http_url,
        enabled=config.hooks_enabled_events,
        seconds=config.hooks_http_timeout.total_seconds(),
        retries=config.hooks_http_retry,
        backoff=config.hooks_http_backoff.total_seconds(),
        forward=config.hooks_http_forward_headers,
    )
    secrets = config.main_service_notify_secret

    def place(upload: Upload) -> Mapping[str, str]:
        """As tusd's stores tell it: a path, or a bucket and a key."""
        if config.storage_backend is Backend.S3:
            bucket = config.s3_bucket_name or ""
            return {"Type": "s3store", "Bucket": bucket, "Key": upload.place}
        path = f"{config.local_temp_chunk_path}/final/{upload.place}"
        return {"Type": "filestore", "Path": path}

    sign = Signer(secrets).headers if secrets else None
    async with open_http_hooks(settings, place, sign) as http_hooks:
        yield http_hooks
