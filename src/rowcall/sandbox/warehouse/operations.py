"""One statement under way on the SQL warehouse: a thread, its state, its rows, and how it is stopped.

RUNNING ─▶ FINISHED | ERROR | CANCELED      the first end counts; what comes after it is dropped
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from rowcall.sandbox.warehouse.sql_errors import SqlFailedError, canceled, failure_of, timed_out

if TYPE_CHECKING:
    import pyarrow as pa

    from rowcall.sandbox.warehouse.statement_results import Ran

_SECONDS_BETWEEN_INTERRUPTS = 0.1


class State(Enum):
    """Thrift's words for what becomes of a statement."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    ERROR = "ERROR"
    CANCELED = "CANCELED"


@dataclass(slots=True)
class RecordedStatement:
    """A statement as the history shows it."""

    id: str
    statement: str
    session: str
    tags: Mapping[str, str]
    state: State = State.RUNNING

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "statement": self.statement,
            "state": self.state.value,
            "tags": dict(self.tags),
            "session": self.session,
        }


@dataclass(frozen=True, slots=True)
class Fetched:
    """Rows of a result, those from `offset` on; `more` says whether others follow."""

    offset: int
    table: "pa.Table"
    more: bool


class Operation:
    """A statement that runs in a thread of its own. `interrupt` stops it on the lakehouse, by its tag."""

    def __init__(
        self, session: UUID, statement: str, tags: Mapping[str, str], interrupt: Callable[[str], object]
    ) -> None:
        self.id = uuid4()
        self.record = RecordedStatement(str(self.id), statement, str(session), tags)
        self.failure: SqlFailedError | None = None
        self.modified: int | None = None
        self._table: pa.Table | None = None
        self._fetched = 0
        self._interrupt = interrupt
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._over = threading.Event()

    @property
    def tag(self) -> str:
        return str(self.id)

    @property
    def state(self) -> State:
        return self.record.state

    def result(self) -> "pa.Table":
        """The whole result. Raises `SqlFailedError` unless the statement finished."""
        if self._table is None:
            missing = SqlFailedError("INVALID_STATE", "HY010", "The statement has no result: it still runs.")
            raise self.failure or (canceled() if self.state is State.CANCELED else missing)
        return self._table

    def start(self, work: Callable[[], "Ran"], seconds: float | None = None) -> None:
        """Begin; after `seconds` it is stopped and has failed. The thread does not keep the process alive."""
        threading.Thread(target=self._run, args=(work,), daemon=True).start()
        if seconds is not None:
            threading.Thread(target=self._watch, args=(seconds,), daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Wait until it ended, so long at most; returns whether it did."""
        return self._ended.wait(seconds)

    def cancel(self) -> None:
        """Stop it. It is canceled at once; an ended one stays as it is."""
        self._stop(State.CANCELED, None)

    def fetch(self, rows: int | None, size: int | None) -> Fetched:
        """The next rows: `rows` at most and about `size` bytes, but one at least where there is one."""
        with self._lock:
            table, offset = self.result(), self._fetched
            count = min(rows or table.num_rows, table.num_rows - offset)
            if size and table.nbytes:
                count = min(count, max(1, size * table.num_rows // table.nbytes))
            self._fetched += count
            return Fetched(offset, table.slice(offset, count), self._fetched < table.num_rows)

    def _run(self, work: Callable[[], "Ran"]) -> None:
        try:
            ran = work()
        except SqlFailedError as failure:
            self._end(State.ERROR, failure=failure)
        except Exception as error:  # whatever it is, the client is told
            self._end(State.ERROR, failure=failure_of(str(error), type(error).__name__))
        else:
            self._end(State.FINISHED, ran=ran)
        finally:
            self._over.set()

    def _end(self, state: State, *, failure: SqlFailedError | None = None, ran: "Ran | None" = None) -> bool:
        with self._lock:
            if self._ended.is_set():
                return False
            self.failure = failure
            if ran is not None:
                self._table, self.modified = ran.table, ran.modified
            self.record.state = state
            self._ended.set()
            return True

    def _watch(self, seconds: float) -> None:
        if not self._ended.wait(seconds):
            self._stop(State.ERROR, timed_out(seconds))

    def _stop(self, state: State, failure: SqlFailedError | None) -> None:
        if self._end(state, failure=failure):
            threading.Thread(target=self._insist, daemon=True).start()

    def _insist(self) -> None:
        """Interrupt it until it is over: the lakehouse knows a statement only from when it arrives there."""
        while not self._over.is_set():
            try:
                self._interrupt(self.tag)
            except Exception:  # the lakehouse is gone, and the statement with it
                return
            self._over.wait(_SECONDS_BETWEEN_INTERRUPTS)
