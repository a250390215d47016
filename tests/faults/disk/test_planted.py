"""Damaged and foreign files in the data folder disturb nobody but the upload they stand for."""

import asyncio
import json
import os
import stat
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.conformance.rest.client import RestClient
from tests.conformance.tus.client import Answer, Tus, content_of, metadata
from tests.conftest import MakeProcess, MakeServer
from tests.e2e.commands import program
from tests.faults.disk.plants import PLANTS, Plant, outside, uproot
from tests.faults.disk.scene import sha256, sweep_later, sweep_now, upload_id_of
from tests.servers import Address

CONTENT = content_of(30_000)
NAME = "file.bin"

CLEAR = {200, 204, 404, 409, 410, 413, 423, 503}
"""What a damaged upload may answer to requests that are right."""

every_plant = pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS.keys())


@dataclass(frozen=True, kw_only=True)
class Garden:
    """User 42 at a server, with a file, an upload in progress, and uploads to be damaged."""

    tus: Tus
    rest: RestClient
    finished: str
    growing: str
    victims: tuple[str, ...]

    @classmethod
    async def prepare(cls, http: aiohttp.ClientSession, server: Address) -> "Garden":
        """Upload all that."""
        tus = Tus(http=http, address=server)
        rest = RestClient(http=http, server=server)
        finished = await tus.upload(CONTENT, metadata(filename=NAME))
        growing = await cls._growing(tus)
        victims = [await cls._growing(tus) for _ in range(4)]
        victims[2:] = [f"{server.files}{await cls._session(rest)}" for _ in range(2)]
        victims.append(await tus.upload(CONTENT, metadata(filename=NAME)))
        return cls(tus=tus, rest=rest, finished=finished, growing=growing, victims=tuple(victims))

    @staticmethod
    async def _growing(tus: Tus) -> str:
        url = await tus.create(len(CONTENT), metadata(filename=NAME))
        assert (await tus.patch(url, 0, CONTENT[:10_000])).status == 204
        return url

    @staticmethod
    async def _session(rest: RestClient) -> str:
        upload_id = await rest.init(0, NAME)
        for index in (0, 2):
            assert (await rest.chunk(upload_id, index, CONTENT[:10_000])).status == 200
        return upload_id

    @property
    def root(self) -> Path:
        """The data folder."""
        return self.tus.address.root

    def spots(self) -> list[Path]:
        """Where something is planted: for each victim in place of one of its files, and astray."""
        own = self.root / "uploads" / "42"
        record, data, chunks, chunk, claim = (upload_id_of(victim) for victim in self.victims)
        (waiting,) = (own / f"{chunk}.chunks").iterdir()
        (claimed,) = [path for path in own.glob("*.place") if path.read_text() == claim]
        return [
            own / f"{record}.info",
            own / f"{data}.data",
            own / f"{chunks}.chunks",
            waiting,
            claimed,
            own / f"{chunk}.chunks" / "stray",
            own / f"{uuid.uuid4()}.info.{uuid.uuid4().hex}.tmp",
            own / f"{uuid.uuid4()}.info",
            own / f"{uuid.uuid4()}.data",
            own / "stray",
            own.parent / "stray",
            own.parent / "43",
            self.root / "stray",
            self.root / "final" / "stray",
        ]

    async def answers_of_victims(self) -> list[Answer]:
        """What the damaged uploads answer to all that can be asked of an upload."""
        answers = []
        for url in self.victims:
            upload_id = upload_id_of(url)
            answers += [await self.tus.head(url), await self.tus.get(url)]
            answers.append(await self.tus.patch(url, 10_000, CONTENT[10_000:20_000]))
            chunk = await self.rest.chunk(upload_id, 1, CONTENT[:100])
            done = await self.rest.complete(upload_id, 3, 0)
            answers += [
                Answer(status=each.status, reason="", headers=each.headers, body=each.body)
                for each in (chunk, done)
            ]
            answers += [await self.tus.head(url), await self.tus.delete(url)]
        return answers

    async def bystanders(self) -> tuple[bytes, int]:
        """What the neighbours of the damaged uploads say."""
        assert self.tus.address.location("42", upload_id_of(self.finished), NAME) in (
            await self.tus.listed()
        )
        return await self.tus.download(self.finished), await self.tus.offset(self.growing)

    async def grown(self) -> str | None:
        """Send the rest of the upload in progress; returns the SHA-256 of its file."""
        offset = await self.tus.offset(self.growing)
        answer = await self.tus.patch(self.growing, offset, CONTENT[offset:])
        assert answer.status == 204
        return await self.tus.address.sha256("42", upload_id_of(self.growing), NAME)


@pytest.fixture
async def garden(server: Address, http: aiohttp.ClientSession) -> Garden:
    """The uploads, healthy."""
    return await Garden.prepare(http, server)


@pytest.fixture(autouse=True)
async def _in_time() -> AsyncIterator[None]:
    """Nothing here waits for what does not come."""
    async with asyncio.timeout(60):
        yield


def faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The events in the log that tell of a fault of ours."""
    events = {"internal_error", "unhandled", "sweep_crashed", "sweep_failed"}
    return [record.message for record in caplog.records if record.message in events]


@every_plant
async def test_what_is_planted_disturbs_nobody(
    garden: Garden,
    make_server: MakeServer,
    http: aiohttp.ClientSession,
    caplog: pytest.LogCaptureFixture,
    plant: Plant,
) -> None:
    """Whatever lies where our files should be: lists, the sweeper, a start and all other uploads
    are as ever, and damaged uploads answer clearly. Nothing outside is touched."""
    for spot in garden.spots():
        uproot(spot)
        plant(spot)
    foreign = outside(garden.root)
    before = await garden.bystanders()
    young = await sweep_now(garden.root)
    second = await make_server(garden.root)
    at_second = await Tus(http=http, address=second).listed()
    answers = await garden.answers_of_victims()
    old = await sweep_later(garden.root)
    after = await garden.bystanders()
    result = await garden.grown()
    fresh = await garden.tus.upload(CONTENT, metadata(filename=NAME))

    assert young.quarantined == 0
    assert old.quarantined >= 2
    assert before == after == (CONTENT, 10_000)
    assert await garden.tus.download(fresh) == CONTENT
    assert {answer.status for answer in answers} <= CLEAR
    assert len(at_second) in {1, 2}
    assert result == sha256(CONTENT)
    assert [path.name for path in foreign.iterdir()] == ["file"]
    assert (foreign / "file").read_bytes() == b"foreign"
    assert faults(caplog) == []


@every_plant
async def test_what_is_planted_is_set_aside(garden: Garden, plant: Plant) -> None:
    """Once it lay there for an hour, what is not ours is moved to where it disturbs nobody: as it
    was, and with a name that tells where it lay."""
    own = garden.root / "uploads" / "42"
    strays = [own / "stray", own.parent / ".stray"]
    for stray in strays:
        plant(stray)
    kinds = [stat.S_IFMT(stray.lstat().st_mode) for stray in strays]
    await sweep_later(garden.root)
    aside = sorted(
        (garden.root / "quarantine").rglob("*stray.*"), key=lambda path: -len(path.parts)
    )

    assert not any(stray.name in os.listdir(stray.parent) for stray in strays)
    assert [stat.S_IFMT(path.lstat().st_mode) for path in aside] == kinds
    assert [path.parent.name for path in aside] == ["42", "quarantine"]
    assert await garden.bystanders() == (CONTENT, 10_000)


async def test_records_of_a_newer_server_stay(garden: Garden) -> None:
    """Nobody sets aside what another version of the server may go on with."""
    record = garden.root / "uploads" / "42" / f"{upload_id_of(garden.victims[0])}.info"
    newer = json.dumps({**json.loads(record.read_text()), "version": 99})
    record.write_text(newer)
    swept = [await sweep_later(garden.root) for _ in range(2)]
    answer = await garden.tus.get(garden.victims[0])

    assert [each.quarantined for each in swept] == [0, 0]
    assert record.read_text() == newer
    assert answer.status == 503


async def test_no_link_leads_out(garden: Garden) -> None:
    """Bytes outside the data folder are neither served nor cut, whatever points to them."""
    own = garden.root / "uploads" / "42"
    secret = outside(garden.root) / "file"
    secret.write_bytes(b"secret" * 10_000)
    for url in garden.victims[:2]:
        record = own / f"{upload_id_of(url)}.info"
        record.write_text(json.dumps({**json.loads(record.read_text()), "length": 10_000}))
        uproot(own / f"{upload_id_of(url)}.data")
        (own / f"{upload_id_of(url)}.data").symlink_to(secret)
    await garden.tus.head(garden.victims[0])
    await sweep_later(garden.root)
    answers = [await garden.tus.get(url) for url in garden.victims[:2]]

    assert secret.read_bytes() == b"secret" * 10_000
    assert [answer.status for answer in answers if b"secret" in answer.body] == []
    assert {answer.status for answer in answers} <= CLEAR


@every_plant
async def test_descriptors_are_closed(garden: Garden, plant: Plant) -> None:
    """What cannot be read costs no descriptor, however often it is looked at."""
    own = garden.root / "uploads" / "42"
    upload_id = upload_id_of(garden.victims[0])
    for path in (own / f"{upload_id}.info", next(iter(own.glob("*.place")))):
        uproot(path)
        plant(path)
    await garden.tus.listed()
    await garden.tus.get(garden.victims[0])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        await garden.tus.listed()
        await garden.tus.get(garden.victims[0])

    assert len(os.listdir("/proc/self/fd")) < before + 10


# --- what nobody may read


def without_superpowers() -> tuple[str, ...]:
    """The command under which also root may read only what it may."""
    if os.geteuid() != 0:
        return ()
    powers = "-dac_override,-dac_read_search"
    return (program("setpriv", "util-linux"), "--bounding-set", powers)


async def test_what_nobody_may_read(
    garden: Garden, make_process: MakeProcess, http: aiohttp.ClientSession
) -> None:
    """A record or a folder that the server may not read is told to its owner; lists, the sweeper
    and everybody else go on."""
    others = [garden.tus.of(str(user)) for user in range(1, 10)]
    urls = [await other.create(5) for other in others]
    folders = [garden.root / "uploads" / other.user for other in others]
    for folder in folders:
        (record,) = folder.glob("*.info")
        fields = json.loads(record.read_text())
        record.write_text(json.dumps({**fields, "expires_at": fields["created_at"]}))
    record = garden.root / "uploads" / "42" / f"{upload_id_of(garden.victims[0])}.info"
    record.chmod(0)
    folders[4].chmod(0)
    process = await make_process(
        garden.root, under=without_superpowers(), SWEEP_INTERVAL="0.1", MIN_FREE_DISK="0"
    )
    there = Garden(
        tus=Tus(http=http, address=process.address),
        rest=RestClient(http=http, server=process.address),
        finished=f"{process.address.files}{upload_id_of(garden.finished)}",
        growing=f"{process.address.files}{upload_id_of(garden.growing)}",
        victims=(),
    )
    async with asyncio.timeout(30):
        while await asyncio.to_thread(_unswept, folders[:4] + folders[5:]):  # noqa: ASYNC110 - sweepers tell nobody
            await asyncio.sleep(0.02)
    hidden, locked = (
        f"{process.address.files}{upload_id_of(url)}" for url in (garden.victims[0], urls[4])
    )
    answers = [await there.tus.get(hidden), await there.tus.of("5").get(locked)]
    bystanders = await there.bystanders()
    result = await there.grown()
    left = await process.end()
    folders[4].chmod(0o700)

    assert [answer.status for answer in answers] == [503, 503]
    assert bystanders == (CONTENT, 10_000)
    assert result == sha256(CONTENT)
    assert left == 0


def _unswept(folders: list[Path]) -> bool:
    """Whether there is an upload in these folders that has not ended."""
    records = (record for folder in folders for record in folder.glob("*.info"))
    return any("ending" not in json.loads(record.read_text()) for record in records)


# --- records


RECORDS: dict[str, dict[str, object]] = {
    "ended_at_the_end_of_time": {"ending": {"at": "9999-12-31T23:59:59+00:00", "why": "expired"}},
    "ended_before_time": {"ending": {"at": "0001-01-01T00:00:00+14:00", "why": "expired"}},
    "expires_after_time": {"expires_at": "9999-12-31T23:59:59-14:00"},
    "expired_before_time": {"expires_at": "0001-01-01T00:00:00+14:00"},
    "created_before_time": {"created_at": "0001-01-01T00:00:00+14:00"},
    "no_zone": {"created_at": "2026-01-01T00:00:00"},
    "a_line_in_metadata": {"metadata": "filename Zg==\r\nX-Evil: 1"},
    "no_latin_in_metadata": {"metadata": "\ud800\u4e2d"},
    "a_line_in_the_type": {"content_type": "text/plain\r\nX-Evil: 1"},
    "a_line_in_the_parts": {"concat": {"partials": [], "header": "final;\r\nX-Evil: 1"}},
    "half_a_character": {"filename": "\ud800.bin"},
    "a_way_out": {"filename": "../../../../outside-file"},
    "another_way_out": {"file_id": "../../outside"},
    "half_a_file_id": {"file_id": "\ud800"},
    "huge_offset": {"length": None, "offset": 10**30},
    "huge_length": {"length": 10**400},
    "more_than_all": {"length": 5, "offset": 10},
    "negative": {"offset": -1},
    "chunks_of_another_sum": {"length": None, "chunks": [[1], [2], [3]]},
    "huge_chunks": {"length": None, "chunks": [[10**30, "AAAA"]]},
    "broken_digests": {"length": None, "chunks": [[10_000, "AA=="]]},
    "no_chunks": {"chunks": {"0": 5}},
    "many_chunks": {"length": None, "chunks": [[0]] * 10_000},
    "an_old_version": {"version": -1},
    "a_text_as_version": {"version": "1"},
    "a_wrong_medium": {"medium": {"boot": 5, "synced": "x"}},
    "a_huge_medium": {"medium": {"boot": "other", "synced": 10**30}},
    "complete_without_a_file": {"completion": {"at": "2026-01-01T00:00:00+00:00"}},
    "complete_before_time": {"completion": {"at": "0001-01-01T00:00:00+14:00"}},
    "full_without_bytes": {"length": 20_000, "offset": 20_000},
}
"""What is wrong in each, apart from the fields of a good one."""


@pytest.mark.parametrize("fields", RECORDS.values(), ids=RECORDS.keys())
async def test_strange_records_disturb_nobody(
    garden: Garden, caplog: pytest.LogCaptureFixture, fields: dict[str, object]
) -> None:
    """A record that no server wrote, or a hostile one, speaks for its own upload only."""
    own = garden.root / "uploads" / "42"
    victim, over = (own / f"{upload_id_of(url)}.info" for url in garden.victims[:2])
    record, due = json.loads(victim.read_text()), json.loads(over.read_text())
    victim.write_text(json.dumps({**record, **fields}))
    over.write_text(json.dumps({**due, "expires_at": due["created_at"]}))
    swept = await sweep_later(garden.root)
    answers = await garden.answers_of_victims()
    await sweep_later(garden.root)
    fresh = await garden.tus.upload(CONTENT, metadata(filename=NAME))
    result = await garden.grown()

    assert swept.expired >= 1
    assert {answer.status for answer in answers} <= CLEAR
    assert "X-Evil" not in {name for answer in answers for name in answer.headers}
    assert await garden.bystanders() == (CONTENT, len(CONTENT))
    assert await garden.tus.download(fresh) == CONTENT
    assert result == sha256(CONTENT)
    assert not list(garden.root.parent.rglob("outside*"))
    assert faults(caplog) == []
