"""Reading the tables that runs left. What is wrong with one is told in words about that table, not in those of a statement."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from typing import Literal

from rowcall.core import sql
from rowcall.core.errors import RunError, SqlError
from rowcall.core.names import some
from rowcall.core.ports import Row, SqlSession
from rowcall.core.records import Column
from rowcall.core.report import RunRow

Kind = Literal["runs", "outputs", "traces"]
_COLUMNS: Mapping[Kind, tuple[str, ...]] = {
    "runs": tuple(each.name for each in fields(RunRow) if each.default is each.default_factory is MISSING),
    "outputs": ("answer", "outcome", "error", "attempts", "trace_id", "request_hash", "run_id"),
    "traces": ("trace_id", "span_id", "parent_span_id", "attributes", "start_time_unix_nano", "end_time_unix_nano"),
}
"""What every version of such a table has."""
_TIMES = ("started_at", "ended_at", "answered_at", "first_run", "last_run")


class GoneError(RunError):
    """A table of a run that is there no more."""


class OtherTableError(RunError):
    """A table that is none of rowcall's, or not of the kind it is taken for."""


@contextmanager
def reading(session: SqlSession, table: str, kind: Kind) -> Generator[None]:
    """Where a statement over that table, quoted, fails for it: `GoneError`, or `OtherTableError`."""
    try:
        yield
    except SqlError as error:
        if error.missing:
            raise GoneError(_gone(sql.bare_name(table), kind)) from error
        if why := _unlike(session, table, kind):
            raise OtherTableError(why) from error
        raise


def key_columns(session: SqlSession, outputs: str) -> tuple[Column, ...]:
    """The key columns of an outputs table, quoted: those before the answer. Raises as `reading` does."""
    with reading(session, outputs, "outputs"):
        columns = session.columns(f"SELECT * FROM {outputs}")
    names = [column.name for column in columns]
    if lacking := _lacking(names, "outputs"):
        raise OtherTableError(_said(sql.bare_name(outputs), "outputs", lacking))
    return columns[: names.index("answer")]


def in_utc(row: Row) -> Row:
    """The row with its times in UTC: sessions give them as this machine's clock shows them, without saying so."""
    times = {name: row[name] for name in _TIMES if name in row}
    return {**row, **{name: when.astimezone(UTC) for name, when in times.items() if isinstance(when, datetime)}}


def _unlike(session: SqlSession, table: str, kind: Kind) -> str:
    """Why that is no such table; empty where it is one, as far as can be told."""
    try:
        names = [column.name for column in session.columns(f"SELECT * FROM {table}")]
    except SqlError:
        return ""
    lacking = _lacking(names, kind)
    return _said(sql.bare_name(table), kind, lacking) if lacking else ""


def _lacking(names: list[str], kind: Kind) -> list[str]:
    return [name for name in _COLUMNS[kind] if name not in names]


def _said(table: str, kind: Kind, lacking: list[str]) -> str:
    what = "name a runs table" if kind == "runs" else "the run's row names it, and it was replaced since"
    return f"{table} is no {kind} table of rowcall: it has no column {some(lacking)}; {what}"


def _gone(table: str, kind: Kind) -> str:
    if kind == "runs":
        return f"there is no table {table}: no job was run here yet, or name its runs table"
    return f"the table {table}, with the {'answers' if kind == 'outputs' else 'spans'} of the run, is no more"
