"""Every way to ask with `ai_query`: each kind of endpoint, each form of a request, each shape of a result that was ever seen."""

from dataclasses import replace
from typing import Any

import pytest

from rowcall import api
from rowcall.adapters.spark import SparkSqlSession
from rowcall.core.errors import DefinitionError
from rowcall.core.plan import RunPlan
from rowcall.sandbox import lakehouse
from rowcall.sandbox.databricks_sql.lakehouse_sql import LakehouseSql
from rowcall.sandbox.databricks_sql.serving import ReplyShape
from support import Bench, make_job, texts

AI_QUERY = {"kind": "ai_query"}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(100))


@pytest.fixture(params=["bench", "warehouse_bench"])
def where(request: pytest.FixtureRequest) -> Bench:
    bench: Bench = request.getfixturevalue(request.param)
    for agent in ("echo-model", "echo-chat-agent", "text-scores", "text-insight-model"):
        bench.behave(agent)
    return bench


def fresh(bench: Bench, name: str, rows: list[dict[str, Any]]) -> None:
    bench.fill(name, rows)
    bench.session.drop_table(f"`main`.`test`.`{name}_out`")


def plan_of(bench: Bench, job: Any) -> RunPlan:
    loaded = api.load_job(job)
    return api.make_here(loaded, bench.surroundings(), api._run_options())


def test_a_chat_agent(where: Bench):
    job = make_job("form_chat", endpoint={"serving": "echo-chat-agent"}, engine=AI_QUERY)
    fresh(where, "form_chat", texts(5))
    row = where.run(job)
    assert (row.ok, row.message) == (5, None)
    assert [out["answer"] for out in where.outputs(job)] == [f"row {n}" for n in range(5)]


def test_a_custom_model_with_named_columns(where: Bench):
    request = {"inputs": {"text": "{text}"}}
    schema = {"sentiment": "string", "score": "double", "words": "int"}
    job = make_job(
        "form_columns", endpoint={"serving": "text-scores"}, engine=AI_QUERY, request=request, answer={"schema": schema}
    )
    fresh(
        where, "form_columns", [{"id": 1, "text": "I love this wonderful library."}, {"id": 2, "text": "Awful. Bad."}]
    )
    row = where.run(job)
    assert (row.ok, row.message) == (2, None)
    assert [out["answer"]["sentiment"] for out in where.outputs(job)] == ["positive", "negative"]
    assert [out["answer"]["words"] for out in where.outputs(job)] == [5, 2]


def test_a_model_with_an_image_for_each_row(where: Bench):
    job = make_job(
        "form_files",
        endpoint={"serving": "echo-model"},
        engine=AI_QUERY,
        request={"input": "{text}", "files": "{photo}"},
    )
    fresh(where, "form_files", [{"id": n, "text": "what is this?", "photo": PNG + bytes(n)} for n in range(3)])
    row = where.run(job)
    assert (row.asked, row.ok) == (3, 3), row.message
    assert [out["answer"] for out in where.outputs(job)] == [
        f"what is this? [image/png, {len(PNG) + n} bytes]" for n in range(3)
    ]
    assert where.run(job).asked == 0


def test_a_schema_written_as_ddl(where: Bench):
    engine = {**AI_QUERY, "response_format": "ddl"}
    schema = {"sentiment": ["positive", "neutral", "negative"], "words": "int"}
    job = make_job("form_ddl", endpoint={"serving": "text-insight-model"}, engine=engine, answer={"schema": schema})
    fresh(where, "form_ddl", [{"id": 1, "text": "What a wonderful, delightful library."}])
    row = where.run(job)
    assert (row.ok, row.failures, row.message) == (1, {}, None)
    (out,) = where.outputs(job)
    assert out["answer"] == {"sentiment": "positive", "words": 5}


def test_an_agent_asked_with_a_plain_prompt(where: Bench):
    engine = {**AI_QUERY, "request_form": "prompt"}
    job = make_job("form_prompt", endpoint={"serving": "echo"}, engine=engine)
    fresh(where, "form_prompt", texts(4))
    assert where.run(job).ok == 4
    assert [out["answer"] for out in where.outputs(job)] == [f"row {n}" for n in range(4)]


def test_parameters_that_differ_from_row_to_row_go_to_an_agent(where: Bench):
    request = {"input": "{text}", "parameters": {"max_output_tokens": "{most}", "temperature": 0.5}}
    job = make_job("form_vary", endpoint={"serving": "echo"}, engine=AI_QUERY, request=request)
    fresh(where, "form_vary", [{"id": n, "text": "a rather long text", "most": n} for n in (1, 100)])
    where.run(job)
    assert [out["outcome"] for out in where.outputs(job)] == ["truncated", "ok"]


def test_what_ai_query_cannot_carry_is_said_before_anything_is_asked(where: Bench):
    vary = {"input": "{text}", "parameters": {"temperature": "{id}"}}
    turns = {"messages": [{"role": "user", "content": "{text}"}, {"role": "assistant", "content": "Well"}]}
    fresh(where, "form_cannot", texts(2))
    cases: list[tuple[dict[str, Any], str]] = [
        ({"endpoint": {"serving": "echo-model"}, "request": vary}, "request.parameters"),
        ({"endpoint": {"serving": "echo-model"}, "request": turns}, "request.messages"),
        ({"endpoint": {"app": "echo"}}, "engine.kind"),
        ({"endpoint": {"serving": "echo", "stream": True}}, "engine.kind"),
        ({"endpoint": {"serving": "echo"}, "limits": {"max_tokens": 5}}, "engine.kind"),
    ]
    for changes, key in cases:
        with pytest.raises(DefinitionError) as refused:
            where.run(make_job("form_cannot", engine=AI_QUERY, **changes))
        assert [problem.key for problem in refused.value.problems] == [key]
    assert where.figures("echo-model")["calls"] == where.figures()["calls"] == 0


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("error", ["errorMessage", "errorStatus", "error"])
@pytest.mark.parametrize("result", ["result", "response"])
def test_every_shape_of_a_result(bench: Bench, house: lakehouse.Lakehouse, result: str, error: str, bare: bool):
    """The documents name the fields of the result in several ways, and some endpoints were seen to give a plain STRING."""
    shape = ReplyShape(result=result, error=error, bare=bare)
    serving = replace(bench.sandbox.serving(), shape=shape)
    shaped = replace(bench, session=SparkSqlSession(LakehouseSql(house, serving), "Sail", house, ai_query=True))
    fault = {"status": 400, "body": {"error_code": "BAD_REQUEST", "message": "too strange"}}
    shaped.behave("echo-model", faults=[{"match": "row 1", **fault}])
    name = f"shape_{result}_{error}_{bare}".lower()
    job = make_job(name, endpoint={"serving": "echo-model"}, engine=AI_QUERY, limits={"attempts": 1})
    fresh(shaped, name, texts(3))
    row = shaped.run(job)
    assert (row.ok, dict(row.failures)) == (2, {"bad_reply" if bare else "bad_request": 1})
    assert [out["answer"] for out in shaped.outputs(job)] == ["row 0", None, "row 2"]


def test_auto_asks_a_model_by_the_number_of_rows(where: Bench):
    fresh(where, "auto_few", texts(10))
    few = plan_of(where, make_job("auto_few", endpoint={"serving": "echo-model"}, engine="auto"))
    assert few.engine.kind == "responses"
    fresh(where, "auto_many", texts(600))
    many = plan_of(where, make_job("auto_many", endpoint={"serving": "echo-model"}, engine="auto"))
    assert (many.engine.kind, many.engine.reason) == (
        "ai_query",
        "its task is llm/v1/chat, and 600 rows are best asked inside the platform",
    )


def test_auto_runs_what_it_picked(where: Bench):
    fresh(where, "auto_run", texts(520))
    row = where.run(make_job("auto_run", endpoint={"serving": "echo-model"}, engine="auto"))
    assert (row.engine, row.ok) == ("ai_query", 520)
    where.fill("auto_run", texts(530))
    row = where.run(make_job("auto_run", endpoint={"serving": "echo-model"}, engine="auto"))
    assert (row.engine, row.asked, row.ok) == ("responses", 10, 10)


def test_auto_asks_over_http_where_the_sql_does_not_know_the_function(bench: Bench, house: lakehouse.Lakehouse):
    plain = replace(bench, session=SparkSqlSession(LakehouseSql(house), "Sail", house, ai_query=True))
    fresh(plain, "auto_unknown", texts(600))
    made = plan_of(plain, make_job("auto_unknown", endpoint={"serving": "echo-model"}, engine="auto"))
    assert made.engine.kind == "responses"
    assert made.engine.reason.startswith("Sail refuses the call: [UNRESOLVED_ROUTINE]")
