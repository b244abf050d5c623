"""Streams of the Responses API: recorded ones (tests/golden/replies/*.sse), and every way they can break."""

import json
from pathlib import Path

import pytest

from rowcall.core.endpoints import Wire, read_body
from rowcall.core.records import CallError, ErrorKind, Outcome, Reply, Usage

REPLIES = Path(__file__).parents[3] / "golden" / "replies"
WIRE = Wire("responses", None, stream=True)
CUT = CallError(ErrorKind.BAD_REPLY, "the stream was cut")


def read(name: str) -> Reply:
    return read_body((REPLIES / name).read_bytes(), "text/event-stream; charset=utf-8", WIRE)


def stream(*events: object) -> bytes:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()


def item(text: str, index: int | None = None, **more: object) -> dict[str, object]:
    content = [{"type": "output_text", "text": text}]
    place = {} if index is None else {"output_index": index}
    return {
        "type": "response.output_item.done",
        "item": {"type": "message", "role": "assistant", "content": content, **more},
        **place,
    }


def delta(text: str, item_id: str | None = None, index: int | None = None) -> dict[str, object]:
    return {"type": "response.output_text.delta", "item_id": item_id, "output_index": index, "delta": text}


def answer(*events: object) -> str | None:
    reply = read_body(stream(*events) + DONE, "text/event-stream", WIRE)
    assert (reply.outcome, reply.error) == (Outcome.OK if reply.text else Outcome.EMPTY, None)
    return reply.text


DONE = b"data: [DONE]\n\n"


def test_an_apps_stream_is_its_finished_items() -> None:
    assert read("app_stream.sse") == Reply(
        Outcome.OK, text="It was shipped.", custom_outputs='{"id":5}', trace_id="tr-beef"
    )


def test_a_stream_of_deltas_only() -> None:
    assert read("app_stream_deltas.sse") == Reply(Outcome.OK, text="only deltas")


def test_deltas_beside_tool_items_only() -> None:
    call = {"type": "response.output_item.done", "item": {"type": "function_call", "name": "f"}}
    body = stream(call, {"type": "response.output_text.delta", "delta": "said"}) + DONE
    assert read_body(body, "text/event-stream", WIRE).text == "said"


def test_a_completed_stream_with_crlf_comments_ids_and_data_on_several_lines() -> None:
    assert read("openai_stream_crlf.sse") == Reply(
        Outcome.OK,
        text="Guten Tag\u2028Zeile zwei",
        usage=Usage(input_tokens=3, output_tokens=4, total_tokens=7),
        model="m",
        response_id="resp_9",
        finish_reason="completed",
    )


def test_an_error_inside_a_stream() -> None:
    assert read("app_stream_error.sse") == Reply(
        Outcome.ERROR, error=CallError(ErrorKind.AGENT_ERROR, "KeyError: 'order'")
    )


@pytest.mark.parametrize(
    ("name", "kind", "message", "code"),
    [
        ("openai_stream_failed.sse", ErrorKind.AGENT_ERROR, "The model broke down.", "server_error"),
        ("openai_stream_failed_limit.sse", ErrorKind.RATE_LIMITED, "Slow down", "rate_limit_exceeded"),
        ("openai_stream_error_event.sse", ErrorKind.RATE_LIMITED, "Slow down", "rate_limit_exceeded"),
        ("serving_stream_error.sse", ErrorKind.AGENT_ERROR, "the tool failed", "INTERNAL_ERROR"),
        ("serving_stream_unavailable.sse", ErrorKind.UNAVAILABLE, "Try again later", "TEMPORARILY_UNAVAILABLE"),
    ],
)
def test_the_other_ways_a_stream_reports_an_error(name: str, kind: ErrorKind, message: str, code: str) -> None:
    reply = read(name)
    assert (reply.outcome, reply.error) == (
        Outcome.ERROR,
        CallError(kind, message, code=code),
    )


def test_an_incomplete_stream_keeps_its_text() -> None:
    reply = read("openai_stream_incomplete.sse")
    assert (reply.outcome, reply.text) == (Outcome.TRUNCATED, "The first half")


def test_a_trace_beside_an_item() -> None:
    reply = read("serving_stream_trace.sse")
    assert (reply.text, reply.trace_id) == ("positive", "tr-cc")
    assert reply.trace == '{"info":{"trace_id":"tr-cc"},"data":{"spans":[]}}'


def test_a_stream_that_was_cut_is_no_answer() -> None:
    assert read("app_stream_cut.sse") == Reply(Outcome.ERROR, error=CUT)
    assert read_body(b"", "text/event-stream", WIRE).error == CUT


@pytest.mark.parametrize("name", ["app_stream.sse", "openai_stream_crlf.sse"])
def test_no_prefix_of_a_stream_is_an_answer_of_its_own(name: str) -> None:
    whole = (REPLIES / name).read_bytes()
    answer = read(name).text
    for length in range(len(whole)):
        reply = read_body(whole[:length], "text/event-stream", WIRE)
        assert reply.error == CUT or reply.text == answer, length


def test_a_garbled_event_spoils_a_stream_that_ended() -> None:
    reply = read_body(stream(item("a")) + b"data: {oops\n\n" + DONE, "text/event-stream", WIRE)
    assert reply.error == CallError(ErrorKind.BAD_REPLY, "an event of the stream is not JSON: {oops")


def test_a_garbled_event_does_no_harm_where_the_whole_response_came() -> None:
    whole = {"type": "response.completed", "response": {"output": [item("a")["item"]]}}
    assert read_body(b"data: {oops\n\n" + stream(whole), "text/event-stream", WIRE).text == "a"


def test_a_terminal_event_without_output_falls_back_to_the_items() -> None:
    whole = {"type": "response.completed", "response": {"id": "r", "status": None, "output": []}}
    reply = read_body(stream(item("a"), whole), "text/event-stream", WIRE)
    assert (reply.text, reply.response_id, reply.finish_reason) == ("a", "r", "completed")


def test_a_failure_without_a_response_is_a_failure() -> None:
    reply = read_body(stream(item("a"), {"type": "response.failed"}), "text/event-stream", WIRE)
    assert reply.error == CallError(ErrorKind.AGENT_ERROR, "the response has status failed")


def test_the_name_of_an_event_stands_in_for_its_type() -> None:
    data = json.dumps({"response": {"output": [item("a")["item"]]}})
    assert read_body(f"event: response.completed\ndata: {data}\n\n".encode(), "", WIRE).text == "a"


def test_an_error_event_without_words() -> None:
    reply = read_body(b"event: error\ndata: {}\n\n", "text/event-stream", WIRE)
    assert reply.error == CallError(ErrorKind.AGENT_ERROR, "the stream reports an error")


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (item("a", id="m1"), item("a", id="m1")),
        (item("a", id="m1", status="in_progress"), item("a", 0, id="m1", status="completed")),
        (item("a", 0), item("a", 0)),
        (item("a", 0, id="m1"), item("a", 0, id="m2")),
    ],
)
def test_an_item_that_comes_twice_is_one_item(first: object, again: object) -> None:
    assert answer(first, item("b", 1, id="m3"), again) == "ab"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (item("a"), item("a")),
        (item("a", id=""), item("a", id="")),
        (item("a", 0, id="m1"), item("a", 1, id="m2")),
    ],
)
def test_a_text_said_twice_is_said_twice(first: object, second: object) -> None:
    assert answer(first, second) == "aa"


def test_items_of_agents_that_call_them_all_the_same_are_kept() -> None:
    call = {"type": "response.output_item.done", "item": {"type": "function_call", "id": "x", "name": "f"}}
    assert answer(item("a", 0, id="x"), call, item("b", 0, id="x")) == "ab"


@pytest.mark.parametrize(
    "events",
    [
        [delta("a", "m1"), item("a", id="m1"), delta("b", "m2"), delta("c", "m2")],
        [delta("a", "m1"), delta("b", "m2"), delta("c", "m2"), item("a", id="m1")],
        [delta("a", "m1"), delta("b", "m2"), item("c", id="m3")],
        [delta("b", index=1), item("a", 0), delta("c", index=1)],
        [item("a"), delta("bc", "m2", 1)],
    ],
)
def test_a_message_that_was_not_finished_is_said_by_its_deltas(events: list[object]) -> None:
    said = answer(*events)
    assert said is not None
    assert sorted(said) == ["a", "b", "c"]


def test_messages_that_were_not_finished_stand_where_they_began() -> None:
    assert answer(delta("a", "m1"), delta("b", "m2"), delta("a", "m1"), item("c", id="m3"), delta("d", "m4")) == "aabcd"


@pytest.mark.parametrize(
    "events",
    [
        [delta("My number is 5.", "m1"), item("[removed]", id="m1")],
        [delta("My number is 5.", "m1", 0), item("[removed]", 0)],
        [item("[removed]", id="m1"), delta("late", "m1")],
        [delta("My number"), item("[removed]", id="m1")],
        [delta("[rem", "x"), delta("oved]\n", "x"), item("[removed]", id="m1")],
        [delta("[rem", "x1"), delta("oved]", "x2"), item("[removed]", id="m1")],
    ],
)
def test_deltas_of_a_finished_message_add_nothing(events: list[object]) -> None:
    assert answer(*events) == "[removed]"


def test_deltas_under_one_id_of_several_messages_add_nothing() -> None:
    assert answer(delta("a", "x"), item("a", id="m1"), delta("b", "x"), item("b", id="m2")) == "ab"


def test_a_refusal_that_was_not_finished_is_a_refusal() -> None:
    refusal = {"type": "response.refusal.delta", "item_id": "m2", "delta": "No."}
    reply = read_body(stream(item("Well.", id="m1"), refusal) + DONE, "text/event-stream", WIRE)
    assert (reply.outcome, reply.text) == (Outcome.REFUSED, "Well.")


def test_the_whole_response_wins_over_deltas() -> None:
    whole = {"type": "response.completed", "response": {"output": [item("a", id="m1")["item"]]}}
    assert answer(delta("b", "m2"), item("c", id="m3"), whole) == "a"


@pytest.mark.parametrize("late", [item("b", id="m2"), delta("b", "m2"), {"error": "late"}, {"type": "response.failed"}])
def test_nothing_counts_after_the_end(late: object) -> None:
    body = stream(item("a", id="m1")) + DONE + stream(late)
    assert read_body(body, "text/event-stream", WIRE) == Reply(Outcome.OK, "a")
