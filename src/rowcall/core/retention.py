"""How long what a job leaves in the shared tables is kept: `traces.keep` and `runs.keep`. Whole days, in UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from rowcall.core import sql


@dataclass(frozen=True, slots=True)
class OldRows:
    """Rows of a table that are kept no longer: statements that count and that delete them. `table` is quoted."""

    table: str
    count: str
    delete: str


@dataclass(frozen=True, slots=True)
class Retention:
    """What a job keeps no longer. `before` is the first day of which spans are kept; the statement `named` says which long texts
    those name."""

    before: date
    spans: OldRows
    runs: OldRows | None
    named: str


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many days."""

    traces: int
    runs: int | None


def retention(texts: sql.SqlTexts, tables: tuple[str, str], job: str, keep: Keep, today: date) -> Retention:
    """`tables` are the traces and the runs table, quoted."""
    (traces, runs), before = tables, today - timedelta(days=keep.traces)
    spans, old_runs = _old(texts, "spans", traces, job, _day(before)), None
    if keep.runs is not None:
        old_runs = _old(texts, "runs", runs, job, f"TIMESTAMP '{today - timedelta(days=keep.runs)} 00:00:00'")
    return Retention(before, spans, old_runs, named_long_texts(texts, traces, before))


def named_long_texts(texts: sql.SqlTexts, traces: str, since: date | None = None) -> str:
    """Which long texts are named by spans of a day from `since` on."""
    return sql.fill(texts, "statements/named_overflow", traces=traces, since=_day(since or date(1970, 1, 1)))


def runs_named(rows: Sequence[Mapping[str, object]]) -> set[str]:
    """The runs whose long texts those are. The last part of their place is the run, wherever the folder was moved."""
    return {str(row["place"]).rstrip("/").rpartition("/")[2] for row in rows if row["place"] is not None}


def runs_left(texts: sql.SqlTexts, runs: str) -> str:
    """Takes the parameter `job`, empty for all."""
    return sql.fill(texts, "statements/runs_left", runs=runs)


def _old(texts: sql.SqlTexts, what: str, table: str, job: str, before: str) -> OldRows:
    slots = {"table": table, "job": sql.literal(job), "before": before}
    count, delete = (sql.fill(texts, f"statements/{verb}_{what}", **slots) for verb in ("old", "delete"))
    return OldRows(table, count, delete)


def _day(day: date) -> str:
    return f"DATE '{day.isoformat()}'"
