"""What a run says that it was bound by, and where the time of its slots went, in its row of the runs table."""

from typing import Any

import pytest

from rowcall.core.report import RunRow
from rowcall.core.slots import CLIENT_CPU, SlotState, main_state
from support import Bench, make_job, texts


def run(bench: Bench, name: str, rows: int = 60, **engine: Any) -> RunRow:
    """Run a job; its row is what the runs table has."""
    bench.fill(name, texts(rows))
    job = make_job(name, engine=engine, endpoint={"serving": "echo"})
    row = bench.run(job)
    (kept,) = bench.session.query(f"SELECT slot_seconds, bound_by FROM {job.runs.table}")
    assert (dict(kept["slot_seconds"]), kept["bound_by"]) == (row.slot_seconds, row.bound_by)
    assert set(row.slot_seconds) <= {*map(str, SlotState), CLIENT_CPU}
    return row


def main(row: RunRow) -> str | None:
    return main_state({state: row.slot_seconds.get(state, 0.0) for state in map(str, SlotState)})


def test_an_endpoint_that_takes_its_time(bench: Bench) -> None:
    bench.behave(latency_ms=200)
    row = run(bench, "bound_by_answers", concurrency=4)
    assert main(row) == "asking"
    assert row.bound_by is not None
    assert row.bound_by.endswith("of slot time; a higher engine.concurrency than 4 may be faster")


def test_a_rate_limit_of_the_endpoint(bench: Bench) -> None:
    bench.behave(latency_ms=5, faults=[{"first": 4, "status": 429, "headers": {"Retry-After": "3"}}])
    row = run(bench, "bound_by_quota", rows=18, concurrency=4)
    assert main(row) == "quota"
    assert row.bound_by is not None
    assert "would have been as fast" in row.bound_by


def test_the_rates_of_the_job(bench: Bench) -> None:
    row = run(bench, "bound_by_rate", rows=16, concurrency=8, requests_per_minute=300)
    assert main(row) == "rate"


@pytest.mark.parametrize("engine", ["responses", "ai_query"])
def test_a_run_that_asks_nothing_was_bound_by_nothing(bench: Bench, engine: str) -> None:
    name = f"bound_by_nothing_{engine}"
    assert run(bench, name, rows=3, kind=engine).asked == 3
    job = make_job(name, engine={"kind": engine}, endpoint={"serving": "echo"})
    row = bench.run(job)
    assert (row.status, row.asked, row.slot_seconds, row.bound_by) == ("done", 0, {}, None)


def test_statements_of_ai_query(bench: Bench) -> None:
    bench.behave(latency_ms=20)
    row = run(bench, "bound_by_statements", kind="ai_query", rows_per_statement=30)
    assert {"asking", "journal"} <= set(row.slot_seconds)
    assert row.bound_by is not None
    assert row.bound_by.startswith("ai_query's statements, ")
