"""The sandbox's SQL warehouse: sessions and their statements, on one embedded lakehouse that opens with the first session.

All sessions share one Spark Connect session, since each of Sail's has a memory catalog of its own; what is a session's own is
in its `Scope`. Importing this module loads no Spark.
"""

import re
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from rowcall.core.loose import mapping, sequence
from rowcall.sandbox.agents.behaviour import read_behaviour
from rowcall.sandbox.agents.faults import Fault
from rowcall.sandbox.warehouse.operations import Operation, RecordedStatement, State
from rowcall.sandbox.warehouse.sql_errors import canceled, failure_of

if TYPE_CHECKING:
    from rowcall.sandbox.databricks_sql.lakehouse_sql import LakehouseSql
    from rowcall.sandbox.lakehouse import Lakehouse
    from rowcall.sandbox.warehouse.sql_parameters import Parameter
    from rowcall.sandbox.warehouse.sql_statements import Scope
    from rowcall.sandbox.warehouse.statement_results import Ran
    from rowcall.sandbox.warehouse.statement_runner import StatementRunner

WAREHOUSE_ID = "sandbox"
MOST_RECORDED = 1_000
# What the first `ai_query` needs in the lakehouse's process.
_AHEAD = ("aiohttp", "pyarrow", "pyspark.worker", "rowcall.sandbox.databricks_sql.ai_query")
_TIMEOUT, _TAGS = "STATEMENT_TIMEOUT", "QUERY_TAGS"
_WORDS = {"http_status": "status", "error": "raw"}
_FAULTS = frozenset(("http_status", "error", "delay_ms"))
_FAULT_KEYS = _FAULTS | {"match", "first", "every", "share", "headers"}
STATES = ("RUNNING", "STARTING", "STOPPING", "STOPPED", "DELETING", "DELETED")
_TAG = re.compile(r"((?:\\.|[^\\:,])+)(?::((?:\\.|[^\\,])*))?(?:,|$)")


class HandleError(Exception):
    """A session or operation that is not, or no longer, there."""


@dataclass(slots=True)
class Session:
    """One client's session."""

    id: UUID
    scope: "Scope"
    operations: dict[UUID, Operation] = field(default_factory=dict[UUID, Operation])


@dataclass(frozen=True, slots=True)
class _Opened:
    house: "Lakehouse"
    sql: "LakehouseSql"
    runner: "StatementRunner"


class Warehouse:
    """The warehouse over a lakehouse folder. `host` and `token` are where its `ai_query` asks. Safe for threads."""

    def __init__(self, folder: Path, volumes: Path, host: str, token: str) -> None:
        self._folder = folder
        self._volumes = volumes
        self._host = host
        self._token = token
        self._lock = threading.Lock()
        self._opened: _Opened | None = None
        self._stopped = False
        self._sessions: dict[UUID, Session] = {}
        self.state = "RUNNING"
        """What lookups say of it."""
        self.faults: tuple[Fault, ...] = ()
        self.history: deque[RecordedStatement] = deque(maxlen=MOST_RECORDED)

    @property
    def folder(self) -> Path:
        """Where its tables are."""
        return self._folder

    def open_session(self, catalog: str | None, schema: str | None, configuration: Mapping[str, str]) -> Session:
        """Raises `SetupError` where the lakehouse cannot be opened."""
        from rowcall.sandbox.warehouse.sql_statements import Scope

        self._open()
        session_id = uuid4()
        scope = Scope(session_id.hex[:8])
        scope.catalog, scope.schema = catalog or scope.catalog, schema or scope.schema
        scope.configuration.update({key.upper(): value for key, value in configuration.items()})
        session = self._sessions[session_id] = Session(session_id, scope)
        return session

    def session(self, session_id: UUID) -> Session:
        if session_id not in self._sessions:
            raise HandleError(f"Invalid SessionHandle: SessionHandle [{session_id}]")
        return self._sessions[session_id]

    def close_session(self, session_id: UUID) -> None:
        """End a session, its statements and temporary views."""
        session = self.session(session_id)
        del self._sessions[session_id]
        for operation in list(session.operations.values()):
            operation.cancel()
        if self._opened is not None:
            self._opened.runner.drop_views(session.scope)

    def operation(self, operation_id: UUID) -> Operation:
        for session in list(self._sessions.values()):
            if operation_id in session.operations:
                return session.operations[operation_id]
        raise HandleError(f"Invalid OperationHandle: OperationHandle [{operation_id}]")

    def close_operation(self, operation_id: UUID) -> None:
        """Forget an operation and its rows; one that still runs is canceled."""
        self.operation(operation_id).cancel()
        for session in list(self._sessions.values()):
            session.operations.pop(operation_id, None)

    def fault(self, statement: str) -> Fault | None:
        """The fault that strikes this statement; every fault counts it."""
        struck = [fault for fault in self.faults if fault.strikes(statement)]
        return struck[0] if struck else None

    def execute(
        self,
        session: Session,
        statement: str,
        parameters: Sequence["Parameter"] = (),
        settings: Mapping[str, str] = {},
        fault: Fault | None = None,
    ) -> Operation:
        """Begin a statement. `settings` are its own, over those of the session."""
        from rowcall.sandbox.warehouse.sql_parameters import bound

        own = {**session.scope.configuration, **{key.upper(): value for key, value in settings.items()}}

        def work(runner: "StatementRunner") -> "Ran":
            return runner.run(bound(statement, parameters), session.scope)

        tags = {**read_tags(session.scope.configuration.get(_TAGS, "")), **read_tags(own.get(_TAGS, ""))}
        operation = self._begun(session, statement, tags)
        self._start(operation, work, fault, _seconds(own.get(_TIMEOUT)))
        return operation

    def look_up(self, session: Session, what: str, look: Callable[["StatementRunner"], "Ran"]) -> Operation:
        """Begin a lookup of TCLIService, `what` for the history's sake."""
        operation = self._begun(session, what, {})
        self._start(operation, look, None, None)
        return operation

    def stop(self) -> None:
        """Cancel what runs and close the lakehouse."""
        self._stopped = True
        for session in list(self._sessions.values()):
            for operation in list(session.operations.values()):
                operation.cancel()
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.house.stop()

    def forget(self) -> None:
        """Forget the statements that ended."""
        running = [record for record in self.history if record.state is State.RUNNING]
        self.history.clear()
        self.history.extend(running)

    def _begun(self, session: Session, statement: str, tags: Mapping[str, str]) -> Operation:
        operation = Operation(session.id, statement, tags, self._open().sql.interruptTag)
        session.operations[operation.id] = operation
        self.history.append(operation.record)
        return operation

    def _start(
        self,
        operation: Operation,
        work: Callable[["StatementRunner"], "Ran"],
        fault: Fault | None,
        seconds: float | None,
    ) -> None:
        opened = self._open()

        def tagged() -> "Ran":
            if fault is not None and operation.wait(fault.delay):
                raise canceled()
            if fault is not None and fault.raw is not None:
                raise failure_of(fault.raw)
            opened.sql.addTag(operation.tag)  # tags are a thread's own, and this thread has one statement
            return work(opened.runner)

        operation.start(tagged, seconds)

    def _open(self) -> _Opened:
        with self._lock:
            if self._opened is None:
                if self._stopped:
                    raise HandleError("Invalid SessionHandle: the warehouse is stopped")
                self._opened = self._made()
            return self._opened

    def _made(self) -> _Opened:
        from rowcall.sandbox.databricks_sql.lakehouse_sql import LakehouseSql
        from rowcall.sandbox.databricks_sql.serving import Serving
        from rowcall.sandbox.lakehouse import open_lakehouse
        from rowcall.sandbox.warehouse.statement_runner import StatementRunner, prepare

        house = open_lakehouse(self._folder, modules=_AHEAD)
        try:
            prepare(house)
            sql = LakehouseSql(house, Serving(self._host, self._token), self._volumes)
            return _Opened(house, sql, StatementRunner(house, sql, self._volumes))
        except BaseException:
            house.stop()
            raise


def read_faults(body: object) -> tuple[Fault, ...]:
    """The faults a test sent: {"faults": [{"match": …, "http_status": … | "error": "[CLASS] …", "delay_ms": …}]}, with the
    conditions of `behaviour`; `match` is text in the statement. Raises ValueError with what is wrong."""
    given = mapping(body)
    listed = [mapping(fault) for fault in sequence(given.get("faults"))]
    for place, fault in enumerate(listed):
        if unknown := sorted(fault.keys() - _FAULT_KEYS):
            raise ValueError(
                f"faults[{place}]: unknown {', '.join(unknown)}; known are {', '.join(sorted(_FAULT_KEYS))}"
            )
        if not fault.keys() & _FAULTS:
            raise ValueError(f"faults[{place}]: expected {', '.join(sorted(_FAULTS))}")
    renamed = [{"delay_ms": 0, **{_WORDS.get(key, key): value for key, value in fault.items()}} for fault in listed]
    return read_behaviour({**given, "faults": renamed}).faults


def read_tags(text: str) -> dict[str, str]:
    """QUERY_TAGS as the connector writes them: `key:value,key:value`, with backslashes before `:`, `,` and backslash."""
    return {_plain(key): _plain(value or "") for key, value in _TAG.findall(text)}


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text).strip()


def _seconds(text: str | None) -> float | None:
    """STATEMENT_TIMEOUT; 0 is none."""
    try:
        return float(text or 0) or None
    except ValueError:
        return None
