"""The Responses API: bodies, and recorded replies (tests/golden/replies) read to values."""

import json
import pickle
from pathlib import Path

import pytest

from rowcall.core.answer import parse_answer_schema
from rowcall.core.endpoints import Shape, Wire, build_body, read_body
from rowcall.core.records import CallError, ErrorKind, Outcome, Reply, Usage

REPLIES = Path(__file__).parents[3] / "golden" / "replies"
WIRE = Wire("responses", None)
ASK = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]}


def read(name: str) -> Reply:
    return read_body((REPLIES / name).read_bytes(), "application/json", WIRE)


def read_json(value: object) -> Reply:
    return read_body(json.dumps(value).encode(), "application/json", WIRE)


def message(*parts: object) -> dict[str, object]:
    return {"output": [{"type": "message", "role": "assistant", "content": list(parts)}]}


def test_the_smallest_body_holds_only_the_input() -> None:
    assert build_body(ASK, WIRE) == {"input": ASK["messages"]}


def test_a_full_body() -> None:
    schema = parse_answer_schema({"score": "double"})
    request = {
        **ASK,
        "parameters": {"temperature": 0.2, "text": {"verbosity": "low"}},
        "custom_inputs": {"id": 5},
        "databricks_options": {"return_trace": True},
    }
    assert build_body(request, Wire("responses", "apps/x", stream=True, answer=schema)) == {
        "model": "apps/x",
        "input": ASK["messages"],
        "temperature": 0.2,
        "custom_inputs": {"id": 5},
        "databricks_options": {"return_trace": True},
        "stream": True,
        "text": {
            "verbosity": "low",
            "format": {
                "type": "json_schema",
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


def test_parameters_replace_neither_model_nor_input_nor_streaming() -> None:
    request = {**ASK, "parameters": {"model": "other", "input": "x", "stream": True, "top_p": 1}}
    assert build_body(request, Wire("responses", "mine")) == {
        "model": "mine",
        "input": ASK["messages"],
        "top_p": 1,
    }
    assert build_body(request, WIRE) == {"input": ASK["messages"], "top_p": 1}


def test_empty_optional_parts_are_left_out() -> None:
    request = {**ASK, "parameters": {}, "custom_inputs": {}, "databricks_options": {}}
    assert build_body(request, WIRE) == {"input": ASK["messages"]}


def test_an_open_map_cannot_be_enforced_strictly() -> None:
    body = build_body(ASK, Wire("responses", None, answer=parse_answer_schema({"m": "map<string,int>"})))
    assert body["text"]["format"]["strict"] is False


def test_a_wire_travels_to_executors() -> None:
    wire = Wire("responses", "m", stream=True, answer=parse_answer_schema({"s": ["a", "b"], "t": "struct<x: int>"}))
    assert pickle.loads(pickle.dumps(wire)) == wire


def test_an_app_with_tools_answers_with_all_its_messages() -> None:
    assert read("app_tools.json") == Reply(
        Outcome.OK,
        text="Let me look. It was shipped on Monday.",
        usage=Usage(120, 64, 30, 12, 150),
        trace_id="tr-0f245b278a3d3272ae62711525d88de4",
    )


def test_a_serving_agent_returns_its_trace() -> None:
    reply = read("serving_trace.json")
    assert (reply.outcome, reply.text, reply.model, reply.response_id, reply.trace_id) == (
        Outcome.OK,
        "positive",
        "review-agent",
        "resp_1",
        "tr-aa11",
    )
    assert reply.custom_outputs == '{"id":5,"note":"für später"}'
    trace = json.loads(reply.trace or "")
    assert trace["data"]["spans"][0]["start_time_unix_nano"] == 1795387458314960521
    assert reply.usage == Usage()


@pytest.mark.parametrize(
    ("name", "outcome", "text", "finish_reason"),
    [
        ("openai_incomplete.json", Outcome.TRUNCATED, "The first half of", "max_output_tokens"),
        ("openai_incomplete_reasoning.json", Outcome.TRUNCATED, None, "max_output_tokens"),
        ("openai_content_filter.json", Outcome.REFUSED, None, "content_filter"),
        ("openai_refusal.json", Outcome.REFUSED, "I can't help with that.", "completed"),
        ("app_empty.json", Outcome.EMPTY, None, None),
    ],
)
def test_replies_that_are_no_error_and_no_answer(
    name: str, outcome: Outcome, text: str | None, finish_reason: str | None
) -> None:
    reply = read(name)
    assert (reply.outcome, reply.text, reply.finish_reason, reply.error) == (
        outcome,
        text,
        finish_reason,
        None,
    )


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (
            "openai_failed.json",
            CallError(ErrorKind.AGENT_ERROR, "The model produced an invalid tool call.", code="server_error"),
        ),
        ("app_error_string.json", CallError(ErrorKind.AGENT_ERROR, "ValueError: no such order")),
        (
            "serving_databricks_error.json",
            CallError(ErrorKind.AGENT_ERROR, "the tool failed", code="BAD_REQUEST"),
        ),
        (
            "platform_error_200.json",
            CallError(ErrorKind.AGENT_ERROR, "the model container stopped", code="INTERNAL_ERROR"),
        ),
        (
            "app_error_limit.json",
            CallError(ErrorKind.RATE_LIMITED, "Rate limit exceeded", code="rate_limit_exceeded"),
        ),
        (
            "background.json",
            CallError(
                ErrorKind.BAD_REQUEST,
                "the endpoint answers in the background; leave out the parameter background",
            ),
        ),
    ],
)
def test_errors_inside_a_reply_with_status_200(name: str, error: CallError) -> None:
    reply = read(name)
    assert (reply.outcome, reply.text, reply.error) == (Outcome.ERROR, None, error)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"error": {"code": "RESOURCE_EXHAUSTED"}}, ErrorKind.RATE_LIMITED),
        ({"error": {"code": 429}}, ErrorKind.RATE_LIMITED),
        ({"error": "Error code: 429 - {'error_code': 'REQUEST_LIMIT_EXCEEDED'}"}, ErrorKind.RATE_LIMITED),
        ({"databricks_output": {"error": {"error_code": "TEMPORARILY_UNAVAILABLE"}}}, ErrorKind.UNAVAILABLE),
        ({"error": {"type": "overloaded_error"}}, ErrorKind.UNAVAILABLE),
        ({"error_code": "DEADLINE_EXCEEDED", "message": "m"}, ErrorKind.TIMEOUT),
        ({"error": {"type": "timeout_error"}}, ErrorKind.TIMEOUT),
        ({"status": "failed", "error": {"code": "task_timeout"}}, ErrorKind.TIMEOUT),
    ],
)
@pytest.mark.parametrize("shape", ["responses", "chat", "records", "durable"])
def test_an_error_inside_a_200_that_passes_is_told_as_such(shape: Shape, error: object, kind: ErrorKind) -> None:
    reply = read_body(json.dumps(error).encode(), "application/json", Wire(shape, None))
    assert (reply.outcome, reply.error and reply.error.kind) == (Outcome.ERROR, kind)


@pytest.mark.parametrize(
    "error",
    [
        "boom",
        "PERMISSION_DENIED: no SELECT on orders",
        {"code": "PERMISSION_DENIED"},
        {"code": "UNAUTHENTICATED"},
        {"code": "insufficient_quota"},
        {"type": "not_found_error"},
        {"error_code": "RESOURCE_DOES_NOT_EXIST"},
        {"error_code": "INVALID_PARAMETER_VALUE"},
        {"error_code": "INTERNAL_ERROR"},
        {"code": "MY_OWN"},
    ],
)
def test_any_other_error_inside_a_200_is_the_agents(error: object) -> None:
    reply = read_json({"error": error})
    assert (reply.error and reply.error.kind) is ErrorKind.AGENT_ERROR


def test_a_failed_response_keeps_what_it_cost() -> None:
    assert read("openai_failed.json").usage == Usage(input_tokens=10, output_tokens=3, total_tokens=13)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the reply is not a JSON object: it is empty"),
        (b"\xff\xfe\x00garbage", "the reply is not a JSON object: �� garbage"),
        (b'["a"]', 'the reply is not a JSON object: ["a"]'),
        (b"null", "the reply is not a JSON object: null"),
        ((REPLIES / "login_page.html").read_bytes(), "the reply is not a JSON object: Sign in to continue"),
        (b'{"output": "hi"}', 'the reply has no output list: {"output": "hi"}'),
        (
            b'{"output": {}, "t": "Bearer abc.def"}',
            'the reply has no output list: {"output": {}, "t": "Bearer [redacted]"}',
        ),
    ],
)
def test_what_is_no_reply_is_a_bad_reply(body: bytes, message: str) -> None:
    reply = read_body(body, "application/json", WIRE)
    assert reply == Reply(Outcome.ERROR, error=CallError(ErrorKind.BAD_REPLY, message))


def test_a_long_page_is_excerpted() -> None:
    reply = read_body(b"x" * 100_000, "text/plain", WIRE)
    assert reply.error is not None
    assert len(reply.error.message) < 260


def test_a_chat_completion_is_no_response() -> None:
    reply = read("no_output.json")
    assert reply.error is not None
    assert reply.error.kind is ErrorKind.BAD_REPLY
    assert reply.error.message.startswith("the reply has no output list")


def test_wrong_types_everywhere_are_overlooked() -> None:
    usage = Usage(input_tokens=12)
    assert read("broken_types.json") == Reply(Outcome.OK, text="kept", usage=usage, custom_outputs='[1,{"x":null}]')


def test_an_answer_cut_inside_an_emoji_can_be_stored() -> None:
    reply = read_body(b'{"output": [{"content": [{"type": "output_text", "text": "ok \\ud83d"}]}]}', "", WIRE)
    assert reply.text == "ok �"


def test_an_echo_of_the_question_is_no_answer() -> None:
    reply = read_json({"output": [{"type": "message", "role": "user", "content": "why?"}]})
    assert reply.outcome is Outcome.EMPTY


def test_text_beside_a_refusal_is_kept() -> None:
    said = {"type": "output_text", "text": "Well."}
    reply = read_json(message(said, {"type": "refusal", "refusal": "No."}))
    assert (reply.outcome, reply.text) == (Outcome.REFUSED, "Well.")


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_failure_without_words_is_named_by_its_status(status: str) -> None:
    reply = read_json({"status": status, "output": []})
    assert reply.error == CallError(ErrorKind.AGENT_ERROR, f"the response has status {status}")


def test_a_text_in_spite_of_a_status_in_progress_is_an_answer() -> None:
    reply = read_json({"status": "in_progress", **message({"type": "output_text", "text": "done"})})
    assert (reply.outcome, reply.text) == (Outcome.OK, "done")


def test_the_usage_of_a_chat_model_is_understood() -> None:
    usage = {
        "prompt_tokens": 4,
        "completion_tokens": 5,
        "total_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 1},
    }
    assert read_json({"output": [], "usage": usage}).usage == Usage(4, 1, 5, None, 9)


@pytest.mark.parametrize("error", [None, "", {}, False, 0])
def test_no_error_is_no_error(error: object) -> None:
    reply = read_json({"error": error, **message({"type": "output_text", "text": "hi"})})
    assert (reply.outcome, reply.text) == (Outcome.OK, "hi")


def test_an_mlflow_2_trace_has_its_id_elsewhere() -> None:
    trace = {"info": {"request_id": "tr-old"}, "data": {}}
    assert read_json({"output": [], "databricks_output": {"trace": trace}}).trace_id == "tr-old"


def test_the_trace_id_in_the_metadata_comes_first() -> None:
    trace = {"info": {"trace_id": "inner"}}
    reply = read_json({"output": [], "metadata": {"trace_id": "outer"}, "databricks_output": {"trace": trace}})
    assert reply.trace_id == "outer"


class TestBackground:
    WIRE = Wire("responses", None, run="background")

    def read(self, response: object) -> Reply:
        return read_body(json.dumps(response).encode(), "application/json", self.WIRE)

    @pytest.mark.parametrize("status", ["in_progress", "queued"])
    def test_a_run_that_goes_on_is_no_answer_yet_whatever_it_said_so_far(self, status: str) -> None:
        reply = self.read({"id": "r1", "status": status, **message({"type": "output_text", "text": "Half"})})
        assert (reply.outcome, reply.text, reply.running) == (Outcome.EMPTY, None, "r1")

    @pytest.mark.parametrize("status", ["pending", "starting", "requires_action", ""])
    @pytest.mark.parametrize("more", [{}, {"output": []}, {"output": None, "error": None}])
    def test_a_status_that_is_none_of_an_end_is_of_a_run_that_goes_on(
        self, status: str, more: dict[str, object]
    ) -> None:
        reply = self.read({"id": "r1", "status": status, **more})
        assert (reply.outcome, reply.running, reply.response_id) == (Outcome.EMPTY, "r1", "r1")

    def test_an_unknown_status_beside_an_answer_or_an_error_is_no_run_that_goes_on(self) -> None:
        answered = self.read({"id": "r1", "status": "done", **message({"type": "output_text", "text": "hi"})})
        assert (answered.outcome, answered.text, answered.running) == (Outcome.OK, "hi", None)
        failed = self.read({"id": "r1", "status": "errored", "error": "boom"})
        assert (failed.running, failed.error) == (None, CallError(ErrorKind.AGENT_ERROR, "boom"))

    def test_an_answer_without_a_status_is_an_answer(self) -> None:
        reply = self.read({"id": "r1", **message({"type": "output_text", "text": "hi"})})
        assert (reply.outcome, reply.text, reply.running) == (Outcome.OK, "hi", None)

    def test_a_run_that_ended_incomplete_without_output_is_truncated(self) -> None:
        reply = self.read({"id": "r1", "status": "incomplete"})
        assert (reply.outcome, reply.text, reply.running) == (Outcome.TRUNCATED, None, None)

    @pytest.mark.parametrize(
        "body", [b"<html>Sign in</html>", b'["queued"]', b'{"id": "r1"}', b'{"status": "pending"}']
    )
    def test_what_is_no_run_at_all_is_a_bad_reply(self, body: bytes) -> None:
        reply = read_body(body, "application/json", self.WIRE)
        assert (reply.running, reply.error and reply.error.kind) == (None, ErrorKind.BAD_REPLY)

    def test_an_unknown_status_is_no_run_where_none_was_begun(self) -> None:
        reply = read_json({"id": "r1", "status": "pending"})
        assert (reply.running, reply.error and reply.error.kind) == (None, ErrorKind.BAD_REPLY)

    @pytest.mark.parametrize("id_", [None, "", 7])
    def test_a_run_without_an_id_cannot_be_waited_for(self, id_: object) -> None:
        reply = self.read({"id": id_, "status": "queued"})
        assert (reply.running, reply.error and reply.error.kind) == (None, ErrorKind.BAD_REPLY)

    def test_an_answer_that_is_there_at_once_is_an_answer(self) -> None:
        reply = self.read({"id": "r1", "status": "completed", **message({"type": "output_text", "text": "hi"})})
        assert (reply.outcome, reply.text, reply.running) == (Outcome.OK, "hi", None)

    @pytest.mark.parametrize("status", ["failed", "cancelled"])
    def test_a_run_that_ended_badly_is_an_error(self, status: str) -> None:
        reply = self.read({"id": "r1", "status": status})
        assert (reply.running, reply.error and reply.error.kind) == (None, ErrorKind.AGENT_ERROR)
