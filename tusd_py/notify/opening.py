"""Opens the notifier that the settings name."""

import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

from tusd_py.config import Config
from tusd_py.notify.courier import Courier
from tusd_py.notify.file import NAME
from tusd_py.notify.notifier import Manner, Notifier
from tusd_py.notify.outbox import Outbox
from tusd_py.notify.signing import Signer
from tusd_py.notify.webhook import Webhook
from tusd_py.upload import Upload

TO_ARRIVE = 0.05
"""Part of SHUTDOWN_TIMEOUT that deliveries have to arrive once all requests have ended."""


@asynccontextmanager
async def open_notifier(
    config: Config,
    *,
    locate: Callable[[Upload], Awaitable[str]],
    delivers: bool,
    told: Callable[[int, float, int], None] | None = None,
) -> AsyncIterator[Notifier | None]:
    """The notifier, None without MAIN_SERVICE_NOTIFY_URL: then there is no file and no thread.

    With `delivers` this process brings events to the main service; else it leaves them to others.
    See `Courier` for `told`. Raises `StorageError` when the outbox cannot be used.
    """
    url = config.main_service_notify_url
    if url is None:
        yield None
        return
    async with AsyncExitStack() as stack:
        outbox = await stack.enter_async_context(
            Outbox.open(
                config.local_temp_chunk_path / NAME,
                receiver=hashlib.sha256(url.encode()).hexdigest(),
                now=time.time,
            )
        )
        courier = None
        if delivers:
            signer = Signer(config.main_service_notify_secret)
            within = config.notify_timeout.total_seconds()
            webhook = await stack.enter_async_context(Webhook.open(url, signer, within))
            courier = Courier(
                outbox,
                webhook,
                give_up_after=config.notify_give_up_after.total_seconds(),
                now=time.time,
                told=told,
            )
            grace = config.shutdown_timeout.total_seconds() * TO_ARRIVE
            await stack.enter_async_context(courier.working(grace))
        notifier = Notifier(
            outbox,
            courier,
            manner=Manner(
                kinds=config.notify_events,
                wait=config.notify_wait.total_seconds(),
                progress_interval=config.notify_progress_interval.total_seconds(),
            ),
            locate=locate,
            now=lambda: datetime.now(UTC),
        )
        stack.push_async_callback(notifier.close)
        yield notifier
