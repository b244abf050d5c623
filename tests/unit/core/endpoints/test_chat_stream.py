"""Streams of chats: chunks of a completion, deltas of a ChatAgent, and every way they can break."""

import json
from pathlib import Path

import pytest

from rowcall.core.endpoints import Wire, read_body
from rowcall.core.records import CallError, ErrorKind, Outcome, Reply

REPLIES = Path(__file__).parents[3] / "golden" / "replies"
CUT = CallError(ErrorKind.BAD_REPLY, "the stream was cut")
DONE = b"data: [DONE]\n\n"


def read(body: bytes) -> Reply:
    return read_body(body, "text/event-stream", Wire("chat", None, stream=True))


def stream(*events: object) -> bytes:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()


def chunk(content: object, finish_reason: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish_reason}]}


def delta(content: object, id_: str | None = "a", finish_reason: str | None = None) -> dict[str, object]:
    return {"delta": {"role": "assistant", "id": id_, "content": content}, "finish_reason": finish_reason}


@pytest.mark.parametrize("make", [chunk, delta])
def test_a_stream_ends_with_done_or_with_a_finish_reason(make: type[dict[str, object]]) -> None:
    assert read(stream(make("hi"))).error == CUT
    assert read(stream(make("hi")) + DONE).text == "hi"
    assert read(stream(make("hi", finish_reason="stop"))).text == "hi"
    assert read(stream(make("h"), make("i", finish_reason="stop"))).text == "hi"
    assert read(stream(make("hi"), make("", finish_reason="stop"), {"usage": {"total_tokens": 3}})).text == "hi"


def test_a_finish_reason_with_something_said_after_it_is_no_end() -> None:
    body = stream(delta("Let me look.", "a", "tool_calls"), delta("It was", "b"))
    assert read(body).error == CUT
    assert read(body + stream(delta(" shipped.", "b", "stop"))).text == "Let me look.It was shipped."


@pytest.mark.parametrize(
    "name", ["chat_stream.sse", "chat_stream_parts.sse", "chat_stream_refusal.sse", "chat_agent_stream_app.sse"]
)
def test_no_prefix_of_a_stream_is_an_answer_of_its_own(name: str) -> None:
    whole = (REPLIES / name).read_bytes()
    answer = read(whole).text
    for length in range(len(whole)):
        reply = read(whole[:length])
        assert reply.error == CUT or reply.text == answer, length


def test_messages_without_ids_are_one_message() -> None:
    assert read(stream(delta("a", None), delta("b", None)) + DONE).text == "ab"


def test_pieces_without_a_role_belong_to_the_role_of_their_id() -> None:
    tool = {"delta": {"role": "tool", "id": "t", "content": "4"}}
    more = {"delta": {"id": "t", "content": "2"}}
    assert read(stream(tool, more, delta("hi")) + DONE).text == "hi"


def test_an_error_drops_what_was_said_so_far() -> None:
    reply = read(stream(chunk("Half an"), {"error": "boom"}))
    assert (reply.outcome, reply.text, reply.error) == (Outcome.ERROR, None, CallError(ErrorKind.AGENT_ERROR, "boom"))


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (b'data: {"error_code": "BAD_REQUEST", "message": "no"}\n\n', ("no", "BAD_REQUEST")),
        (b'event: error\ndata: {"message": "no"}\n\n', ("no", None)),
        (b'data: {"databricks_output": {"error": {"error_code": "X_Y", "message": "no"}}}\n\n', ("no", "X_Y")),
    ],
)
def test_the_other_ways_a_stream_reports_an_error(event: bytes, error: tuple[str, str | None]) -> None:
    reply = read(stream(chunk("Half an")) + event + DONE)
    assert reply.error == CallError(ErrorKind.AGENT_ERROR, error[0], code=error[1])


def test_a_garbled_event_spoils_an_answer_but_not_one_that_has_ended() -> None:
    reply = read(stream(chunk("a")) + b"data: {oops\n\n" + stream(chunk("b", "stop")))
    assert reply.error == CallError(ErrorKind.BAD_REPLY, "an event of the stream is not JSON: {oops")
    assert read(stream(chunk("a", "stop")) + b"data: {oops").text == "a"


def test_a_stream_of_nothing_is_no_reply() -> None:
    reply = read(DONE)
    assert reply.error is not None
    assert reply.error.kind is ErrorKind.BAD_REPLY


def test_what_chunks_say_beside_the_answer_is_kept_from_whichever_has_it() -> None:
    body = stream(
        {**delta("hi"), "custom_outputs": {"n": 1}},
        {"trace_id": "tr-1"},
        {"usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
    )
    reply = read(body + DONE)
    assert (reply.text, reply.custom_outputs, reply.trace_id, reply.usage.total_tokens) == ("hi", '{"n":1}', "tr-1", 3)
