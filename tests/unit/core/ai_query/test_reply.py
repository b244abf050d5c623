"""From what was read of a row to what it says."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.ai_query.form import Form, FormName, Wanted, forms
from rowcall.core.ai_query.reading import Speech
from rowcall.core.ai_query.reply import Reader, read, reader_of
from rowcall.core.answer import parse_answer_schema
from rowcall.core.definition import Request
from rowcall.core.endpoints import Wire, read_body
from rowcall.core.records import CallError, Column, ErrorKind, Outcome, Reply, Usage

REPLIES = Path(__file__).parents[3] / "golden" / "replies"
MODEL = Reader(agent=False)
AGENT = Reader(agent=True)
SCORED = {"score": "double"}


def scored(**more: Any) -> Reader:
    return Reader(**{"agent": False, "answer": '{"score":"double"}', **more})


class TestReader:
    def form(self, name: FormName, unwrap: str | None = None) -> Form:
        return Form(name, "STRUCT<x: INT>", "r.x", (), unwrap)

    @pytest.mark.parametrize(
        ("task", "form", "agent"),
        [
            ("llm/v1/chat", "prompt", False),
            ("llm/v1/embeddings", "prompt", False),
            ("agent/v1/responses", "responses", True),
            ("agent/v2/chat", "prompt", True),
            ("", "prompt", True),
            ("", "columns", False),
        ],
    )
    def test_only_an_agent_may_answer_with_a_whole_reply(self, task: str, form: FormName, agent: bool) -> None:
        assert reader_of(task, self.form(form), None).agent is agent

    def test_the_schema_is_kept_as_text(self) -> None:
        reader = reader_of("llm/v1/chat", self.form("prompt", "answer"), {"mood": ["good", "bad"], "n": "int"})
        assert reader == Reader(False, "answer", '{"mood":["good","bad"],"n":"int"}')
        assert reader_of("llm/v1/chat", self.form("prompt"), None).answer is None


class TestModel:
    def test_its_text_is_the_answer(self) -> None:
        assert read("It was shipped.", None, MODEL) == Reply(Outcome.OK, "It was shipped.")

    def test_json_is_a_text_like_any_other_without_a_schema(self) -> None:
        whole = (REPLIES / "chat_completion.json").read_text()
        assert read(whole, None, MODEL) == Reply(Outcome.OK, whole)

    @pytest.mark.parametrize("text", ["", " \n\t"])
    def test_an_answer_without_words_is_empty(self, text: str) -> None:
        assert read(text, None, MODEL) == Reply(Outcome.EMPTY)

    def test_null_without_a_reason_is_a_bad_reply(self) -> None:
        reply = read(None, None, MODEL)
        assert reply.error == CallError(ErrorKind.BAD_REPLY, "ai_query returned NULL and did not say why")

    def test_an_error_wins_over_an_answer(self) -> None:
        reply = read("half an ans", "REQUEST_LIMIT_EXCEEDED: slow down", MODEL)
        assert (reply.outcome, reply.text) == (Outcome.ERROR, None)
        assert reply.error is not None
        assert reply.error.kind is ErrorKind.RATE_LIMITED

    @pytest.mark.parametrize("error", ["", "  "])
    def test_an_empty_error_beside_an_answer_is_none(self, error: str) -> None:
        """Of a field for errors no document says that it is NULL and not empty where all went well."""
        assert read("fine", error, MODEL) == Reply(Outcome.OK, "fine")

    def test_an_answer_is_fitted_to_the_schema(self) -> None:
        assert read('Sure: ```json\n{"score": 1}\n```', None, scored()) == Reply(Outcome.OK, '{"score":1.0}')

    def test_an_answer_that_does_not_fit_is_invalid_and_keeps_its_text(self) -> None:
        reply = read('{"score": "high"}', None, scored())
        assert (reply.outcome, reply.text) == (Outcome.INVALID, '{"score": "high"}')
        assert reply.error is not None
        assert reply.error.kind is ErrorKind.BAD_REPLY
        assert "$.score" in reply.error.message

    def test_an_answer_in_ddl_is_taken_out_of_its_field(self) -> None:
        reader = scored(unwrap="answer")
        assert read('{"answer":{"score":0.5}}', None, reader) == Reply(Outcome.OK, '{"score":0.5}')

    def test_an_answer_that_is_not_in_a_field_is_taken_as_it_is(self) -> None:
        assert read('{"score":0.5}', None, scored(unwrap="answer")) == Reply(Outcome.OK, '{"score":0.5}')
        assert read("not json", None, scored(unwrap="answer")).outcome is Outcome.INVALID

    def test_a_field_of_the_answer_with_the_same_name_is_not_unwrapped_twice(self) -> None:
        reader = Reader(False, "answer", '{"answer":"string"}')
        assert read('{"answer":{"answer":"x"}}', None, reader) == Reply(Outcome.OK, '{"answer":"x"}')


class TestUnknownTask:
    def test_an_answer_in_ddl_is_taken_out_of_its_field(self) -> None:
        """An endpoint that does not say its task may be a model, asked with a responseFormat."""
        wanted = Wanted(
            Request(input="{text}"), (Column("text", "string"),), parse_answer_schema(SCORED), response_format="ddl"
        )
        prompt = forms(wanted, "")[0]
        assert (prompt.name, prompt.unwrap) == ("prompt", "answer")
        reader = reader_of("", prompt, SCORED)
        assert read('{"answer":{"score":0.5}}', None, reader) == Reply(Outcome.OK, '{"score":0.5}')


class TestAgent:
    def test_its_text_is_the_answer(self) -> None:
        assert read("It was shipped.", None, AGENT) == Reply(Outcome.OK, "It was shipped.")

    @pytest.mark.parametrize("text", ['{"score": 1}', "[1, 2]", "12", '{"output": "x"}', '{"messages": "x"}'])
    def test_json_that_is_no_reply_is_its_text(self, text: str) -> None:
        assert read(text, None, AGENT) == Reply(Outcome.OK, text)

    @pytest.mark.parametrize(
        "name",
        ["app_tools.json", "serving_trace.json", "openai_incomplete.json", "openai_refusal.json", "app_empty.json"],
    )
    def test_a_whole_response_as_text_is_read_as_over_http(self, name: str) -> None:
        body = (REPLIES / name).read_bytes()
        assert read(body.decode(), None, AGENT) == read_body(body, "application/json", Wire("responses", None))

    @pytest.mark.parametrize(
        "name",
        [
            *("chat_completion.json", "chat_agent.json", "chat_truncated.json", "chat_refusal.json", "chat_empty.json"),
            "chat_reasoning_parts.json",
        ],
    )
    def test_a_whole_chat_as_text_is_read_as_over_http(self, name: str) -> None:
        body = (REPLIES / name).read_bytes()
        assert read(body.decode(), None, AGENT) == read_body(body, "application/json", Wire("chat", None))

    @pytest.mark.parametrize("field", ["output", "messages", "choices"])
    def test_a_text_that_only_looks_like_a_reply_is_a_text(self, field: str) -> None:
        said = json.dumps({field: [{"role": "assistant", "content": "hijack"}]})
        assert read(said, None, AGENT) == Reply(Outcome.OK, said)

    def test_an_answer_in_a_reply_is_fitted_to_the_schema(self) -> None:
        message = {"role": "assistant", "content": '{"score": 1}'}
        assert read(json.dumps({"id": "r1", "messages": [message]}), None, scored(agent=True)).text == '{"score":1.0}'

    def test_what_is_truncated_or_refused_is_not_held_against_the_schema(self) -> None:
        for name, outcome in (("chat_truncated.json", Outcome.TRUNCATED), ("chat_refusal.json", Outcome.REFUSED)):
            reply = read((REPLIES / name).read_text(), None, scored(agent=True))
            assert (reply.outcome, reply.error) == (outcome, None)


class TestTyped:
    """The `to_json` of a STRUCT: every field of its type is there or left out, and `custom_outputs` is a text."""

    def test_a_response(self) -> None:
        part = {"type": "output_text", "text": "It was shipped."}
        reply = read(
            json.dumps(
                {
                    "id": "resp_1",
                    "model": "agent",
                    "status": "completed",
                    "error": None,
                    "incomplete_details": None,
                    "output": [{"type": "message", "role": "assistant", "content": [part]}],
                    "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
                    "custom_outputs": '{"order":5}',
                }
            ),
            None,
            AGENT,
            "responses",
        )
        assert (reply.outcome, reply.text, reply.custom_outputs) == (Outcome.OK, "It was shipped.", '{"order":5}')
        assert reply.usage == Usage(3, None, 4, None, 7)

    def test_a_chat_has_messages_or_choices(self) -> None:
        message = {"role": "assistant", "content": "Hi."}
        for body in (
            {"messages": [message], "choices": None},
            {"messages": None, "choices": [{"message": message}]},
            {"messages": [message]},
        ):
            assert read(json.dumps(body), None, AGENT, "chat").text == "Hi."

    @pytest.mark.parametrize("speech", ["responses", "chat"])
    def test_a_reply_without_its_list_is_a_bad_reply_and_not_a_text(self, speech: Speech) -> None:
        reply = read('{"id":"x"}', None, AGENT, speech)
        assert reply.error is not None
        assert reply.error.kind is ErrorKind.BAD_REPLY

    def test_an_incomplete_response_is_truncated(self) -> None:
        part = {"type": "output_text", "text": "The first"}
        body = {
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "output": [{"content": [part]}],
        }
        reply = read(json.dumps(body), None, AGENT, "responses")
        assert (reply.outcome, reply.text, reply.finish_reason) == (
            Outcome.TRUNCATED,
            "The first",
            "max_output_tokens",
        )

    def test_custom_outputs_that_are_no_json_are_left_out(self) -> None:
        body = {"messages": [{"content": "Hi."}], "custom_outputs": "not json"}
        assert read(json.dumps(body), None, AGENT, "chat").custom_outputs is None

    def test_a_models_typed_answer_is_an_answer_even_if_it_looks_like_a_reply(self) -> None:
        reader = Reader(False, None, '{"messages":"array<string>"}')
        assert read('{"messages":["a"]}', None, reader, "chat").text == '{"messages":["a"]}'


ANSWERS = st.text() | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["output", "messages", "choices", "custom_outputs", "answer", "score", "error", "status"])
            | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
).map(json.dumps)
READERS = st.sampled_from(
    [MODEL, AGENT, scored(), scored(agent=True), scored(unwrap="answer"), scored(agent=True, unwrap="answer")]
)


@given(st.none() | ANSWERS, st.none() | st.text(), READERS, st.sampled_from([None, "responses", "chat"]))
def test_anything_is_read(answer: str | None, error: str | None, reader: Reader, speech: Speech | None) -> None:
    reply = read(answer, error, reader, speech)
    assert (reply.error is not None) == (reply.outcome in (Outcome.ERROR, Outcome.INVALID))
    assert error is None or reply.outcome is Outcome.ERROR or not error.strip()
    for text in (reply.custom_outputs, reply.error and reply.error.message):
        (text or "").encode()
