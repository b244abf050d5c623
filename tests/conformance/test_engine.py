"""What every engine must do with a job, whatever it asks and wherever its calls are made: real SQL, real HTTP, real Delta."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from rowcall.adapters.spark import SparkSqlSession
from rowcall.core.definition import JobDefinition
from rowcall.sandbox.lakehouse import KIND, Lakehouse
from rowcall.sandbox.process import SandboxProcess
from support import Bench, make_job, texts

ENDPOINTS = {"app": {"app": "echo"}, "serving": {"serving": "echo"}, "stream": {"app": "echo", "stream": True}}


@pytest.mark.parametrize("fan_out", ["executors", "driver"])
@pytest.mark.parametrize("endpoint", list(ENDPOINTS))
def test_every_row_gets_its_answer(bench: Bench, fan_out: str, endpoint: str):
    job = make_job("all", endpoint=ENDPOINTS[endpoint], engine={"concurrency": 4, "fan_out": fan_out})
    hostile = [
        "it's",
        'a "quote"',
        "back\\slash",
        "line\nbreak",
        "'; DROP TABLE x; --",
        "שלום \u202e",
        "😀",
        "{x} ${y}",
    ]
    bench.fill("all", [{"id": n, "text": text} for n, text in enumerate(hostile)])
    bench.session.drop_table("`main`.`test`.`all_out`")
    row = bench.run(job)
    assert (row.status, row.asked, row.ok, row.failed) == ("done", 8, 8, 0)
    assert [(out["id"], out["answer"], out["outcome"]) for out in bench.outputs(job)] == [
        (n, text, "ok") for n, text in enumerate(hostile)
    ]


def test_the_second_run_asks_nothing(bench: Bench):
    job = make_job("twice")
    bench.fill("twice", texts(30))
    assert bench.run(job).asked == 30
    again = bench.run(job)
    assert (again.status, again.asked, again.answered_rows, again.pending_rows) == ("done", 0, 30, 0)
    assert bench.figures()["calls"] == 30


def test_where_a_session_reads_few_files_at_once_many_are_published_one_after_another(
    house: Lakehouse, sandbox: SandboxProcess, tmp_path: Path
):
    session = SparkSqlSession(house.spark, KIND, house, most_files=2)
    bench = Bench(session, sandbox, tmp_path, house.folder)
    bench.reset()
    engine = {"concurrency": 1, "flush_rows": 1, "publish_seconds": 3600}
    job = make_job(
        "pieces", prompts={"query": "SELECT id, 'a' || id AS text FROM range(10)", "key": "id"}, engine=engine
    )
    assert bench.run(job).ok == 10
    assert [row["answer"] for row in bench.outputs(job)] == [f"a{n}" for n in range(10)]
    merged = DeltaTable(bench.delta_folder(job.outputs.table)).version()
    assert merged == 5, "ten files, two at once"


@pytest.mark.apache_spark
def test_new_and_changed_rows_are_asked_and_no_others(bench: Bench):
    job = make_job("grow")
    bench.fill("grow", texts(30))
    bench.run(job)
    changed = [{**row, "text": f"changed {row['id']}"} if int(str(row["id"])) < 5 else row for row in texts(40)]
    bench.fill("grow", changed)
    assert bench.run(job).asked == 15
    assert bench.figures()["calls"] == 45
    assert [out["answer"] for out in bench.outputs(job)] == [row["text"] for row in changed]


def test_only_new_keeps_the_answers_to_earlier_versions(bench: Bench):
    job = make_job("keep")
    bench.fill("keep", texts(5))
    bench.run(job)
    bench.fill("keep", [{**row, "text": f"changed {row['id']}"} for row in texts(7)])
    assert bench.run(job, only_new=True).asked == 2
    assert [out["answer"] for out in bench.outputs(job)] == [*(f"row {n}" for n in range(5)), "changed 5", "changed 6"]


def test_another_endpoint_or_parameter_asks_again(bench: Bench):
    bench.fill("other", texts(3))
    assert bench.run(make_job("other")).asked == 3
    assert bench.run(make_job("other", endpoint={"serving": "echo"})).asked == 3
    warm = {"input": "{text}", "parameters": {"temperature": 0.7}}
    assert bench.run(make_job("other", endpoint={"serving": "echo"}, request=warm)).asked == 3
    faster = make_job("other", endpoint={"serving": "echo"}, request=warm, engine={"concurrency": 2})
    assert bench.run(faster).asked == 0


def test_identical_requests_are_asked_once_and_answered_to_every_key(bench: Bench):
    job = make_job("same")
    bench.fill("same", [{"id": n, "text": "the same"} for n in range(100)])
    row = bench.run(job)
    assert (row.asked, row.duplicate_rows, row.pending_rows) == (1, 99, 1)
    assert bench.figures()["calls"] == 1
    outputs = bench.outputs(job)
    assert [out["answer"] for out in outputs] == ["the same"] * 100
    assert sum(out["attempts"] for out in outputs) == 1
    assert sum(out["usage"] is not None for out in outputs) == 1


@pytest.mark.parametrize("tasks", [1, 2, 4])
def test_the_limit_is_reached_and_never_exceeded(bench: Bench, tasks: int):
    bench.behave(latency_ms=40)
    job = make_job("limit", engine={"concurrency": 16, "tasks": tasks})
    bench.fill("limit", texts(160))
    bench.session.drop_table("`main`.`test`.`limit_out`")
    assert bench.run(job).ok == 160
    assert bench.figures()["max_in_flight"] == 16


def test_shares_that_do_not_divide_stay_below_the_limit(bench: Bench):
    bench.behave(latency_ms=40)
    job = make_job("odd", engine={"concurrency": 7, "tasks": 2})
    bench.fill("odd", texts(60))
    assert bench.run(job).ok == 60
    assert bench.figures()["max_in_flight"] == 6


def test_passing_failures_are_tried_again(bench: Bench):
    bench.behave(faults=[{"every": 5, "status": 503}, {"match": "row 7", "first": 1, "drop": "middle"}])
    job = make_job("retry")
    bench.fill("retry", texts(20))
    row = bench.run(job)
    assert (row.ok, row.failed) == (20, 0)
    assert row.retries == bench.figures()["calls"] - 20 > 0


@pytest.mark.apache_spark
def test_a_failed_row_is_told_and_asked_again_by_the_next_run(bench: Bench):
    bench.behave(faults=[{"match": "row 3", "status": 400, "body": {"detail": "too strange"}}])
    job = make_job("heal")
    bench.fill("heal", texts(6))
    row = bench.run(job)
    assert (row.status, row.ok, dict(row.failures)) == ("done", 5, {"bad_request": 1})
    failed = bench.outputs(job)[3]
    assert (failed["outcome"], failed["answer"], failed["error"]) == (
        "error",
        None,
        {"kind": "bad_request", "status": 400, "code": None, "message": "too strange"},
    )
    bench.behave()
    assert bench.run(job).asked == 1
    assert [out["outcome"] for out in bench.outputs(job)] == ["ok"] * 6


def test_a_table_is_updated_only_where_there_is_a_better_answer(bench: Bench):
    bench.behave(faults=[{"match": "row 3", "status": 400, "body": {"detail": "too strange"}}])
    job = make_job("updates")
    bench.fill("updates", texts(6))
    bench.run(job)
    assert [commit["operation"] for commit in history(bench, job)].count("MERGE") == 1
    bench.behave()
    bench.run(job)
    (update,) = [
        commit for commit in history(bench, job) if commit.get("operationMetrics", {}).get("numTargetRowsUpdated")
    ]
    assert str(update["operationMetrics"]["numTargetRowsUpdated"]) == "1"


def history(bench: Bench, job: JobDefinition) -> list[dict[str, Any]]:
    return DeltaTable(bench.delta_folder(job.outputs.table)).history()


def test_a_failure_never_replaces_an_answer(bench: Bench):
    job = make_job("better")
    bench.fill("better", texts(3))
    bench.run(job)
    bench.behave(faults=[{"status": 400, "body": {"detail": "no more"}}])
    bench.fill("better", [{"id": n, "text": f"new {n}"} for n in range(3)])
    assert bench.run(job).failed == 3
    assert [(out["outcome"], out["answer"]) for out in bench.outputs(job)] == [("ok", f"row {n}") for n in range(3)]


def test_null_prompts_are_outcomes_and_cost_nothing(bench: Bench):
    job = make_job("nulls")
    bench.fill("nulls", [{"id": 0, "text": None}, {"id": 1, "text": "here"}])
    row = bench.run(job)
    assert (row.ok, dict(row.failures), bench.figures()["calls"]) == (1, {"null_prompt": 1}, 1)
    assert bench.outputs(job)[0]["error"]["message"] == "text is NULL"


@pytest.mark.apache_spark
def test_structured_answers_become_typed_columns(bench: Bench):
    schema = {"sentiment": ["positive", "neutral", "negative"], "keywords": "array<string>", "words": "int"}
    job = make_job("typed", endpoint={"app": "text-insight"}, answer={"schema": schema})
    bench.fill("typed", [{"id": 1, "text": "What a wonderful, delightful library. I love its simple design."}])
    assert bench.run(job).ok == 1
    (out,) = bench.outputs(job)
    assert (out["answer"]["sentiment"], out["answer"]["words"]) == ("positive", 10)
    assert {column.name: column.type for column in bench.session.columns("SELECT * FROM main.test.typed_out")}[
        "answer"
    ] == ("struct<sentiment:string,keywords:array<string>,words:int>")


def test_an_answer_that_breaks_the_schema_is_invalid(bench: Bench):
    bench.behave(answer="not JSON at all")
    job = make_job("invalid", answer={"schema": {"score": "double"}})
    bench.fill("invalid", texts(2))
    assert dict(bench.run(job).failures) == {"invalid": 2}
    assert [(out["outcome"], out["answer"]) for out in bench.outputs(job)] == [("invalid", None)] * 2


@pytest.mark.apache_spark
def test_every_answer_has_its_spans_and_an_agents_own_come_with_them(bench: Bench):
    options = {"input": "{text}", "databricks_options": {"return_trace": True}}
    job = make_job("traced", endpoint={"serving": "text-insight"}, request=options)
    bench.fill("traced", [{"id": n, "text": f"Text number {n} is quite a nice text."} for n in range(3)])
    bench.run(job)
    spans = bench.session.query("SELECT * FROM main.test.traced_traces")
    for out in bench.outputs(job):
        own = {span["span_id"]: span for span in spans if span["trace_id"] == out["trace_id"]}
        roots = [span for span in own.values() if span["parent_span_id"] is None]
        assert [root["name"] for root in roots] == ["invoke_agent text-insight"]
        assert all(span["parent_span_id"] in own for span in own.values() if span not in roots)
        assert {"attempt 1"} < {span["name"] for span in own.values()} - {"invoke_agent text-insight"}


@pytest.mark.apache_spark
def test_a_missing_permission_stops_the_run_with_one_clear_error(bench: Bench):
    bench.behave(faults=[{"status": 403, "body": {"error_code": "PERMISSION_DENIED", "message": "no CAN_USE on echo"}}])
    job = make_job("denied", engine={"concurrency": 4})
    bench.fill("denied", texts(200))
    row = bench.run(job)
    assert (row.status, row.message) == ("stopped", "permission_denied (HTTP 403): no CAN_USE on echo")
    assert bench.figures()["calls"] <= 4


def test_too_many_failures_stop_the_run_and_keep_the_answers(bench: Bench):
    bench.behave(latency_ms=5, faults=[{"every": 2, "status": 400, "body": {"detail": "odd"}}])
    job = make_job("failing", limits={"max_failures": "10%"}, engine={"concurrency": 2, "flush_seconds": 0.05})
    bench.fill("failing", texts(2000))
    row = bench.run(job)
    assert row.status == "stopped"
    assert row.message is not None
    assert row.message.endswith("more than limits.max_failures allows (200)")
    assert 200 < row.asked < 2000
    assert len(bench.outputs(job)) == row.asked


def test_a_budget_stops_the_run(bench: Bench):
    bench.behave(latency_ms=5)
    price = {"app": "echo", "price": {"input": 1_000_000, "output": 1_000_000}}
    limits = {"max_cost": "500 USD"}
    job = make_job("budget", endpoint=price, limits=limits, engine={"concurrency": 2, "flush_seconds": 0.05})
    bench.fill("budget", texts(2000))
    row = bench.run(job)
    assert row.status == "stopped"
    assert "limits.max_cost is 500 USD" in str(row.message)
    assert row.cost == pytest.approx(row.input_tokens + row.output_tokens)
    assert row.asked < 2000


@pytest.mark.apache_spark
def test_a_deadline_stops_the_run(bench: Bench):
    bench.behave(latency_ms=50)
    job = make_job("late", limits={"deadline": 0.5}, engine={"concurrency": 1})
    bench.fill("late", texts(1000))
    row = bench.run(job)
    assert (row.status, row.message) == ("stopped", "limits.deadline has passed")
    assert len(bench.outputs(job)) == row.asked < 1000


@pytest.mark.parametrize("publish_seconds", [0.05, 3600])
def test_answers_are_published_while_the_run_goes_on_and_at_the_end(bench: Bench, publish_seconds: float):
    bench.behave(latency_ms=30)
    name = f"publish_{str(publish_seconds).replace('.', '_')}"
    engine = {"concurrency": 4, "flush_seconds": 0.05, "publish_seconds": publish_seconds}
    job = make_job(name, engine=engine)
    bench.fill(name, texts(120))
    assert bench.run(job).ok == 120
    assert len(bench.outputs(job)) == 120
    versions = DeltaTable(bench.delta_folder(job.outputs.table)).version()
    assert (versions > 1) == (publish_seconds < 1)


@pytest.mark.apache_spark
def test_other_delta_readers_read_the_same_tables(bench: Bench):
    job = make_job("read", traces={"table": "main.test.read_traces", "content": "none"})
    bench.fill("read", texts(12))
    row = bench.run(job)
    outputs = DeltaTable(bench.delta_folder(job.outputs.table)).to_pyarrow_table().to_pylist()
    assert sorted((out["id"], out["answer"]) for out in outputs) == [(n, f"row {n}") for n in range(12)]
    traces = DeltaTable(bench.delta_folder("main.test.read_traces")).to_pyarrow_table().to_pylist()
    assert {span["trace_id"] for span in traces} == {out["trace_id"] for out in outputs}
    assert "row 1" not in str(traces)
    (run,) = DeltaTable(bench.delta_folder("main.test.read_runs")).to_pyarrow_table().to_pylist()
    assert (run["run_id"], run["status"], run["ok"]) == (row.run_id, "done", 12)


@pytest.mark.apache_spark
def test_tables_and_columns_say_what_they_are(bench: Bench):
    job = make_job("comments", description="It's for the docs")
    bench.fill("comments", texts(1))
    bench.run(job)
    table = DeltaTable(bench.delta_folder(job.outputs.table))
    assert table.metadata().description == "It's for the docs"
    assert all(field.metadata.get("comment") for field in table.schema().fields)


@pytest.mark.apache_spark
def test_no_pending_table_and_no_journal_stay_behind(bench: Bench):
    job = make_job("tidy")
    bench.fill("tidy", texts(5))
    bench.run(job)
    tables = [str(row["tableName"]) for row in bench.session.query("SHOW TABLES IN main.test")]
    assert [table for table in tables if table.startswith("tidy_out__pending")] == []
    assert list((bench.folder / "journal" / "tidy").iterdir()) == []


@pytest.mark.apache_spark
def test_composite_keys_of_several_types(bench: Bench):
    rows: list[dict[str, Any]] = [
        {
            "odd name`s": f"key {n}",
            "n": n,
            "day": date(2026, 1, n + 1),
            "at": datetime(2026, 1, 1, n, tzinfo=UTC),
            "price": Decimal("1.50") + n,
            "flag": n % 2 == 0,
            "text": f"row {n}",
        }
        for n in range(4)
    ]
    prompts = {"table": "main.test.composite", "key": ["odd name`s", "n", "day", "at", "price", "flag"]}
    job = make_job("composite", prompts=prompts)
    bench.fill("composite", rows)
    assert bench.run(job).ok == 4
    assert bench.run(job).asked == 0
    outputs = bench.session.query("SELECT * FROM main.test.composite_out ORDER BY n")
    assert [(out["odd name`s"], out["day"], out["price"], out["flag"], out["answer"]) for out in outputs] == [
        (row["odd name`s"], row["day"], row["price"], row["flag"], row["text"]) for row in rows
    ]
