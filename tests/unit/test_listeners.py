"""Listeners: sockets of several workers at one address, which nobody else gets."""

import socket
from contextlib import ExitStack, closing

import pytest

from tusd_py.listeners import AddressUnavailable, Listeners


def test_connections_reach_every_worker() -> None:
    """They are spread over the sockets; none is lost."""
    with closing(Listeners("127.0.0.1", 0, 2)) as listeners, ExitStack() as stack:
        sockets = [each[0] for each in listeners.sockets]
        sockets[1].listen(100)
        for _ in range(64):
            address = ("127.0.0.1", listeners.port)
            stack.enter_context(socket.create_connection(address, timeout=10))
        counts = [accepted(each, stack) for each in sockets]

    assert sum(counts) == 64
    assert min(counts) > 0


def accepted(listener: socket.socket, stack: ExitStack) -> int:
    """How many connections wait at a socket."""
    for count in range(1000):
        try:
            stack.enter_context(listener.accept()[0])
        except BlockingIOError:
            return count
    raise AssertionError


@pytest.mark.parametrize("workers", [1, 2])
def test_another_server_does_not_get_the_address(workers: int) -> None:
    """Although sockets of one user could share it."""
    with closing(Listeners("127.0.0.1", 0, 2)) as listeners:
        port = listeners.port

        with pytest.raises(AddressUnavailable, match=f"127.0.0.1:{port} is in use"):
            Listeners("127.0.0.1", port, workers)


def test_an_address_of_another_machine_is_told() -> None:
    """It cannot be listened on here."""
    with pytest.raises(AddressUnavailable, match=r"192\.0\.2\.1:80 cannot be listened on"):
        Listeners("192.0.2.1", 80, 2)


def test_a_worker_keeps_only_its_own() -> None:
    """Else who connects to another one, when that has left, would wait for nobody."""
    listeners = Listeners("127.0.0.1", 0, 3)
    others = [each[0] for number, each in enumerate(listeners.sockets) if number != 1]
    with ExitStack() as stack:
        kept = [stack.enter_context(each) for each in listeners.keep(1)]

        assert [each.fileno() == -1 for each in others] == [True, True]
        assert [each.fileno() == -1 for each in kept] == [False]
