"""Events out of bytes, and which bodies are streams."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcall.core.endpoints import Wire, first_token_at, read_body
from rowcall.core.endpoints.sse import events, is_stream
from rowcall.core.records import Outcome


def read(body: bytes) -> list[tuple[str, str]]:
    return [(event.name, event.data) for event in events(body)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_end_in_each_of_three_ways(end: bytes) -> None:
    lines = [b"event: a", b"data: one", b"data: two", b"", b"data:three", b"", b""]
    assert read(end.join(lines)) == [("a", "one\ntwo"), ("", "three")]


def test_a_byte_order_mark_comments_ids_and_waits_are_no_data() -> None:
    assert read(b"\xef\xbb\xbfdata: x\n: keep-alive\nid: 7\nretry: 10\nfoo\n\n") == [("", "x")]


def test_an_event_without_data_is_none_and_its_name_goes_with_it() -> None:
    assert read(b"event: ping\n\ndata:\n\ndata: x\n\n") == [("", "x")]


def test_the_last_event_counts_without_the_empty_line_after_it() -> None:
    assert read(b"data: x") == read(b"data: x\n") == read(b"data: x\n\n") == [("", "x")]


def test_line_separators_inside_a_text_are_part_of_it() -> None:
    assert read("data: a\u2028b\x0cc\x85d\n\n".encode()) == [("", "a\u2028b\x0cc\x85d")]


def test_only_one_space_after_the_colon_is_none_of_the_data() -> None:
    assert read(b"data:  x \n\n") == [("", " x ")]


def test_an_event_ends_after_its_last_line_of_data() -> None:
    body = b"\xef\xbb\xbfevent: a\r\ndata: x\r\ndata: \xc3\xa4\r\n\r\ndata: y"
    first, second = events(body)
    assert body[: first.end].endswith(b"\xc3\xa4\r\n")
    assert second.end == len(body)


LINES = st.lists(st.sampled_from([b"data:", b"event: error", b"\n", b"\r", b" [DONE]", b"{}", b"\xff", b": x"]))


@given(LINES.map(b"".join) | st.binary())
def test_any_bytes_are_events_in_order(body: bytes) -> None:
    found = list(events(body))
    assert all(0 < event.end <= len(body) and event.data for event in found)
    assert all(one.end < other.end for one, other in pairwise(found))


@pytest.mark.parametrize(
    ("body", "content_type", "told"),
    [
        (b"data: x", "", True),
        (b"\xef\xbb\xbf\r\nevent: x", "application/json", True),
        (b": ping\n\n", "Text/Event-Stream; charset=utf-8", True),
        (b"", "text/event-stream", True),
        (b' {"output": []}', "text/event-stream", False),
        (b": ping\n\n", "text/plain", False),
        (b'{"data:": 1}', "application/json", False),
        (b"", "", False),
    ],
)
def test_a_stream_is_told_by_its_type_and_its_start(body: bytes, content_type: str, told: bool) -> None:
    assert is_stream(body, content_type) is told


RESPONSE = {"output": [{"type": "message", "content": [{"type": "output_text", "text": "hi"}]}]}
COMPLETION = {"choices": [{"message": {"role": "assistant", "content": "hi"}}]}
DELTAS = {
    "responses": {"type": "response.output_text.delta", "delta": "hi"},
    "chat": {"choices": [{"delta": {"content": "hi"}}]},
}


@pytest.mark.parametrize(("shape", "whole"), [("responses", RESPONSE), ("chat", COMPLETION)])
@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
def test_json_where_a_stream_was_asked_for_is_read_all_the_same(shape: str, whole: object, content_type: str) -> None:
    reply = read_body(json.dumps(whole).encode(), content_type, Wire(shape, None, stream=True))
    assert (reply.outcome, reply.text) == (Outcome.OK, "hi")


@pytest.mark.parametrize("shape", ["responses", "chat"])
@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
def test_a_stream_where_json_was_asked_for_is_read_all_the_same(shape: str, content_type: str) -> None:
    body = b"data: " + json.dumps(DELTAS[shape]).encode() + b"\n\ndata: [DONE]\n\n"
    reply = read_body(body, content_type, Wire(shape, None))
    assert (reply.outcome, reply.text) == (Outcome.OK, "hi")


class TestFirstToken:
    def at(self, body: bytes, shape: str = "responses") -> bytes | None:
        place = first_token_at(body, "text/event-stream", Wire(shape, None, stream=True))
        return None if place is None else body[:place]

    @pytest.mark.parametrize("shape", ["responses", "chat"])
    def test_it_is_after_the_first_delta_that_says_something(self, shape: str) -> None:
        silent = (
            b'data: {"type": "response.output_text.delta", "delta": "", "choices": [{"delta": {"content": ""}}]}\n\n'
        )
        first = b"data: " + json.dumps(DELTAS[shape]).encode() + b"\n"
        assert self.at(silent + first + b"\n" + first + b"\ndata: [DONE]\n\n", shape) == silent + first

    def test_an_item_that_comes_whole_is_its_own_first_token(self) -> None:
        reasoning = b'data: {"type": "response.output_item.done", "item": {"type": "reasoning", "summary": []}}\n\n'
        item = b"data: " + json.dumps({"type": "response.output_item.done", "item": RESPONSE["output"][0]}).encode()
        assert self.at(reasoning + item) == reasoning + item

    def test_so_is_a_response_that_comes_whole(self) -> None:
        begun = b'event: response.created\ndata: {"response": {"output": []}}\n\n'
        whole = b"event: response.completed\ndata: " + json.dumps({"response": RESPONSE}).encode() + b"\n"
        assert self.at(begun + whole + b"\n") == begun + whole

    def test_of_a_chat_agent_only_the_assistant_counts(self) -> None:
        tool = b'data: {"delta": {"role": "tool", "id": "t", "content": "42"}}\n\n'
        said = b'data: {"delta": {"role": "assistant", "id": "a", "content": "hi"}}\n'
        assert self.at(tool + said + b"\n", "chat") == tool + said

    def test_of_several_choices_only_the_first_counts(self) -> None:
        other = b'data: {"choices": [{"index": 1, "delta": {"content": "no"}}]}\n\n'
        said = b'data: {"choices": [{"index": 1, "delta": {}}, {"index": 0, "delta": {"content": "hi"}}]}\n'
        assert self.at(other + said + b"\n", "chat") == other + said

    @pytest.mark.parametrize("shape", ["responses", "chat", "records", "inputs", "durable"])
    def test_what_is_no_stream_or_has_no_text_has_none(self, shape: str) -> None:
        assert self.at(b'data: {"error": "boom"}\n\ndata: [DONE]\n\n', shape) is None
        assert self.at(json.dumps(RESPONSE | COMPLETION).encode(), shape) is None
        assert first_token_at(b"", "application/json", Wire(shape, None)) is None
