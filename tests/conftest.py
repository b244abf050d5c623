"""What tests share: one embedded lakehouse and one sandbox workspace for each process of a session, real ones both; and what
came of faults, for the tables that a session ends with.
"""

import signal
from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import settings

from matrix import MatrixRow, as_table
from rowcall.adapters.auth import WorkspaceLogin
from rowcall.adapters.journal import FolderJournals
from rowcall.adapters.spark import SparkSqlSession
from rowcall.adapters.volume_journal import VolumeJournals
from rowcall.adapters.warehouse import WarehouseSqlSession
from rowcall.core.ports import JournalStore, SqlSession
from rowcall.sandbox import lakehouse
from rowcall.sandbox.databricks_sql.lakehouse_sql import LakehouseSql
from rowcall.sandbox.process import SandboxProcess, start_sandbox
from support import Bench

if TYPE_CHECKING:
    from cluster import ApacheSpark
    from collectors import Taking

    House = lakehouse.Lakehouse | ApacheSpark

settings.register_profile("rowcall", deadline=None)
settings.load_profile("rowcall")
_NOTED = pytest.StashKey[list[MatrixRow]]()
_LEFT = pytest.StashKey[dict[str, int]]()
_NOT_ON_SPARK = {
    "warehouse": "need the SQL warehouse, which here is the embedded lakehouse",
    "ai_query": "need ai_query, which only Databricks has",
}
"""By a word in the names of a test's fixtures or parameters."""


@pytest.fixture(scope="session")
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator["House"]:
    """An embedded lakehouse, or with `--spark` an Apache Spark; its tables are shared by all tests, so name yours for your test."""
    folder = tmp_path_factory.mktemp("lakehouse")
    if kind := request.config.getoption("--spark"):
        from cluster import apache_spark

        with apache_spark(kind, folder) as opened:
            yield opened
        return
    opened = lakehouse.open_lakehouse(folder)
    yield opened
    opened.stop()


@pytest.fixture(scope="session")
def session(house: "House", sandbox: SandboxProcess) -> SqlSession:
    """A `SqlSession` on the lakehouse, whose `ai_query` asks the sandbox."""
    if isinstance(house, lakehouse.Lakehouse):
        opened = SparkSqlSession(LakehouseSql(house, sandbox.serving()), lakehouse.KIND, house, ai_query=True)
    else:
        opened = SparkSqlSession(house.spark, f"Spark {house.spark.version}")
    opened.create_schema("`main`.`test`")
    opened.create_schema("`main`.`rowcall`")
    return opened


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox workspace in a process of its own. Tests that look at its figures reset them first."""
    with start_sandbox(tmp_path_factory.mktemp("sandbox")) as started:
        yield started


@pytest.fixture(scope="session")
def warehouse(sandbox: SandboxProcess) -> Iterator[WarehouseSqlSession]:
    """A `SqlSession` on the sandbox's SQL warehouse, which has a lakehouse of its own."""
    login = WorkspaceLogin(sandbox.profile, sandbox.config_file)
    opened = WarehouseSqlSession(login, "sandbox", tags={"suite": "rowcall"})
    opened.create_schema("`main`.`test`")
    opened.create_schema("`main`.`rowcall`")
    yield opened
    opened.close()


@pytest.fixture
def warehouse_bench(warehouse: WarehouseSqlSession, sandbox: SandboxProcess, tmp_path: Path) -> Bench:
    """Where to run jobs on the SQL warehouse, with nothing but SQL and the Files API."""
    home = Path(sandbox.config_file).parent
    volume = home / "volumes" / "main" / "test" / "files"
    made = Bench(warehouse, sandbox, tmp_path, home / "lakehouse", volume=volume)
    made.reset()
    return made


@pytest.fixture
def golden() -> Path:
    return Path(__file__).parent / "golden"


@pytest.fixture
def bench(house: "House", session: SqlSession, sandbox: SandboxProcess, tmp_path: Path) -> Bench:
    """Where to run jobs, its counters at zero."""
    on_spark = not isinstance(house, lakehouse.Lakehouse)
    made = Bench(session, sandbox, tmp_path, house.folder, parallel=on_spark)
    made.reset()
    return made


@pytest.fixture
def in_volume(sandbox: SandboxProcess) -> VolumeJournals:
    """A store in a volume of the sandbox, over its Files API."""
    login = WorkspaceLogin(sandbox.profile, sandbox.config_file)
    return VolumeJournals(login, f"/Volumes/main/test/rowcall/journal-{uuid4().hex}")


@pytest.fixture(params=["folder", "volume"])
def durable(request: pytest.FixtureRequest, tmp_path: Path) -> JournalStore:
    """A store that outlives the process."""
    return FolderJournals(tmp_path / "journal") if request.param == "folder" else request.getfixturevalue("in_volume")


@pytest.fixture
def collector() -> Iterator["Taking"]:
    """An OpenTelemetry collector."""
    from collectors import taking

    with taking() as made:
        yield made


def pytest_addoption(parser: pytest.Parser) -> None:
    kinds = ("classic", "connect", "local-cluster")
    parser.addoption(
        "--spark",
        choices=kinds,
        help="put Apache Spark in the place of the embedded lakehouse, with a session of this kind",
    )


def pytest_configure(config: pytest.Config) -> None:
    # A shell has what it runs in the background ignore Ctrl-C, and so would every process that tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[_NOTED] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Apache Spark has no part in some tests; the summary says how many they are, and why."""
    config.stash[_LEFT] = {}
    for word, why in _NOT_ON_SPARK.items() if config.getoption("--spark") else ():
        left = [item for item in items if any(word in name for name in (item.name, *getattr(item, "fixturenames", ())))]
        if left:
            config.hook.pytest_deselected(items=left)
            config.stash[_LEFT][why] = len(left)
            items[:] = [item for item in items if item not in left]


@pytest.fixture
def matrix(request: pytest.FixtureRequest) -> Callable[[MatrixRow], None]:
    """Notes a row of the tables of faults and kills."""
    return request.config.stash[_NOTED].append


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["matrix"] = [astuple(row) for row in session.config.stash[_NOTED]]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist ended: its rows join the session's. A worker that died sends none."""
    rows = getattr(node, "workeroutput", {}).get("matrix", [])
    node.config.stash[_NOTED].extend(MatrixRow(*row) for row in rows)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name in ("fault", "kill"):
        rows = sorted(row for row in config.stash[_NOTED] if row.matrix == name)
        if rows:
            terminalreporter.section(f"{name} matrix")
            terminalreporter.write_line("\n".join(as_table(rows)))
    for why, count in config.stash.get(_LEFT, {}).items():
        terminalreporter.write_line(f"{count} tests were not run on Apache Spark: they {why}")
