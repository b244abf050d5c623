"""The durable agent server: what is asked under an id of ours, and how a run stands."""

import json

import pytest

from rowcall.core.answer import parse_answer_schema
from rowcall.core.endpoints import Wire, build_body, read_body
from rowcall.core.records import CallError, ErrorKind, Outcome, Reply, Usage

WIRE = Wire("durable", None)
RUN = "550e8400-e29b-41d4-a716-446655440000"
USER = {"role": "user", "content": [{"type": "text", "text": "hi"}]}


def read_json(run: object) -> Reply:
    return read_body(json.dumps(run).encode(), "application/json", WIRE)


def completed(output: object) -> Reply:
    return read_json({"id": RUN, "status": "completed", "output": output})


def test_the_smallest_body_has_the_id_as_its_session() -> None:
    assert build_body({"messages": [USER]}, WIRE, RUN) == {
        "id": RUN,
        "session_id": RUN,
        "input": {"messages": [USER]},
        "background": True,
    }


def test_a_full_body() -> None:
    request = {
        "messages": [json.dumps([USER])],
        "custom_inputs": {"session_id": "case-7", "actor": "a", "messages": "mine"},
        "parameters": {"model": "m", "messages": "mine", "temperature": 0},
    }
    wire = Wire("durable", "ignored", answer=parse_answer_schema({"score": "double"}))
    assert build_body(request, wire, RUN) == {
        "id": RUN,
        "session_id": "case-7",
        "input": {"messages": [USER], "actor": "a", "model": "m", "temperature": 0},
        "background": True,
    }


@pytest.mark.parametrize(("session", "sent"), [(7, "7"), (None, RUN), ("", RUN)])
def test_a_session_is_a_text_that_is_not_empty(session: object, sent: str) -> None:
    body = build_body({"messages": [USER], "custom_inputs": {"session_id": session, "x": 1}}, WIRE, RUN)
    assert (body["session_id"], body["input"]) == (sent, {"messages": [USER], "x": 1})


@pytest.mark.parametrize("status", ["queued", "active", "running", "in_progress", "new", "starting", ""])
def test_a_run_that_goes_on_is_no_answer_yet(status: str) -> None:
    reply = read_json({"id": RUN, "status": status, "status_url": f"/api/invocations/{RUN}"})
    assert reply == Reply(Outcome.EMPTY, response_id=RUN, running=RUN)


@pytest.mark.parametrize(
    "run",
    [
        {"status": "queued"},
        {"status": "new"},
        {"id": RUN},
        {"id": RUN, "status": 7},
        {"id": RUN, "status": "new", "output": "Hello."},
        {"id": 5, "status": "queued"},
    ],
)
def test_without_a_status_or_an_id_it_is_no_run(run: dict[str, object]) -> None:
    reply = read_json(run)
    assert (reply.running, reply.error and reply.error.kind) == (None, ErrorKind.BAD_REPLY)


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("Hello.", "Hello."),
        ({"answer": "Hello."}, "Hello."),
        ({"text": "Hello.", "tools": 2}, "Hello."),
        ({"role": "assistant", "content": "Hello."}, "Hello."),
        ({"response": "Hello."}, "Hello."),
        ({"answer": "a", "text": "b"}, '{"answer":"a","text":"b"}'),
        ({"answer": "a", "text": None}, '{"answer":"a","text":null}'),
        ({"answer": {"n": 1}}, '{"answer":{"n":1}}'),
        ({"output": "plain", "answer": "a"}, '{"output":"plain","answer":"a"}'),
        (["a"], '["a"]'),
        (42, "42"),
        ({"choices": [{"message": {"content": "Hello."}}]}, "Hello."),
        ({"messages": [{"type": "human", "content": "?"}, {"type": "ai", "content": "Hello."}]}, "Hello."),
        ({"output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello."}]}]}, "Hello."),
    ],
)
def test_the_output_of_a_run_is_the_answer(output: object, text: str) -> None:
    reply = completed(output)
    assert (reply.outcome, reply.text, reply.response_id) == (Outcome.OK, text, RUN)


@pytest.mark.parametrize("output", [None, "", " ", {}, [], {"answer": ""}, {"output": [], "status": "completed"}])
def test_an_output_of_nothing_is_empty(output: object) -> None:
    reply = completed(output)
    assert (reply.outcome, reply.text, reply.error) == (Outcome.EMPTY, None, None)


def test_the_usage_beside_an_answer_is_kept() -> None:
    reply = completed({"answer": "Hello.", "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
    assert reply.usage == Usage(3, None, 2, None, 5)


@pytest.mark.parametrize(
    "output",
    [
        {"status": "interrupted", "output": [{"role": "assistant", "content": "I will."}]},
        {"output": [{"role": "assistant", "content": "I will."}, {"type": "interrupt", "id": "c1"}]},
    ],
)
def test_an_agent_that_waits_for_an_approval_is_an_error_of_the_agent(output: object) -> None:
    reply = completed(output)
    message = "the agent waits for an approval, which a batch cannot give"
    assert (reply.outcome, reply.text, reply.error) == (Outcome.ERROR, None, CallError(ErrorKind.AGENT_ERROR, message))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("agent invocation failed", CallError(ErrorKind.SERVER_ERROR, "agent invocation failed")),
        ({"message": "it broke"}, CallError(ErrorKind.SERVER_ERROR, "it broke")),
        (None, CallError(ErrorKind.SERVER_ERROR, "the run failed and does not say why")),
        ({"code": "MCP_DENIED", "message": "no"}, CallError(ErrorKind.AGENT_ERROR, "no", code="MCP_DENIED")),
    ],
)
def test_a_run_that_failed_may_be_asked_again_unless_the_agent_gives_a_code(error: object, told: CallError) -> None:
    assert read_json({"id": RUN, "status": "failed", "error": error}) == Reply(
        Outcome.ERROR, error=told, response_id=RUN
    )


def test_a_run_that_failed_for_what_passes_is_told_as_such() -> None:
    reply = read_json({"id": RUN, "status": "failed", "error": {"code": "rate_limit_exceeded", "message": "slow"}})
    assert reply.error == CallError(ErrorKind.RATE_LIMITED, "slow", code="rate_limit_exceeded")


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"id": RUN, "status": "cancelled"}, "the response has status cancelled"),
        ({"id": RUN, "status": "errored", "error": "boom"}, "boom"),
    ],
)
def test_a_run_that_ended_otherwise_is_an_error_of_the_agent(run: dict[str, object], message: str) -> None:
    reply = read_json(run)
    assert (reply.running, reply.error) == (None, CallError(ErrorKind.AGENT_ERROR, message))


def test_an_error_that_is_no_run_is_an_error_of_the_agent() -> None:
    reply = read_json({"error": {"code": "USER_AUTH_REQUIRED", "message": "sign in"}})
    assert reply.error == CallError(ErrorKind.AGENT_ERROR, "sign in", code="USER_AUTH_REQUIRED")
