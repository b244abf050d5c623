"""Which implementation stands behind each port: the only place that knows them all.

`surroundings` finds what a job runs in: a SparkSession (one that is handed in, the runtime's, a Spark Connect server, or the
embedded lakehouse), a workspace (one that is configured, or the sandbox), and a folder for journals.
"""

import os
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rowcall.adapters.auth import KeyLogin, Login, NoLogin, WorkspaceLogin
from rowcall.adapters.journal import FolderJournals
from rowcall.adapters.spark import SparkSqlSession, ambient_spark
from rowcall.adapters.workspace import DatabricksWorkspace, load_sdk
from rowcall.core import sql
from rowcall.core.definition import JobDefinition, UrlEndpoint
from rowcall.core.errors import SetupError
from rowcall.core.ports import Connect, JournalStore, SqlSession, Workspace
from rowcall.sandbox import lakehouse
from rowcall.sandbox.process import start_sandbox

HOME = Path(".rowcall")
TASK_MODULES = ("pyspark.worker", "pandas", "rowcall.engines.worker", "rowcall.adapters.http", "databricks.sdk.core")
"""What the tasks of the embedded lakehouse import: half a second they need not wait for."""
_CONFIGURED = ("DATABRICKS_HOST", "DATABRICKS_CONFIG_PROFILE", "DATABRICKS_CONFIG_FILE")


@dataclass(frozen=True, slots=True)
class Options:
    """Where to run, as far as the surroundings do not say. `home` holds the lakehouse, the sandbox's files and the journals."""

    home: Path = HOME
    spark: Any = None
    profile: str | None = None
    sandbox: bool = False
    upstream: str | None = None


@dataclass(slots=True)
class Surroundings:
    """What a job runs in."""

    session: SqlSession
    parallel: bool
    workspace: Workspace
    login: WorkspaceLogin
    journals: JournalStore
    journal_volume: tuple[str, str, str] | None = None
    context: Mapping[str, str] = field(default_factory=dict)

    def connect(self, definition: JobDefinition) -> Connect:
        """The recipe for a client of the job's endpoint."""
        from rowcall.adapters.http import connect

        return partial(connect, self._login(definition))

    def _login(self, definition: JobDefinition) -> Login:
        endpoint = definition.endpoint
        if not isinstance(endpoint, UrlEndpoint):
            return self.login
        return KeyLogin(endpoint.api_key.removeprefix("env:")) if endpoint.api_key else NoLogin()


@contextmanager
def surroundings(definition: JobDefinition, options: Options) -> Generator[Surroundings]:
    """Find or start everything a job needs; what was started is stopped at the end."""
    with ExitStack() as stack, ThreadPoolExecutor(2) as background:
        needs_workspace = not isinstance(definition.endpoint, UrlEndpoint)
        needs_sandbox = needs_workspace and (options.sandbox or not _has_workspace(options))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="rowcall-sandbox-"))) if needs_sandbox else None
        starting = background.submit(start_sandbox, folder, options.upstream) if folder else None
        if needs_workspace:
            background.submit(load_sdk)
        try:
            session, parallel = _session(definition, options, stack)
        finally:
            sandbox = stack.enter_context(starting.result()) if starting else None
        login = WorkspaceLogin(sandbox.profile, sandbox.config_file) if sandbox else WorkspaceLogin(options.profile)
        volume = _journal_volume(definition)
        yield Surroundings(
            session=session,
            parallel=parallel,
            workspace=DatabricksWorkspace(login),
            login=login,
            journals=FolderJournals(
                Path("/Volumes", *volume, "journal") if volume else Path(definition.journal or options.home / "journal")
            ),
            journal_volume=volume,
            context={"workspace": "sandbox"} if sandbox else {},
        )


@contextmanager
def tables_only(tables: Sequence[str], options: Options) -> Generator[SqlSession]:
    """A session to look at tables with; nothing that could be asked."""
    with ExitStack() as stack:
        yield _open_session(tables, options, stack)[0]


def _session(definition: JobDefinition, options: Options, stack: ExitStack) -> tuple[SqlSession, bool]:
    names = [
        definition.outputs.table,
        definition.traces.table,
        definition.runs.table,
        definition.prompts.table,
    ]
    return _open_session([name for name in names if name], options, stack)


def _open_session(tables: Sequence[str], options: Options, stack: ExitStack) -> tuple[SqlSession, bool]:
    """The session, and whether its tasks run in processes of their own."""
    if options.spark is not None:
        return SparkSqlSession(options.spark, f"Spark {options.spark.version}"), True
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return SparkSqlSession(ambient_spark(None), f"Databricks {os.environ['DATABRICKS_RUNTIME_VERSION']}"), True
    if remote := os.environ.get("SPARK_REMOTE"):
        return SparkSqlSession(ambient_spark(remote), f"Spark Connect at {remote.split(';')[0]}"), True
    catalogs = [catalog for name in tables if (catalog := sql.catalog_of(name))]
    house = lakehouse.open_lakehouse(options.home / "lakehouse", catalogs, TASK_MODULES)
    stack.callback(house.stop)
    for name in tables:
        house.check_table(name)
    return SparkSqlSession(house.spark, lakehouse.KIND, house), False


def _has_workspace(options: Options) -> bool:
    if options.profile or "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return True
    return any(name in os.environ for name in _CONFIGURED) or (Path.home() / ".databrickscfg").exists()


def _journal_volume(definition: JobDefinition) -> tuple[str, str, str] | None:
    """On Databricks, unless the job names a folder of its own, a volume beside the outputs."""
    if definition.journal or "DATABRICKS_RUNTIME_VERSION" not in os.environ:
        return None
    volume = sql.volume_beside(definition.outputs.table)
    if volume is None:
        raise SetupError(
            f"outputs.table {definition.outputs.table!r} names no catalog and schema; give all three parts, or set journal"
        )
    return volume
