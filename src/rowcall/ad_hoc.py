"""Ad hoc scoring: the rows of a DataFrame, asked as a job is and read back with their answers.

`ask` adds three things to a run: it puts the rows where SQL finds them, once, so that what is asked cannot change while it is
asked; it runs; and it reads the answers back from the outputs table, each beside its row. The outputs table stays, which is why the
same call asks nothing the second time.
"""

import secrets
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rowcall import api
from rowcall.adapters.frames import LocalFrame, SparkFrame, frame_of
from rowcall.adapters.notebook import Output, in_notebook
from rowcall.adapters.packaged import sql_texts
from rowcall.core import asking as core
from rowcall.core import sql
from rowcall.core.asking import ASKED_ROWS, Asking
from rowcall.core.definition import JobDefinition
from rowcall.core.errors import DefinitionError, RunError, SqlError
from rowcall.core.frame_table import content_hashes
from rowcall.core.plan import RunPlan
from rowcall.core.ports import Journal, JournalStore, Reporter, SqlSession
from rowcall.core.records import Progress
from rowcall.core.report import RunRow
from rowcall.core.sql_failure import refused
from rowcall.facts import LoadedJob
from rowcall.notebook import NotebookReporter
from rowcall.publishing import make_schema
from rowcall.wiring import Options, Surroundings, current_catalog, surroundings

if TYPE_CHECKING:
    import pyarrow as pa

_PLACE = "rowcall_row"
FORGET_SECONDS = 7 * 24 * 3600.0
"""How long the rows of a call are kept: beside the journals, where no call takes as long, and in a table, which a frame reads."""


@dataclass(frozen=True, slots=True)
class Way:
    """How to run: `prefix` is put before the names of the answers' columns."""

    only_new: bool = False
    wait: bool = False
    prefix: str = ""


def ask(
    data: Any,
    prompt: str | Mapping[str, Any],
    endpoint: str | Mapping[str, Any],
    *,
    key: str | Sequence[str] | None = None,
    instructions: str | None = None,
    answer: str | Mapping[str, Any] = "text",
    outputs: str | None = None,
    name: str | None = None,
    engine: str | Mapping[str, Any] = "auto",
    concurrency: int | str | None = None,
    limits: Mapping[str, Any] | None = None,
    job: Mapping[str, Any] | None = None,
    prefix: str = "",
    only_new: bool = False,
    wait: bool = False,
    options: Options | None = None,
    spark: Any = None,
    reporter: Reporter | None = None,
) -> Any:
    """Ask about every row of `data` and return the rows with their answers: the columns of the data, then those of the outputs
    table, each with `prefix` before its name. A row without an answer has an outcome and an error that say why.

    `data` is a DataFrame of Spark or pandas, an Arrow table, a list of mappings, or the name of a table; what comes back is of its
    kind, in its order where it has one, and for a table's name as `Run.outputs` is. `prompt` is a text with `{column}` in it, or a
    mapping like a job's `request`. `endpoint` is `serving:NAME`, `app:NAME`, a URL, or a mapping like a job's. `key` names the
    columns that identify a row; local data may have none, then a hash of what the prompt reads stands for the row. `answer` is the
    schema of a structured answer. `job` takes further keys of a job.

    Answers are kept in the table `outputs`, by default `rowcall.<name>` in the session's catalog; `name` is made from what is
    asked if there is none. So the same call again asks only what has no answer. Raises `DefinitionError`, `SetupError` or
    `RunError` before anything is paid, and `RunError` where the run did not go to its end: what was answered is kept.
    """
    asking = Asking(
        request=core.request_of(prompt, instructions),
        endpoint=core.endpoint_of(endpoint),
        key=core.key_of(key),
        answer=answer,
        engine=core.engine_of(engine, concurrency),
        limits=limits or {},
        others=job or {},
        name=name,
        outputs=outputs,
    )
    frame = data if isinstance(data, str) else frame_of(data)
    if isinstance(frame, LocalFrame) and not frame.names and not len(frame):
        return frame.data  # a list without rows has no columns either
    where = _where(frame, options or Options(), spark)
    table = asking.table("" if outputs else current_catalog(where))
    way = Way(only_new, wait, prefix)
    try:
        given = given_of(frame, asking, table, prefix)
        with surroundings(given.definition, where) as here:
            return ask_here(given, here, way, reporter or _ambient_reporter())
    except SqlError as error:
        if outputs or not refused(error.reason):
            raise
        said = f"Answers are kept in {table}. Where you may not make that, name a table of yours: outputs=…"
        raise RunError(f"{error}\n  {said}") from error


@dataclass(frozen=True, slots=True)
class Given:
    """The rows to ask about and the job that asks. `names` are the columns it reads of local data."""

    frame: LocalFrame | SparkFrame | str
    definition: JobDefinition
    asking: Asking
    source: str
    names: Sequence[str] = ()


def given_of(frame: LocalFrame | SparkFrame | str, asking: Asking, table: str, prefix: str) -> Given:
    """Raises `DefinitionError` for what can be told to be wrong without a session."""
    if isinstance(frame, LocalFrame):
        core.check_names(frame.names, prefix)
        names = core.columns_read(asking, frame.names)
        view = f"rowcall_rows_{secrets.token_hex(4)}"
        key = asking.key or (core.free_name(core.MADE_KEY, names),)
        prompts = {"query": f"SELECT * FROM {view}", "key": key}
        return Given(frame, core.definition(asking, prompts, table), replace(asking, key=key), view, names)
    if not asking.key:
        hint = 'Name the column, or columns, that identify a row: key="id".'
        raise core.wrong("key", "is missing: rows of a table come in no order that would tell them apart.", hint)
    if isinstance(frame, str):
        return Given(frame, core.definition(asking, {"table": frame, "key": asking.key}, table), asking, frame)
    core.check_names(frame.names, prefix)
    core.columns_read(asking, frame.names)
    rows = core.rows_table(table, datetime.now(UTC).date(), secrets.token_hex(4))
    return Given(frame, core.definition(asking, {"table": rows, "key": asking.key}, table), asking, rows)


def ask_here(given: Given, here: Surroundings, way: Way, reporter: Reporter) -> Any:
    """`ask` in surroundings that are open already."""
    noting = _Noting(reporter)
    with _in_sql(given, here) as rows:
        if isinstance(given.frame, str):
            _check_table(given.frame, here.session, way.prefix)
        try:
            row = api.run_here(LoadedJob(given.definition), here, only_new=way.only_new, wait=way.wait, reporter=noting)
        except DefinitionError as error:
            raise core.as_asked(error) from error
        if isinstance(reporter, NotebookReporter):
            reporter.over(row)
        _check(row)
        rows.show()
        return _read_back(given, here.session, noting.made, way)


def _check(row: RunRow) -> None:
    try:
        row.check()
    except RunError as error:
        kept = f"{row.ok:,} of {row.pending_rows:,} answers are kept in {row.outputs_table}"
        raise RunError(f"{error}\n  {kept}; the same call asks for the rest.") from error


class _Shown:
    """Rows that SQL can read. A view may be lost with its connection, so it is made again before it is read at the end."""

    def __init__(self, session: SqlSession, view: str = "", paths: Sequence[str] = ()) -> None:
        self._session, self._view, self._paths = session, view, paths

    def show(self) -> None:
        if self._paths:
            self._session.view_of_files(self._view, self._paths)


@contextmanager
def _in_sql(given: Given, here: Surroundings) -> Generator[_Shown]:
    """The rows where SQL reads them: local ones in a file beside the journals as long as the run takes, those of a Spark plan in
    a table of this call, which what comes back reads."""
    frame, session = given.frame, here.session
    if isinstance(frame, LocalFrame):
        api.make_journal_volume(here)
        job = f"{given.definition.job}.{ASKED_ROWS}"  # no job has a dot in its name
        kept = here.journals.recipe(job, given.source)()
        try:
            _forget_the_dead(job, here.journals, kept)
            shown = _Shown(session, given.source, [kept.write_record(ASKED_ROWS, _sent(given, frame))])
            shown.show()
            yield shown
        finally:
            kept.remove()
        return
    if isinstance(frame, SparkFrame):
        view, table = f"rowcall_rows_{secrets.token_hex(4)}", given.source
        frame.view(view)
        if schema := sql.schema_of(table):
            make_schema(session, schema)
            _drop_old_rows(given, session, schema)
        session.execute(sql.fill(sql_texts(), "statements/asked_rows", table=sql.quote_table(table), view=view))
    yield _Shown(session)


def _drop_old_rows(given: Given, session: SqlSession, schema: str) -> None:
    """Drop the rows of calls whose frames nobody reads any more. What this login may not list or
    drop stays: the call does not need it."""
    before, names = (datetime.now(UTC) - timedelta(seconds=FORGET_SECONDS)).date(), list[str]()
    with suppress(SqlError):
        names = [str(row["tableName"]) for row in session.query(f"SHOW TABLES IN {schema}")]
    for name in core.old_rows_tables(given.definition.outputs.table, names, before):
        with suppress(SqlError):
            session.drop_table(f"{schema}.{sql.identifier(name)}")


def _forget_the_dead(job: str, journals: JournalStore, kept: Journal) -> None:
    """Remove the rows of calls that were killed and did not come to it. No other is as old."""
    kept.write_note(ASKED_ROWS, "")
    now = kept.noted_at(ASKED_ROWS)
    for name in journals.runs(job):
        other = journals.recipe(job, name)()
        written = other.noted_at(ASKED_ROWS)
        if now is not None and written is not None and now - written > FORGET_SECONDS:
            other.remove()


def _sent(given: Given, frame: LocalFrame) -> "pa.Table":
    """The columns that are read, the key if it is made, and the place of each row."""
    import pyarrow as pa

    table = frame.table(given.names)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    if not {key.lower() for key in given.asking.key} <= {name.lower() for name in given.names}:
        (made,) = given.asking.key
        hashes = content_hashes(table) if given.names else [core.digest([])] * len(frame)
        columns[made] = pa.chunked_array([pa.array(hashes, pa.string())])
    columns[_place(given)] = pa.chunked_array([pa.array(range(len(frame)), pa.int64())])
    return pa.Table.from_pydict(columns)


def _place(given: Given) -> str:
    return core.free_name(_PLACE, [*given.names, *given.asking.key])


def _check_table(table: str, session: SqlSession, prefix: str) -> None:
    try:
        columns = session.columns(f"SELECT * FROM {sql.quote_table(table)}")
    except SqlError as error:
        if error.missing:
            raise core.wrong("data", f"there is no table {table}, or it may not be read") from error
        raise
    core.check_names([column.name for column in columns], prefix)


def _read_back(given: Given, session: SqlSession, plan: RunPlan, way: Way) -> Any:
    """The rows with their answers, of the kind of the data."""
    frame, local = given.frame, isinstance(given.frame, LocalFrame)
    rows = f"SELECT * FROM {given.source if local else sql.quote_table(given.source)}"
    statement = core.read_back(
        sql_texts(),
        rows,
        plan,
        f"r.{_place(given)}" if local else "r.*",
        way.prefix,
        only_new=way.only_new,
    )
    if not isinstance(frame, LocalFrame):
        return session.frame(statement)
    return _joined(frame, session.batches(statement), _place(given), core.answer_columns(way.prefix))


def _joined(frame: LocalFrame, batches: Iterable["pa.RecordBatch"], place: str, columns: Sequence[str]) -> Any:
    import pyarrow as pa

    nothing = pa.RecordBatch.from_pydict({name: pa.nulls(0) for name in (place, *columns)})
    answers = pa.Table.from_batches(list(batches) or [nothing]).sort_by(place)
    if answers.column(place).to_pylist() != list(range(len(frame))):
        raise RunError(f"{answers.num_rows:,} rows came back for {len(frame):,}; the answers are in the outputs table")
    return frame.joined(answers.drop_columns([place]))


class _Noting:
    """Passes all on to a reporter and keeps the plan."""

    made: RunPlan

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def plan(self, plan: RunPlan) -> None:
        self.made = plan
        self._reporter.plan(plan)

    def step(self, text: str) -> None:
        self._reporter.step(text)

    def progress(self, progress: Progress) -> None:
        self._reporter.progress(progress)


def _where(frame: LocalFrame | SparkFrame | str, options: Options, spark: Any) -> Options:
    if not isinstance(frame, SparkFrame):
        return replace(options, spark=spark) if spark is not None else options
    if options.warehouse:
        said = "is a DataFrame of Spark, which a SQL warehouse cannot read."
        raise core.wrong("data", said, "Give the name of a table, or leave the warehouse out.")
    return replace(options, spark=frame.session)


def _ambient_reporter() -> Reporter:
    return NotebookReporter(Output().show) if in_notebook() else api.Quiet()
