"""The kill matrix and the fault matrix note what came of every fault; the session ends with one table each."""

from collections.abc import Callable

import pytest
from matrix import MatrixRow, as_table

_NOTED = pytest.StashKey[list[MatrixRow]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_NOTED] = []


@pytest.fixture
def matrix(request: pytest.FixtureRequest) -> Callable[[MatrixRow], None]:
    """Notes a row of the tables that the session ends with."""
    return request.config.stash[_NOTED].append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name in ("fault", "kill"):
        rows = sorted(row for row in config.stash[_NOTED] if row.matrix == name)
        if rows:
            terminalreporter.section(f"{name} matrix")
            terminalreporter.write_line("\n".join(as_table(rows)))
