"""The dashboard's queries on real runs: they run, as queries and as views, their figures are the runs', and every field that a
widget names is a column of its dataset.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from rowcall.adapters.packaged import sql_texts
from rowcall.core.dashboard import VIEWS, create_view, dashboard, query_of
from rowcall.core.ports import Row, SqlSession
from rowcall.core.report import RunRow
from rowcall.sandbox.lakehouse import Lakehouse
from rowcall.sandbox.process import SandboxProcess
from support import Bench, make_job, texts

RUNS, TRACES = "main.test.dashboard_runs", "main.test.dashboard_traces"
TABLES: dict[str, Any] = {"runs": {"table": RUNS}, "traces": {"table": TRACES}}
Rows = Callable[[str], list[Row]]


@pytest.fixture(scope="module")
def runs(
    house: Lakehouse, session: SqlSession, sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory
) -> list[RunRow]:
    """One run with a failure of each of two kinds and a price, one of another job, one of ai_query."""
    bench = Bench(session, sandbox, tmp_path_factory.mktemp("dashboard"), house.folder)
    bench.reset()
    bench.behave(
        latency_ms=20,
        faults=[
            {"match": "row 3", "status": 400, "body": {"error_code": "BAD_REQUEST", "message": "no"}},
            {"match": "row 5", "status": 413},
        ],
    )
    priced = {"app": "echo", "price": {"input": 3, "output": 15}}
    for name, rows in (("dash_one", 8), ("dash_two", 3), ("dash_sql", 4)):
        bench.fill(name, texts(rows))
    return [
        bench.run(make_job("dash_one", endpoint=priced, **TABLES)),
        bench.run(make_job("dash_two", endpoint={"serving": "echo"}, **TABLES)),
        bench.run(make_job("dash_sql", endpoint={"serving": "echo-model"}, engine={"kind": "ai_query"}, **TABLES)),
    ]


@pytest.fixture
def rows(runs: list[RunRow], session: SqlSession) -> Rows:
    return lambda name: session.query(query_of(sql_texts(), name, runs=RUNS, traces=TRACES))


def test_runs_by_day_add_up_to_the_runs(rows: Rows, runs: list[RunRow]) -> None:
    by_job = {row["job"]: row for row in rows("runs_by_day")}
    for run in runs:
        row = by_job[run.job]
        assert (row["runs"], row["asked"], row["ok"], row["failed"]) == (1, run.asked, run.ok, run.failed)
        assert row["tokens"] == run.tokens
        assert row["cost"] == pytest.approx(run.cost) if run.cost is not None else row["cost"] is None
        assert row["ok_share"] == pytest.approx(run.ok / run.asked)
        assert row["seconds"] == pytest.approx(run.seconds)
    assert by_job["dash_one"]["ok_share"] == 0.75


def test_each_run_is_told_with_what_held_it_up(rows: Rows, runs: list[RunRow]) -> None:
    told = {row["run_id"]: row["bound_by"] for row in rows("latest_runs")}
    assert told == {run.run_id: run.bound_by for run in runs}


def test_tokens_and_cost_are_told_by_job_and_endpoint(rows: Rows, runs: list[RunRow]) -> None:
    told = {(row["job"], row["endpoint"]): row for row in rows("tokens_and_cost")}
    assert set(told) == {(run.job, run.endpoint) for run in runs}
    one = told["dash_one", "app echo"]
    assert one["currency"] == "USD"
    assert one["cost_a_request"] == pytest.approx((runs[0].cost or 0) / 8)
    assert one["tokens_a_request"] == pytest.approx((runs[0].tokens or 0) / 8)
    in_sql = told["dash_sql", "serving echo-model"]
    assert (in_sql["asked"], in_sql["input_tokens"], in_sql["tokens_a_request"]) == (4, None, None)


def test_latencies_are_those_of_calls_over_http(rows: Rows, session: SqlSession, runs: list[RunRow]) -> None:
    told = {row["job"]: row for row in rows("latency_by_day")}
    assert {job: row["calls"] for job, row in told.items()} == {"dash_one": 8, "dash_two": 3}
    for row in told.values():
        assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"] <= row["slowest_ms"]
    lasted = [int(str(row["latency_ms"])) for row in session.query("SELECT latency_ms FROM main.test.dash_one_out")]
    assert told["dash_one"]["slowest_ms"] == pytest.approx(max(lasted), abs=1.5)


def test_failures_are_told_by_kind(rows: Rows, runs: list[RunRow]) -> None:
    told = {(row["job"], row["kind"]): row["requests"] for row in rows("failures_by_kind")}
    assert told == {("dash_one", "bad_request"): 1, ("dash_one", "too_large"): 1}


def test_hours_of_slots_are_told_by_state(rows: Rows, runs: list[RunRow]) -> None:
    told = {row["state"]: row["hours"] for row in rows("slot_time") if row["job"] == "dash_one"}
    spent = {state: seconds / 3600 for state, seconds in runs[0].slot_seconds.items() if state != "client_cpu"}
    assert told == pytest.approx(spent)
    assert "asking" in told


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_can_be_made_of_it(name: str, session: SqlSession, rows: Rows) -> None:
    view = f"main.test.dashboard_view_{name}"
    session.execute(create_view(sql_texts(), name, view, runs=RUNS, traces=TRACES))
    columns = [column.name for column in session.columns(f"SELECT * FROM {view}")]
    assert columns == [column.name for column in session.columns(query_of(sql_texts(), name, runs=RUNS, traces=TRACES))]
    assert len(session.query(f"SELECT * FROM {view}")) == len(rows(name)) > 0


def test_every_field_of_a_widget_is_a_column_of_its_dataset(session: SqlSession, runs: list[RunRow]) -> None:
    written = json.loads(dashboard(sql_texts()))
    columns = {
        name: {column.name for column in session.columns(query_of(sql_texts(), name, runs=RUNS, traces=TRACES))}
        for name in VIEWS
    }
    named = [
        (each["query"]["datasetName"], field["expression"])
        for page in written["pages"]
        for placed in page["layout"]
        for each in placed["widget"]["queries"]
        for field in each["query"]["fields"]
    ]
    assert len(named) > 50
    for dataset, expression in named:
        of = set(re.findall(r"`([^`]+)`", expression))
        assert of, expression
        assert of <= set(columns[dataset]), (dataset, expression)
        session.query(
            f"SELECT {expression} AS field FROM ({query_of(sql_texts(), dataset, runs=RUNS, traces=TRACES)}) AS d"
        )
