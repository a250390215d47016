"""`python -m bench.speed`: the load generator is not deceived, and what it finds becomes a page."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.client import Slice, client, random_file
from bench.speed.assembly import rest
from bench.speed.contest import SPEED, Case, Row, Run, at_least, at_most
from bench.speed.load import Upload, create, patch, small_uploads
from bench.speed.plot import svg
from bench.speed.report import targets, write
from bench.speed.servers import Endpoint
from bench.speed.setting import CHUNK, Bench, Sizes

Check = Callable[[Endpoint, Slice], None]
SIZE = 50_000


class Lie(Enum):
    """What a server can be wrong about."""

    NOTHING = "nothing"
    GOODBYE = "nothing, but closes after every answer"
    STATUS = "the status"
    OFFSET = "the offset"
    BYTES = "what it stores"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Slice]:
    with random_file(tmp_path, 4 * SIZE) as opened:
        yield opened


@contextmanager
def liar(folder: Path, lie: Lie) -> Iterator[Endpoint]:
    """A tus server that is honest about everything else."""
    folder.mkdir()
    ids = count()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.say(201, Location=f"/files/{next(ids)}")

        def do_PATCH(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if lie is Lie.BYTES:
                body = bytes([body[0] ^ 1]) + body[1:]
            offset = int(self.headers["Upload-Offset"])
            with (folder / self.path.rpartition("/")[2]).open("ab") as stored:
                stored.truncate(offset)
                stored.write(body)
            offset += len(body) - (lie is Lie.OFFSET)
            self.say(200 if lie is Lie.STATUS else 204, Upload_Offset=str(offset))

        def say(self, status: int, **fields: str) -> None:
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", "0")
            if lie is Lie.GOODBYE:
                self.send_header("Connection", "close")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield Endpoint(port=server.server_port, data=folder)
        finally:
            server.shutdown()
            serving.join()


def upload_large(server: Endpoint, file: Slice) -> None:
    """Two PATCHes on one connection."""
    with client(server.port, {}) as connection:
        path = create(connection, server, 1, file.size)
        patch(connection, path, 0, file.part(0, SIZE))
        patch(connection, path, SIZE, file.part(SIZE, file.size - SIZE))
    Upload(server=server, user=1, number=1, path=path, parts=(file,)).require_stored()


def upload_small(server: Endpoint, file: Slice) -> None:
    """Two uploads at once."""
    parts = [file.part(at, SIZE) for at in (0, SIZE)]
    work, done = small_uploads(server, [1, 2], parts, parallel=2, is_one_request=False)
    work()
    assert len(done) == 2
    for each in done:
        each.require_stored()


WAYS = pytest.mark.parametrize("upload", [upload_large, upload_small])


@WAYS
@pytest.mark.parametrize("lie", [Lie.NOTHING, Lie.GOODBYE], ids=lambda lie: lie.name.lower())
def test_an_honest_server_is_believed(upload: Check, lie: Lie, tmp_path: Path, file: Slice) -> None:
    """Uploads succeed, also where every answer ends its connection."""
    with liar(tmp_path / "data", lie) as server:
        upload(server, file)

        assert sum(each.stat().st_size for each in server.data.iterdir()) in {2 * SIZE, 4 * SIZE}


@WAYS
@pytest.mark.parametrize(
    ("lie", "complaint"),
    [
        pytest.param(Lie.STATUS, "wanted .*204", id="status"),
        pytest.param(Lie.OFFSET, "wanted .*offset", id="offset"),
        pytest.param(Lie.BYTES, "not what was sent", id="bytes"),
    ],
)
def test_a_lie_ends_the_run(
    upload: Check, lie: Lie, complaint: str, tmp_path: Path, file: Slice
) -> None:
    """A wrong status, a wrong offset and wrong bytes are errors."""
    with liar(tmp_path / "data", lie) as server, pytest.raises(RuntimeError, match=complaint):
        upload(server, file)


def test_a_work_is_done(tmp_path: Path) -> None:
    """Chunks and PATCHes go through the real server in turns, and a table and a plot show them."""
    with random_file(tmp_path, CHUNK) as file:
        bench = Bench(
            memory=tmp_path, disk=tmp_path, file=file, rounds=1, sizes=Sizes.scaled(1 / 64)
        )

        result = rest(bench)

        assert [len(case.runs) for case in result.cases] == [3]
        assert all(SPEED.middle(runs) > 0 for runs in result.cases[0].runs.values())
        assert targets(result.rows).count("\n") == 3
        assert len(list(ElementTree.fromstring(svg(result.cases)).iter())) > 3


def test_ratios_are_of_medians() -> None:
    """The median of one contestant is divided by that of another."""
    case = Case(
        title="work", measure=SPEED, cpu=SPEED, runs={"a": runs(1, 9, 2), "b": runs(4, 4, 5)}
    )

    row = case.row("work", "b", "b", at_least(0.6), ours="a")

    assert (row.ratio, row.ours, row.theirs) == (0.5, "2 (1-9) MiB/s", "4 (4-5) MiB/s")


def runs(*speeds: float) -> list[Run]:
    """Runs of a second."""
    return [Run(amount=each, seconds=1, cpu=0, client_cpu=0, peak=0) for each in speeds]


@pytest.mark.parametrize(
    ("ratio", "is_met"),
    [(0.7, (True, False)), (0.8, (True, True)), (0.9, (False, True))],
    ids=["below", "at", "above"],
)
def test_targets(ratio: float, is_met: tuple[bool, bool]) -> None:
    """A ratio is at most or at least as its target says; the target itself is met."""
    assert (at_most(0.8).is_met(ratio), at_least(0.8).is_met(ratio)) == is_met


def test_the_page_is_written(tmp_path: Path) -> None:
    """The marked section is replaced, and nothing else."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- begin results -->\nold\n<!-- end results -->\nafter\n")
    row = Row(work="w", against="a", ours="1", theirs="2", ratio=0.5, target=at_least(1))

    write(page, targets([row]))

    before, section, after = page.read_text().partition(
        "\n| w | a | 1 | 2 | 0.50 | ≥ 1 | **missed** |\n"
    )
    assert before.startswith("before\n<!-- begin results -->\n")
    assert "old" not in before + section
    assert after == "\n<!-- end results -->\nafter\n"
