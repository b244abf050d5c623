"""What tests share: one embedded lakehouse and one sandbox workspace for the whole session, real ones both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rowcall.adapters.spark import SparkSqlSession
from rowcall.core.ports import SqlSession
from rowcall.sandbox import lakehouse
from rowcall.sandbox.process import SandboxProcess, start_sandbox
from support import Bench


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lakehouse.Lakehouse]:
    """An embedded lakehouse; its tables are shared by all tests, so name yours for your test."""
    opened = lakehouse.open_lakehouse(tmp_path_factory.mktemp("lakehouse"))
    yield opened
    opened.stop()


@pytest.fixture(scope="session")
def session(house: lakehouse.Lakehouse) -> SqlSession:
    """A `SqlSession` on the lakehouse."""
    opened = SparkSqlSession(house.spark, lakehouse.KIND, house)
    opened.create_schema("`main`.`test`")
    opened.create_schema("`main`.`rowcall`")
    return opened


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox workspace in a process of its own. Tests that look at its figures reset them first."""
    with start_sandbox(tmp_path_factory.mktemp("sandbox")) as started:
        yield started


@pytest.fixture
def golden() -> Path:
    return Path(__file__).parent / "golden"


@pytest.fixture
def bench(house: lakehouse.Lakehouse, session: SqlSession, sandbox: SandboxProcess, tmp_path: Path) -> Bench:
    """Where to run jobs, its counters at zero."""
    made = Bench(session, sandbox, tmp_path, house.folder)
    made.reset()
    return made
