"""The digest of a file as a state machine: whoever appends, in whatever process, and whatever is
lost, it is that of the bytes that are stored."""

import asyncio
import hashlib
import os
import tempfile
import zlib
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.core import LIFE, NEW, USER
from tests.fakes import Clock, MemoryBody, MemorySink, MemoryStorage
from tests.servers import settings as environ
from tusd_py.checksum import Checksum
from tusd_py.chunks import ChunkAssembler
from tusd_py.config import load_config
from tusd_py.errors import BodyInterrupted, DigestMismatch, UploadError
from tusd_py.interfaces import Storage
from tusd_py.locks.memory import MemoryLocker
from tusd_py.service import Limits, UploadService
from tusd_py.storage import open_storage
from tusd_py.sweeper import sweep
from tusd_py.upload import Append, Upload, shrunk

FACTOR = 10 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 1
ABC = b"abcdefghij" * 30_000
"""The bytes that most clients send; some send others."""

sizes = st.sampled_from([0, 1, 2, 3, 70_000, 140_000])
workers = st.integers(0, 1)
indexes = st.integers(0, 3)


class Digested(RuleBasedStateMachine):
    """One user's uploads, on a storage that two processes share."""

    known = Bundle("known")

    on_disk = False

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.sink, self.locker = Clock(), MemorySink(), MemoryLocker(timeout=30)
        self.runner = asyncio.Runner()
        self.opened = AsyncExitStack()
        self.folder = tempfile.TemporaryDirectory(prefix="digests-")
        self.memory = MemoryStorage()
        self.services = [self.runner.run(self.begun()) for _ in range(2)]
        self.claims: dict[str, bytes] = {}

    async def begun(self) -> UploadService:
        """A process begins."""
        storage: Storage = self.memory
        if self.on_disk:
            config = load_config({}, environ(Path(self.folder.name)), None)
            storage = await self.opened.enter_async_context(open_storage(config))
        return UploadService(
            storage=storage,
            locker=self.locker,
            events=self.sink,
            limits=Limits(max_size=None, expires_after=LIFE),
            now=self.clock,
            digests_all=True,
        )

    @rule(target=known, size=st.none() | sizes, claims=st.sampled_from([None, None, True, False]))
    def create(self, size: int | None, claims: bool | None) -> str:
        """A new upload, which may claim a digest, a true one or not."""
        length = None if size is None else size * 2
        data = ABC[: length or 5]
        sha256 = hashlib.sha256(data if claims else b"other").digest()
        new = replace(NEW, length=length, sha256=None if claims is None else sha256)
        new = replace(new, declared_file_id=None)
        upload = self.do(self.services[0].create(new))
        if upload is None:
            return ""
        if claims is not None:
            self.claims[upload.id] = sha256
        return upload.id

    @rule(
        upload_id=known,
        worker=workers,
        size=sizes,
        is_other=st.sampled_from([False, False, False, True]),
        is_right=st.none() | st.booleans(),
        is_cut=st.booleans(),
        tells=st.booleans(),
    )
    def patch(
        self,
        upload_id: str,
        worker: int,
        size: int,
        *,
        is_other: bool,
        is_right: bool | None,
        is_cut: bool,
        tells: bool,
    ) -> None:
        """A PATCH to one of the processes, whole or cut, with a right checksum or a wrong one."""
        upload = self.now(upload_id)
        if upload is None:
            return
        data = ABC[upload.offset : upload.offset + size]
        if upload.length is not None:
            data = data[: upload.length - upload.offset]
        data = data.upper() if is_other else data
        body = MemoryBody(data[:2], data[2:], is_open=is_cut, size=len(data))
        if is_cut:
            body.break_off(BodyInterrupted())
        checksum = None
        if is_right is not None:
            value = zlib.crc32(data) ^ (not is_right)
            checksum = Checksum(algorithm="crc32", digest=value.to_bytes(4, "big"))
        told = upload.offset + len(data) if tells and upload.length is None else None
        append = Append(offset=upload.offset, size=len(data), length=told, checksum=checksum)
        self.do(self.services[worker].append(USER, upload_id, append, body))

    @rule(upload_id=known, worker=workers, index=indexes, size=sizes, is_cut=st.booleans())
    def chunk(self, upload_id: str, worker: int, index: int, size: int, *, is_cut: bool) -> None:
        """A REST chunk, in turn or not."""
        upload = self.now(upload_id)
        if upload is None:
            return
        data = ABC[index : index + size]
        body = MemoryBody.broken(data, error=BodyInterrupted()) if is_cut else MemoryBody(data)
        chunks = ChunkAssembler(self.services[worker])
        self.do(chunks.append_chunk(USER, upload_id, index, body))

    @rule(upload_id=known, worker=workers)
    def complete(self, upload_id: str, worker: int) -> None:
        """The end of an upload of REST chunks."""
        upload = self.now(upload_id)
        if upload is not None:
            chunks = ChunkAssembler(self.services[worker])
            total = max(1, len(upload.chunks))
            self.do(chunks.complete(USER, upload_id, total=total, file_id="1"))

    @rule(upload_id=known, worker=workers)
    def find(self, upload_id: str, worker: int) -> None:
        """HEAD."""
        self.do(self.services[worker].find(USER, upload_id))

    @rule(upload_id=known, left=st.integers(0, 3))
    def lose(self, upload_id: str, left: int) -> None:
        """A failure takes back some of the bytes, while the processes live on."""
        upload = self.now(upload_id)
        if upload is None or upload.completion is not None or upload.offset <= left:
            return
        self.do(self.services[0].storage.save(shrunk(upload, left)))

    @rule(worker=workers)
    def restart(self, worker: int) -> None:
        """One process dies, and another takes its place."""
        self.services[worker] = self.runner.run(self.begun())

    @rule(worker=workers)
    def sweep(self, worker: int) -> None:
        """A pass of the sweeper."""
        self.runner.run(sweep(self.services[worker]))

    @invariant()
    def every_file_has_its_digest(self) -> None:
        """What a record says is the digest of the file, and the one that was claimed."""
        self.runner.run(self.assert_digests())

    async def assert_digests(self) -> None:
        service = self.services[0]
        for upload in await service.files(USER):
            async with service.open(USER, upload.id) as (_, content):
                data = b"".join([block async for block in content.read(0, content.size)])
            assert upload.completion is not None
            assert upload.completion.sha256 == hashlib.sha256(data).digest()
            assert self.claims.get(upload.id) in {None, upload.completion.sha256}

    def teardown(self) -> None:
        """Every upload can be ended, as a file or because it is not the one that was claimed."""
        try:
            for upload_id in [*self.claims]:
                upload = self.now(upload_id)
                if upload is not None and upload.is_full and upload.completion is None:
                    with pytest.raises(DigestMismatch):
                        self.runner.run(self.services[1].find(USER, upload_id))
        finally:
            self.runner.run(self.opened.aclose())
            self.runner.close()
            self.folder.cleanup()

    def do(self, doing: Coroutine[object, object, Upload | None]) -> Upload | None:
        """Let it happen; what is refused is refused."""
        try:
            return self.runner.run(doing)
        except UploadError:
            return None

    def now(self, upload_id: str) -> Upload | None:
        """The upload as its record says it is."""
        return self.do(self.services[0].alive(USER, upload_id))


class OnDisk(Digested):
    """Local storage in a folder."""

    on_disk = True


@pytest.mark.parametrize(
    ("machine", "examples"), [(Digested, 40), (OnDisk, 8)], ids=["memory", "disk"]
)
@pytest.mark.timeout(600)
def test_digests_are_those_of_the_files(machine: type[Digested], examples: int) -> None:
    """PATCHes, chunks, cuts, wrong checksums, lost bytes, two processes and their restarts, in any
    order: the digest of a file is that of its bytes, and of what was claimed."""
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples * FACTOR, stateful_step_count=25)
    )
