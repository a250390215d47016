"""Servers to be killed, and the figures of the rounds at the end of a run."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.faults.kill.figures import FIGURES, Figures, table
from tests.faults.kill.server import MortalServer

pytest.register_assert_rewrite(
    *(f"{__package__}.{name}" for name in ("appending", "chunking", "joining", "scene"))
)

Mortal = Callable[[MortalServer], MortalServer]


@pytest.fixture
async def mortal() -> AsyncIterator[Mortal]:
    """`mortal(MortalServer(root=...))` is that server; at the end of the test it is dead."""
    servers: list[MortalServer] = []

    def mortal(server: MortalServer) -> MortalServer:
        servers.append(server)
        return server

    yield mortal
    for server in servers:
        await server.end()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the rounds came to."""
    rounds = [
        Figures(**value)
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == FIGURES
    ]
    if rounds:
        terminalreporter.section("rounds of kill -9")
        for line in table(rounds):
            terminalreporter.line(line)
