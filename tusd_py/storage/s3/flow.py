"""How much is on its way to the store at a time, in the whole process.

A place is taken when a part is whole, and held while it is sent, never while a client is waited
for: so slow clients keep nobody waiting, and who waits is served in turn.
"""

import asyncio

from tusd_py.storage.s3.buffer import Buffer, Room

PARTS_AT_A_TIME = 16
PARTS_OF_AN_UPLOAD = 4


class Flow:
    """The places for parts, and room for their bytes."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.places = asyncio.Semaphore(PARTS_AT_A_TIME)

    def buffer(self) -> Buffer:
        """A new, empty buffer."""
        return Buffer(self._room)
