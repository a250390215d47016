"""Crowd: who makes room for whom, and when everybody is at rest."""

import asyncio

import pytest

from tusd_py.web.crowd import Crowd


class Guest:
    """See `Member`."""

    def __init__(self) -> None:
        self.is_dropped = False

    def drop(self) -> None:
        """See `Member.drop`."""
        self.is_dropped = True


def crowd_of(count: int, *, capacity: int) -> tuple[Crowd, list[Guest]]:
    """A crowd with so many idle guests in it, the oldest first."""
    crowd = Crowd(capacity)
    guests = [Guest() for _ in range(count)]
    for guest in guests:
        assert crowd.enter(guest)
    return crowd, guests


def dropped(guests: list[Guest]) -> list[bool]:
    """Who had to go."""
    return [guest.is_dropped for guest in guests]


def test_there_is_room_up_to_the_capacity() -> None:
    """Nobody has to go while there is room."""
    crowd, guests = crowd_of(3, capacity=3)

    assert dropped(guests) == [False] * 3
    assert (len(crowd), crowd.is_full) == (3, True)


def test_the_one_that_has_been_idle_the_longest_makes_room() -> None:
    """A newcomer takes the place of the oldest idle one; each request begins idleness anew."""
    crowd, guests = crowd_of(3, capacity=3)
    crowd.begin(guests[0])
    crowd.rest(guests[0])
    newcomers = [Guest(), Guest()]
    taken = [crowd.enter(each) for each in newcomers]

    assert taken == [True, True]
    assert dropped(guests) == [False, True, True]
    assert len(crowd) == 3


def test_a_busy_one_never_makes_room() -> None:
    """Where all are busy with requests the newcomer finds no room."""
    crowd, guests = crowd_of(2, capacity=2)
    for guest in guests:
        crowd.begin(guest)

    assert not crowd.enter(Guest())
    assert dropped(guests) == [False, False]
    assert len(crowd) == 2


@pytest.mark.parametrize("is_busy", [True, False])
def test_who_left_is_not_counted(is_busy: bool) -> None:
    """A connection that closed makes room for one, whatever is told of it later."""
    crowd, (first, second) = crowd_of(2, capacity=2)
    crowd.begin(second)
    if is_busy:
        crowd.begin(first)
    crowd.leave(first)
    crowd.leave(first)
    crowd.rest(first)
    crowd.begin(first)

    assert len(crowd) == 1
    assert crowd.enter(Guest())
    assert not first.is_dropped


async def test_settled_when_the_requests_that_ran_have_ended() -> None:
    """Requests that began later are not waited for, so that there is an end."""
    crowd, guests = crowd_of(4, capacity=4)
    for guest in guests[:2]:
        crowd.begin(guest)
    settled = asyncio.create_task(crowd.settled())
    await asyncio.sleep(0)
    crowd.begin(guests[2])
    crowd.rest(guests[0])
    await asyncio.sleep(0)
    before = settled.done()
    crowd.leave(guests[1])
    async with asyncio.timeout(5):
        await settled

    assert not before


async def test_a_crowd_at_rest_is_settled() -> None:
    """Idle connections are nothing to wait for."""
    crowd, _ = crowd_of(2, capacity=2)
    async with asyncio.timeout(5):
        await crowd.settled()

    assert len(crowd) == 2
