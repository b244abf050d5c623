"""The seams: what rowcall needs from the outside, as narrow as it needs it.

Each port has an implementation in `adapters` (or `sandbox`) and a recording fake in `rowcall.testing`; one conformance suite in
`tests/conformance` runs them all.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

from rowcall.core.doctor.told import Told
from rowcall.core.login import LoginKind
from rowcall.core.records import Column, HttpFailure, HttpReply, HttpRequest, Progress, Size

if TYPE_CHECKING:
    import pyarrow as pa

    from rowcall.core.plan import RunPlan

Row = Mapping[str, object]
Batches = Iterable["pa.RecordBatch"]


class EndpointClient(Protocol):
    """Sends one request and says what came back; never raises for what the other side does."""

    async def send(self, request: HttpRequest) -> HttpReply | HttpFailure: ...


Connect = Callable[[], AbstractAsyncContextManager[EndpointClient]]
"""A picklable recipe for a client: a module-level function with plain arguments bound to it. Holds no secret and no token."""


class SqlSession(Protocol):
    """Runs SQL on the tables: a SparkSession (Databricks, Apache Spark, Sail) or a SQL warehouse.

    Every method raises `SqlError` for what the SQL side refuses. Temporary views last as long as the thread that made them.
    """

    @property
    def kind(self) -> str:
        """What runs the SQL, for people: `embedded lakehouse`, `Spark 4.0 (Databricks)`."""
        ...

    @property
    def executors(self) -> bool:
        """Whether `fan_out` can run Python next to the data."""
        ...

    @property
    def ai_query(self) -> bool:
        """Whether its SQL may know the function `ai_query`; a probe tells for sure."""
        ...

    @property
    def most_files(self) -> int | None:
        """Most files that one statement should read, None where there is no such number."""
        ...

    @property
    def statement_ids(self) -> Sequence[str]:
        """Ids of the statements sent so far, as the workspace's query history knows them; none where it keeps no history."""
        ...

    def execute(self, statement: str) -> str | None:
        """Run a statement for its effect; returns its id in the query history, None where there is none."""
        ...

    def query(self, statement: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        """Run a query with `:name` parameters and return its rows. For small results."""
        ...

    def batches(self, statement: str) -> Iterator["pa.RecordBatch"]:
        """Run a query and stream its rows."""
        ...

    def frame(self, statement: str) -> Any:
        """The rows as a DataFrame: of Spark, read when it is used, where the session outlives this object; else of pandas."""
        ...

    def columns(self, query: str) -> tuple[Column, ...]:
        """The columns a query would return; runs nothing."""
        ...

    def refresh(self) -> None:
        """Notice the tables that others have made since it was opened, where the catalog is not shared."""
        ...

    def create_schema(self, name: str) -> None:
        """Create a schema (`catalog.schema` or `schema`) if there is none."""
        ...

    def drop_table(self, name: str) -> None:
        """Drop a table and its files if it exists. `name` is quoted SQL."""
        ...

    def view_of_files(self, name: str, paths: Sequence[str], columns: Sequence[str] = ()) -> None:
        """Make Parquet files readable as the temporary view `name`, replacing an earlier one. No other columns than `columns` are
        asked for, where they are given."""
        ...

    def fan_out(self, query: str, tasks: int, work: "TaskWork") -> list[Row]:
        """Run `work` on the rows of `query`, cut into exactly `tasks` parts that run side by side; their rows come back.

        Raises `RunError` where there are no executors or a task failed.
        """
        ...

    def interrupt(self) -> None:
        """Stop what `fan_out` or `execute` runs, from another thread."""
        ...


TaskWork = Callable[[Batches, int | None], Iterator["pa.RecordBatch"]]
"""What runs inside one Spark task: Arrow batches in, one batch of task reports out. Picklable. The number says which part the
batches are, the same for a retry and a speculative twin; None where the engine starts neither."""


class Journal(Protocol):
    """The durable record of one run while it runs: whole files or none. `OpenJournal` opens it again anywhere."""

    @property
    def place(self) -> str:
        """Where it is, for a person who looks."""
        ...

    def write_segment(self, name: str, table: "pa.Table") -> None:
        """Make a segment durable: after this returns it survives any crash; before, it does not exist."""
        ...

    def segments(self) -> list[str]:
        """Names of the whole segments, oldest first."""
        ...

    def paths(self, names: Sequence[str]) -> list[str]:
        """The segments' paths as `SqlSession.view_of_files` takes them."""
        ...

    def write_record(self, name: str, table: "pa.Table") -> str:
        """Write a table that is not answers (the row of the run), replacing an earlier one; returns its path for SQL."""
        ...

    @property
    def overflow(self) -> str:
        """Where texts are that are too long for their spans. They stay when the journal goes."""
        ...

    def write_overflow(self, name: str, table: "pa.Table") -> None:
        """Make a table of such texts durable."""
        ...

    def overflowed(self, trace_id: str) -> list[Row]:
        """Such texts of a trace: `span_id`, `attribute` and `text` of each."""
        ...

    def overflow_size(self) -> Size:
        """How much there is of such texts."""
        ...

    def remove_overflow(self) -> None:
        """Forget them."""
        ...

    def answered_hashes(self) -> set[str]:
        """Request hashes whose answer a segment holds."""
        ...

    def write_note(self, name: str, text: str) -> None:
        """Write a small text file (a task's progress, the manifest, a stop), replacing an earlier one."""
        ...

    def notes(self, prefix: str) -> dict[str, str]:
        """The notes whose name starts with `prefix`, by name."""
        ...

    def noted_at(self, name: str) -> float | None:
        """When a note was last written, in seconds by the one clock of its store; None where there is no such note."""
        ...

    def size(self) -> Size:
        """How much is in it."""
        ...

    def discard(self, names: Sequence[str]) -> None:
        """Forget segments that are published."""
        ...

    def remove(self) -> None:
        """Forget the whole journal, once its run is over and all of it is published."""
        ...


OpenJournal = Callable[[], Journal]
"""A picklable recipe for a run's journal."""


class JournalStore(Protocol):
    """Where journals live: one per run."""

    def recipe(self, job: str, run_id: str) -> OpenJournal: ...

    def runs(self, job: str) -> list[str]:
        """Run ids of a job that have a journal, oldest first."""
        ...

    def overflows(self, job: str) -> list[str]:
        """Run ids of a job that left texts too long for their spans, oldest first."""
        ...

    def probe(self) -> None:
        """Write a small file and remove it again. Raises `JournalError` where that cannot be done."""
        ...


class Workspace(Protocol):
    """What the workspace knows about endpoints. Raises `SetupError` where it cannot be reached or refuses the login."""

    @property
    def host(self) -> str: ...

    def app(self, name: str) -> Mapping[str, object] | None:
        """What `GET apps/{name}` answers, or None where there is no such app."""
        ...

    def serving(self, name: str) -> Mapping[str, object] | None:
        """What `GET serving-endpoints/{name}` answers, or None where there is no such endpoint."""
        ...

    def look(self, url: str) -> tuple[int, object] | None:
        """Status and JSON of a GET on an app; None where it does not answer. Asks no agent."""
        ...

    def tell(self, path: str, query: Mapping[str, str] | None = None) -> Told:
        """What a GET of a path of the REST API answers, refusals as well."""
        ...

    def login_kind(self) -> LoginKind:
        """How one is logged in: whether apps take that, and whether it exists on the driver only."""
        ...


class Reporter(Protocol):
    """Shows a run to whoever started it."""

    def plan(self, plan: "RunPlan") -> None: ...

    def step(self, text: str) -> None: ...

    def progress(self, progress: Progress) -> None: ...
