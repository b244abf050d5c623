"""Which implementation stands behind each port: the only place that knows them all.

`surroundings` finds what a job runs in: a SparkSession (one that is handed in, the runtime's, a Spark Connect server, or the
embedded lakehouse) or a SQL warehouse, a workspace (one that is configured, or the sandbox), and a folder for journals.
"""

import os
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from rowcall.adapters.auth import Login, SecretLogin, credentials, key_login
from rowcall.adapters.journal import FolderJournals, open_journal
from rowcall.adapters.spark import SparkSqlSession, ambient_spark
from rowcall.adapters.volume_journal import VolumeJournals, open_volume_journal
from rowcall.adapters.workspace import DatabricksWorkspace, load_sdk
from rowcall.adapters.workspace_login import WorkspaceLogin
from rowcall.control import lives
from rowcall.core import sql
from rowcall.core.definition import JobDefinition, ResponsesEngine, UrlEndpoint
from rowcall.core.errors import RowcallError, RunError, SetupError
from rowcall.core.ports import Connect, Journal, JournalStore, Row, SqlSession, Workspace
from rowcall.sandbox import lakehouse
from rowcall.sandbox.databricks_sql.lakehouse_sql import LakehouseSql
from rowcall.sandbox.process import SandboxProcess, start_sandbox

HOME = Path(".rowcall")
TASK_MODULES = ("pyspark.worker", "pandas", "rowcall.engines.worker", "rowcall.adapters.http")
LOGIN_MODULES = ("databricks.sdk.core",)
"""What the tasks of the embedded lakehouse import, and those that log in to a workspace: seconds they need not wait for."""
_DATABRICKS, _WAREHOUSE = "Databricks ", "SQL warehouse "
"""How the kinds of their sessions begin."""
_CONFIGURED = ("DATABRICKS_HOST", "DATABRICKS_CONFIG_PROFILE", "DATABRICKS_CONFIG_FILE")


@dataclass(frozen=True, slots=True)
class Options:
    """Where to run, as far as the surroundings do not say. `home` holds the lakehouse, the sandbox's files and the journals;
    `warehouse` is the id of a SQL warehouse that runs the SQL instead of a Spark."""

    home: Path = HOME
    spark: Any = None
    profile: str | None = None
    sandbox: bool = False
    upstream: str | None = None
    warehouse: str | None = None


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

    @property
    def entrance(self) -> "Entrance":
        return Entrance(self.workspace, self.context.get("workspace") == "sandbox")

    @property
    def in_catalog(self) -> bool:
        """Whether the tables are in the workspace's Unity Catalog."""
        return self.session.kind.startswith((_DATABRICKS, _WAREHOUSE))

    def connect(self, definition: JobDefinition) -> Connect:
        """The recipe for a client of the job's endpoint."""
        from rowcall.adapters.http import connect

        return partial(connect, _endpoint_login(definition, self.login))

    def check_key(self, definition: JobDefinition) -> None:
        """Raises `SetupError` where the secret that a job names as its key cannot be read."""
        login = _endpoint_login(definition, self.login)
        if isinstance(login, SecretLogin):
            credentials(login)


@dataclass(frozen=True, slots=True)
class Entrance:
    """A workspace, and whether it is the sandbox."""

    workspace: Workspace
    sandbox: bool


@contextmanager
def entrance(options: Options) -> Generator[Entrance]:
    """The workspace alone, for whoever needs no tables."""
    with ExitStack() as stack:
        sandbox = None
        if options.sandbox or not _has_workspace(options):
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="rowcall-sandbox-")))
            sandbox = stack.enter_context(_start_sandbox(folder, options))
        yield Entrance(DatabricksWorkspace(_login(options, sandbox)), sandbox is not None)


def warehouse_of(options: Options) -> str | None:
    """The SQL warehouse that runs the SQL, None where a Spark does."""
    return _warehouse(options)


@contextmanager
def surroundings(definition: JobDefinition, options: Options, run_id: str = "") -> Generator[Surroundings]:
    """Find or start everything a job needs; what was started is stopped at the end. `run_id` is told to a SQL warehouse, whose
    query history then shows which statements are this run's."""
    with ExitStack() as stack, ThreadPoolExecutor(2) as background:
        warehouse = _warehouse(options)
        login = _endpoint_login(definition, WorkspaceLogin())
        needs_workspace = warehouse is not None or isinstance(login, WorkspaceLogin | SecretLogin)
        needs_sandbox = needs_workspace and (options.sandbox or not _has_workspace(options))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="rowcall-sandbox-"))) if needs_sandbox else None
        starting = background.submit(_start_sandbox, folder, options) if folder else None
        if needs_workspace:
            background.submit(load_sdk)
        if warehouse is None:
            try:
                modules = (*TASK_MODULES, *(LOGIN_MODULES if needs_workspace else ()))
                session, parallel = _session(definition, options, stack, starting, modules)
            finally:
                sandbox = stack.enter_context(starting.result()) if starting else None
            login = _login(options, sandbox)
        else:
            sandbox = stack.enter_context(starting.result()) if starting else None
            login = _login(options, sandbox)
            session, parallel = _open_warehouse(login, warehouse, stack, definition, run_id), False
        volume = _journal_volume(definition, session)
        yield Surroundings(
            session=session,
            parallel=parallel,
            workspace=DatabricksWorkspace(login),
            login=login,
            journals=_journals(definition, options, login, volume, in_sql=warehouse is not None),
            journal_volume=volume,
            context={"workspace": "sandbox"} if sandbox else {},
        )


def _endpoint_login(definition: JobDefinition, workspace: WorkspaceLogin) -> Login:
    """What the endpoint is asked with."""
    endpoint = definition.endpoint
    return key_login(endpoint.api_key, workspace) if isinstance(endpoint, UrlEndpoint) else workspace


def _start_sandbox(folder: Path, options: Options) -> SandboxProcess:
    """The sandbox, its login in a folder of this process. With a warehouse its volumes stay, and its tables are where the embedded
    lakehouse keeps its own."""
    home = folder if _warehouse(options) is None else options.home / "sandbox"
    return start_sandbox(home, options.upstream, lakehouse=options.home / "lakehouse", login=folder)


def _login(options: Options, sandbox: SandboxProcess | None) -> WorkspaceLogin:
    return WorkspaceLogin(sandbox.profile, sandbox.config_file) if sandbox else WorkspaceLogin(options.profile)


@dataclass(frozen=True, slots=True)
class Archive:
    """Where runs left their tables and journals; nothing that could be asked."""

    session: SqlSession
    login: WorkspaceLogin

    def journal(self, place: str) -> Journal:
        """The journal of a run at the place that its row tells; the Files API reaches a volume that is no folder here."""
        in_volume = place.startswith("/Volumes/") and not Path(place).is_dir()
        return open_volume_journal(self.login, place) if in_volume else open_journal(place)

    @property
    def is_here(self) -> bool:
        """Whether the tables are in a folder of this machine; then the journals of their runs are, too."""
        return self.session.kind == lakehouse.KIND

    def journals_at(self, root: str) -> JournalStore:
        """The journals in a folder that the row of a run tells. Raises `SetupError`."""
        in_volume = root.startswith("/Volumes/") and not Path(root).is_dir()
        return VolumeJournals(self.login, root) if in_volume else FolderJournals(Path(root))

    def journals_of(self, definition: JobDefinition, options: Options) -> JournalStore:
        """The journals of a job as it is."""
        volume, in_sql = _journal_volume(definition, self.session), _warehouse(options) is not None
        return _journals(definition, options, self.login, volume, in_sql=in_sql)

    def lives(self, row: Row) -> bool | None:
        """Whether a run goes on, by its row in the runs table; None where nobody here can tell, and of one that is over."""
        place = cast("Mapping[str, str]", row["context"] or {}).get("journal")
        if row["status"] != "running" or place is None:
            return None
        try:
            return lives(row, self.journal(place))
        except (RowcallError, OSError):
            return None


@contextmanager
def archive(tables: Sequence[str], options: Options) -> Generator[Archive]:
    """What there is of runs: a session that knows those tables, and the journals. Raises `RunError` where there is nothing."""
    with ExitStack() as stack:
        warehouse = _warehouse(options)
        if warehouse is None and not _session_is_there(options) and not (options.home / "lakehouse").is_dir():
            raise RunError(
                f"no job was run here yet: there is no folder {options.home / 'lakehouse'}. Go to where one was, or name its "
                ".rowcall with --home"
            )
        if warehouse is None:
            yield Archive(_open_session(tables, options, stack)[0], _login(options, None))
        else:
            sandbox = None
            if options.sandbox or not _has_workspace(options):
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="rowcall-sandbox-")))
                sandbox = stack.enter_context(_start_sandbox(folder, options))
            login = _login(options, sandbox)
            yield Archive(_open_warehouse(login, warehouse, stack), login)


def current_catalog(options: Options) -> str:
    """The catalog of tables that are made without being named: that of a Spark session which is there already, else `main`."""
    if _warehouse(options) is not None or not _session_is_there(options):
        return lakehouse.DEFAULT_CATALOG
    with ExitStack() as stack:
        session, _ = _open_session([], options, stack)
        return str(session.query("SELECT current_catalog() AS catalog")[0]["catalog"])


def _session_is_there(options: Options) -> bool:
    """Whether the session is one that is there already, not the embedded lakehouse."""
    return options.spark is not None or "DATABRICKS_RUNTIME_VERSION" in os.environ or "SPARK_REMOTE" in os.environ


def _warehouse(options: Options) -> str | None:
    """The SQL warehouse to use: the one that is asked for, or that the environment names where there is no other session."""
    if options.warehouse or options.spark is not None or "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return options.warehouse
    return None if "SPARK_REMOTE" in os.environ else os.environ.get("DATABRICKS_WAREHOUSE_ID") or None


def _open_warehouse(
    login: WorkspaceLogin,
    warehouse: str,
    stack: ExitStack,
    definition: JobDefinition | None = None,
    run_id: str = "",
) -> SqlSession:
    from rowcall.adapters.warehouse import WarehouseSqlSession

    engine = definition.engine if definition else None
    timeout = None if engine is None or isinstance(engine, ResponsesEngine) else engine.statement_timeout
    tags = {"rowcall_job": definition.job if definition else "", "rowcall_run": run_id}
    session = WarehouseSqlSession(
        login, warehouse, tags={name: tag for name, tag in tags.items() if tag}, statement_timeout=timeout
    )
    stack.callback(session.close)
    return session


def _session(
    definition: JobDefinition,
    options: Options,
    stack: ExitStack,
    sandbox: Future[SandboxProcess] | None,
    modules: Sequence[str],
) -> tuple[SqlSession, bool]:
    names = [
        definition.outputs.table,
        definition.traces.table,
        definition.runs.table,
        definition.prompts.table,
    ]
    return _open_session([name for name in names if name], options, stack, sandbox, modules)


def _open_session(
    tables: Sequence[str],
    options: Options,
    stack: ExitStack,
    sandbox: Future[SandboxProcess] | None = None,
    modules: Sequence[str] = (),
) -> tuple[SqlSession, bool]:
    """The session, and whether its tasks run in processes of their own. In the lakehouse `sandbox` is what `ai_query` asks, and
    `modules` are what tasks will need."""
    if options.spark is not None:
        return SparkSqlSession(options.spark, f"Spark {options.spark.version}", ai_query=True), True
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        kind = f"{_DATABRICKS}{os.environ['DATABRICKS_RUNTIME_VERSION']}"
        return SparkSqlSession(ambient_spark(None), kind, ai_query=True), True
    if remote := os.environ.get("SPARK_REMOTE"):
        kind = f"Spark Connect at {remote.split(';')[0]}"
        return SparkSqlSession(ambient_spark(remote), kind, ai_query=True), True
    catalogs = [catalog for name in tables if (catalog := sql.catalog_of(name))]
    house = lakehouse.open_lakehouse(options.home / "lakehouse", catalogs, modules)
    stack.callback(house.stop)
    for name in tables:
        house.check_table(name)
    serving = sandbox.result().serving() if sandbox is not None else None
    front = LakehouseSql(house, serving)
    session = SparkSqlSession(
        front, lakehouse.KIND, house, ai_query=serving is not None, most_files=lakehouse.MOST_FILES
    )
    return session, False


def _journals(
    definition: JobDefinition,
    options: Options,
    login: WorkspaceLogin,
    volume: tuple[str, str, str] | None,
    *,
    in_sql: bool,
) -> JournalStore:
    """Where journals are: what a warehouse reads is in volumes, and is written through the Files API."""
    folder = definition.journal
    if in_sql:
        return VolumeJournals(login, folder or "/".join(("/Volumes", *(volume or ()), "journal")))
    return FolderJournals(Path("/Volumes", *volume, "journal") if volume else Path(folder or options.home / "journal"))


def _has_workspace(options: Options) -> bool:
    if options.profile or "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return True
    return any(name in os.environ for name in _CONFIGURED) or (Path.home() / ".databrickscfg").exists()


def _journal_volume(definition: JobDefinition, session: SqlSession) -> tuple[str, str, str] | None:
    """On Databricks, unless the job names a folder of its own, a volume beside the outputs."""
    reads_folders = session.executors and "DATABRICKS_RUNTIME_VERSION" not in os.environ
    if definition.journal or reads_folders:
        return None
    volume = sql.volume_beside(definition.outputs.table)
    if volume is None:
        raise SetupError(
            f"outputs.table {definition.outputs.table!r} names no catalog and schema; give all three parts, or set journal"
        )
    return volume
