"""The assembler as a state machine: whatever clients do, in whatever order, and whenever the server
dies, the uploads are what lists of bytes would be."""

import asyncio
import contextlib
import hashlib
import os
import zlib
from collections.abc import Callable, Coroutine, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta

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
from tests.fakes import MemoryBody
from tests.properties.model import Held, Model, Patch
from tests.properties.world import Died, Disk, Memory, World
from tusd_py.checksum import Checksum
from tusd_py.errors import BodyInterrupted, UploadError, UploadGone, UploadNotFound
from tusd_py.events import Completed
from tusd_py.sweeper import sweep
from tusd_py.upload import Append, Final, Partial

Call = Callable[[], Coroutine[object, object, object]]

blobs = st.binary(max_size=4) | st.sampled_from([b"a", b"ab"])
indexes = st.integers(0, 4)
file_ids = st.sampled_from(["1", "2"])


class Uploads(RuleBasedStateMachine):
    """One user's uploads, in the model and in a world on some ground."""

    known = Bundle("known")

    ground: type[Memory] | type[Disk]

    def __init__(self) -> None:
        super().__init__()
        self.world = world = World(self.ground())
        self.model = Model(world.clock())
        self.untold: set[str] = set()
        self.is_broken = False
        self.dies_after: int | None = None

    # --- what clients do

    @rule(
        target=known,
        length=st.none() | st.integers(0, 8),
        data=st.none() | blobs,
        file_id=st.none() | file_ids,
        is_partial=st.booleans(),
    )
    def create(
        self, length: int | None, data: bytes | None, file_id: str | None, is_partial: bool
    ) -> str:
        """A new upload, perhaps with its first bytes."""
        data = data if length is None or data is None else data[:length]
        new = replace(
            NEW,
            length=length,
            declared_file_id=None if is_partial else file_id,
            concat=Partial() if is_partial else None,
        )
        body = None if data is None else MemoryBody.sized(data)
        upload = self.world.run(self.world.service.create(new, body))
        held = Held(
            length=length,
            expires_at=self.model.now + LIFE,
            place=None if is_partial else upload.place,
            file_id=new.declared_file_id,
            is_partial=is_partial,
        )
        self.model.create(upload.id, held, data)
        return upload.id

    @rule(
        upload_id=known,
        data=blobs,
        off_by=st.sampled_from([0, 0, 0, 0, 1, -1]),
        told=st.none() | st.none() | st.integers(0, 8),
        is_right=st.none() | st.booleans(),
        is_cut=st.booleans(),
        is_sized=st.booleans(),
    )
    def patch(
        self,
        upload_id: str,
        data: bytes,
        off_by: int,
        told: int | None,
        is_right: bool | None,
        is_cut: bool,
        is_sized: bool,
    ) -> None:
        """A PATCH, of any kind."""
        offset = max(0, len(self.model.uploads[upload_id].data) + off_by)
        patch = Patch(
            offset=offset,
            data=data,
            told=told,
            is_right=is_right,
            is_cut=is_cut,
            is_sized=is_sized,
        )

        def call() -> Coroutine[object, object, object]:
            return self._append(upload_id, patch)

        self._do(lambda model: model.patch(upload_id, patch), call, self._resume(upload_id, patch))

    @rule(upload_id=known, index=indexes, data=blobs, is_cut=st.sampled_from([False, False, True]))
    def chunk(self, upload_id: str, index: int, data: bytes, is_cut: bool) -> None:
        """A REST chunk at any index: the next, a later one, an earlier one again."""
        held = self.model.uploads[upload_id]
        is_new = index >= len(held.chunks) and held.length != len(held.data)
        body_breaks = is_cut and is_new

        def call() -> Coroutine[object, object, object]:
            body = MemoryBody(data)
            if body_breaks:
                body = MemoryBody.broken(data, error=BodyInterrupted())
            return self.world.chunks.append_chunk(USER, upload_id, index, body)

        self._do(lambda model: model.chunk(upload_id, index, data, is_cut=body_breaks), call, call)

    @rule(upload_id=known, index=indexes)
    def chunk_again(self, upload_id: str, index: int) -> None:
        """A REST chunk again, because its answer was lost."""
        held = self.model.uploads[upload_id]
        data = held.chunks[index][0] if index < len(held.chunks) else held.staged.get(index, b"")
        self.chunk(upload_id=upload_id, index=index, data=data, is_cut=False)

    @rule(upload_id=known, data=st.lists(blobs, min_size=2, max_size=3), order=st.randoms())
    def chunks_at_once(self, upload_id: str, data: Sequence[bytes], order: object) -> None:
        """REST chunks in parallel: the next ones, begun in any order."""
        held = self.model.uploads[upload_id]
        if held.length is not None or held.ended_at is not None:
            return
        first = len(held.chunks)
        bodies = {index: held.staged.get(index, each) for index, each in enumerate(data, first)}
        indexes = sorted(bodies)
        order.shuffle(indexes)  # type: ignore[attr-defined]  # hypothesis does not export its type

        async def call() -> None:
            await asyncio.gather(
                *[
                    self.world.chunks.append_chunk(
                        USER, upload_id, index, MemoryBody(bodies[index])
                    )
                    for index in indexes
                ]
            )

        def expected(model: Model) -> None:
            for index in sorted(bodies):
                model.chunk(upload_id, index, bodies[index])

        self._do(expected, call, None)

    @rule(upload_id=known, more=st.integers(-1, 1), file_id=file_ids)
    def complete(self, upload_id: str, more: int, file_id: str) -> None:
        """The end of an upload of REST chunks, told with a count that may be wrong."""
        held = self.model.uploads[upload_id]
        count = len(held.chunks)
        while count in held.staged:
            count += 1
        total = max(1, count + more)

        def call() -> Coroutine[object, object, object]:
            return self.world.chunks.complete(USER, upload_id, total=total, file_id=file_id)

        self._do(lambda model: model.complete(upload_id, total, file_id), call, call)

    @rule(target=known, parts=st.lists(known, min_size=1, max_size=3))
    def concatenate(self, parts: list[str]) -> str:
        """A concatenation; returns an upload that is known, if it is refused."""
        final = Final(partials=tuple(parts), header="final;x")
        made: list[str] = []

        async def call() -> None:
            new = replace(NEW, declared_file_id=None)
            made.append((await self.world.service.concatenate(new, final)).id)

        def expected(model: Model) -> None:
            data = model.concatenated(parts)
            if made:
                held = Held(
                    length=len(data), expires_at=model.now + LIFE, place=made[0], is_final=True
                )
                model.create(made[0], held, data)

        self.dies_after = None
        self._do(lambda model: deepcopy(model).concatenated(parts) and None, call, None)
        expected(self.model) if made else None
        return made[0] if made else parts[0]

    @rule(upload_id=known)
    def terminate(self, upload_id: str) -> None:
        """The client does not want it."""

        def call() -> Coroutine[object, object, object]:
            return self.world.service.terminate(USER, upload_id)

        async def again() -> None:
            with contextlib.suppress(UploadGone, UploadNotFound):
                await call()

        self._do(lambda model: model.terminate(upload_id), call, again)

    # --- while a request is running

    @rule(
        upload_id=known,
        data=blobs.filter(bool),
        end=st.sampled_from(["found", "patched", "terminated", "drained", "finished", "died"]),
    )
    def meanwhile(self, upload_id: str, data: bytes, end: str) -> None:
        """A PATCH is running and has brought bytes, when somebody else wants the upload, or the
        server leaves, or dies."""
        held = self.model.uploads[upload_id]
        patch = Patch(offset=len(held.data), data=data)
        try:
            deepcopy(self.model).patch(upload_id, patch)
        except UploadError:
            return
        if held.is_complete:
            return
        self.world.run(self._run_beside(upload_id, patch, end))
        if end == "died":
            self._adopt(upload_id, at_most=held.data + data)
            return
        with contextlib.suppress(BodyInterrupted):
            self.model.patch(upload_id, replace(patch, is_cut=end != "finished"))
        if end == "terminated":
            self.model.terminate(upload_id)
        if end == "drained":
            self.world.run(self.world.begin())

    # --- what the server does

    @rule(hours=st.sampled_from([1, 1, 6, 25]))
    def let_time_pass(self, hours: int) -> None:
        """Time goes by."""
        self.world.clock.forward(timedelta(hours=hours))
        self.model.pass_time(timedelta(hours=hours))

    @rule()
    def sweep(self) -> None:
        """A pass of the sweeper."""

        def call() -> Coroutine[object, object, object]:
            return sweep(self.world.service)

        self._do(Model.sweep, call, call)

    @rule()
    def restart(self) -> None:
        """The server dies while nothing happens, and begins again."""
        self.world.run(self.world.begin())

    @rule(calls=st.integers(0, 12))
    def doom(self, calls: int) -> None:
        """The server will die in the middle of what comes next."""
        self.dies_after = calls

    # --- what always holds

    @invariant()
    def all_is_as_promised(self) -> None:
        """Every upload is where the model says; the list names the finished files, and each has its
        bytes and their digest; who listens heard of each."""
        self.is_broken = True
        self.world.run(self._assert_promises())
        self.is_broken = False

    async def _assert_promises(self) -> None:
        service = self.world.service
        for upload_id in self.model.uploads.keys() - self.untold:
            try:
                held = self.model.alive(upload_id)
            except UploadError as error:
                with pytest.raises(type(error)):
                    await service.alive(USER, upload_id)
                continue
            upload = await service.alive(USER, upload_id)
            assert upload.offset == len(held.data)
            assert upload.length == held.length
            assert (upload.completion is not None) == held.is_complete
            if held.is_complete:
                assert await self.world.content(upload_id) == held.data
            if held.is_file:
                assert upload.completion is not None
                assert upload.completion.sha256 == hashlib.sha256(held.data).digest()
        listed = {upload.id for upload in await service.files(USER)}
        told = {event.upload.id for event in self.world.sink.events if isinstance(event, Completed)}
        assert listed == set(self.model.files())
        assert told == self.model.files_ever

    def teardown(self) -> None:
        """Every upload that is still alive can be brought to its end."""
        try:
            if not self.is_broken:
                self._end_all()
        finally:
            self.world.close()

    def _end_all(self) -> None:
        for upload_id in self.model.uploads.keys() - self.untold:
            with contextlib.suppress(UploadError):
                held = self.model.alive(upload_id)
                rest = b"" if held.length is None else b"z" * (held.length - len(held.data))
                told = len(held.data) if held.length is None else None
                patch = Patch(offset=len(held.data), data=rest, told=told)
                self.dies_after = None
                self._finish(upload_id, patch)
                self.all_is_as_promised()

    def _finish(self, upload_id: str, patch: Patch) -> None:
        def call() -> Coroutine[object, object, object]:
            return self._append(upload_id, patch)

        self._do(lambda model: model.patch(upload_id, patch), call, None)

    # --- how it is done

    def _do(self, expected: Callable[[Model], object], call: Call, again: Call | None) -> None:
        """Do something in both, and compare what comes of it. `again` is what a client does when
        the server died meanwhile."""
        before = deepcopy(self.model)
        wanted: type[UploadError] | None = None
        try:
            expected(self.model)
        except UploadError as error:
            wanted = type(error)
        dies_after, self.dies_after = self.dies_after, None
        is_dying = dies_after is not None and wanted is None and again is not None
        if is_dying and not self.world.ground.die_after(dies_after or 0):
            is_dying = False
        outcome = self.world.outcome(call())
        if is_dying:
            assert outcome in {None, Died}
            self.world.run(self.world.begin())
            assert again is not None
            outcome = self.world.outcome(again())
            self._adopt_lag(before)
        if wanted is None:
            assert outcome is None
        else:
            assert outcome is not None
            assert issubclass(outcome, wanted), (outcome, wanted)

    def _adopt_lag(self, before: Model) -> None:
        """After a crash a chunk that waited may wait on, until the next one comes; an upload that
        is full becomes a file when its offset is asked for; and an earlier file may still have its
        record, but is a file no more."""
        for upload_id, held in self.model.uploads.items():
            known = before.uploads[upload_id]
            if known.is_file and held.ended_at is not None:
                with contextlib.suppress(UploadError):
                    self.world.run(self.world.service.alive(USER, upload_id))
                    self.untold.add(upload_id)
            if held.ended_at or held.is_forgotten:
                continue
            with contextlib.suppress(UploadError):
                upload = self.world.run(self.world.service.find(USER, upload_id))
                while len(upload.chunks) < len(held.chunks):
                    index = len(held.chunks) - 1
                    assert known.staged[index] == held.chunks[-1][0]
                    held.staged[index] = held.chunks.pop()[0]

    def _adopt(self, upload_id: str, *, at_most: bytes) -> None:
        """After a crash in a running PATCH some of its bytes may count."""
        upload = self.world.run(self.world.service.alive(USER, upload_id))
        held = self.model.uploads[upload_id]
        assert len(held.data) <= upload.offset <= len(at_most)
        if upload.offset > len(held.data):
            patch = Patch(offset=len(held.data), data=at_most[len(held.data) : upload.offset])
            self.model.patch(upload_id, patch)

    async def _append(self, upload_id: str, patch: Patch) -> None:
        size = len(patch.data) if patch.is_sized else None
        body = MemoryBody(patch.data, is_open=patch.is_cut, size=size)
        if patch.is_cut:
            body.break_off(BodyInterrupted())
        claimed = None
        if patch.is_right is not None:
            value = zlib.crc32(patch.data) ^ (not patch.is_right)
            claimed = Checksum(algorithm="crc32", digest=value.to_bytes(4, "big"))
        append = Append(offset=patch.offset, size=body.size, length=patch.told, checksum=claimed)
        await self.world.service.append(USER, upload_id, append, body)

    def _resume(self, upload_id: str, patch: Patch) -> Call:
        """Ask for the offset and send what is missing."""

        async def resume() -> None:
            upload = await self.world.service.find(USER, upload_id)
            done = upload.offset - patch.offset
            assert 0 <= done <= len(patch.data)
            assert patch.is_right is None or done in {0, len(patch.data)}
            if done < len(patch.data) or not patch.data:
                rest = replace(patch, offset=upload.offset, data=patch.data[done:])
                await self._append(upload_id, rest)

        return resume

    async def _run_beside(self, upload_id: str, patch: Patch, end: str) -> None:
        """A PATCH whose body is open, and what ends it."""
        service = self.world.service
        body = MemoryBody(patch.data, is_open=True)
        append = Append(offset=patch.offset, size=None)
        running = asyncio.create_task(service.append(USER, upload_id, append, body))
        await body.drained()
        match end:
            case "found":
                assert (await service.find(USER, upload_id)).offset == patch.offset + len(
                    patch.data
                )
            case "patched":
                again = replace(patch, offset=patch.offset)
                with pytest.raises(UploadError):
                    await self._append(upload_id, again)
            case "terminated":
                await service.terminate(USER, upload_id)
            case "drained":
                service.drain()
            case "finished":
                body.finish()
            case "died":
                await self.world.begin()
                running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class InMemory(Uploads):
    """Dies at any call to the storage."""

    ground = Memory


class OnDisk(Uploads):
    """Local storage in a folder."""

    ground = Disk


FACTOR = 10 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 1


@pytest.mark.parametrize(
    ("machine", "examples", "steps"),
    [(InMemory, 120, 40), (OnDisk, 20, 30)],
    ids=["memory", "disk"],
)
@pytest.mark.timeout(600)
def test_uploads_are_what_was_acknowledged(
    machine: type[Uploads], examples: int, steps: int
) -> None:
    """Creations, PATCHes, chunks, completions, concatenations, terminations, take-overs, crashes,
    restarts, passes of the sweeper and of time, in any order: every answer, offset, file and list
    is what the model says."""
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples * FACTOR, stateful_step_count=steps)
    )
