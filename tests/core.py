"""The upload service on fakes: all of the behaviour, without a disk, a network or the time."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

from tests.fakes import Clock, MemoryBody, MemorySink, MemoryStorage
from tusd_py.chunks import ChunkAssembler
from tusd_py.hooks import Hooks
from tusd_py.interfaces import Body, Locker
from tusd_py.locks.memory import MemoryLocker
from tusd_py.notify import FanOut
from tusd_py.service import Limits, UploadService
from tusd_py.steering import Steering
from tusd_py.upload import Append, NewUpload, Partial, Upload

LIFE = timedelta(hours=24)
USER = "42"
NEW = NewUpload(owner=USER, filename="audio.mp3", declared_file_id="123")


@dataclass(kw_only=True)
class Core:
    """A service and all that it was given, its limits too."""

    max_size: int | None = None
    max_chunks: int = 10_000
    max_open: int | None = None
    quota: int | None = None
    digests_all: bool = False
    clock: Clock = field(default_factory=Clock)
    storage: MemoryStorage = field(default_factory=MemoryStorage)
    sink: MemorySink = field(default_factory=MemorySink)
    locker: Locker = field(default_factory=lambda: MemoryLocker(timeout=0.3))
    hooks: Hooks | None = None
    interval: float = 0.02
    service: UploadService = field(init=False)
    chunks: ChunkAssembler = field(init=False)

    def __post_init__(self) -> None:
        steering = None
        if self.hooks is not None:
            steering = Steering(self.hooks, interval=self.interval, max_metadata=16 << 10)
        self.service = UploadService(
            storage=self.storage,
            locker=self.locker,
            events=self.sink if steering is None else FanOut([self.sink, steering]),
            limits=Limits(
                max_size=self.max_size,
                expires_after=LIFE,
                max_chunks=self.max_chunks,
                max_open=self.max_open,
                quota=self.quota,
            ),
            now=self.clock,
            digests_all=self.digests_all,
            steering=steering,
        )
        self.chunks = ChunkAssembler(self.service)

    async def created(self, length: int | None = None, new: NewUpload = NEW) -> Upload:
        """A new upload without bytes."""
        return await self.service.create(replace(new, length=length))

    async def append(
        self, upload: Upload, offset: int, *blocks: bytes, length: int | None = None
    ) -> Upload:
        """Append some blocks."""
        body = MemoryBody.sized(*blocks)
        append = Append(offset=offset, size=body.size, length=length)
        return await self.service.append(USER, upload.id, append, body)

    async def finished(self, data: bytes, new: NewUpload = NEW) -> Upload:
        """A finished upload."""
        return await self.service.create(replace(new, length=len(data)), MemoryBody.sized(data))

    async def partial(self, data: bytes, new: NewUpload = NEW) -> Upload:
        """A finished partial upload."""
        return await self.finished(data, replace(new, concat=Partial(), declared_file_id=None))

    async def chunk(self, upload: Upload, index: int, *blocks: bytes) -> None:
        """Send a chunk."""
        await self.chunk_of(upload, index, MemoryBody(*blocks))

    async def chunk_of(self, upload: Upload, index: int, body: Body) -> None:
        """Send a chunk whose body the test has in its hand."""
        await self.chunks.append_chunk(USER, upload.id, index, body)

    async def complete(self, upload: Upload, total: int, file_id: str = "123") -> Upload:
        """Complete an upload of chunks."""
        return await self.chunks.complete(USER, upload.id, total=total, file_id=file_id)

    async def now(self, upload: Upload) -> Upload:
        """The upload as its record says it is."""
        return await self.storage.load(upload.owner, upload.id)

    async def content(self, upload: Upload) -> bytes:
        """The committed bytes."""
        async with self.storage.open(await self.now(upload)) as content:
            return b"".join([block async for block in content.read(0, content.size)])
