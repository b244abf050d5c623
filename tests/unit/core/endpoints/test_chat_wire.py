"""Chats: bodies, and recorded replies (tests/golden/replies) read to values."""

import json
from pathlib import Path
from typing import Any

import pytest

from rowcall.core.answer import parse_answer_schema
from rowcall.core.endpoints import Wire, build_body, chat, read_body
from rowcall.core.records import CallError, ErrorKind, Outcome, Reply, Usage

REPLIES = Path(__file__).parents[3] / "golden" / "replies"
WIRE = Wire("chat", None)
ASK: dict[str, Any] = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]}


def read(name: str) -> Reply:
    return read_body((REPLIES / name).read_bytes(), "application/json", WIRE)


def read_json(value: object) -> Reply:
    return read_body(json.dumps(value).encode(), "application/json", WIRE)


def said(message: object, finish_reason: object = "stop") -> dict[str, object]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]}


def test_the_smallest_body_holds_only_the_messages() -> None:
    assert build_body(ASK, WIRE) == ASK


def test_a_full_body() -> None:
    schema = parse_answer_schema({"score": "double"})
    request = {
        **ASK,
        "parameters": {"temperature": 0.2, "max_output_tokens": 5},
        "custom_inputs": {"id": 5},
        "databricks_options": {"return_trace": True},
    }
    assert build_body(request, Wire("chat", "llama", answer=schema)) == {
        "model": "llama",
        "messages": ASK["messages"],
        "temperature": 0.2,
        "max_tokens": 5,
        "custom_inputs": {"id": 5},
        "databricks_options": {"return_trace": True},
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "answer",
                "strict": True,
                "schema": {
                    "type": "object",
                    "properties": {"score": {"type": "number"}},
                    "required": ["score"],
                    "additionalProperties": False,
                },
            },
        },
    }


def test_parameters_replace_neither_model_nor_messages_nor_streaming() -> None:
    request = {**ASK, "parameters": {"model": "other", "messages": "x", "stream": True, "top_p": 1}}
    assert build_body(request, Wire("chat", "mine")) == {"model": "mine", **ASK, "top_p": 1}


def test_empty_optional_parts_are_left_out() -> None:
    assert build_body({**ASK, "parameters": {}, "custom_inputs": {}, "databricks_options": {}}, WIRE) == ASK


def test_an_open_map_cannot_be_enforced_strictly() -> None:
    body = build_body(ASK, Wire("chat", None, answer=parse_answer_schema({"m": "map<string,int>"})))
    assert body["response_format"]["json_schema"]["strict"] is False


@pytest.mark.parametrize(
    ("given_", "sent"),
    [
        ({"max_output_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 5, "max_output_tokens": 9}, {"max_tokens": 5}),
        ({"max_output_tokens": 9, "max_tokens": 5, "top_p": 1}, {"max_tokens": 5, "top_p": 1}),
        ({}, {}),
    ],
)
def test_parameters_have_the_names_of_chats(given_: dict[str, object], sent: dict[str, object]) -> None:
    assert chat.chat_parameters(given_) == sent


def test_a_chat_completion_answers_with_its_first_choice() -> None:
    assert read("chat_completion.json") == Reply(
        Outcome.OK,
        text="It was shipped on Monday.",
        usage=Usage(12, 4, 7, 2, 19),
        model="llama-4",
        response_id="chatcmpl-1",
        finish_reason="stop",
    )


def test_of_a_content_in_parts_only_the_texts_are_the_answer() -> None:
    reply = read("chat_reasoning_parts.json")
    assert (reply.outcome, reply.text, reply.usage) == (Outcome.OK, "Fourteen.", Usage(3, None, 5, None, 8))


def test_a_chat_agent_answers_with_all_its_messages_and_none_of_its_tools() -> None:
    reply = read("chat_agent.json")
    assert (reply.outcome, reply.text, reply.finish_reason) == (
        Outcome.OK,
        "Let me look. It was shipped on Monday.",
        "stop",
    )
    assert (reply.custom_outputs, reply.trace_id, reply.usage.total_tokens) == ('{"order":5}', "tr-cc33", 29)


@pytest.mark.parametrize(
    ("name", "outcome", "text", "finish_reason"),
    [
        ("chat_truncated.json", Outcome.TRUNCATED, "The first half of", "length"),
        ("chat_content_filter.json", Outcome.REFUSED, None, "content_filter"),
        ("chat_refusal.json", Outcome.REFUSED, "I can't help with that.", "stop"),
        ("chat_empty.json", Outcome.EMPTY, None, "stop"),
        ("chat_tool_calls_only.json", Outcome.EMPTY, None, "tool_calls"),
    ],
)
def test_replies_that_are_no_error_and_no_answer(
    name: str, outcome: Outcome, text: str | None, finish_reason: str
) -> None:
    reply = read(name)
    assert (reply.outcome, reply.text, reply.finish_reason, reply.error) == (outcome, text, finish_reason, None)


def test_wrong_types_everywhere_are_overlooked() -> None:
    reply = read("chat_broken_types.json")
    assert (reply.outcome, reply.text, reply.custom_outputs) == (Outcome.OK, "kept", '[1,{"x":null}]')


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the reply is not a JSON object: it is empty"),
        (b'["a"]', 'the reply is not a JSON object: ["a"]'),
        ((REPLIES / "login_page.html").read_bytes(), "the reply is not a JSON object: Sign in to continue"),
        (b'{"predictions": [1]}', 'the reply has neither choices nor messages: {"predictions": [1]}'),
        (b'{"choices": {}}', 'the reply has neither choices nor messages: {"choices": {}}'),
        (b'{"messages": "x"}', 'the reply has neither choices nor messages: {"messages": "x"}'),
    ],
)
def test_what_is_no_reply_is_a_bad_reply(body: bytes, message: str) -> None:
    reply = read_body(body, "application/json", WIRE)
    assert reply == Reply(Outcome.ERROR, error=CallError(ErrorKind.BAD_REPLY, message))


@pytest.mark.parametrize("reply", [{"choices": []}, {"messages": []}, {"choices": [], "messages": []}])
def test_an_empty_list_of_choices_or_messages_is_an_empty_answer(reply: dict[str, object]) -> None:
    assert read_json(reply).outcome is Outcome.EMPTY


@pytest.mark.parametrize(
    "reply", [{"choices": [], "messages": None}, {"choices": [], "messages": ""}, {"choices": None, "messages": []}]
)
def test_a_field_that_is_null_does_not_hide_the_other(reply: dict[str, object]) -> None:
    """A typed STRUCT of SQL has both fields."""
    assert read_json(reply).outcome is Outcome.EMPTY


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": "boom"}, CallError(ErrorKind.AGENT_ERROR, "boom")),
        (
            {"error": {"message": "no such tool", "code": "tool_error"}, "choices": []},
            CallError(ErrorKind.AGENT_ERROR, "no such tool", code="tool_error"),
        ),
        (
            {"error_code": "INTERNAL_ERROR", "message": "the model container stopped"},
            CallError(ErrorKind.AGENT_ERROR, "the model container stopped", code="INTERNAL_ERROR"),
        ),
        (
            {
                "messages": [],
                "databricks_output": {"error": {"error_code": "BAD_REQUEST", "message": "the tool failed"}},
            },
            CallError(ErrorKind.AGENT_ERROR, "the tool failed", code="BAD_REQUEST"),
        ),
    ],
)
def test_errors_inside_a_reply_with_status_200(body: object, error: CallError) -> None:
    reply = read_json(body)
    assert (reply.outcome, reply.text, reply.error) == (Outcome.ERROR, None, error)


def test_an_echo_of_the_question_is_no_answer() -> None:
    assert read_json({"messages": [{"role": "user", "content": "why?"}]}).outcome is Outcome.EMPTY


def test_text_beside_a_refusal_is_kept() -> None:
    reply = read_json(said({"role": "assistant", "content": "Well.", "refusal": "No."}))
    assert (reply.outcome, reply.text) == (Outcome.REFUSED, "Well.")


@pytest.mark.parametrize("content", ["", "  \n", None, [], [{"type": "image_url", "image_url": "x"}]])
def test_an_answer_without_words_is_empty(content: object) -> None:
    reply = read_json(said({"role": "assistant", "content": content}))
    assert (reply.outcome, reply.text) == (Outcome.EMPTY, None)


def test_nothing_at_all_before_the_limit_is_truncated() -> None:
    reply = read_json(said({"content": None}, "length"))
    assert (reply.outcome, reply.text) == (Outcome.TRUNCATED, None)


def test_an_answer_cut_inside_an_emoji_can_be_stored() -> None:
    body = b'{"choices": [{"message": {"content": "ok \\ud83d"}}]}'
    assert read_body(body, "", WIRE).text == "ok �"
