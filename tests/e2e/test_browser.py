"""The demo page in headless Chromium, with tus-js-client and with the REST chunks."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import MakeServer
from tests.e2e.chromium import running_chromium
from tests.e2e.commands import REPOSITORY, random_file, sha256
from tests.e2e.javascript import Driver, driver
from tests.e2e.relay import relay
from tests.servers import Address
from tests.tokens import make_token

MIB = 2**20
SIZE = 40 * MIB
"""Of the large file: much more than the browser, the page and the server hold at once."""

Visit = Callable[..., Awaitable[dict[str, object]]]
WAYS = pytest.mark.parametrize("way", ["tus", "rest"])


@pytest.fixture
async def page_server(make_server: MakeServer) -> Address:
    """A server that serves the demo page."""
    if not (REPOSITORY / "tusd_py/web/demo/static/tus.min.js").is_file():
        pytest.fail(
            "tus.min.js is missing: run `npm ci` and "
            "`cp node_modules/tus-js-client/dist/tus.min.js tusd_py/web/demo/static/`",
            pytrace=False,
        )
    return await make_server(DEMO="true")


@dataclass(frozen=True, kw_only=True)
class Big:
    """A large file."""

    path: Path
    size: int
    sha256: str


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Big:
    """A large file."""
    path = tmp_path_factory.mktemp("big") / "Aerial survey.mov"
    return Big(path=path, size=SIZE, sha256=random_file(path, SIZE))


@pytest.fixture(scope="session")
def playwright() -> Iterator[Driver]:
    """The browser of this process, and who drives it."""
    with running_chromium() as address, driver("browser/run.mjs", CHROMIUM_AT=address) as one:
        yield one


@pytest.fixture
def visit(playwright: Driver) -> Visit:
    """Runs a scenario of browser/scenarios.mjs with the page open, as the user 42."""

    async def run(base: str, scenario: str, **options: object) -> dict[str, object]:
        task = {"scenario": scenario, "url": f"{base}/#token={make_token()}", **options}
        return await playwright.run(task)

    return run


async def stored(server: Address, filename: str) -> list[str | None]:
    """SHA-256 of each finished file of the user 42 with this name."""
    names = [name.split("/") for name in await server.finished()]
    return [await server.sha256(*name) for name in names if name[0::2] == ["42", filename]]


def _numbers(value: object) -> list[int]:
    assert isinstance(value, list)
    return value


@WAYS
async def test_upload(visit: Visit, page_server: Address, big: Big, way: str) -> None:
    """A chosen file is sent, stored whole and listed; the token leaves the address bar."""
    file, expected = big.path, big.sha256

    seen = await visit(page_server.base, "upload", files=[str(file)], way=way)

    assert await stored(page_server, file.name) == [expected]
    assert seen["listed"] == [file.name]
    assert seen["address"] == f"{page_server.base}/"


@WAYS
async def test_four_connections(visit: Visit, page_server: Address, big: Big, way: str) -> None:
    """The four-connections box sends parallelUploads with tus, parallel chunks with REST."""
    file, expected = big.path, big.sha256

    seen = await visit(page_server.base, "upload", files=[str(file)], way=way, parallel=True)

    assert seen["concat"] == (["partial"] * 4 + ["final"] if way == "tus" else [])
    assert await stored(page_server, file.name) == [expected]


async def test_several_files(visit: Visit, page_server: Address, tmp_path: Path) -> None:
    """Files of any name and size, an empty one too, go out together."""
    names = ["empty.txt", "отчёт 1.pdf", "b & <c>.bin", "100%.zip", "e.jpg"]
    sums = [random_file(tmp_path / name, index * 700_000) for index, name in enumerate(names)]

    seen = await visit(page_server.base, "upload", files=[str(tmp_path / name) for name in names])

    assert [await stored(page_server, name) for name in names] == [[digest] for digest in sums]
    assert seen["states"] == ["waiting", "sending", "done"] or seen["states"] == [
        "sending",
        "done",
    ]


async def test_pause_and_resume(visit: Visit, page_server: Address, big: Big) -> None:
    """Resume goes on where Pause stopped."""
    file, expected = big.path, big.sha256

    async with relay(page_server) as wire:
        seen = await visit(wire.base, "pause", file=str(file))

        assert wire.sent < big.size * 1.3
    assert 20 <= float(str(seen["percent"])) < 100
    assert await stored(page_server, file.name) == [expected]


@WAYS
async def test_reload_and_resume(
    visit: Visit, page_server: Address, big: Big, tmp_path: Path, way: str
) -> None:
    """After a reload the page asks for the same file, refuses another one, and goes on."""
    file, expected = big.path, big.sha256
    random_file(tmp_path / "other.bin", 10)

    async with relay(page_server) as wire:
        seen = await visit(
            wire.base, "reload", file=str(file), other=str(tmp_path / "other.bin"), way=way
        )

        assert wire.sent < big.size * 1.3
    assert 5 <= float(str(seen["percent"])) < 100
    assert str(seen["question"]).startswith("Choose the same file to resume")
    assert seen["left"] == []
    assert await stored(page_server, file.name) == [expected]


@WAYS
@pytest.mark.parametrize("parallel", [False, True])
async def test_network_cut(
    visit: Visit, page_server: Address, big: Big, way: str, parallel: bool
) -> None:
    """Connections that are cut are taken up again without a hand, where they were."""
    file, expected = big.path, big.sha256
    # With four connections: four parts, and their whole.
    beginnings = 5 if parallel and way == "tus" else 1

    async with relay(page_server, cuts=[big.size // 4] * 3) as wire:
        seen = await visit(wire.base, "endure", file=str(file), way=way, parallel=parallel)

        assert wire.is_spent
    assert seen["beginnings"] == beginnings
    if way == "tus":  # Chromium repeats a cut POST by itself, so REST may need no second try
        assert "retrying" in str(seen["states"])
        assert max(_numbers(seen["offsets"])) > 0
    assert await stored(page_server, file.name) == [expected]


async def test_offline(visit: Visit, page_server: Address, big: Big) -> None:
    """Without a network the page says so, and goes on when it is back."""
    file, expected = big.path, big.sha256

    seen = await visit(page_server.base, "offline", file=str(file))

    assert str(seen["message"]).startswith("No connection to the server. Trying again")
    assert await stored(page_server, file.name) == [expected]


async def test_deferred_length(visit: Visit, page_server: Address, tmp_path: Path) -> None:
    """tus-js-client sends a stream in the browser and tells the length at its end."""
    expected = random_file(tmp_path / "a.bin", 11 * MIB + 3)

    await visit(
        page_server.base,
        "deferred",
        file=str(tmp_path / "a.bin"),
        endpoint=page_server.files,
        token=make_token(),
    )

    assert await stored(page_server, "a.bin") == [expected]


async def test_wrong_token(visit: Visit, page_server: Address, tmp_path: Path) -> None:
    """A refused token is told with its reason; with a good one the upload goes on."""
    expected = random_file(tmp_path / "a.bin", MIB)

    seen = await visit(
        page_server.base,
        "denied",
        url=f"{page_server.base}/#token=no.such.token",
        file=str(tmp_path / "a.bin"),
        token=make_token(),
    )

    assert str(seen["reason"]).startswith("The server did not accept the token.")
    assert str(seen["reason"]).endswith("Paste a token below.")
    assert seen["account"] == "Token refused"
    assert "It goes on when you paste one above." in str(seen["message"])
    assert await stored(page_server, "a.bin") == [expected]


async def test_token_expires_on_the_way(visit: Visit, page_server: Address, big: Big) -> None:
    """A token that is refused in mid-upload costs nothing: with a new one the upload goes on."""
    file, expected = big.path, big.sha256

    seen = await visit(page_server.base, "expire", file=str(file), token=make_token())

    assert seen == {"creations": 1}
    assert await stored(page_server, file.name) == [expected]


async def test_remembered_token(visit: Visit, page_server: Address) -> None:
    """A pasted token is kept for later visits when the person wants that."""
    seen = await visit(page_server.base, "remember", url=f"{page_server.base}/", token=make_token())

    assert seen["account"] == "User 42"


async def test_again_through_rest(visit: Visit, page_server: Address, tmp_path: Path) -> None:
    """A file sent with tus can be sent again through the REST chunks with one button."""
    expected = random_file(tmp_path / "a.bin", 20 * MIB + 1)

    seen = await visit(page_server.base, "again", file=str(tmp_path / "a.bin"))

    assert seen["ways"] == ["REST", "tus"]
    assert await stored(page_server, "a.bin") == [expected, expected]


async def test_download_and_delete(visit: Visit, page_server: Address, tmp_path: Path) -> None:
    """The list downloads the file as it is, and deletes it after a question."""
    expected = random_file(tmp_path / "録音 (1).wav", 30 * MIB + 1)

    seen = await visit(
        page_server.base,
        "fetchAndDelete",
        file=str(tmp_path / "録音 (1).wav"),
        target=str(tmp_path / "downloaded"),
    )

    assert sha256(tmp_path / "downloaded") == expected
    assert seen == {"name": "録音 (1).wav", "kept": 1}
    assert await page_server.finished() == {}


@WAYS
async def test_cancel(visit: Visit, page_server: Address, big: Big, way: str) -> None:
    """Cancel ends the upload on the server too; nothing of it stays there or in the browser."""
    file = big.path

    seen = await visit(page_server.base, "cancel", file=str(file), way=way)

    assert seen == {"status": 204 if way == "tus" else 200, "rows": 0, "left": []}
    assert await page_server.size() < MIB


async def test_without_tus_js_client(visit: Visit, page_server: Address, tmp_path: Path) -> None:
    """Without tus-js-client the page says what to install and sends through the REST chunks."""
    expected = random_file(tmp_path / "a.bin", MIB)

    seen = await visit(page_server.base, "withoutTus", file=str(tmp_path / "a.bin"))

    assert "install npm" in str(seen["notice"])
    assert seen["way"] == "REST"
    assert await stored(page_server, "a.bin") == [expected]


async def test_keyboard(visit: Visit, page_server: Address, tmp_path: Path) -> None:
    """Every control is reached with the Tab key and has a name."""
    random_file(tmp_path / "a.bin", 1000)

    seen = await visit(page_server.base, "keyboard", file=str(tmp_path / "a.bin"))

    assert seen["names"] == [
        "User 42",
        "Choose files",
        "tus",
        "Four connections per file",
        "Clear sent",
        "Again with REST: a.bin",
        "Remove from this list: a.bin",
        "Refresh the list",
        "Download: a.bin",
        "Delete: a.bin",
        "",
        "User 42",
    ]
