"""One definition, both engines, both kinds of SqlSession: the same rows in give the same outputs, outcomes and error kinds."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from rowcall.core.definition import JobDefinition
from rowcall.core.ports import Row
from rowcall.core.report import RunRow
from support import Bench, control, make_job, texts

ENGINES: dict[str, dict[str, Any]] = {
    "responses": {"kind": "responses", "concurrency": 8, "flush_seconds": 0.1},
    "ai_query": {"kind": "ai_query"},
}
AGENT, MODEL, CHAT_AGENT = {"serving": "echo"}, {"serving": "echo-model"}, {"serving": "echo-chat-agent"}
HOSTILE = [
    "it's",
    'a "quote"',
    "back\\slash \\' \\\\",
    "line\nbreak\r\n\ttab",
    "'; DROP TABLE x; --",
    "*/ /* -- ; $",
    "{x} ${y} $${z} :p ?",
    "שלום \u202e",
    "😀",
    "\u2028 \u0001",
    "x" * 1_000_000,
]


@dataclass(slots=True)
class Both:
    """Where a job runs, and the engine it names."""

    bench: Bench
    engine: str
    name: str

    def job(self, name: str, endpoint: dict[str, Any] | None = None, **changes: Any) -> JobDefinition:
        """A job with tables of its own. `engine` changes are merged into the engine's mapping where they are its own."""
        engine = {**ENGINES[self.engine], **changes.pop(self.engine, {})}
        for other in ENGINES:
            changes.pop(other, None)
        return make_job(f"{name}_{self.name}", endpoint=endpoint or AGENT, engine=engine, **changes)

    def fill(self, name: str, rows: Any) -> None:
        self.bench.fill(f"{name}_{self.name}", rows)

    def run(self, job: JobDefinition, **options: Any) -> RunRow:
        return self.bench.run(job, **options)

    def answers(self, job: JobDefinition) -> list[tuple[Any, Any, Any]]:
        return [(out["id"], out["answer"], out["outcome"]) for out in self.bench.outputs(job)]


@pytest.fixture(params=[f"{engine} on the {session}" for session in ("lakehouse", "warehouse") for engine in ENGINES])
def both(request: pytest.FixtureRequest) -> Both:
    engine, session = request.param.split(" on the ")
    bench: Bench = request.getfixturevalue("bench" if session == "lakehouse" else "warehouse_bench")
    for agent in ("echo-model", "echo-chat-agent", "text-insight", "text-insight-model", "text-scores"):
        bench.behave(agent)
    return Both(bench, engine, f"{engine}_{session}")


def stripped(out: Row) -> dict[str, Any]:
    """What of an output does not depend on when and how it was asked."""
    return {name: out[name] for name in ("id", "answer", "outcome", "error", "custom_outputs", "request_hash")}


@pytest.mark.parametrize(
    "endpoint",
    [pytest.param(AGENT, marks=pytest.mark.apache_spark), MODEL, CHAT_AGENT],
    ids=["agent", "model", "chat agent"],
)
def test_hostile_texts_are_answered_row_by_row(both: Both, endpoint: dict[str, str]):
    kind = endpoint["serving"].replace("-", "_")
    job = both.job(f"hostile_{kind}", endpoint)
    both.fill(f"hostile_{kind}", [{"id": n, "text": text} for n, text in enumerate(HOSTILE)])
    row = both.run(job)
    assert (row.status, row.message, row.asked, row.ok) == ("done", None, len(HOSTILE), len(HOSTILE))
    assert both.answers(job) == [(n, text, "ok") for n, text in enumerate(HOSTILE)]


def test_instructions_and_parameters_arrive(both: Both):
    said = "You're \\'here\\' ${not} */ --\nto answer"
    request = {
        "instructions": said.replace("{", "{{").replace("}", "}}"),
        "input": "{text}",
        "parameters": {"temperature": 0.5, "max_output_tokens": 400},
    }
    job = both.job("arrive", MODEL, request=request)
    both.fill("arrive", texts(2))
    row = both.run(job)
    assert (row.ok, row.message) == (2, None)
    assert {out["answer"].rsplit("\n\n")[-1] for out in both.bench.outputs(job)} == {"row 0", "row 1"}
    for request in control(both.bench.sandbox, "GET", "requests/echo-model"):
        body = request["body"]
        assert (body["temperature"], body["max_tokens"]) == (0.5, 400)
        assert said in "\n\n".join(message["content"] for message in body["messages"])


def test_a_second_run_asks_nothing_and_new_or_changed_rows_only_are_asked(both: Both):
    job = both.job("grow")
    both.fill("grow", texts(30))
    assert both.run(job).asked == 30
    again = both.run(job)
    assert (again.status, again.asked, again.answered_rows, again.pending_rows) == ("done", 0, 30, 0)
    changed = [{**row, "text": f"changed {row['id']}"} if int(str(row["id"])) < 5 else row for row in texts(40)]
    both.fill("grow", changed)
    assert both.run(job).asked == 15
    assert both.bench.figures()["calls"] == 45
    assert [out["answer"] for out in both.bench.outputs(job)] == [row["text"] for row in changed]


def test_the_engine_is_no_part_of_a_request(both: Both):
    both.fill("switch", texts(6))
    job = both.job("switch")
    assert both.run(job).asked == 6
    other = next(engine for name, engine in ENGINES.items() if name != both.engine)
    assert both.run(make_job(f"switch_{both.name}", endpoint=AGENT, engine=other)).asked == 0


def test_identical_requests_are_asked_once_and_answered_to_every_key(both: Both):
    job = both.job("same")
    both.fill("same", [{"id": n, "text": "the same"} for n in range(100)])
    row = both.run(job)
    assert (row.asked, row.duplicate_rows, row.pending_rows) == (1, 99, 1)
    assert both.bench.figures()["calls"] == 1
    outputs = both.bench.outputs(job)
    assert [out["answer"] for out in outputs] == ["the same"] * 100
    assert sum(out["attempts"] for out in outputs) == 1


def test_null_prompts_are_outcomes_and_cost_nothing(both: Both):
    job = both.job("nulls")
    both.fill("nulls", [{"id": 0, "text": None}, {"id": 1, "text": "here"}])
    row = both.run(job)
    assert (row.ok, dict(row.failures), both.bench.figures()["calls"]) == (1, {"null_prompt": 1}, 1)
    assert both.bench.outputs(job)[0]["error"]["message"] == "text is NULL"


FAULTS: dict[str, tuple[dict[str, Any], str, int | None]] = {
    "bad request": (
        {"status": 400, "body": {"error_code": "BAD_REQUEST", "message": "too strange"}},
        "bad_request",
        400,
    ),
    "context length": (
        {"status": 400, "body": {"error": {"message": "too long", "code": "context_length_exceeded"}}},
        "bad_request",
        400,
    ),
    "too large": ({"status": 413, "body": {"error_code": "REQUEST_TOO_LARGE", "message": "big"}}, "too_large", 413),
    "rate limited": (
        {"status": 429, "body": {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow down"}},
        "rate_limited",
        429,
    ),
    "a limit as 400": (
        {"status": 400, "body": {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "REQUEST_LIMIT_EXCEEDED: slow"}},
        "rate_limited",
        400,
    ),
    "server error": ({"status": 500, "body": {"error_code": "INTERNAL_ERROR", "message": "oops"}}, "server_error", 500),
    "unavailable": (
        {"status": 503, "body": {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "soon"}},
        "unavailable",
        503,
    ),
    "a gateway's page": ({"status": 502, "raw": "<html><body>Bad Gateway</body></html>"}, "unavailable", 502),
    "timeout": ({"status": 504, "body": {"error_code": "DEADLINE_EXCEEDED", "message": "late"}}, "timeout", 504),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_failure_has_the_same_kind_message_and_status(both: Both, name: str):
    fault, kind, status = FAULTS[name]
    both.bench.behave(faults=[{"match": "row 1", **fault}])
    table = f"kind_{name.replace(' ', '_').replace(chr(39), '')}"
    job = both.job(table, limits={"attempts": 1})
    both.fill(table, texts(5))
    row = both.run(job)
    assert (row.status, row.ok, dict(row.failures)) == ("done", 4, {kind: 1})
    error = both.bench.outputs(job)[1]["error"]
    message = fault.get("body", {}).get("message") or fault.get("body", {}).get("error", {}).get("message")
    assert (error["kind"], error["status"]) == (kind, status)
    assert error["message"] == (message or "Bad Gateway")


def test_passing_failures_are_tried_again(both: Both):
    both.bench.behave(faults=[{"every": 5, "status": 503}])
    job = both.job("retry")
    both.fill("retry", texts(20))
    row = both.run(job)
    assert (row.status, row.ok, row.failed) == ("done", 20, 0)
    assert row.retries == both.bench.figures()["calls"] - 20 > 0


def test_failing_rows_are_told_and_only_they_are_asked_again(both: Both):
    """2,000 rows, of which 5 % fail; the next run asks the 100."""
    both.bench.behave(faults=[{"match": "odd", "status": 400, "body": {"error_code": "BAD_REQUEST", "message": "odd"}}])
    rows = [{"id": n, "text": f"{'odd' if n % 20 == 0 else 'row'} {n}"} for n in range(2000)]
    job = both.job("many", responses={"concurrency": 64})
    both.fill("many", rows)
    row = both.run(job)
    assert (row.status, row.asked, row.ok, dict(row.failures)) == ("done", 2000, 1900, {"bad_request": 100})
    outputs = both.bench.outputs(job)
    assert [out["id"] for out in outputs if out["outcome"] == "error"] == [n for n in range(2000) if n % 20 == 0]
    assert all(out["answer"] == rows[out["id"]]["text"] for out in outputs if out["outcome"] == "ok")
    both.bench.behave()
    before = both.bench.figures()["calls"]
    again = both.run(job)
    assert (again.asked, again.ok, both.bench.figures()["calls"] - before) == (100, 100, 100)
    assert [(out["answer"], out["outcome"]) for out in both.bench.outputs(job)] == [(row["text"], "ok") for row in rows]


def test_a_failure_never_replaces_an_answer(both: Both):
    job = both.job("better")
    both.fill("better", texts(3))
    both.run(job)
    both.bench.behave(faults=[{"match": "new", "status": 400, "body": {"message": "no more"}}])
    both.fill("better", [{"id": n, "text": f"new {n}"} for n in range(3)])
    assert both.run(job).failed == 3
    assert both.answers(job) == [(n, f"row {n}", "ok") for n in range(3)]


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("permission_denied", {"status": 403, "body": {"error_code": "PERMISSION_DENIED", "message": "no CAN QUERY"}}),
        (
            "no longer available",
            {
                "status": 403,
                "body": {
                    "error_code": "PERMISSION_DENIED",
                    "message": "'echo' is no longer available. Use Unity Catalog model services.",
                },
            },
        ),
    ],
    ids=["a missing grant", "a retired model"],
)
def test_what_no_row_can_get_past_stops_the_run(both: Both, message: str, fault: dict[str, Any]):
    both.bench.behave(faults=[fault])
    name = f"denied_{message[:2]}"
    job = both.job(name, responses={"concurrency": 4})
    both.fill(name, texts(200))
    row = both.run(job)
    assert row.status == "stopped"
    assert message in str(row.message)
    assert row.ok == 0
    both.bench.behave()
    assert both.run(job).ok == 200


def test_structured_answers_become_typed_columns(both: Both):
    schema = {"sentiment": ["positive", "neutral", "negative"], "keywords": "array<string>", "words": "int"}
    for endpoint in ("text-insight", "text-insight-model"):
        name = f"typed_{endpoint.replace('-', '_')}"
        job = both.job(name, {"serving": endpoint}, answer={"schema": schema})
        both.fill(name, [{"id": 1, "text": "What a wonderful, delightful library. I love its simple design."}])
        assert (row := both.run(job)).ok == 1, row.message
        (out,) = both.bench.outputs(job)
        assert (out["answer"]["sentiment"], out["answer"]["words"]) == ("positive", 10)


CORRECT = {
    "object": "response",
    "output": [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": '{"score": 0.5}'}]}
    ],
}
"""What an agent says that was told what is wrong."""


@pytest.mark.parametrize("corrections", [0, 1, 2])
@pytest.mark.apache_spark
def test_an_answer_that_breaks_the_schema_is_asked_for_again_with_what_was_wrong(both: Both, corrections: int):
    both.bench.behave(faults=[{"match": "This answer does not fit", "status": 200, "body": CORRECT}])
    name = f"corrections_{corrections}"
    job = both.job(name, answer={"schema": {"score": "double"}, "corrections": corrections})
    both.fill(name, [{"id": 1, "text": "it's \\ no JSON"}, {"id": 2, "text": '{"score": 1}'}])
    row = both.run(job)
    assert (row.status, row.message, row.ok) == ("done", None, 1 if corrections == 0 else 2)
    first, second = both.bench.outputs(job)
    if corrections:
        assert (first["outcome"], first["answer"]["score"], first["attempts"]) == ("ok", 0.5, 2)
    else:
        assert (first["outcome"], first["attempts"]) == ("invalid", 1)
    assert (second["answer"]["score"], second["attempts"]) == (1.0, 1)
    assert both.bench.figures()["calls"] == (2 if corrections == 0 else 3)
    assert both.run(job).asked == (1 if corrections == 0 else 0)


def test_corrections_have_an_end(both: Both):
    job = both.job("no_end", MODEL, answer={"schema": {"score": "double"}, "corrections": 2})
    both.fill("no_end", [{"id": 1, "text": "no JSON"}])
    row = both.run(job)
    assert (row.status, dict(row.failures), both.bench.figures("echo-model")["calls"]) == ("done", {"invalid": 1}, 3)
    bodies = [one["body"]["messages"] for one in control(both.bench.sandbox, "GET", "requests/echo-model")]
    assert "no JSON" in json.dumps(bodies[-1])
    assert "whole JSON object" in json.dumps(bodies[-1])


def test_an_answer_that_breaks_the_schema_is_invalid(both: Both):
    both.bench.behave(answer="not JSON at all")
    job = both.job("invalid", answer={"schema": {"score": "double"}})
    both.fill("invalid", texts(2))
    assert dict(both.run(job).failures) == {"invalid": 2}
    assert [(out["outcome"], out["answer"]) for out in both.bench.outputs(job)] == [("invalid", None)] * 2


def test_an_empty_answer_is_empty(both: Both):
    both.bench.behave(answer="  ")
    job = both.job("empty")
    both.fill("empty", texts(2))
    assert dict(both.run(job).failures) == {"empty": 2}


@pytest.mark.apache_spark
def test_custom_inputs_of_several_types_arrive_and_custom_outputs_come_back(both: Both):
    request = {
        "input": "{text}",
        "custom_inputs": {"n": "{id}", "label": "no. {id}", "fixed": {"a": [1, 2], "b": True}, "price": "{price}"},
    }
    job = both.job("custom", request=request)
    both.fill("custom", [{"id": 7, "text": "hi", "price": Decimal("1.50")}])
    assert both.run(job).ok == 1
    (out,) = both.bench.outputs(job)
    assert '"n":7' in out["custom_outputs"]
    assert '"label":"no. 7"' in out["custom_outputs"]
    assert '"fixed":{"a":[1,2],"b":true}' in out["custom_outputs"]


def test_too_many_failures_stop_the_run_and_keep_the_answers(both: Both):
    both.bench.behave(faults=[{"every": 2, "status": 400, "body": {"message": "odd"}}])
    limits = {"max_failures": "10%"}
    job = both.job("failing", limits=limits, ai_query={"rows_per_statement": 300}, responses={"concurrency": 2})
    both.fill("failing", texts(2000))
    row = both.run(job)
    assert row.status == "stopped"
    assert "more than limits.max_failures allows (200)" in str(row.message)
    assert row.asked > 200
    assert len(both.bench.outputs(job)) == row.asked


def test_every_answer_has_its_root_span(both: Both):
    job = both.job("traced")
    both.fill("traced", texts(3))
    both.run(job)
    spans = both.bench.session.query(f"SELECT * FROM {job.traces.table}")
    for out in both.bench.outputs(job):
        own = {span["span_id"]: span for span in spans if span["trace_id"] == out["trace_id"]}
        roots = [span for span in own.values() if span["parent_span_id"] is None]
        assert [root["name"] for root in roots] == ["invoke_agent echo"]
        assert all(span["parent_span_id"] in own for span in own.values() if span not in roots)
        assert f"row {out['id']}" in roots[0]["attributes"]


def test_nothing_of_a_run_stays_behind(both: Both):
    job = both.job("tidy")
    both.fill("tidy", texts(5))
    both.run(job)
    tables = [str(row["tableName"]) for row in both.bench.session.query("SHOW TABLES IN main.test")]
    assert [table for table in tables if table.startswith(f"tidy_{both.name}_out__")] == []
    assert both.bench.surroundings().journals.runs(job.job) == []


@pytest.mark.apache_spark
def test_composite_keys_of_several_types(both: Both):
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
    name = f"composite_{both.name}"
    prompts = {"table": f"main.test.{name}", "key": ["odd name`s", "n", "day", "at", "price", "flag"]}
    job = both.job("composite", prompts=prompts)
    both.fill("composite", rows)
    assert both.run(job).ok == 4
    assert both.run(job).asked == 0
    outputs = both.bench.session.query(f"SELECT * FROM main.test.{name}_out ORDER BY n")
    assert [(out["odd name`s"], out["day"], out["price"], out["flag"], out["answer"]) for out in outputs] == [
        (row["odd name`s"], row["day"], row["price"], row["flag"], row["text"]) for row in rows
    ]


@pytest.mark.parametrize("where", ["bench", "warehouse_bench"])
def test_both_engines_give_the_same_rows(request: pytest.FixtureRequest, where: str):
    """Not only the same by the same test: the rows themselves, side by side."""
    bench: Bench = request.getfixturevalue(where)
    bench.behave(
        faults=[
            {"match": "row 3", "status": 400, "body": {"error_code": "BAD_REQUEST", "message": "too strange"}},
            {"match": "row 4", "status": 413, "body": {"error_code": "REQUEST_TOO_LARGE", "message": "too big"}},
        ]
    )
    rows = [*texts(12), {"id": 12, "text": None}, {"id": 13, "text": "row 1"}]
    found: list[list[dict[str, Any]]] = []
    for engine in ENGINES.values():
        bench.fill("twin", rows)
        bench.session.drop_table("`main`.`test`.`twin_out`")
        bench.run(job := make_job("twin", endpoint=AGENT, engine=engine, limits={"attempts": 2}))
        found.append([stripped(out) for out in bench.outputs(job)])
    assert found[0] == found[1]
    assert {out["outcome"] for out in found[0]} == {"ok", "error"}
