"""Nothing an endpoint sends and nothing a column holds raises: recorded replies, broken in every way, and anything at all."""

import json
from contextlib import suppress
from dataclasses import fields
from functools import reduce
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rowcall.core.endpoints import RequestError, Shape, Wire, build_body, corrected, first_token_at, read_body
from rowcall.core.records import Outcome, Reply

REPLIES = Path(__file__).parents[3] / "golden" / "replies"
WHOLE = [json.loads(path.read_bytes()) for path in sorted(REPLIES.glob("*.json"))]
STREAMS = [path.read_bytes() for path in sorted(REPLIES.glob("*.sse"))]
EVENTS = [body.replace(b"\r\n", b"\n").split(b"\n\n") for body in STREAMS]
WIRES = st.builds(
    Wire, st.sampled_from(get_args(Shape)), st.none(), st.booleans(), run=st.sampled_from(["direct", "background"])
)
TYPES = st.sampled_from(["application/json", "text/event-stream", ""])
ROLES = ["assistant", "tool", "ai", "message", "interrupt", "text", "output_text", "image_url", "input_image"]
STATES = ["completed", "failed", "queued", "in_progress", "interrupted", "content_filter", "length"]
WORDS = st.sampled_from([*ROLES, *STATES])
LISTS = [
    "output",
    "choices",
    "messages",
    "predictions",
    "content",
    "tool_calls",
    "usage",
    "metadata",
    "databricks_output",
]
FIELDS = [
    "message",
    "delta",
    "refusal",
    "role",
    "type",
    "text",
    "status",
    "id",
    "index",
    "error",
    "error_code",
    "answer",
]
OTHERS = ["custom_outputs", "finish_reason", "response", "item", "incomplete_details", "usage_metadata", "input_tokens"]
KEYS = st.sampled_from([*LISTS, *FIELDS, *OTHERS, "image_url", "session_id"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63 - 1, 2**63, -1])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\ud83d", "\x00", " \n"])
    | WORDS
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=5),
    max_leaves=20,
)
many = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(body: bytes, content_type: str, wire: Wire) -> None:
    reply = read_body(body, content_type, wire)
    assert (reply.error is not None) == (reply.outcome is Outcome.ERROR)
    assert reply.outcome is not Outcome.OK or (reply.text or "").strip()
    assert reply.running is None or (reply.running and reply.outcome is Outcome.EMPTY and not reply.text)
    check_storable(reply)
    place = first_token_at(body, content_type, wire)
    assert place is None or 0 < place <= len(body)


def check_storable(reply: Reply) -> None:
    texts = [getattr(reply, field.name) for field in fields(reply)]
    texts += [reply.error.message, reply.error.code] if reply.error else []
    for text in texts:
        if isinstance(text, str):
            text.encode()
    for field in fields(reply.usage):
        tokens = getattr(reply.usage, field.name)
        assert tokens is None or 0 <= tokens < 2**63


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def places(value: Any) -> list[tuple[Any, Any]]:
    """Each place in a JSON value: the object or list that holds it, and its key there."""
    steps = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [(value, key) for key, _ in steps] + [place for _, inner in steps for place in places(inner)]


def mutate(draw: st.DrawFn, value: Any) -> Any:
    """A copy with some of its values replaced or dropped."""
    copy = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 3))):
        found = places(copy)
        if not found:
            break
        holder, key = draw(st.sampled_from(found))
        if draw(st.booleans()):
            holder[key] = draw(JSON)
        else:
            del holder[key]
    return copy


@st.composite
def broken_replies(draw: st.DrawFn) -> bytes:
    body = as_json(mutate(draw, draw(st.sampled_from(WHOLE))))
    return body[: draw(st.integers(0, len(body)))] if draw(st.integers(0, 4)) == 0 else body


@st.composite
def broken_events(draw: st.DrawFn, event: bytes) -> bytes:
    """An event with its data mutated, where that is one line of JSON."""
    head, found, data = event.rpartition(b"data: ")
    try:
        parsed = json.loads(data)
    except ValueError:
        return event
    return head + found + as_json(mutate(draw, parsed))


@st.composite
def broken_streams(draw: st.DrawFn) -> bytes:
    events = draw(st.permutations(draw(st.sampled_from(EVENTS))))
    kept = events[: draw(st.integers(0, len(events)))]
    body = b"\n\n".join([draw(broken_events(event)) if draw(st.booleans()) else event for event in kept])
    return body[: draw(st.integers(0, len(body)))] if draw(st.booleans()) else body + b"\n\n"


@many
@given(st.binary(), TYPES, WIRES)
def test_any_bytes_are_read(body: bytes, content_type: str, wire: Wire) -> None:
    check(body, content_type, wire)


@many
@given(JSON, WIRES)
def test_any_json_is_read(value: object, wire: Wire) -> None:
    check(as_json(value), "application/json", wire)


@many
@given(st.lists(JSON, max_size=5), st.booleans(), WIRES)
def test_any_events_are_read(values: list[object], ended: bool, wire: Wire) -> None:
    events = [b"data: " + as_json(value) + b"\n\n" for value in values]
    check(b"".join(events) + (b"data: [DONE]\n\n" if ended else b""), "text/event-stream", wire)


@many
@given(broken_replies(), TYPES, WIRES)
def test_a_broken_reply_is_read(body: bytes, content_type: str, wire: Wire) -> None:
    check(body, content_type, wire)


@many
@given(broken_streams(), TYPES, WIRES)
def test_a_broken_stream_is_read(body: bytes, content_type: str, wire: Wire) -> None:
    check(body, content_type, wire)


@given(st.sampled_from(STREAMS), st.data(), WIRES)
def test_a_stream_cut_at_any_byte_is_read(body: bytes, data: st.DataObject, wire: Wire) -> None:
    check(body[: data.draw(st.integers(0, len(body)))], "text/event-stream", wire)


MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": st.text() | JSON})
ITEM = JSON | MESSAGE | st.lists(MESSAGE, max_size=3)
COLUMN = JSON | JSON.map(json.dumps)


@many
@given(
    st.lists(ITEM | ITEM.map(json.dumps), max_size=4) | COLUMN,
    st.dictionaries(st.sampled_from(["inputs", "parameters", "custom_inputs", "databricks_options"]), COLUMN),
    WIRES,
)
def test_any_row_is_sent_or_refused(messages: object, objects: dict[str, object], wire: Wire) -> None:
    for request in ({"messages": messages, **objects}, objects, corrected({"messages": messages}, "{}", "$: no")):
        with suppress(RequestError):
            json.dumps(build_body(request, wire, "550e8400-e29b-41d4-a716-446655440000"))


@given(JSON)
def test_what_is_said_of_a_refused_row_can_be_stored(value: object) -> None:
    with pytest.raises(RequestError) as caught:
        build_body({"messages": [{"role": value}], "inputs": [value]}, Wire("inputs", None))
    assert len(str(caught.value).encode()) < 1000


DEEP = reduce(lambda inner, _: [inner], range(100_000), list[object]())


@pytest.mark.parametrize(
    "request_",
    [{"messages": [DEEP]}, {"messages": ["[" * 100_000]}, {"inputs": DEEP}, {"custom_inputs": '{"a":' * 10_000}],
    ids=["messages", "text of messages", "inputs", "text of custom_inputs"],
)
def test_a_row_nested_too_deep_is_refused(request_: dict[str, object]) -> None:
    with pytest.raises(RequestError) as caught:
        build_body(request_, Wire("responses", None))
    assert len(str(caught.value)) < 400
