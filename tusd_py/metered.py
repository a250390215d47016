"""A storage that keeps the accounts of its users: who takes too much is refused."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from tusd_py.account import Account
from tusd_py.accounts import Accounts, Flight
from tusd_py.errors import UploadError
from tusd_py.events import Cleaned
from tusd_py.interfaces import Block, ChunkWriter, Content, Hasher, Storage, Writer
from tusd_py.upload import Chunk, Upload
from tusd_py.usage import Usage


class MeteredStorage:
    """See `Storage`. Every record and every byte passes here, so that none can be forgotten.

    `create` also raises `TooManyUploads` and `QuotaExceeded`; so do, with the second, the writers.
    """

    def __init__(self, storage: Storage, accounts: Accounts) -> None:
        self._storage = storage
        self._accounts = accounts

    async def check(self) -> None:
        """See `Storage.check`."""
        await self._storage.check()

    async def create(self, upload: Upload) -> Upload:
        """See `Storage.create`."""
        account = await self._accounts.open(upload.owner)
        with account.at_work(upload.id):
            await account.admit(upload)
            try:
                return await self._storage.create(upload)
            except UploadError:
                account.forget(upload.id)
                raise
            except BaseException:
                account.doubt()
                raise

    async def load(self, owner: str, upload_id: str) -> Upload:
        """See `Storage.load`."""
        return await self._storage.load(owner, upload_id)

    async def save(self, upload: Upload) -> Upload:
        """See `Storage.save`."""
        account = self._accounts.known(upload.owner)
        if account is None:
            return await self._storage.save(upload)
        with account.in_doubt():
            stored = await self._storage.save(upload)
        account.note(stored)
        return stored

    def writer(self, upload: Upload, *, atomic: bool) -> AbstractAsyncContextManager[Writer]:
        """See `Storage.writer`."""
        if self._accounts.terms.quota is None:
            return self._storage.writer(upload, atomic=atomic)
        return self._counted(upload, atomic=atomic)

    @asynccontextmanager
    async def _counted(self, upload: Upload, *, atomic: bool) -> AsyncIterator[Writer]:
        account = await self._accounts.open(upload.owner)
        with account.at_work(upload.id):
            async with (
                account.claimed(upload) as claim,
                self._storage.writer(upload, atomic=atomic) as writer,
            ):
                metered = _MeteredWriter(writer, account, upload)
                try:
                    yield metered
                finally:
                    claim.is_kept = metered.is_committed
                    metered.close()

    @asynccontextmanager
    async def stage(self, upload: Upload, index: int) -> AsyncIterator[ChunkWriter]:
        """See `Storage.stage`."""
        if self._accounts.terms.quota is None or upload.length is not None:
            async with self._storage.stage(upload, index) as writer:
                yield writer
            return
        account = await self._accounts.open(upload.owner)
        with account.at_work(upload.id):
            async with self._storage.stage(upload, index) as writer:
                metered = _MeteredChunkWriter(writer, account, upload, index)
                try:
                    yield metered
                finally:
                    metered.close()

    async def staged(self, upload: Upload) -> dict[int, int]:
        """See `Storage.staged`."""
        return await self._storage.staged(upload)

    async def unstage(self, upload: Upload, index: int) -> None:
        """See `Storage.unstage`."""
        await self._storage.unstage(upload, index)
        account = self._accounts.known(upload.owner)
        if account is not None:
            account.wait(upload, index, None)

    async def assemble(self, upload: Upload, done: Upload | None = None) -> list[Upload]:
        """See `Storage.assemble`."""
        return await self._storage.assemble(upload, done)

    async def location(self, upload: Upload) -> str:
        """See `Storage.location`."""
        return await self._storage.location(upload)

    async def download_url(self, upload: Upload) -> str | None:
        """See `Storage.download_url`."""
        return await self._storage.download_url(upload)

    @asynccontextmanager
    async def open(self, upload: Upload) -> AsyncIterator[Content]:
        """See `Storage.open`."""
        async with self._storage.open(upload) as content:
            yield content

    async def digests(self, upload: Upload, start: int, size: int) -> tuple[Chunk, ...] | None:
        """See `Storage.digests`."""
        return await self._storage.digests(upload, start, size)

    async def show(self, upload: Upload, hasher: Hasher, start: int) -> bool:
        """See `Storage.show`."""
        return await self._storage.show(upload, hasher, start)

    async def has_file(self, upload: Upload) -> bool:
        """See `Storage.has_file`."""
        return await self._storage.has_file(upload)

    async def delete(self, upload: Upload) -> None:
        """See `Storage.delete`."""
        await self._storage.delete(upload)

    async def forget(self, upload: Upload) -> None:
        """See `Storage.forget`."""
        await self._storage.forget(upload)
        account = self._accounts.known(upload.owner)
        if account is not None:
            account.forget(upload.id)

    def uploads(self, owner: str) -> AsyncIterator[Upload]:
        """See `Storage.uploads`."""
        return self._storage.uploads(owner)

    async def usage(self, owner: str) -> Usage:
        """See `Storage.usage`."""
        return await self._storage.usage(owner)

    def unsettled(self) -> AsyncIterator[Upload]:
        """See `Storage.unsettled`."""
        return self._storage.unsettled()

    async def clean(self) -> Cleaned:
        """See `Storage.clean`."""
        return await self._storage.clean()


class _MeteredWriter:
    """See `Writer`. While the length of the upload is not known its bytes count as they come."""

    def __init__(self, writer: Writer, account: Account, upload: Upload) -> None:
        self._writer = writer
        self._account = account
        self._flight = Flight(account if upload.length is None else None)
        self._position = upload.offset
        self.is_committed = False

    async def write(self, block: Block) -> int:
        most = block.most
        await self._flight.take(most)
        size = await self._writer.write(block)
        self._flight.land(most - size)
        self._position += size
        return size

    async def absorb(self, source: Upload | int) -> Chunk:
        chunk = await self._writer.absorb(source)
        self._position += chunk.size
        return chunk

    async def commit(self, upload: Upload) -> Upload:
        with self._account.in_doubt():
            stored = await self._writer.commit(upload)
        return self._noted(stored)

    async def checkpoint(self, grown: Callable[[int], Upload]) -> Upload:
        with self._account.in_doubt():
            stored = await self._writer.checkpoint(grown)
        return self._noted(stored)

    def close(self) -> None:
        """What was not committed is gone."""
        self._flight.land(self._flight.size)

    def _noted(self, upload: Upload) -> Upload:
        self.is_committed = True
        self._account.note(upload)
        self._flight.land(self._flight.size - (self._position - upload.offset))
        return upload


class _MeteredChunkWriter:
    """See `ChunkWriter`. What is larger than the earlier version of the chunk counts."""

    def __init__(self, writer: ChunkWriter, account: Account, upload: Upload, index: int) -> None:
        self._writer = writer
        self._account = account
        self._upload = upload
        self._index = index
        self._size = 0
        self._flight = Flight(account)

    async def write(self, block: Block) -> int:
        known = self._account.waiting(self._upload.id, self._index) + self._flight.size
        if self._size + block.most > known:
            await self._flight.take(self._size + block.most - known)
        size = await self._writer.write(block)
        self._size += size
        return size

    async def commit(self, chunk: Chunk) -> None:
        await self._writer.commit(chunk)
        self._account.wait(self._upload, self._index, chunk.size)
        self.close()

    def close(self) -> None:
        """What was not committed is gone."""
        self._flight.land(self._flight.size)
