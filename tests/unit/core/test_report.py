"""What a run came to: its tally, and its row in the runs table."""

import json
from dataclasses import asdict, fields, replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
import sqlglot
from sqlglot import exp

from rowcall.adapters.packaged import sql_texts
from rowcall.core import report
from rowcall.core.definition import JobDefinition
from rowcall.core.endpoint_plan import EndpointFacts
from rowcall.core.plan import Facts, RunOptions, RunPlan, bind, make_plan
from rowcall.core.records import Column, RowCounts
from rowcall.core.report import RunRow, Tally

STARTED = 1_795_387_458_000_000


def plan(**more: Any) -> RunPlan:
    job = {
        "job": "triage",
        "prompts": {"table": "main.sales.reviews", "key": "id"},
        "request": {"input": "{text}"},
        "endpoint": {"app": "agent"},
        "engine": {"concurrency": 64, "tasks": 2},
        "outputs": {"table": "main.sales.answers"},
        **more,
    }
    definition = JobDefinition.model_validate(job)
    columns = (Column("id", "bigint"), Column("text", "string"))
    endpoint = EndpointFacts("https://agent.test")
    facts = Facts(columns, None, endpoint, "Spark", executors=True, parallel=True)
    options = RunOptions("20261123-060000-ab12", "2026-11-23", "1.0")
    counts = RowCounts(source=10, duplicates=1, answered=2, pending=7, input_chars=70)
    return make_plan(definition, bind(definition, facts, sql_texts(), options), facts, counts, options)


def row(**more: Any) -> RunRow:
    return report.started(plan(**more), STARTED, "1.0", {"host": "h"})


def summary(outcome: str, requests: int, kind: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "kind": kind,
        "requests": requests,
        "retries": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "cost": None,
        **more,
    }


class TestTally:
    def test_of_nothing(self) -> None:
        assert report.tally([]) == Tally(failures={})

    def test_adds_up(self) -> None:
        made = report.tally(
            [
                summary(
                    "ok",
                    5,
                    retries=2,
                    input_tokens=50,
                    output_tokens=20,
                    cost=0.5,
                    cached_tokens=30,
                    reasoning_tokens=9,
                ),
                summary("error", 2, "rate_limited", retries=10),
                summary("error", 1, "timeout", input_tokens=3, cost=0.25),
                summary("refused", 4, cost=None, retries=None),
            ]
        )
        assert made == Tally(
            asked=12,
            ok=5,
            retries=12,
            failures={"rate_limited": 2, "timeout": 1, "refused": 4},
            input_tokens=53,
            output_tokens=20,
            cost=0.75,
            cached_tokens=30,
            reasoning_tokens=9,
        )
        assert made.failed == 7

    def test_only_errors_are_told_apart_by_kind(self) -> None:
        made = report.tally([summary("error", 1, "timeout"), summary("invalid", 2, "bad_reply"), summary("invalid", 3)])
        assert made.failures == {"timeout": 1, "invalid": 5}

    def test_tokens_that_nobody_told_are_unknown_and_none_at_all_are_zero(self) -> None:
        told = report.tally([summary("ok", 5, input_tokens=None, output_tokens=0)])
        assert (told.input_tokens, told.output_tokens, told.cached_tokens) == (None, 0, None)
        some = report.tally([summary("ok", 5, input_tokens=7), summary("error", 1, "timeout", input_tokens=None)])
        assert some.input_tokens == 7

    def test_knows_when_the_last_answer_came(self) -> None:
        rows = [summary("ok", 5, last_answered_us=STARTED + 3), summary("invalid", 1, last_answered_us=STARTED + 7)]
        assert report.tally(rows).last_answered == STARTED + 7
        assert report.tally([summary("ok", 5)]).last_answered is None

    def test_without_a_price_there_is_no_cost(self) -> None:
        assert report.tally([summary("ok", 5)]).cost is None

    def test_a_cost_of_nothing_is_a_cost(self) -> None:
        assert report.tally([summary("ok", 5, cost=0.0)]).cost == 0.0


class TestRunRow:
    def test_a_run_that_begins(self) -> None:
        begun = row(endpoint={"app": "agent", "price": {"input": 1, "output": 2, "currency": "EUR"}})
        assert (begun.status, begun.message, begun.ended_at, begun.asked) == ("running", None, None, 0)
        assert (begun.engine, begun.endpoint, begun.currency) == ("responses", "app agent", "EUR")
        assert (begun.outputs_table, begun.traces_table) == ("main.sales.answers", "main.rowcall.traces")
        assert (begun.concurrency, begun.tasks) == (64, 2)
        assert (begun.source_rows, begun.duplicate_rows, begun.answered_rows, begun.pending_rows) == (10, 1, 2, 7)
        assert begun.context == {"host": "h"}
        assert row().currency is None

    def test_a_run_that_is_over(self) -> None:
        total = Tally(7, 5, 3, {"timeout": 2}, 100, 20, 0.5)
        over = report.ended(row(), "stopped", "why", total, STARTED + 2_500_000)
        assert (over.status, over.message, over.seconds) == ("stopped", "why", 2.5)
        assert (over.asked, over.ok, over.failed, over.retries) == (7, 5, 2, 3)
        assert (over.failures, over.input_tokens, over.output_tokens, over.cost) == ({"timeout": 2}, 100, 20, 0.5)
        assert over.pending_rows == 7

    @pytest.mark.parametrize(
        ("answered", "spoken", "lived"),
        [
            (None, None, 0.0),
            (12.0, None, 12.0),
            (12.0, 19.0, 19.0),
            (26.0, 19.0, 26.0),
            (None, -5.0, 0.0),
            (None, 99.0, 60.0),
        ],
    )
    def test_a_dead_run_ended_with_its_last_sign_of_life(
        self, answered: float | None, spoken: float | None, lived: float
    ) -> None:
        total = Tally(last_answered=None if answered is None else STARTED + round(answered * 1e6))
        said = None if spoken is None else STARTED / 1e6 + spoken
        assert report.last_sign(row(), total, said, STARTED + 60_000_000) == STARTED + round(lived * 1e6)

    def test_a_row_with_unknown_tokens_has_columns_of_numbers(self) -> None:
        over = report.ended(row(), "done", None, Tally(asked=7, ok=7, input_tokens=None), STARTED)
        assert report.record(over).schema.field("input_tokens").type == "int64"
        assert (over.tokens, replace(over, output_tokens=None).tokens) == (0, None)

    def test_as_json_has_times_as_the_other_commands_have_them(self) -> None:
        over = report.ended(row(), "done", None, Tally(asked=7, ok=7), STARTED + 2_500_000)
        said = json.loads(json.dumps(over.as_json()))
        times = [datetime.fromisoformat(said[name]) for name in ("started_at", "ended_at")]
        assert [time.timestamp() for time in times] == [1795387458.0, 1795387460.5]
        assert {time.utcoffset() for time in times} == {timedelta()}
        assert said["seconds"] == 2.5
        assert (said["status"], said["failures"], said["cost"]) == ("done", {}, None)
        assert set(said) == {field.name for field in fields(RunRow)} | {"seconds"}

    def test_as_json_of_a_run_that_is_going_on(self) -> None:
        said = row().as_json()
        assert (said["ended_at"], said["seconds"]) == (None, 0.0)


@pytest.mark.parametrize("over", [False, True])
def test_the_record_has_the_columns_of_the_runs_table(over: bool) -> None:
    made = row()
    if over:
        made = report.ended(made, "stopped", "why", Tally(2, 1, 0, {"timeout": 1}, 1, 1, 0.5), STARTED + 1)
    record = report.record(made)
    assert [(field.name, sql_type(field.type)) for field in record.schema] == columns_of("tables/runs")


def test_where_nothing_was_sent_nothing_bound_the_run() -> None:
    idle = {"idle": 0.5}
    null = Tally(2, 0, 0, {"null_prompt": 2}, slot_seconds=idle)
    assert report.ended(row(), "done", None, null, STARTED).bound_by is None
    one_sent = replace(null, asked=3, ok=1)
    assert report.ended(row(), "done", None, one_sent, STARTED).bound_by is not None
    none_over = Tally(slot_seconds={"unavailable": 3600.0})
    assert "an endpoint that served nobody" in str(report.ended(row(), "stopped", "why", none_over, STARTED).bound_by)


def test_the_record_holds_the_row() -> None:
    over = report.ended(row(), "done", None, Tally(7, 5, 3, {"timeout": 2}, 100, 20, 0.5), STARTED + 2_500_000)
    (kept,) = report.record(over).to_pylist()
    assert kept["failures"] == [("timeout", 2)]
    assert kept["context"] == [("host", "h")]
    assert kept["started_at"].timestamp() == STARTED / 1e6
    assert (kept["run_id"], kept["cost"], kept["message"]) == ("20261123-060000-ab12", 0.5, None)


def test_a_row_that_is_found_is_the_row_that_was_written() -> None:
    ended = report.ended(row(), "done", None, Tally(7, 6, failures={"refused": 1}, cost=0.5), STARTED + 1, ["id"])
    written = {
        **asdict(ended),
        "started_at": "in some zone",
        "started_us": ended.started_at,
        "ended_us": ended.ended_at,
    }
    assert report.row_of(written) == ended
    nothing = {"failures": None, "context": None, "slot_seconds": None, "statement_ids": None}
    assert report.row_of({**written, **nothing}).failures == {}, "an empty map may come back as NULL"


def columns_of(name: str) -> list[tuple[str, str]]:
    created = sqlglot.parse_one(sql_texts()[name].replace("$runs", "runs"), read="databricks")
    return [(column.name, column.args["kind"].sql("databricks")) for column in created.find_all(exp.ColumnDef)]


def sql_type(type_: pa.DataType) -> str:
    if pa.types.is_map(type_):
        return f"MAP<{sql_type(type_.key_type)}, {sql_type(type_.item_type)}>"
    if pa.types.is_list(type_):
        return f"ARRAY<{sql_type(type_.value_type)}>"
    names = {"string": "STRING", "int64": "BIGINT", "int32": "INT", "double": "DOUBLE"}
    return names.get(str(type_)) or {"timestamp[us, tz=UTC]": "TIMESTAMP"}[str(type_)]
