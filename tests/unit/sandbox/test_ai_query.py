"""`ai_query` on the lakehouse: what is asked, how often, what comes back and of which type. The endpoints are the sandbox's own."""

import base64
import json
import re
import threading
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pyspark.errors import PySparkException
from sandbox_user import SECONDS, Workspace

from rowcall.core.answer_type import Scalar, read_sql_type
from rowcall.sandbox.databricks_sql.ai_bodies import Request, RowError, answer, body
from rowcall.sandbox.databricks_sql.ai_call import CHAT, AiCall, plan_call, read_arguments
from rowcall.sandbox.databricks_sql.ai_query import AT_ONCE
from rowcall.sandbox.databricks_sql.lakehouse_sql import LakehouseSql, error_text
from rowcall.sandbox.databricks_sql.serving import ReplyShape, Serving
from rowcall.sandbox.databricks_sql.sql_calls import StatementError, find_calls
from rowcall.sandbox.lakehouse import Lakehouse

PNG = b"\x89PNG\r\n\x1a\n and more"
Make = Callable[..., LakehouseSql]


@pytest.fixture
def make(house: Lakehouse, workspace: Workspace) -> Make:
    token = workspace.http.headers["Authorization"].split()[1]
    return lambda **shape: LakehouseSql(house, Serving(workspace.host, token, ReplyShape(**shape)))


@pytest.fixture
def sql(make: Make) -> LakehouseSql:
    return make()


def rows(sql: LakehouseSql, statement: str, args: Any = None) -> list[dict[str, Any]]:
    return [row.asDict(recursive=True) for row in sql.sql(statement, args).collect()]


def last_request(workspace: Workspace, agent: str = "echo") -> Any:
    return workspace.http.get(f"{workspace.host}/sandbox/requests/{agent}", timeout=SECONDS).json()[-1]["body"]


def planned(arguments: str, task: str = CHAT, **constants: object) -> AiCall:
    text = read_arguments(find_calls(f"ai_query({arguments})", ["ai_query"])[0].arguments)
    return plan_call(text, task, constants)


def refusal(sql: LakehouseSql, statement: str) -> str:
    with pytest.raises(PySparkException) as refused:
        sql.sql(statement).collect()
    text = error_text(refused.value)
    assert re.fullmatch(r"\[[A-Z_.]+\] .*\. SQLSTATE: \w{5}", text, re.DOTALL)
    return text


def test_every_row_is_asked_once_and_answered_in_its_place(sql: LakehouseSql, workspace: Workspace):
    found = rows(sql, "SELECT id, ai_query('echo', concat('row ', id)) AS said FROM range(500)")
    assert {row["id"]: row["said"] for row in found} == {n: f"row {n}" for n in range(500)}
    figures = workspace.figures("echo")
    assert (figures["calls"], figures["distinct_inputs"]) == (500, 500)


@pytest.mark.parametrize(
    "around",
    [
        "SELECT r.result, r.errorMessage FROM ({}) WHERE r.errorMessage IS NULL",
        "SELECT id FROM ({}) WHERE r.errorMessage IS NULL AND r.result LIKE 'row%' ORDER BY r.result",
        "SELECT r.* FROM ({})",
        "SELECT b.r.result FROM range(9) AS a JOIN ({}) AS b ON a.id = b.id WHERE b.r.result IS NOT NULL",
        "CREATE OR REPLACE TABLE main.default.asked_once USING DELTA AS {}",
        "INSERT INTO main.default.asked_once {}",
    ],
)
def test_a_row_is_asked_once_however_its_result_is_used(sql: LakehouseSql, workspace: Workspace, around: str):
    inner = "SELECT id, ai_query('echo', concat('row ', id), failOnError => false) AS r FROM range(9)"
    sql.sql(
        "CREATE TABLE IF NOT EXISTS main.default.asked_once (id BIGINT, r STRUCT<result: STRING, errorMessage: STRING>)"
    )
    sql.sql(around.format(inner)).collect()
    assert workspace.figures("echo")["calls"] == 9


def test_many_rows_are_asked_at_once_but_never_more_than_the_limit(sql: LakehouseSql, workspace: Workspace):
    workspace.behave("echo", latency_ms=50)
    assert rows(sql, "SELECT count(ai_query('echo', concat('', id))) AS n FROM range(400)") == [{"n": 400}]
    assert workspace.figures("echo")["max_in_flight"] == AT_ONCE


def test_a_null_request_is_null_and_is_not_asked(sql: LakehouseSql, workspace: Workspace):
    found = rows(
        sql,
        "SELECT ai_query('echo', t) AS plain, ai_query('echo', t, failOnError => false) AS safe, ai_query('echo', s, "
        "returnType => 'STRUCT<output: STRING>') AS parsed FROM (SELECT CAST(NULL AS STRING) AS t, "
        "CAST(NULL AS STRUCT<input: STRING>) AS s)",
    )
    assert found == [{"plain": None, "safe": None, "parsed": None}]
    assert workspace.figures("echo")["calls"] == 0


def test_a_struct_is_the_body_and_the_reply_is_read_as_the_type_says(sql: LakehouseSql, workspace: Workspace):
    given = (
        "named_struct('day', DATE'2026-01-02', 'price', CAST(1.50 AS DECIMAL(10,2)), 'n', 9007199254740993, "
        "'tags', array('a', 'é'), 'counts', map('k', 2), 'none', CAST(NULL AS STRING), 'yes', true)"
    )
    returned = (
        "STRUCT<custom_outputs: STRUCT<custom_inputs: STRUCT<day: DATE, price: DECIMAL(10,2), n: BIGINT, tags: ARRAY<STRING>, "
        "counts: MAP<STRING, INT>, none: STRING, yes: BOOLEAN, missing: DOUBLE>>, output: STRING>"
    )
    request = f"named_struct('input', array(named_struct('role', 'user', 'content', 'hi')), 'custom_inputs', {given})"
    frame = sql.sql(f"SELECT ai_query('echo', {request}, returnType => '{returned}') AS r")
    assert frame.schema["r"].dataType.simpleString() == returned.replace(": ", ":").replace(", ", ",").lower()
    [row] = [found.asDict(recursive=True)["r"] for found in frame.collect()]
    assert row["custom_outputs"]["custom_inputs"] == {
        "day": date(2026, 1, 2),
        "price": Decimal("1.50"),
        "n": 9007199254740993,
        "tags": ["a", "é"],
        "counts": {"k": 2},
        "none": None,
        "yes": True,
        "missing": None,
    }
    assert json.loads(row["output"])[0]["content"][0]["text"] == "hi"
    assert last_request(workspace)["input"] == [{"role": "user", "content": "hi"}]


def test_a_struct_without_a_return_type_is_refused_before_anything_is_asked(sql: LakehouseSql, workspace: Workspace):
    written = "named_struct('input', array(named_struct('role', 'user', 'content', 'hi')))"
    for statement in (
        f"SELECT ai_query('echo', {written})",
        f"SELECT ai_query('echo', s) FROM (SELECT {written} AS s)",
    ):
        assert "AI_FUNCTION_MODEL_SCHEMA_PARSE_ERROR" in refusal(sql, statement)
    assert workspace.figures("echo")["calls"] == 0


def test_arguments_may_be_markers_calls_and_text_of_any_kind(sql: LakehouseSql):
    hostile = "it's \\ \"1\"\n-- ai_query('x')"
    assert rows(sql, "SELECT ai_query('echo', :t, failOnError => :f) AS r", {"t": hostile, "f": True}) == [
        {"r": hostile}
    ]
    assert rows(sql, "SELECT ai_query('echo', ?) AS r, ? AS x", ["a", 2]) == [{"r": "a", "x": 2}]
    assert rows(sql, 'SELECT ai_query("echo", request => concat(ai_query("echo", "in"), "out")) AS r') == [
        {"r": "inout"}
    ]


def test_a_failed_row_is_data_where_failing_is_off(sql: LakehouseSql, workspace: Workspace):
    faults = [
        {"match": "row 1", "status": 429},
        {"match": "row 2", "drop": "before"},
        {"match": "row 3", "status": 200, "raw": "<"},
    ]
    workspace.behave("echo", faults=faults)
    said = rows(
        sql, "SELECT r.* FROM (SELECT ai_query('echo', concat('row ', id), failOnError => false) AS r FROM range(5))"
    )
    found = {row["errorMessage"] or row["result"] for row in said}
    assert {"row 0", "row 4"} < found
    limited, lost, no_json = sorted(found - {"row 0", "row 4"}, key=lambda text: ("429" not in text, "INVALID" in text))
    assert limited.startswith(
        "[AI_FUNCTION_HTTP_REQUEST_ERROR] Error occurred while making an HTTP request for function ai_query: "
    )
    assert "status 429" in limited
    assert '"error_code": "REQUEST_LIMIT_EXCEEDED"' in limited
    assert limited.endswith("SQLSTATE: 08000")
    assert "Disconnected" in lost
    assert no_json.startswith("[AI_FUNCTION_INVALID_HTTP_RESPONSE] Invalid HTTP response for function ai_query: ")
    assert all(row["result"] is None for row in said if row["errorMessage"])


@pytest.mark.parametrize("into", ["", "CREATE OR REPLACE TABLE main.default.never USING DELTA AS "])
def test_a_failed_row_fails_the_statement_otherwise(sql: LakehouseSql, workspace: Workspace, into: str):
    workspace.behave("echo", faults=[{"match": "row 1", "status": 503}])
    text = refusal(sql, f"{into}SELECT ai_query('echo', concat('row ', id)) AS r FROM range(3)")
    assert text.startswith("[AI_FUNCTION_HTTP_REQUEST_ERROR]")
    assert "status 503" in text


def test_a_reply_that_does_not_fit_the_return_type_is_an_error_of_its_row(sql: LakehouseSql):
    call = "ai_query('echo', 'hi', returnType => 'STRUCT<output: INT>', failOnError => false)"
    [row] = rows(
        sql, f"SELECT r.result AS result, r.result.output AS output, r.errorMessage AS error FROM (SELECT {call} AS r)"
    )
    assert (row["result"], row["output"]) == (None, None)
    assert row["error"].startswith("[AI_FUNCTION_HTTP_PARSE_CAST_ERROR]")
    assert row["error"].endswith("SQLSTATE: 2203G")


def test_the_shape_of_a_result_is_what_a_test_makes_it(make: Make, workspace: Workspace):
    workspace.behave("echo", faults=[{"match": "1", "status": 500}])
    query = "SELECT ai_query('echo', concat('', id), failOnError => false) AS r FROM range(2) ORDER BY id"
    [good, bad] = [row["r"] for row in rows(make(result="response", error="errorStatus"), query)]
    assert (good, bad["response"]) == ({"response": "0", "errorStatus": None}, None)
    assert "status 500" in bad["errorStatus"]
    assert rows(make(bare=True), query) == [{"r": "0"}, {"r": None}]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("ai_query(t, 'x')", "DATATYPE_MISMATCH.NON_FOLDABLE_INPUT"),
        ("ai_query(:t, 'x')", "DATATYPE_MISMATCH.NON_FOLDABLE_INPUT"),
        ("ai_query('echo')", "REQUIRED_PARAMETER_NOT_FOUND"),
        ("ai_query('echo', 'x', timeout => 3)", "UNRECOGNIZED_PARAMETER_NAME"),
        ("ai_query('echo', 'x', request => 'y')", "DUPLICATE_ROUTINE_PARAMETER_ASSIGNMENT"),
        ("ai_query(request => 'x', 'echo')", "UNEXPECTED_POSITIONAL_ARGUMENT"),
        ("ai_query('echo', 'x', NULL, true, NULL, NULL, NULL, 1)", "WRONG_NUM_ARGS"),
        ("ai_query('echo', 'x', failOnError => t)", "DATATYPE_MISMATCH.NON_FOLDABLE_INPUT"),
        ("ai_query('echo', 'x', failOnError => 'no')", "AI_FUNCTION_COMPILATION_ERROR"),
        ("ai_query('echo', 'x', returnType => 'STRUCT<a')", "AI_FUNCTION_COMPILATION_ERROR"),
        ("ai_query('echo', 'x', responseFormat => '{}')", "AI_FUNCTION_COMPILATION_ERROR"),
        ("ai_query('echo', 'x', files => binary('x'))", "AI_FUNCTION_COMPILATION_ERROR"),
        ("ai_query('nobody', 'x')", "AI_FUNCTION_HTTP_REQUEST_ERROR"),
        ("ai_query('echo', 5)", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_asked(
    sql: LakehouseSql, workspace: Workspace, call: str, error: str
):
    assert refusal(sql, f"SELECT {call} FROM (SELECT 'a' AS t)").startswith(f"[{error}]")
    assert workspace.figures("echo")["calls"] == 0


def test_a_missing_endpoint_is_told_by_the_workspaces_own_words(sql: LakehouseSql):
    assert "RESOURCE_DOES_NOT_EXIST" in refusal(sql, "SELECT ai_query('nobody', 'x')")


def test_without_serving_there_is_no_such_function(house: Lakehouse):
    assert refusal(LakehouseSql(house), "SELECT ai_query('echo', 'x')").startswith("[UNRESOLVED_ROUTINE]")


def test_describing_a_query_asks_nothing(sql: LakehouseSql, workspace: Workspace):
    described = rows(sql, "DESCRIBE QUERY SELECT ai_query('echo', 'x', failOnError => false) AS r")
    assert described == [{"col_name": "r", "data_type": "struct<result:string,errorMessage:string>", "comment": None}]
    assert workspace.figures("echo")["calls"] == 0


@pytest.mark.parametrize("how", ["all", "tag"])
def test_an_interrupt_drops_the_calls_in_flight_and_starts_no_more(sql: LakehouseSql, workspace: Workspace, how: str):
    workspace.behave("echo", latency_ms=3000)
    asking = "SELECT ai_query('echo', concat('', id)) AS r FROM range(500)"
    said: list[str] = []

    def run() -> None:
        sql.addTag("ours")
        said.append(refusal(sql, f"CREATE OR REPLACE TABLE main.default.cut_off USING DELTA AS {asking}"))

    thread = threading.Thread(target=run)
    thread.start()
    workspace.wait_for("echo", lambda figures: figures["in_flight"] == AT_ONCE)
    sql.interruptAll() if how == "all" else sql.interruptTag("ours")
    figures = workspace.wait_for("echo", lambda figures: figures["in_flight"] == 0)
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert said
    assert (figures["calls"], figures["statuses"]) == (AT_ONCE, {"lost": AT_ONCE})
    workspace.behave("echo")
    assert rows(sql, "SELECT ai_query('echo', 'again') AS r") == [{"r": "again"}]


CHATTED = "named_struct('messages', array(named_struct('role', 'user', 'content', 'hi')))"
SCORES = "STRUCT<sentiment: STRING, words: INT>"


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ("ai_query('echo-model', 'hi', modelParameters => named_struct('max_tokens', 5))", "hi"),
        (f"ai_query('echo-model', 'hi', files => unhex('{PNG.hex()}'))", f"hi [image/png, {len(PNG)} bytes]"),
        (
            "ai_query('text-insight-model', 'I love it', responseFormat => 'STRUCT<result: STRUCT<sentiment: STRING>>')",
            {"result": {"sentiment": "positive"}},
        ),
        ("ai_query('echo-chat-agent', 'hi')", "hi"),
        (
            f"ai_query('echo-chat-agent', {CHATTED}, 'STRUCT<messages: ARRAY<STRUCT<content: STRING>>>').messages[0].content",
            "hi",
        ),
        (
            f"ai_query('text-scores', named_struct('text', 'I love it'), '{SCORES}')",
            {"sentiment": "positive", "words": 3},
        ),
        (f"ai_query('text-scores', 'I love it', returnType => '{SCORES}')", {"sentiment": "positive", "words": 3}),
    ],
)
def test_models_and_chat_agents_are_asked_in_their_own_shapes(sql: LakehouseSql, call: str, result: object):
    assert rows(sql, f"SELECT {call} AS r") == [{"r": result}]


def test_a_chat_model_gets_messages_parameters_and_a_format():
    call = planned("'m', t", responseFormat='{"type": "json_object"}', modelParameters={"max_tokens": 5})
    assert body(call, Request("hi", "string")) == {
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 5,
        "response_format": {"type": "json_object"},
    }
    assert call.type == Scalar("string")


def test_a_picture_goes_as_a_data_url():
    sent = body(planned("'m', t, files => f"), Request("hi", "string", PNG))
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    parts = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": url}}]
    assert sent == {"messages": [{"role": "user", "content": parts}]}
    with pytest.raises(RowError, match="JPEG and PNG"):
        body(planned("'m', t, files => f"), Request("hi", "string", b"GIF89a"))


def test_a_format_as_ddl_is_sent_as_a_schema_and_is_the_type():
    call = planned("'m', t", responseFormat="STRUCT<result: STRUCT<mood: STRING, score: DOUBLE>>")
    assert call.type == read_sql_type("STRUCT<result: STRUCT<mood: STRING, score: DOUBLE>>")
    schema = body(call, Request("hi", "string"))["response_format"]
    assert isinstance(schema, dict)
    assert schema["json_schema"]["schema"]["properties"]["result"]["required"] == ["mood", "score"]
    said = '{"result": {"mood": "good", "score": 1}}'
    assert answer(call, Request("hi", "string"), chat_reply(said)) == {"result": {"mood": "good", "score": 1.0}}
    with pytest.raises(RowError, match="PARSE_CAST_ERROR"):
        answer(call, Request("hi", "string"), chat_reply("good"))


@pytest.mark.parametrize("ddl", ["STRUCT<a: INT, b: INT>", "STRING", '{"type": "xml"}'])
def test_a_format_that_is_none_is_refused(ddl: str):
    with pytest.raises(StatementError, match="AI_FUNCTION_COMPILATION_ERROR"):
        planned("'m', t", responseFormat=ddl)


def chat_reply(content: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("task", "reply", "said"),
    [
        (CHAT, chat_reply("hi"), "hi"),
        (CHAT, chat_reply([{"type": "reasoning", "summary": []}, {"type": "text", "text": "hi"}]), "hi"),
        ("agent/v2/chat", {"messages": [{"role": "assistant", "content": "hi"}]}, "hi"),
        ("agent/v1/chat", chat_reply("hi"), "hi"),
        (
            "agent/v1/responses",
            {
                "output": [
                    {"type": "reasoning"},
                    {"type": "message", "content": [{"type": "output_text", "text": "hi"}]},
                ]
            },
            "hi",
        ),
    ],
)
def test_the_text_of_a_reply_is_found_by_task(task: str, reply: object, said: str):
    assert answer(planned("'m', t", task), Request("x", "string"), reply) == said


@pytest.mark.parametrize("task", [CHAT, "agent/v2/chat", "agent/v1/responses", ""])
def test_a_reply_of_another_shape_is_an_invalid_response(task: str):
    with pytest.raises(RowError, match="INVALID_HTTP_RESPONSE"):
        answer(planned("'m', t", task, returnType="STRING"), Request("x", "string"), {"detail": "?"})


def test_a_custom_model_gets_named_columns_with_their_nulls_or_one_input():
    call = planned("'m', s", "", returnType="STRUCT<score: DOUBLE>")
    request = Request({"text": "hi"}, "struct<text:string,`odd name`:array<struct<a:int,b:int>>,n:decimal(10,2)>")
    assert body(call, request) == {"dataframe_records": [{"text": "hi", "odd name": None, "n": None}]}
    assert body(call, Request("hi", "string")) == {"inputs": ["hi"]}
    assert answer(call, request, {"predictions": [{"score": 1}]}) == {"score": 1.0}


def test_a_custom_model_needs_a_return_type():
    with pytest.raises(StatementError, match="AI_FUNCTION_MODEL_SCHEMA_PARSE_ERROR"):
        planned("'m', t", "")


def test_a_chat_model_takes_no_struct():
    with pytest.raises(StatementError, match="STRING, not STRUCT"):
        planned("'m', named_struct('a', 1)")
