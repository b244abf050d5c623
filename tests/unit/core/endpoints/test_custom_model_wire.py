"""Custom models: one row in, one prediction out."""

import json

import pytest

from rowcall.core.endpoints import RequestError, Wire, build_body, read_body
from rowcall.core.records import CallError, ErrorKind, Outcome, Reply, Usage

RECORDS = Wire("records", "ignored")
INPUTS = Wire("inputs", "ignored")
NAMED = {"inputs": {"text": "hi", "age": None}}
ASKED = {
    "messages": [
        {"role": "user", "content": "first"},
        {"role": "user", "content": [{"type": "text", "text": "la"}, {"type": "input_text", "text": "st"}]},
        {"role": "assistant", "content": "no"},
    ]
}


def read(predictions: object) -> Reply:
    return read_body(json.dumps({"predictions": predictions}).encode(), "application/json", RECORDS)


def test_named_inputs_are_one_record_or_lists_of_one() -> None:
    assert build_body(NAMED, RECORDS) == {"dataframe_records": [{"text": "hi", "age": None}]}
    assert build_body(NAMED, INPUTS) == {"inputs": {"text": ["hi"], "age": [None]}}


def test_inputs_may_be_a_column_of_json_text() -> None:
    assert build_body({"inputs": '{"text": "hi"}'}, RECORDS) == {"dataframe_records": [{"text": "hi"}]}


def test_of_messages_the_last_text_of_the_user_is_the_input() -> None:
    assert build_body(ASKED, INPUTS) == {"inputs": ["last"]}


@pytest.mark.parametrize("wire", [RECORDS, INPUTS])
def test_parameters_are_params_and_nothing_else_is_sent(wire: Wire) -> None:
    body = build_body({**NAMED, "parameters": {"top_k": 3}, "databricks_options": {"return_trace": True}}, wire)
    assert body["params"] == {"top_k": 3}
    assert set(body) == {"params", "dataframe_records" if wire is RECORDS else "inputs"}


@pytest.mark.parametrize(
    ("request_", "wire", "where"),
    [
        (ASKED, RECORDS, "inputs: "),
        ({"inputs": {}}, RECORDS, "inputs: "),
        ({"inputs": None}, INPUTS, "inputs: "),
        ({"messages": [{"role": "system", "content": "x"}]}, INPUTS, "messages: expected one with the role user"),
    ],
)
def test_a_row_without_what_a_model_takes_is_refused(request_: dict[str, object], wire: Wire, where: str) -> None:
    with pytest.raises(RequestError, match=f"^{where}"):
        build_body(request_, wire)


@pytest.mark.parametrize(
    ("predictions", "text"),
    [
        (["positive"], "positive"),
        ("positive", "positive"),
        ([{"label": "ü", "tags": []}], '{"label":"ü","tags":[]}'),
        ({"label": "a"}, '{"label":"a"}'),
        ([[0.5, 1]], "[0.5,1]"),
        ([0.5, 1], "[0.5,1]"),
        ([7], "7"),
        (False, "false"),
        ([0], "0"),
        (['{"already": "json"}'], '{"already": "json"}'),
        ([{"output": ["a", "b"]}], '{"output":["a","b"]}'),
        ([{"messages": "none"}], '{"messages":"none"}'),
    ],
)
def test_a_prediction_is_its_text_or_its_json(predictions: object, text: str) -> None:
    assert read(predictions) == Reply(Outcome.OK, text)


@pytest.mark.parametrize("predictions", [None, [], [None], "", [" \n"], {}, [[]], [{}]])
def test_a_prediction_of_nothing_is_empty(predictions: object) -> None:
    assert read(predictions) == Reply(Outcome.EMPTY)


def test_an_agent_logged_as_a_plain_model_is_read_as_an_agent() -> None:
    said = {"role": "assistant", "content": "hi"}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    completion = read([{"choices": [{"message": said, "finish_reason": "length"}], "usage": usage}])
    assert (completion.outcome, completion.text, completion.usage) == (
        Outcome.TRUNCATED,
        "hi",
        Usage(1, None, 2, None, 3),
    )
    assert read({"messages": [{"role": "user", "content": "?"}, said]}).text == "hi"
    failed = read([{"output": [], "error": {"message": "no such tool", "code": "tool_error"}}])
    assert failed.error == CallError(ErrorKind.AGENT_ERROR, "no such tool", code="tool_error")


@pytest.mark.parametrize("body", [b"", b"[1]", b'{"choices": []}', b'data: {"predictions": [1]}\n\n'])
def test_a_reply_without_predictions_is_a_bad_reply(body: bytes) -> None:
    reply = read_body(body, "application/json", INPUTS)
    assert reply.error is not None
    assert reply.error.kind is ErrorKind.BAD_REPLY
