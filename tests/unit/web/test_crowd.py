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


def test_one_that_waits_for_its_client_makes_room() -> None:
    """Who does not take an answer has its place no longer than an idle one, whatever it asks for
    meanwhile; once the answer was taken, what it asked for keeps the place."""
    crowd, guests = crowd_of(3, capacity=3)
    for guest in (guests[2], guests[0], guests[1]):
        crowd.begin(guest)
        crowd.wait(guest)
        crowd.begin(guest)
    crowd.go_on(guests[2])
    newcomers = [Guest() for _ in range(2)]
    taken = [crowd.enter(each) for each in newcomers]
    for each in newcomers:
        crowd.begin(each)

    assert taken == [True, True]
    assert dropped(guests) == [True, True, False]
    assert len(crowd) == 3
    assert not crowd.enter(Guest())


def test_idleness_begins_when_the_answer_was_taken() -> None:
    """Time in which a client took an answer is no idleness."""
    crowd, guests = crowd_of(2, capacity=2)
    for guest in guests:
        crowd.begin(guest)
        crowd.wait(guest)
    crowd.rest(guests[0])

    assert crowd.enter(Guest())
    assert dropped(guests) == [False, True]


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


@pytest.mark.parametrize("is_asked", [True, False])
async def test_settled_when_the_answers_were_taken(is_asked: bool) -> None:
    """A connection that waits for its client when the server leaves, or does so later, is waited
    for."""
    crowd, [guest] = crowd_of(1, capacity=1)
    crowd.begin(guest)
    if not is_asked:
        crowd.wait(guest)
    settled = asyncio.create_task(crowd.settled())
    await asyncio.sleep(0)
    crowd.wait(guest)
    await asyncio.sleep(0)
    before = settled.done()
    crowd.rest(guest)
    async with asyncio.timeout(5):
        await settled

    assert not before


async def test_a_crowd_at_rest_is_settled() -> None:
    """Idle connections are nothing to wait for."""
    crowd, _ = crowd_of(2, capacity=2)
    async with asyncio.timeout(5):
        await crowd.settled()

    assert len(crowd) == 2
