"""Deleting what a job keeps no longer: its old spans, the long texts that none of them names any more, the rows of its old runs."""

from datetime import UTC, datetime
from functools import partial

from rowcall.adapters.packaged import sql_texts
from rowcall.core import sql
from rowcall.core.errors import RowcallError, reason_of
from rowcall.core.ports import JournalStore, Reporter, SqlSession
from rowcall.core.records import Size
from rowcall.core.retention import OldRows, Retention, runs_left, runs_named
from rowcall.core.shown import plural
from rowcall.core.vacuum import Found, KnownRun, LeftJournal, long_texts_to_go, started
from rowcall.publishing import repeated


def apply(retention: Retention, job: str, tables: sql.Tables, session: SqlSession, journals: JournalStore) -> list[str]:
    """Delete what a job keeps no longer, and say what that was."""
    spans = delete(retention.spans, session)
    texts = _remove_long_texts(retention, job, tables, session, journals)
    runs = delete(retention.runs, session) if retention.runs is not None else 0
    said = {f"{spans:,} {plural('span', spans)}": spans, f"long texts of {_runs(texts)}": texts, _runs(runs): runs}
    return [what for what, count in said.items() if count]


def _runs(count: int) -> str:
    return f"{count:,} {plural('run', count)}"


def tell_applied(
    retention: Retention, job: str, tables: sql.Tables, session: SqlSession, journals: JournalStore, reporter: Reporter
) -> None:
    """`apply` at the end of a run, which it cannot fail."""
    try:
        if gone := apply(retention, job, tables, session, journals):
            reporter.step(f"deleted what is kept no longer: {', '.join(gone)}")
    except RowcallError as error:
        reporter.step(f"what is kept no longer is not deleted yet: {reason_of(error)}")


def count(old: OldRows, session: SqlSession) -> int:
    (found,) = session.query(old.count)
    return int(str(found["n"]))


def delete(old: OldRows, session: SqlSession) -> int:
    """Delete them, and say how many they were."""
    there = count(old, session)
    if there:
        repeated(session, partial(session.execute, old.delete))
    return there


def _remove_long_texts(
    retention: Retention, job: str, tables: sql.Tables, session: SqlSession, journals: JournalStore
) -> int:
    """Those of runs from before the first day that is kept; nothing is asked of the tables where there are none."""
    there = [run_id for run_id in journals.overflows(job) if _day_of(run_id) < f"{retention.before}"]
    if not there:
        return 0
    traces, left = sql.bare_name(tables.traces), runs_left(sql_texts(), tables.runs)
    found = Found(
        job,
        journals=[LeftJournal(run_id, "open", 0, 0.0, here=False, size=Size()) for run_id in journals.runs(job)],
        long_texts=dict.fromkeys(there, Size()),
        runs={
            str(row["run_id"]): KnownRun(str(row["status"]), gone=False)
            for row in session.query(left, {"job": job})
            if row["traces_table"] == traces
        },
        named=runs_named(session.query(retention.named)),
    )
    gone = long_texts_to_go(found)
    for run_id in gone:
        journals.recipe(job, run_id)().remove_overflow()
    return len(gone)


def _day_of(run_id: str) -> str:
    """The day on which a run began; what is no run's is of no day before another."""
    began = started(run_id)
    return "~" if began is None else f"{datetime.fromtimestamp(began, UTC):%Y-%m-%d}"
