"""Looking at runs that were, and steering one that goes on: what the commands that name a run call."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from rowcall import run_report
from rowcall.adapters.packaged import sql_texts
from rowcall.adapters.whole_file import check_place, write_whole
from rowcall.control import RunState, journal_place, look, tell
from rowcall.core import sql
from rowcall.core.comparison import Comparison
from rowcall.core.control import Command
from rowcall.core.errors import RunError
from rowcall.core.ports import Journal, Row, SqlSession
from rowcall.core.report import row_of
from rowcall.core.run_report.statements import run_row
from rowcall.notebook import Run
from rowcall.row_trace import RowStory, read_story
from rowcall.side_by_side import Tables, compare_answers
from rowcall.tables import in_utc, key_columns, reading
from rowcall.wiring import Archive, Options, archive, current_catalog


def runs(table: str, *, job: str | None = None, limit: int = 20, options: Options | None = None) -> list[Row]:
    """Rows of a runs table, newest first; of one without an end `alive` says whether it goes on, None where that is not known.
    Raises `RunError` where there is no such table."""
    with _archive(table, options) as found:
        return [{**in_utc(row), "alive": found.lives(row)} for row in _runs(found.session, table, limit, job=job or "")]


def find_run(table: str, run_id: str, *, options: Options | None = None) -> Row:
    """The row of the run whose id is, or begins with, `run_id`. Raises `RunError` where there is not exactly one."""
    with _archive(table, options) as found:
        row = _one_run(found.session, table, run_id)
        return {**in_utc(row), "alive": found.lives(row)}


def last_run(job: str, table: str | None = None, *, options: Options | None = None, spark: Any = None) -> Run:
    """The newest run of a job as `rowcall.run` returned it, whoever ran it: in the runs table that is named, else in `rowcall.runs`
    of the session's catalog. Raises `RunError` where there is none."""
    asked = options or Options()
    where = replace(asked, spark=spark) if spark is not None else asked
    table = table or f"{sql.bare_identifier(current_catalog(where))}.rowcall.runs"
    with _archive(table, where) as found:
        newest = _runs(found.session, table, 1, job=job)
        if not newest:
            raise RunError(f"{table} has no run of job {job}. See rowcall runs.")
        (row,) = found.session.query(run_row(sql_texts(), table), {"run_id": newest[0]["run_id"]})
    return Run(row_of(row), where, table)


def failures(table: str, run_id: str, *, limit: int = 50, options: Options | None = None) -> list[Row]:
    """The rows of a run's outputs that have no ok answer. Raises `RunError` where there is not exactly one such run."""
    return failures_of(table, run_id, limit=limit, options=options)[1]


def failures_of(table: str, run_id: str, *, limit: int = 50, options: Options | None = None) -> tuple[Row, list[Row]]:
    """The row of a run, and its `failures`."""
    with _archive(table, options) as found:
        run = _one_run(found.session, table, run_id)
        outputs = sql.quote_table(str(run["outputs_table"]))
        key_columns(found.session, outputs)
        rows = found.session.query(sql.list_failures(sql_texts(), outputs, limit), {"run_id": run["run_id"]})
        return run, [in_utc(row) for row in rows]


def report(table: str, run_id: str, path: Path | None = None, *, options: Options | None = None) -> Path:
    """Write the report of a run, one HTML page, and say where: at `path`, else under the run's id in this folder. Raises `RunError`
    where there is not exactly one such run, `SetupError` where the page cannot be made or written."""
    run_report.check_libraries()
    if path is not None:
        check_place(path)
    with _archive(table, options) as found:
        row = _one_run(found.session, table, run_id)
        page = run_report.read_page(found.session, sql_texts(), table, str(row["run_id"]), found.lives)
    place = path or run_report.default_place(page)
    write_whole(place, run_report.render(page))
    return place


def costs(table: str, *, job: str | None = None, options: Options | None = None) -> list[Row]:
    """What each job has cost so far, by endpoint and currency. Raises `RunError` where there is no such table."""
    with _archive(table, options) as found, reading(found.session, sql.quote_table(table), "runs"):
        rows = found.session.query(sql.costs(sql_texts(), sql.quote_table(table)), {"job": job or ""})
        return [in_utc(row) for row in rows]


def compare(
    table: str, one: str, other: str | None = None, *, examples: int = 5, options: Options | None = None
) -> Comparison:
    """Two sides, each a run id or its beginning, `JOB:ENDPOINT`, or a job; or the two endpoints of one job. Raises `RunError` where
    there is nothing to compare."""
    with _archive(table, options) as found:
        return compare_answers(Tables(found.session, sql_texts(), table), one, other, examples)


def trace(table: str, job: str, key: str, *, full: bool = False, options: Options | None = None) -> RowStory:
    """What happened to the row of a job that has a key (`a=1,b=2` where that has several columns) or a trace id; `full` with all of
    the texts that are too long for the traces table. Raises `RunError` where there is no such job or row."""
    with _archive(table, options) as found:
        newest = _runs(found.session, table, 1, job=job)
        if not newest:
            raise RunError(f"{table} has no run of job {job}. See rowcall runs.")

        def journal_of(run_id: str) -> Journal:
            context = cast("Mapping[str, str]", _one_run(found.session, table, run_id)["context"] or {})
            return found.journal(context.get("journal", ""))

        return read_story(found.session, sql_texts(), newest[0], key, journal_of if full else None)


def control(table: str, run_id: str, command: Command | None = None, *, options: Options | None = None) -> RunState:
    """Tell a run that goes on to pause, resume, stop or have so many calls in flight; how far it is, and what it was told.

    Its tasks obey within a flush. Raises `RunError` where there is not exactly one such run, where it is over, and where it cannot
    do that.
    """
    with _archive(table, options) as found:
        row = _one_run(found.session, table, run_id)
        journal = found.journal(journal_place(row))
        if command is not None:
            tell(row, journal, command)
        return look(row, journal)


def _one_run(session: SqlSession, table: str, run_id: str) -> Row:
    found = _runs(session, table, 2, run_id=run_id)
    if len(found) != 1:
        what = f"more than one run that begins with {run_id}" if found else f"no run {run_id}"
        raise RunError(f"{table} has {what}. See rowcall runs.")
    return found[0]


@contextmanager
def _archive(table: str, options: Options | None) -> Generator[Archive]:
    with archive([sql.quote_table(table)], options or Options()) as found:
        yield found


def _runs(session: SqlSession, table: str, limit: int, *, job: str = "", run_id: str = "") -> list[Row]:
    """Runs of a job, or whose id begins so, newest first."""
    quoted = sql.quote_table(table)
    with reading(session, quoted, "runs"):
        return session.query(sql.list_runs(sql_texts(), quoted, limit), {"job": job, "run_id": run_id})
