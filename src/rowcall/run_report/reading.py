"""What the tables say of a run. The SQL side does the counting; what comes back is a few hundred rows, however long the run."""

from collections.abc import Callable, Mapping, Sequence

from rowcall.core.errors import RunError
from rowcall.core.ports import Row, SqlSession
from rowcall.core.run_report import statements as sql
from rowcall.core.run_report.found import Found
from rowcall.core.run_report.latency import latencies
from rowcall.core.run_report.page import Page, make_page
from rowcall.core.run_report.timeline import clock_of, timeline
from rowcall.core.sql import SqlTexts, quote_table
from rowcall.tables import GoneError, OtherTableError, key_columns, reading


def read_page(
    session: SqlSession, texts: SqlTexts, runs: str, run_id: str, lives: Callable[[Row], bool | None] = lambda _: None
) -> Page:
    """The report of a run that is in that table; `lives` says whether it goes on, where that is known. Raises `RunError` where the
    run is gone."""
    with reading(session, quote_table(runs), "runs"):
        rows = session.query(sql.run_row(texts, runs), {"run_id": run_id})
    if not rows:
        raise RunError(f"{runs} has no run {run_id} any more.")
    return make_page(rows[0], _found(session, texts, rows[0]), cut_off=lives(rows[0]) is False)


def _found(session: SqlSession, texts: SqlTexts, run: Row) -> Found | None:
    """What the traces say; None where their table is gone."""
    traces = quote_table(str(run["traces_table"]))
    try:
        with reading(session, traces, "traces"):
            return _counted(session, texts, run, sql.Statements(texts, traces))
    except GoneError:
        return None


def _counted(session: SqlSession, texts: SqlTexts, run: Row, asked: sql.Statements) -> Found:
    parameters = sql.parameters(run)
    found = Found(session.query(asked.outcomes, parameters), ())
    if not found.calls:
        return found
    exchanges = session.query(asked.exchanges, parameters)
    if run["engine"] == "ai_query":
        return Found(found.outcomes, exchanges, waves=session.query(asked.waves, parameters))
    clock = clock_of(sql.origin_ns(run), found.last_ended)
    slowest = session.query(asked.slowest, parameters)
    return Found(
        outcomes=found.outcomes,
        exchanges=exchanges,
        slowest=slowest,
        keys=_keys(session, texts, run, [str(row["trace_id"]) for row in slowest]),
        timeline=timeline(session.query(asked.timeline(clock), parameters), clock),
        latencies=latencies(session.query(asked.latencies, parameters)),
    )


def _keys(session: SqlSession, texts: SqlTexts, run: Row, trace_ids: Sequence[str]) -> Sequence[Mapping[str, object]]:
    """Which rows of the outputs have those traces; none where the outputs are gone or a later run has answered them again."""
    outputs = quote_table(str(run["outputs_table"]))
    wanted = {"run_id": str(run["run_id"]), "trace_ids": ",".join(sorted(set(trace_ids)))}
    try:
        return session.query(sql.keys_of_traces(texts, outputs, key_columns(session, outputs)), wanted)
    except (GoneError, OtherTableError):
        return ()
