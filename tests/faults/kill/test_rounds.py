"""kill -9 at any moment: what was acknowledged is there, and every upload ends as its file.

The ordinary suite plays 25 rounds, `make nightly` 200: KILL_ROUNDS says how many, KILL_SEED which
dice they are played with (the moment within the server's work is chance nevertheless). The kinds of
rounds and their shares are in rounds.py. At the end of a run that names this folder a table tells
what the rounds came to.
"""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.faults.kill.conftest import Mortal
from tests.faults.kill.figures import FIGURES
from tests.faults.kill.rounds import ROUNDS, batches
from tests.faults.kill.scene import Scene, record_ids
from tests.faults.kill.server import MortalServer

SEED = os.environ.get("KILL_SEED", "0")
BATCHES = batches(int(os.environ.get("KILL_ROUNDS", "25")), size=5)


@pytest.mark.parametrize(("kind", "numbers"), BATCHES.values(), ids=BATCHES)
async def test_kill_at_a_random_moment(
    kind: str,
    numbers: range,
    mortal: Mortal,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """kill -9 at a random moment, up to five times in one upload; after a restart every
    acknowledged byte is there, at most one second of transfer is lost, the upload goes on to the
    right digest, the file is there once, its completion was told, and nothing else is left."""
    way = ("1", "unlimited")[numbers.start // 5 % 2]
    overrides = {"SWEEP_INTERVAL": "0.5s", "DIRECT_IO_SIZE": way}
    server = mortal(MortalServer(root=tmp_path / "data", overrides=overrides))
    await server.start()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True), timeout=aiohttp.ClientTimeout(total=60)
    ) as http:
        for number in numbers:
            scene = Scene(
                server=server,
                http=http,
                kind=kind,
                number=number,
                dice=random.Random(f"{SEED}/{kind}/{number}"),
                earlier=record_ids(server.root),
            )
            with naming(scene):
                content, upload_id = await ROUNDS[kind](scene)

                await scene.require_file(content)
                await scene.require_no_litter()
                assert 1 <= server.events("upload_completed").count(upload_id) <= 6
                await scene.leave()
            record_property(FIGURES, scene.figures(len(content)).as_property())


@contextmanager
def naming(scene: Scene) -> Iterator[None]:
    """Say in a failure which round it was."""
    try:
        yield
    except BaseException as error:
        error.add_note(
            f"{scene.kind} round {scene.number}, KILL_SEED={SEED}, kills so far: {scene.strokes}"
        )
        raise
