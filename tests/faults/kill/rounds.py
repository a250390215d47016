"""The kinds of rounds: what a user does while the server is killed. Each returns the content of its
file and the id of the upload that became it."""

from collections.abc import Awaitable, Callable, Mapping

from tests.faults.kill.appending import Appender
from tests.faults.kill.chunking import Chunker
from tests.faults.kill.joining import Joiner
from tests.faults.kill.scene import Scene

KIB = 1 << 10
MIB = 1 << 20
RATE = 8.0 * MIB
"""Bytes a second of a client whose losses are measured."""

MANY = 5
"""Every fifth round kills so many times in one upload."""

Round = Callable[[Scene], Awaitable[tuple[bytes, str]]]


async def patch(scene: Scene) -> tuple[bytes, str]:
    """Large PATCHes; now and then the client asks for the offset in the middle of one."""
    client = Appender(
        scene=scene,
        content=content(scene, 20 * MIB, 28 * MIB),
        largest=16 * MIB,
        rate=RATE,
        is_curious=True,
    )
    await client.create()
    longest = 0.8 if kills(scene) > 1 else 2.4
    for _ in range(kills(scene)):
        stroke = await scene.strike(client.work(), scene.dice.uniform(0.1, longest))
        await client.return_after(stroke)
    await client.finish()
    return client.content, client.upload_id


async def creation(scene: Scene) -> tuple[bytes, str]:
    """Creation with upload: POST with all the bytes."""
    client = Appender(
        scene=scene, content=content(scene, 16 * MIB, 20 * MIB), largest=16 * MIB, rate=RATE
    )
    stroke = await scene.strike(client.create_with_bytes(), scene.dice.uniform(0.0, 2.2))
    await client.find()
    await client.return_after(stroke)
    await client.finish()
    return client.content, client.upload_id


async def checksum(scene: Scene) -> tuple[bytes, str]:
    """PATCHes with a checksum each: all of one or nothing of it."""
    client = Appender(
        scene=scene,
        content=content(scene, 6 * MIB, 12 * MIB),
        largest=MIB,
        rate=RATE,
        is_checked=True,
    )
    await client.create()
    for _ in range(kills(scene)):
        stroke = await scene.strike(client.work(), scene.dice.uniform(0.0, 0.7))
        await client.return_after(stroke)
    await client.finish()
    return client.content, client.upload_id


async def chunks(scene: Scene) -> tuple[bytes, str]:
    """REST chunks over four connections in any order, then complete."""
    pieces = [content(scene, 0, 400 * KIB) for _ in range(scene.dice.randint(20, 40))]
    order = scene.dice.sample(range(len(pieces)), len(pieces))
    client = Chunker(scene=scene, chunks=pieces, order=order, lines=4, rate=RATE)
    await client.create()
    longest = 0.2 if kills(scene) > 1 else 0.8
    for _ in range(kills(scene)):
        stroke = await scene.strike(client.work(), scene.dice.uniform(0.0, longest))
        await client.return_after(stroke)
    await client.finish()
    return client.content, client.session


async def complete(scene: Scene) -> tuple[bytes, str]:
    """The chunk that closes the gap before all others, if it was not sent before; then complete,
    twice at once."""
    pieces = [content(scene, 0, 800 * KIB) for _ in range(12)]
    order = [*range(1, len(pieces)), 0]
    client = Chunker(scene=scene, chunks=pieces, order=order, lines=2, completions=2)
    await client.create()
    is_gap_open = scene.dice.random() < 0.5
    await client.send(order[:-1] if is_gap_open else order)
    stroke = await scene.strike(
        client.work(), scene.dice.uniform(0.0, 0.06 if is_gap_open else 0.015)
    )
    await client.return_after(stroke)
    await client.finish()
    return client.content, client.session


async def concatenation(scene: Scene) -> tuple[bytes, str]:
    """Upload-Concat of finished partial uploads."""
    pieces = [content(scene, 1, 6 * MIB) for _ in range(scene.dice.randint(1, 4))]
    client = Joiner(scene=scene, pieces=pieces)
    await client.create()
    stroke = await scene.strike(client.work(), scene.dice.uniform(0.0, 0.03))
    await client.return_after(stroke)
    await client.finish()
    return client.content, client.upload_id


ROUNDS: Mapping[str, Round] = {
    "patch": patch,
    "creation": creation,
    "checksum": checksum,
    "chunks": chunks,
    "complete": complete,
    "concatenation": concatenation,
}
"""Every kind."""

SHARES = {"patch": 6, "creation": 4, "checksum": 4, "chunks": 5, "complete": 3, "concatenation": 3}
"""How many of 25 rounds are of which kind."""


def batches(count: int, size: int) -> dict[str, tuple[str, range]]:
    """`count` rounds by kind, in batches of at most `size`: kind and numbers of the rounds in each,
    by its name."""
    found = {}
    for kind, share in SHARES.items():
        rounds = round(count * share / sum(SHARES.values()))
        for first in range(0, rounds, size):
            found[f"{kind}-{first}"] = (kind, range(first, min(first + size, rounds)))
    return found


def kills(scene: Scene) -> int:
    """How often this round kills."""
    return MANY if scene.number % 5 == 4 else 1


def content(scene: Scene, least: int, most: int) -> bytes:
    """Random bytes, between `least` and `most` of them."""
    return scene.dice.randbytes(scene.dice.randint(least, most))
