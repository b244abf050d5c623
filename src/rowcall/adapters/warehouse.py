"""`SqlSession` over a SQL warehouse, through the databricks-sql-connector: Thrift, Arrow, the login of the databricks-sdk.

A connection is used by one thread, as the connector asks (FACTS 5.2), and is a session of the warehouse: it holds the
thread's temporary views. Each statement is sent and then polled, so that its id is known before its answer and whoever waits
for it can cancel it. Timestamps come as SparkSqlSession gives them: TIMESTAMP in this machine's time zone, without one.
"""

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from posixpath import basename, dirname
from typing import TYPE_CHECKING, Any

from rowcall.adapters.workspace_login import WorkspaceLogin, sdk_reason, workspace_config
from rowcall.core.errors import RowcallError, RunError, SetupError, SqlError
from rowcall.core.ports import Row, TaskWork
from rowcall.core.records import Column
from rowcall.core.sql import identifier, literal
from rowcall.core.sql_failure import conflict, missing, shorten

if TYPE_CHECKING:
    import pyarrow as pa

RETRY_SECONDS = 300.0
"""How long a request goes on asking a warehouse that does not answer, or that is still starting."""
SOCKET_SECONDS = 300.0
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
ROWS_PER_BATCH = 1000
FILES_PER_READ = 500
"""Most files in one `read_files`: a pattern is a literal in the statement."""
_RETRIES = {
    # The connector sleeps at least this long after a 429 or 503 (FACTS trap 28); it allows no less.
    "_retry_delay_max": 5.0,
    "_retry_delay_min": 0.5,
    "_retry_stop_after_attempts_count": 60,
}
_PATTERN = frozenset("*?[]{},\\")
_LOST = ("SessionHandle", "OperationHandle", "unexpectedly closed server side")

# What the connector logs as errors is raised as well. Where nobody set up logging, Python would print it besides.
logging.getLogger("databricks.sql").addHandler(logging.NullHandler())
# It logs every row that is fetched, and those are nobody's business but the job's.
logging.getLogger("databricks.sql.unsafe").disabled = True


class WarehouseSqlSession:
    """Runs statements on a SQL warehouse. `tags` show in its query history, `statement_timeout` is in seconds.

    Besides `SqlError`, a method raises `SetupError` where the login is refused or there is no such warehouse, and `RunError`
    where the warehouse stopped answering; the next statement opens a new connection.
    """

    def __init__(
        self,
        login: WorkspaceLogin,
        warehouse_id: str,
        *,
        tags: Mapping[str, str] = {},
        statement_timeout: float | None = None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._login = login
        self._warehouse_id = warehouse_id
        self._configuration = _configuration(tags, statement_timeout)
        self._retry_seconds = retry_seconds
        self._lock = threading.Lock()
        self._connections: dict[int, Any] = {}
        self._waits: set[threading.Event] = set()
        self._ids: list[str] = []

    @property
    def kind(self) -> str:
        return f"SQL warehouse {self._warehouse_id}"

    @property
    def executors(self) -> bool:
        return False

    @property
    def ai_query(self) -> bool:
        return True

    @property
    def most_files(self) -> int | None:
        return None

    @property
    def statement_ids(self) -> Sequence[str]:
        return tuple(self._ids)

    def execute(self, statement: str) -> str | None:
        with self._answer(self._connection(), statement) as cursor:
            return str(cursor.query_id)

    def query(self, statement: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        with self._answer(self._connection(), statement, parameters) as cursor:
            return _rows(cursor.fetchall_arrow())

    def batches(self, statement: str) -> Iterator["pa.RecordBatch"]:
        """The statement runs on the calling thread's connection, wherever the batches are taken."""
        return self._stream(self._connection(), statement)

    def frame(self, statement: str) -> Any:
        with self._answer(self._connection(), statement) as cursor:
            return cursor.fetchall_arrow().to_pandas()

    def columns(self, query: str) -> tuple[Column, ...]:
        described = self.query(f"DESCRIBE QUERY {query}")
        return tuple(Column(str(row["col_name"]), str(row["data_type"])) for row in described)

    def refresh(self) -> None: ...

    def create_schema(self, name: str) -> None:
        self.execute(f"CREATE SCHEMA IF NOT EXISTS {name}")

    def drop_table(self, name: str) -> None:
        self.execute(f"DROP TABLE IF EXISTS {name}")

    def view_of_files(self, name: str, paths: Sequence[str], columns: Sequence[str] = ()) -> None:  # noqa: ARG002 (it asks for no more)
        self.execute(f"CREATE OR REPLACE TEMPORARY VIEW {identifier(name)} AS\n{read_files(paths)}")

    def fan_out(self, query: str, tasks: int, work: TaskWork) -> list[Row]:  # noqa: ARG002 (the port's parameters)
        raise RunError("a SQL warehouse has no executors: set `engine.fan_out` to `driver`")

    def interrupt(self) -> None:
        with self._lock:
            for interrupted in self._waits:
                interrupted.set()

    def close(self) -> None:
        """Close every thread's connection. Afterwards a statement opens a new one."""
        with self._lock:
            connections, self._connections = list(self._connections.values()), {}
        for connection in connections:
            _close(connection)

    def _stream(self, connection: Any, statement: str) -> Iterator["pa.RecordBatch"]:
        with self._answer(connection, statement) as cursor:
            while (table := cursor.fetchmany_arrow(ROWS_PER_BATCH)).num_rows:
                yield from table.combine_chunks().to_batches()

    @contextmanager
    def _answer(
        self, connection: Any, statement: str, parameters: Mapping[str, object] | None = None
    ) -> Generator[Any]:
        """Run a statement to its end; the cursor has its rows ready to fetch."""
        cursor, interrupted = None, threading.Event()
        with self._lock:
            self._waits.add(interrupted)
        try:
            with _mapped(statement):
                _freshen(connection)
                cursor = connection.cursor(arraysize=ROWS_PER_BATCH * 10)
                cursor.execute_async(statement, dict(parameters) if parameters else None)
                self._ids.append(str(cursor.query_id))
                _wait(cursor, interrupted, statement)
                cursor.get_async_execution_result()
                yield cursor
        except BaseException as error:
            if _is_lost(error, cursor):
                self._forget(connection)
            raise
        finally:
            with self._lock:
                self._waits.discard(interrupted)
            if cursor is not None:
                _close(cursor)

    def _connection(self) -> Any:
        """This thread's connection, opened if need be."""
        thread = threading.get_ident()
        with self._lock:
            connection = self._connections.get(thread)
        if connection is None:
            with _mapped(f"connect to {self.kind}"):
                connection = self._connect()
            with self._lock:
                self._connections[thread] = connection
        return connection

    def _connect(self) -> Any:
        try:
            from databricks import sql
        except ImportError as error:
            raise SetupError("the SQL connector is missing: pip install 'rowcall[warehouse]'") from error
        config = workspace_config(self._login)
        _check_login(config.authenticate)
        host, path = str(config.host).rstrip("/"), f"/sql/1.0/warehouses/{self._warehouse_id}"
        connection = sql.connect(
            server_hostname=host.partition("://")[2],
            http_path=path,
            credentials_provider=lambda: config.authenticate,
            session_configuration=dict(self._configuration),
            user_agent_entry="rowcall",
            enable_telemetry=False,
            _socket_timeout=SOCKET_SECONDS,
            _retry_stop_after_attempts_duration=self._retry_seconds,
            **_RETRIES,
            **({"_connection_uri": host + path} if host.startswith("http://") else {}),
        )
        _send_once(connection)
        return connection

    def _forget(self, connection: Any) -> None:
        with self._lock:
            self._connections = {
                thread: other for thread, other in self._connections.items() if other is not connection
            }
        _close(connection)


def failure_of(error: Exception, statement: str) -> RowcallError | None:
    """The one place where the connector's errors become rowcall's; None for what is no failure of the warehouse."""
    from databricks.sql import exc
    from urllib3.exceptions import HTTPError

    text = shorten(str(error) or type(error).__name__)
    match error:
        case exc.RequestError():
            return _request_failure(error, text)
        case exc.InterfaceError() | exc.OperationalError() | HTTPError():
            return RunError(f"the warehouse stopped answering: {text}")
        case exc.DatabaseError() if any(word in text for word in _LOST):
            return RunError(f"the warehouse stopped answering: {text}")
        case exc.NotSupportedError() | ImportError():
            return SetupError(f"the connector cannot speak to this warehouse: {text}")
        case _ if type(error).__module__ == exc.__name__:
            return SqlError(text, statement, missing=missing(text), conflict=conflict(text))
        case _:
            return None


def _request_failure(error: Any, text: str) -> RowcallError:
    status, method = error.context.get("http-code"), error.context.get("method")
    if status in (401, 403):
        return SetupError(f"the warehouse refuses the login (HTTP {status}): {text}")
    if status == 404 and method == "OpenSession":
        return SetupError(f"there is no such warehouse: {text.rstrip('.')}")
    return RunError(f"the warehouse stopped answering: {text}")


@contextmanager
def _mapped(statement: str) -> Generator[None]:
    try:
        yield
    except RowcallError:
        raise
    except Exception as error:
        failure = failure_of(error, statement)
        if failure is None:
            raise
        raise failure from error


def _wait(cursor: Any, interrupted: threading.Event, statement: str) -> None:
    """Poll until the statement ended well. Whatever else ends the wait, Ctrl-C too, cancels it."""
    from databricks.sql.backend.types import CommandState
    from databricks.sql.exc import Error

    pause = FIRST_PAUSE
    try:
        while (state := cursor.get_query_state()) in (CommandState.PENDING, CommandState.RUNNING):
            if interrupted.wait(pause):
                cursor.cancel()
                raise SqlError("the statement was cancelled: interrupted", statement)
            pause = min(pause * 1.5, LONGEST_PAUSE)
    except (Error, SqlError):
        raise
    except BaseException:
        with suppress(Exception):
            cursor.cancel()
        raise
    if state is not CommandState.SUCCEEDED:
        reason = "was cancelled" if state is CommandState.CANCELLED else "timed out"
        raise SqlError(f"the statement {reason}", statement)


def _is_lost(error: BaseException, cursor: Any) -> bool:
    """Whether a connection is of no more use. One that was interrupted before its statement had an id takes the statement
    with it, as nothing else could cancel it."""
    if isinstance(error, SqlError | GeneratorExit):
        return False
    return isinstance(error, RowcallError) or cursor is None or cursor.query_id is None


def _check_login(authenticate: Callable[[], Mapping[str, str]]) -> None:
    """Raises `SetupError`. The connector is told no other login: without one it would open a browser (FACTS trap 26)."""
    try:
        headers = authenticate()
    except Exception as error:
        raise SetupError(f"no login to a Databricks workspace: {sdk_reason(error)}") from error
    if not headers:
        raise SetupError("no login to a Databricks workspace: the SDK gives no credentials for it")


def _send_once(connection: Any) -> None:
    """Never send a request again whose answer was lost: the statement may run, and may cost. The connector would; what never
    reached the warehouse, or was put off with 429 or 503, it still repeats."""
    policy = getattr(connection.session.backend, "retry_policy", None)
    if policy is not None:
        policy.read = policy.other = 0


def _freshen(connection: Any) -> None:
    """A TCP connection of its own for each statement. On one that was cut while it was idle the request would be lost, and
    `_send_once` rules out sending it again."""
    transport = getattr(connection.session.backend, "_transport", None)
    if transport is not None:
        transport.open()


def _close(it: Any) -> None:
    """Give back what the warehouse holds for a cursor or connection; what is lost already needs no giving back."""
    with suppress(Exception):
        it.close()


def _configuration(tags: Mapping[str, str], statement_timeout: float | None) -> dict[str, str]:
    """Settings of the warehouse's session. An answer is never one of an earlier statement."""
    made = {"USE_CACHED_RESULT": "false"}
    if statement_timeout is not None:
        made["STATEMENT_TIMEOUT"] = str(max(1, round(statement_timeout)))
    if tags:
        made["QUERY_TAGS"] = ",".join(f"{_escaped(name)}:{_escaped(text)}" for name, text in tags.items())
    return made


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def read_files(paths: Sequence[str]) -> str:
    """A query over Parquet files of volumes. Raises `RunError` for other paths."""
    odd = next((path for path in paths if not path.startswith("/Volumes/") or _PATTERN & set(path)), None)
    if odd is not None:
        raise RunError(f"a SQL warehouse reads files of volumes only, with plain names, not {odd}")
    folders: dict[str, list[str]] = {}
    for path in paths:
        folders.setdefault(dirname(path), []).append(basename(path))
    reads = [
        _read(folder, names[start : start + FILES_PER_READ])
        for folder, names in folders.items()
        for start in range(0, len(names), FILES_PER_READ)
    ]
    return "\nUNION ALL\n".join(reads)


def _read(folder: str, names: Sequence[str]) -> str:
    pattern = names[0] if len(names) == 1 else "{" + ",".join(names) + "}"
    # Without `none`, read_files adds a column _rescued_data.
    options = "format => 'parquet', schemaEvolutionMode => 'none'"
    return f"SELECT * FROM read_files({literal(f'{folder}/{pattern}')}, {options})"


def _rows(table: "pa.Table") -> list[Row]:
    columns = [
        [_python(value, field.type) for value in column.to_pylist()]
        for field, column in zip(table.schema, table.columns, strict=True)
    ]
    names = table.column_names
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _python(value: Any, kind: Any) -> object:
    """A value as SparkSqlSession gives it: maps as dicts, times in the local zone without saying so."""
    import pyarrow as pa

    if value is None:
        return None
    if pa.types.is_struct(kind):
        return {field.name: _python(value[field.name], field.type) for field in kind}
    if pa.types.is_map(kind):
        return {key: _python(item, kind.item_type) for key, item in value}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [_python(item, kind.value_type) for item in value]
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return value.astimezone().replace(tzinfo=None)
    return value
